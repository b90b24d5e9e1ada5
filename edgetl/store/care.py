"""Checks a store as a whole, rebuilds its indexes, saves what can be read of a damaged one, and copies one that is in use."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from edgetl import durable
from edgetl.errors import StoreCorrupt, StoreError
from edgetl.store import background, captures, events, heads, samples, schema
from edgetl.store.checksum import matches
from edgetl.store.connection import Connection, failure
from edgetl.store.lock import WriterLock


@dataclasses.dataclass(frozen=True)
class Health:
    """What a check of a whole store found.

    Attributes:
        path: the store's file.
        samples: photos whose rows are whole, count.
        heads: heads that are whole, count.
        damaged: what is not: `sample 4`, `index`, `pages`; empty for a sound store.
    """

    path: str
    samples: int
    heads: int
    damaged: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Salvaged:
    """What was saved of a damaged store.

    Attributes:
        target: the new store.
        samples: photos that were saved, count.
        heads: heads that were saved, count.
        lost: numbers of the photos whose rows were damaged or missing.
        active: the head that is active in the new store; None if none could be saved.
    """

    target: str
    samples: int
    heads: int
    lost: tuple[int, ...]
    active: int | None


def verify(path: str | os.PathLike[str]) -> Health:
    """Reads every page, every row and every index of a store. Changes nothing.

    Raises:
        StoreError: it is missing, or not a store.
    """
    with _reading(schema.locate(path)) as (connection, db):
        return _examine(connection.path, db)


def repair(path: str | os.PathLike[str]) -> Health:
    """Builds the indexes of a store again from its rows, and checks it; rows that are damaged stay as they are.

    Raises:
        StoreLocked: it is open for writing.
        StoreError: it is missing, or not a store, or the disk cannot take the change.
        StoreCorrupt: the rows cannot be read through (`store-corrupt`): salvage them.
    """
    located = schema.locate(path)
    schema.recognise(located)
    with contextlib.ExitStack() as stack:
        stack.callback(WriterLock(located).release)
        connection = stack.enter_context(contextlib.closing(Connection(located, read_only=False)))
        with connection.transaction("rebuilding its indexes") as db:
            db.execute("REINDEX")
        with connection.reading() as db:
            return _examine(located, db)


def salvage(path: str | os.PathLike[str], target: str | os.PathLike[str]) -> Salvaged:
    """Writes every row of a damaged store whose checksum holds to a new one; the damaged file is only read.

    Photos keep their numbers, heads are numbered again from 1. The log begins again, with an entry that names what was lost.

    Raises:
        StoreError: the target already exists (`target-exists`), or cannot be written.
        StoreCorrupt: not a store, or the model that it was made for cannot be read.
    """
    source, new = schema.locate(path), schema.locate(target)
    if schema.has_content(new):
        raise StoreError(f"{new} already exists. Choose another name.", code="target-exists", path=str(new))
    with contextlib.ExitStack() as stack:
        connection, db = stack.enter_context(_reading(source))
        saving, model = _Saving(source, db), schema.read_fingerprint(connection)
        stack.callback(WriterLock(new).release)
        schema.create(new, model, saving.fill)
    return saving.report(new)


def back_up(path: str | os.PathLike[str], target: str | os.PathLike[str]) -> Health:
    """Copies a store page by page (SQLite's backup), also while it is written to, and checks the copy.

    Raises:
        StoreError: the target already exists (`target-exists`), or cannot be written.
        StoreCorrupt: the copy, and so the store, is damaged; the copy is kept.
    """
    new = schema.locate(target)
    if schema.has_content(new):
        raise StoreError(f"{new} already exists. Choose another name.", code="target-exists", path=str(new))
    draft = new.with_name(new.name + ".new")
    draft.unlink(missing_ok=True)
    with _reading(schema.locate(path)) as (_, db):
        try:
            with contextlib.closing(sqlite3.connect(draft)) as copy:
                db.backup(copy)
            draft.chmod(schema.MODE)
            durable.sync(draft)
            draft.replace(new)
            durable.sync(new.parent)
        except (sqlite3.Error, OSError) as error:
            draft.unlink(missing_ok=True)
            raise failure(error, new, "copying into it") from error
    health = verify(new)
    if health.damaged:
        first, count = health.damaged[0], len(health.damaged)
        message = f"{path} is damaged ({first}{f' and {count - 1} more' if count > 1 else ''}); {new} is a copy of it as it is"
        raise StoreCorrupt(message, path=str(path), target=str(new), damaged=list(health.damaged))
    return health


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[tuple[Connection, sqlite3.Connection]]:
    schema.recognise(path)
    with contextlib.closing(Connection(path, read_only=True)) as connection:
        schema.check_version(connection)
        with connection.reading() as db:
            yield connection, db


def _examine(path: Path, db: sqlite3.Connection) -> Health:
    damaged = [
        name
        for name, check in (
            ("pages", lambda: db.execute("PRAGMA integrity_check(1)").fetchall() == [(b"ok",)]),
            ("index", lambda: samples.check_index(db, path)),
            ("head history", lambda: heads.history(db, path)),
            ("log", lambda: events.read(db, path, None)),
            ("background", lambda: background.is_sound(db)),
        )
        if not _holds(check)
    ]
    whole = 0
    for number in _numbers(db, "sample"):
        row = _row(db, number)
        if row is None:
            damaged.append(f"sample {number}")
            continue
        whole += 1
        if not _holds(functools.partial(captures.preview, db, path, number, row.measured)):
            damaged.append(f"preview {number}")
    numbers = _numbers(db, "head")
    broken = [f"head {number}" for number in numbers if not _holds(functools.partial(heads.weights, db, path, number))]
    return Health(str(path), whole, len(numbers) - len(broken), (*damaged, *broken))


def _holds(check: Callable[[], object]) -> bool:
    """Whether a check raises nothing, and is not False."""
    try:
        return check() is not False
    except (StoreCorrupt, sqlite3.Error, ValueError, TypeError, OverflowError):  # SQLite finds damage, or a checksum does
        return False


def _numbers(db: sqlite3.Connection, table: str) -> list[int]:
    """The number of every row of a table; if damaged pages lie between them, every number that was ever given."""
    with contextlib.suppress(sqlite3.Error):
        return [number for (number,) in db.execute(f"SELECT id FROM {table} NOT INDEXED ORDER BY id")]
    with contextlib.suppress(sqlite3.Error, TypeError):
        (highest,) = db.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
        return list(range(1, highest + 1))
    return []


def _row(db: sqlite3.Connection, number: int) -> samples.SampleRow | None:
    """A sample's row, found by its number; None if it is damaged, or was forgotten long ago."""
    try:
        row = db.execute(f"SELECT {samples.COLUMNS} FROM sample WHERE id = ?", (number,)).fetchone()
    except sqlite3.Error:
        return None
    return None if row is None or not matches(row[1], row[0], *row[2:]) else samples.SampleRow(*row)


class _Saving:
    """Copies what is whole."""

    def __init__(self, path: Path, source: sqlite3.Connection) -> None:
        self._path, self._source = path, source
        self._samples, self._heads = 0, 0
        self._lost: list[int] = []
        self._active: int | None = None

    def fill(self, db: sqlite3.Connection) -> None:
        """Writes the rows into the new store."""
        for number in _numbers(self._source, "sample"):
            row = _row(self._source, number)
            if row is None:
                self._lost.append(number)
                continue
            preview = b""
            with contextlib.suppress(StoreCorrupt, sqlite3.Error):
                preview = captures.preview(self._source, self._path, number, row.measured)
            if not preview:
                row = row._replace(measured=captures.without_preview(row.measured))
            try:
                samples.write(db, row, preview)
            except sqlite3.IntegrityError:  # the same photo twice: a damaged index had let it in
                self._lost.append(number)
                continue
            self._samples += 1
        self._save_heads(db)
        with contextlib.suppress(StoreCorrupt, sqlite3.Error, ValueError):
            background.copy(self._source, db)
        lost = f", {len(self._lost)} lost" if self._lost else ""
        events.insert(db, "salvage", f"{self._samples} photos and {self._heads} heads of {self._path.name}{lost}", self._active)

    def _save_heads(self, db: sqlite3.Connection) -> None:
        """Heads keep their order; a gap would be taken for damage, so they are numbered again from 1."""
        active = None
        with contextlib.suppress(StoreCorrupt, sqlite3.Error, TypeError):
            active = heads.active_id(self._source, self._path)
        for number in _numbers(self._source, "head"):
            try:
                weights = heads.weights(self._source, self._path, number)
                info, report = heads.info(self._source, self._path, number), heads.report(self._source, self._path, number)
            except (StoreCorrupt, StoreError, sqlite3.Error, ValueError, TypeError):
                continue
            saved = heads.insert(db, info.kind, info.labels, info.samples, info.accuracy, weights, report, created=info.created)
            self._heads += 1
            if number == active or active is None:
                self._active = saved
        if self._active is not None:
            heads.activate(db, self._path, self._active)

    def report(self, target: Path) -> Salvaged:
        """What was saved."""
        return Salvaged(str(target), self._samples, self._heads, tuple(self._lost), self._active)
