"""Head rows, and the history of active heads.

The history is a stack: activating pushes, rolling back pops. So two rollbacks go back two steps, and a head trained after a rollback lies
above the head that was active then. "No head" may be on the stack too; rolling back passes over it.
"""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

from edgetl.errors import NotTrained, StoreCorrupt, StoreError
from edgetl.stats import Proportion
from edgetl.store.checksum import RESTORE, checksum, damaged, matches, next_id
from edgetl.types import HeadInfo, to_json

# The weights come last in the table and have their own checksum, so that listing a history does not read them.
COLUMNS = "id, kind, labels, samples, hits, trials, created, report, weights_crc, crc, length(weights)"


@dataclasses.dataclass(frozen=True)
class HeadRow:
    """A head without its weights, as the table holds it."""

    id: int
    kind: bytes
    labels: bytes
    samples: int
    hits: int
    trials: int
    created: float
    report: bytes
    weights_crc: int
    crc: int
    size: int

    def info(self, active: int | None) -> HeadInfo:
        """The row as a value for people."""
        accuracy = Proportion(self.hits, self.trials)
        labels, reason = tuple(json.loads(self.labels)), json.loads(self.report).get("not_activated_because", "")
        return HeadInfo(self.id, self.kind.decode(), labels, self.samples, accuracy, self.created, self.size, self.id == active, reason)


def insert(
    db: sqlite3.Connection,
    kind: str,
    labels: Sequence[str],
    samples: int,
    accuracy: Proportion,
    weights: bytes,
    report: Mapping[str, Any],
    created: float | None = None,
) -> int:
    """Writes one row and returns its id; `created` is now unless it is given, seconds since 1970."""
    head, weights_crc = next_id(db, "head"), crc32(weights)
    created = time.time() if created is None else created
    names, reported = json.dumps(list(labels), ensure_ascii=False), json.dumps(to_json(report), ensure_ascii=False)
    numbers = (int(samples), int(accuracy.hits), int(accuracy.n), created)  # SQLite would keep numpy's integers as blobs
    crc = checksum(head, *_fields(kind.encode(), names.encode(), reported.encode(), *numbers, weights_crc))
    db.execute(
        "INSERT INTO head VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (head, kind, names, *numbers, reported, weights_crc, crc, weights)
    )
    return head


def history(db: sqlite3.Connection, path: Path) -> list[HeadInfo]:
    """Every head, oldest first."""
    active = active_id(db, path)
    rows = [_checked(path, row) for row in db.execute(f"SELECT {COLUMNS} FROM head ORDER BY id")]
    if [row.id for row in rows] != list(range(1, next_id(db, "head"))):
        raise damaged(path, "head")
    return [row.info(active) for row in rows]


def info(db: sqlite3.Connection, path: Path, head: int) -> HeadInfo:
    """One head."""
    return _row(db, path, head).info(active_id(db, path))


def report(db: sqlite3.Connection, path: Path, head: int) -> dict[str, Any]:
    """What `insert` was given as `report`."""
    content: dict[str, Any] = json.loads(_row(db, path, head).report)
    return content


def weights(db: sqlite3.Connection, path: Path, head: int) -> bytes:
    """One head's file."""
    row = _row(db, path, head)
    (blob,) = db.execute("SELECT weights FROM head WHERE id = ?", (head,)).fetchone()
    if not isinstance(blob, bytes) or crc32(blob) != row.weights_crc:
        raise _corrupt(path, head)
    return blob


def active_id(db: sqlite3.Connection, path: Path) -> int | None:
    """The active head, or None."""
    return next((head for _, head in _stack(db, path)), None)


def activate(db: sqlite3.Connection, path: Path, head: int | None) -> None:
    """Makes a head, or none, the active one; does nothing if it is active already.

    Raises:
        StoreError: there is no such head (`head-missing`).
    """
    if head is not None:
        _row(db, path, head)
    top, active = next(_stack(db, path), (0, None))
    if head != active:
        db.execute("INSERT INTO activation VALUES (?, ?, ?)", (top + 1, head, checksum(top + 1, str(head).encode())))


def roll_back(db: sqlite3.Connection, path: Path) -> int:
    """Activates the head that was active before the present one, and returns its id.

    Raises:
        NotTrained: there was none (`nothing-to-roll-back`).
    """
    active = active_id(db, path)
    for step, head in _stack(db, path):
        if head is not None and head != active:
            db.execute("DELETE FROM activation WHERE id > ?", (step,))
            return head
    message = f"{path}: no head was active before the present one. List the history with: edgetl head list -s {path}"
    raise NotTrained(message, code="nothing-to-roll-back", path=str(path), head_id=active)


def _stack(db: sqlite3.Connection, path: Path) -> Iterator[tuple[int, int | None]]:
    """(step, head or None), newest first."""
    (steps,) = db.execute("SELECT COUNT(*) FROM activation INDEXED BY activation_head").fetchone()
    for step in range(steps, 0, -1):
        head, crc = db.execute("SELECT head, crc FROM activation WHERE id = ?", (step,)).fetchone() or (None, None)
        if not matches(crc, step, str(head).encode()):
            raise damaged(path, "activation", step)
        yield step, head


def _fields(
    kind: bytes, labels: bytes, report: bytes, samples: int, hits: int, trials: int, created: float, weights_crc: int
) -> tuple[bytes, ...]:
    """What the checksum covers."""
    return kind, labels, report, f"{samples} {hits} {trials} {created!r} {weights_crc}".encode()


def _row(db: sqlite3.Connection, path: Path, head: int) -> HeadRow:
    row = db.execute(f"SELECT {COLUMNS} FROM head WHERE id = ?", (head,)).fetchone()
    if row is None:
        message = f"{path}: head {head} does not exist. List the history with: edgetl head list -s {path}"
        raise StoreError(message, code="head-missing", path=str(path), head_id=head)
    return _checked(path, row)


def _checked(path: Path, values: tuple[Any, ...]) -> HeadRow:
    row = HeadRow(*values)
    fields = _fields(row.kind, row.labels, row.report, row.samples, row.hits, row.trials, row.created, row.weights_crc)
    if not matches(row.crc, row.id, *fields):
        raise _corrupt(path, row.id)
    return row


def _corrupt(path: Path, head: int) -> StoreCorrupt:
    return damaged(path, "head", head, cure=f"train again, or {RESTORE}")
