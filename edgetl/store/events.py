"""The log: what was done to the store, in which order, by whom and why.

It is append-only, and nothing forgotten may live on in it: an event holds class names, counts, head ids and what the person typed; never a
photo's digest, its file name, or anything computed from its pixels.
"""

from __future__ import annotations

import dataclasses
import os
import sqlite3
import time
from pathlib import Path

from edgetl.store.checksum import checksum, damaged, matches, next_id


@dataclasses.dataclass(frozen=True)
class Event:
    """One line of the log.

    Attributes:
        id: its number; numbers grow by one, and they give the order.
        clock: seconds since 1970 by the device's clock, which may be wrong.
        who: the environment variable EDGETL_USER, or `user@host`.
        what: one word: `add`, `train`, `forget`, `rollback`, `activate`, `merge`, `import`, `adapt`, `relabel`.
        why: a sentence.
        head_id: the head that it made or chose, if any.
    """

    id: int
    clock: float
    who: str
    what: str
    why: str
    head_id: int | None


def insert(db: sqlite3.Connection, what: str, why: str, head: int | None) -> None:
    """Writes one line at the end of the log."""
    who = os.environ.get("EDGETL_USER") or f"{_user()}@{os.uname().nodename}"
    texts = [" ".join(text.split()).encode("utf-8", "backslashreplace") for text in (who, what, why)]
    event, clock = next_id(db, "event"), time.time()
    crc = checksum(event, *texts, _numbers(clock, head))
    db.execute("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?)", (event, clock, *[text.decode() for text in texts], head, crc))


def read(db: sqlite3.Connection, path: Path, last: int | None) -> list[Event]:
    """The last events, or all, oldest first, each checked and none missing.

    Raises:
        StoreCorrupt: one is missing, or fails its check.
    """
    end = next_id(db, "event")
    first = 1 if last is None else max(1, end - last)
    rows = db.execute("SELECT id, clock, who, what, why, head, crc FROM event WHERE id >= ? ORDER BY id", (first,)).fetchall()
    if [row[0] for row in rows] != list(range(first, end)):
        raise damaged(path, "event")
    return [_checked(path, *row) for row in rows]


def _checked(path: Path, event: int, clock: float, who: bytes, what: bytes, why: bytes, head: int | None, crc: int) -> Event:
    if not matches(crc, event, who, what, why, _numbers(clock, head)):
        raise damaged(path, "event", event)
    return Event(event, clock, who.decode(), what.decode(), why.decode(), head)


def _numbers(clock: float, head: int | None) -> bytes:
    return f"{clock!r} {head}".encode()


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user may have a number and no name
        return str(os.getuid())
