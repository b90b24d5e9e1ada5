"""The tables, and how a file is made and recognised."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from edgetl import durable, regular
from edgetl.decoding import decode
from edgetl.errors import FingerprintMismatch, StoreCorrupt, StoreError
from edgetl.store import raw
from edgetl.store.checksum import RESTORE, checksum, damaged, matches
from edgetl.store.connection import Connection, failure
from edgetl.types import Fingerprint, to_json

APPLICATION_ID = int.from_bytes(b"EdTL", "big")
MODE = 0o600
"""Of a new store: thumbnails and labels are for its owner; a group that shall read it is let in with chmod."""
VERSION = 1
"""Of the tables; SQLite's `user_version`."""

# `digest` names one input: a photo, and later a box of one, a sound or a text. `measured` has a layout per kind of input (captures.py),
# which the fingerprint names, and `preview` is what a person is shown of it.
TABLES = """
    CREATE TABLE store (fingerprint TEXT NOT NULL, crc INTEGER NOT NULL);
    CREATE TABLE sample (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        digest BLOB NOT NULL UNIQUE,
        label TEXT NOT NULL,
        source TEXT NOT NULL,
        crc INTEGER NOT NULL,
        embedding BLOB NOT NULL,
        measured BLOB NOT NULL
    );
    CREATE INDEX sample_label ON sample (label);
    CREATE TABLE preview (id INTEGER PRIMARY KEY REFERENCES sample (id) ON DELETE CASCADE, content BLOB NOT NULL);
    CREATE TABLE head (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        labels TEXT NOT NULL,
        samples INTEGER NOT NULL,
        hits INTEGER NOT NULL,
        trials INTEGER NOT NULL,
        created REAL NOT NULL,
        report TEXT NOT NULL,
        weights_crc INTEGER NOT NULL,
        crc INTEGER NOT NULL,
        weights BLOB NOT NULL
    );
    CREATE TABLE activation (id INTEGER PRIMARY KEY, head INTEGER REFERENCES head (id), crc INTEGER NOT NULL);
    CREATE INDEX activation_head ON activation (head);
    CREATE TABLE event (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        clock REAL NOT NULL,
        who TEXT NOT NULL,
        what TEXT NOT NULL,
        why TEXT NOT NULL,
        head INTEGER REFERENCES head (id),
        crc INTEGER NOT NULL
    );
    CREATE TABLE background (id INTEGER PRIMARY KEY, digest TEXT NOT NULL, crc INTEGER NOT NULL, rows BLOB NOT NULL);
    CREATE TABLE derived (name TEXT PRIMARY KEY, last INTEGER NOT NULL, content BLOB NOT NULL, crc INTEGER NOT NULL);
"""


def create(path: Path, fingerprint: Fingerprint, fill: Callable[[sqlite3.Connection], object] = lambda db: None) -> None:
    """Makes a store; it appears under its name complete, or not at all.

    Args:
        path: the file.
        fingerprint: the model whose embeddings it is to hold.
        fill: writes what it holds from the beginning, in the transaction that it receives.

    Raises:
        StoreError: a journal of a store that is gone (`journal-left`), or the disk cannot take it.
    """
    _check_no_journal(path)
    draft = path.with_name(path.name + ".new")
    with _removed_on_failure(path, draft):
        _write(draft, fingerprint, fill)
        draft.chmod(MODE)  # before it has its name; SQLite gives the journal the same
        draft.replace(path)
        durable.sync(path.parent)


def locate(path: str | os.PathLike[str]) -> Path:
    """The absolute path.

    Raises:
        StoreError: there is no such folder (`folder-missing`).
    """
    path = Path(path).resolve()
    if not path.parent.is_dir():
        message = f"{path}: the folder {path.parent} does not exist. Make it with: mkdir -p {path.parent}"
        raise StoreError(message, code="folder-missing", path=str(path), folder=str(path.parent))
    return path


def has_content(path: Path) -> bool:
    """Whether there is a file that is not empty."""
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False


