"""The tables, how they came to be, and how a file is made and recognised."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from edgetl.errors import FingerprintMismatch, StoreCorrupt, StoreError
from edgetl.store.checksum import RESTORE, checksum, matches
from edgetl.store.connection import Connection, failure
from edgetl.store.encoding import ENCODINGS, EncodingName
from edgetl.types import Fingerprint, to_json

APPLICATION_ID = int.from_bytes(b"EdTL", "big")

# Append only: a script that was released never changes, because files that it made are out there.
MIGRATIONS: list[str] = [
    """
    CREATE TABLE store (fingerprint TEXT NOT NULL, encoding TEXT NOT NULL, crc INTEGER NOT NULL);
    CREATE TABLE sample (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        photo BLOB NOT NULL UNIQUE,
        label TEXT NOT NULL,
        source TEXT NOT NULL,
        crc INTEGER NOT NULL,
        embedding BLOB NOT NULL
    );
    CREATE INDEX sample_label ON sample (label);
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
    """,
    """
    ALTER TABLE sample ADD COLUMN capture BLOB;
    CREATE TABLE thumbnail (id INTEGER PRIMARY KEY REFERENCES sample (id) ON DELETE CASCADE, jpeg BLOB NOT NULL);
    CREATE TABLE event (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        clock REAL NOT NULL,
        who TEXT NOT NULL,
        what TEXT NOT NULL,
        why TEXT NOT NULL,
        head INTEGER REFERENCES head (id),
        crc INTEGER NOT NULL
    );
    """,
    "CREATE TABLE background (id INTEGER PRIMARY KEY, digest TEXT NOT NULL, crc INTEGER NOT NULL, rows BLOB NOT NULL)",
    "CREATE TABLE derived (name TEXT PRIMARY KEY, last INTEGER NOT NULL, content BLOB NOT NULL, crc INTEGER NOT NULL)",
]
READABLE = {4}
"""Migrations without which a file can be read: what they add is nothing that reading needs."""


def create(
    path: Path, fingerprint: Fingerprint, encoding: EncodingName, fill: Callable[[sqlite3.Connection], object] = lambda db: None
) -> None:
    """Makes a store; it appears under its name complete, or not at all.

    Args:
        path: the file.
        fingerprint: the model whose embeddings it is to hold.
        encoding: how it is to keep them.
        fill: writes what it holds from the beginning, in the transaction that it is given.

    Raises:
        StoreError: an unknown encoding, a journal of a store that is gone, or a disk that does not take it.
    """
    if encoding not in ENCODINGS:
        raise StoreError(f"{path}: encoding {encoding!r} is not known; choose one of {', '.join(ENCODINGS)}")
    _refuse_orphan_journal(path)
    draft = path.with_name(path.name + ".new")
    with _removed_on_failure(path, draft):
        _write(draft, fingerprint, encoding, fill)
        draft.replace(path)
        _sync_folder(path.parent)


def locate(path: str | os.PathLike[str]) -> Path:
    """The absolute path.

    Raises:
        StoreError: there is no such folder.
    """
    path = Path(path).resolve()
    if not path.parent.is_dir():
        raise StoreError(f"{path}: the folder {path.parent} does not exist; make it with 'mkdir -p {path.parent}'")
    return path


def holds_something(path: Path) -> bool:
    """Whether there is a file that is not empty."""
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False


def recognise(path: Path) -> None:
    """Refuses a file that is not a store, before SQLite can touch it.

    Raises:
        StoreCorrupt: not an SQLite file, or one cut off in its header.
        StoreError: an SQLite file of another program, or a file that cannot be read.
    """
    try:
        with path.open("rb") as file:
            header = file.read(100)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
    if header[:16] != b"SQLite format 3\0":
        raise StoreCorrupt(f"{path} is not an edgetl store: it does not begin like an SQLite file; give another name")
    if len(header) < 100:
        raise StoreCorrupt(f"{path} is cut off after {len(header)} bytes; {RESTORE}")
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise StoreError(f"{path} is an SQLite file of another program, not an edgetl store; give another name")


def migrate(connection: Connection) -> None:
    """Brings the tables up to this edgetl.

    Raises:
        StoreError: a newer edgetl made the file, or an older one did and it is open read-only.
    """
    with connection.reading() as db:
        (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        known = f"this edgetl knows {len(MIGRATIONS)}"
        raise StoreError(f"{connection.path} has schema {version} and {known}: a newer edgetl made it; run 'pip install -U edgetl'")
    missing = set(range(version + 1, len(MIGRATIONS) + 1))
    if missing <= READABLE and connection.read_only:
        return
    if missing and connection.read_only:
        raise StoreError(
            f"{connection.path} has the older schema {version}; open it once for writing, which brings it up to date: "
            f"'edgetl train -s {connection.path}' does"
        )
    for number, script in enumerate(MIGRATIONS[version:], version + 1):
        with connection.transaction(f"bringing its tables to schema {number}") as db:
            _run(db, number, script)


def identity(connection: Connection) -> tuple[Fingerprint, EncodingName]:
    """What the store was made for.

    Raises:
        StoreCorrupt: the row that says so fails its check.
    """
    with connection.reading() as db:
        row = db.execute("SELECT fingerprint, encoding, crc FROM store").fetchone()
    if row is None or not matches(row[2], 1, row[0], row[1]):
        raise StoreCorrupt(f"{connection.path}: the row that names the store's model fails its check; {RESTORE}")
    encoding = next(name for name in ENCODINGS if name.encode() == row[1])
    return Fingerprint.from_json(json.loads(row[0])), encoding


def check_fingerprint(path: Path, stored: Fingerprint, given: Fingerprint | None) -> None:
    """Refuses a store of another model.

    Raises:
        FingerprintMismatch: listing what differs.
    """
    if given is not None and given != stored:
        differences = "\n  ".join(stored.differences(given))
        raise FingerprintMismatch(
            f"{path} holds embeddings that another model computed (store != now):\n  {differences}\n"
            "Open it with the bundle and runtime that it was made with, or give another name to begin a new store."
        )


def _write(draft: Path, fingerprint: Fingerprint, encoding: EncodingName, fill: Callable[[sqlite3.Connection], object]) -> None:
    db = sqlite3.connect(draft, isolation_level=None)
    db.text_factory = bytes
    with contextlib.closing(db):
        db.execute(f"PRAGMA application_id={APPLICATION_ID}")
        db.execute("BEGIN")
        for number, script in enumerate(MIGRATIONS, 1):
            _run(db, number, script)
        text = json.dumps(to_json(fingerprint), sort_keys=True)
        db.execute("INSERT INTO store VALUES (?, ?, ?)", (text, encoding, checksum(1, text.encode(), encoding.encode())))
        fill(db)
        db.execute("COMMIT")
        if db.execute("PRAGMA journal_mode=WAL").fetchone() != (b"wal",):
            raise sqlite3.OperationalError("this file system cannot hold a write-ahead journal; choose a local disk")


def _run(db: sqlite3.Connection, number: int, script: str) -> None:
    for statement in filter(str.strip, script.split(";")):  # `executescript` would commit what is under way
        db.execute(statement)
    db.execute(f"PRAGMA user_version={number}")


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


def _refuse_orphan_journal(path: Path) -> None:
    """SQLite would play a left journal into the new file."""
    for suffix in ("-journal", "-wal"):
        journal = Path(f"{path}{suffix}")
        if journal.exists() and journal.stat().st_size:
            raise StoreError(f"{journal} is left from a store that is gone; put {path.name} back beside it, or remove it to begin anew")


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