def recognise(path: Path) -> None:
    """Rejects a file that is not a store, before SQLite can touch it.

    Raises:
        StoreCorrupt: not an SQLite file (`not-a-store`), or one cut off in its header (`store-truncated`).
        StoreError: an SQLite file of another program (`store-of-another-program`), or a file that cannot be read
            (`store-unreadable`).
    """
    try:
        regular.check(path, path.stat(), sys.maxsize)
        with contextlib.closing(raw.read(path, 100)) as blocks:
            header = next(blocks, b"")
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise StoreError(message, code="store-unreadable", path=str(path), reason=error.strerror) from error
    if header[:16] != b"SQLite format 3\0":
        message = f"{path} is not an edgetl store: it does not begin like an SQLite file. Choose another name."
        raise StoreCorrupt(message, code="not-a-store", path=str(path))
    if len(header) < 100:
        message = f"{path} is cut off after {len(header)} bytes. To repair, {RESTORE}."
        raise StoreCorrupt(message, code="store-truncated", path=str(path), count=len(header))
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        message = f"{path} is an SQLite file of another program, not an edgetl store. Choose another name."
        raise StoreError(message, code="store-of-another-program", path=str(path))


def check_version(connection: Connection) -> None:
    """Checks that this edgetl knows the tables.

    Raises:
        StoreError: it does not (`store-version-unknown`).
    """
    with connection.reading() as db:
        (version,) = db.execute("PRAGMA user_version").fetchone()
    if version != VERSION:
        message = f"{connection.path} has store version {version}; this edgetl reads {VERSION}. Run: pip install --upgrade edgetl"
        raise StoreError(message, code="store-version-unknown", path=str(connection.path), version=version, expected=VERSION)


def read_fingerprint(connection: Connection) -> Fingerprint:
    """The model that the store was made for.

    Raises:
        StoreCorrupt: its row fails its check.
    """
    with connection.reading() as db:
        row = db.execute("SELECT fingerprint, crc FROM store").fetchone()
    if row is None or not matches(row[1], 1, row[0]):
        raise damaged(connection.path, "model")
    return decode(Fingerprint, json.loads(row[0]))


def check_fingerprint(path: Path, stored: Fingerprint, current: Fingerprint | None) -> None:
    """Checks that the store is of the model in use.

    Raises:
        FingerprintMismatch: listing what differs.
    """
    if current is not None and current != stored:
        differences = stored.differences(current)
        fields = ", ".join(line.partition(":")[0] for line in differences)
        raise FingerprintMismatch(
            f"{path} holds embeddings of another model (different: {fields}). "
            "Open it with the bundle and runtime that it was made with, or choose another name for a new store.",
            path=str(path),
            differences=differences,
        )


def _write(draft: Path, fingerprint: Fingerprint, fill: Callable[[sqlite3.Connection], object]) -> None:
    db = sqlite3.connect(draft, isolation_level=None)
    db.text_factory = bytes
    with contextlib.closing(db):
        db.execute(f"PRAGMA application_id={APPLICATION_ID}")
        db.execute("BEGIN")
        for statement in filter(str.strip, TABLES.split(";")):  # `executescript` would commit the transaction
            db.execute(statement)
        db.execute(f"PRAGMA user_version={VERSION}")
        text = json.dumps(to_json(fingerprint), sort_keys=True)
        db.execute("INSERT INTO store VALUES (?, ?)", (text, checksum(1, text.encode())))
        fill(db)
        db.execute("COMMIT")
        if db.execute("PRAGMA journal_mode=WAL").fetchone() != (b"wal",):
            raise sqlite3.OperationalError("this file system cannot hold a write-ahead journal; choose a local disk")


@contextlib.contextmanager
def _removed_on_failure(path: Path, draft: Path) -> Iterator[None]:
    _remove(draft)
    try:
        yield
    except BaseException as error:
        _remove(draft)
        if isinstance(error, (sqlite3.Error, OSError)) and not isinstance(error, StoreError):
            raise failure(error, path, "making it") from error
        raise


def _remove(draft: Path) -> None:
    for suffix in ("", "-journal", "-wal", "-shm"):
        Path(f"{draft}{suffix}").unlink(missing_ok=True)


def _check_no_journal(path: Path) -> None:
    """SQLite would play a left journal into the new file."""
    for suffix in ("-journal", "-wal"):
        journal = Path(f"{path}{suffix}")
        if journal.exists() and journal.stat().st_size:
            message = f"{journal} is left from a store that is gone. Put {path.name} back beside it, or give the new store another name."
            raise StoreError(message, code="journal-left", path=str(path), journal=str(journal))
