"""Several stores made one, all of it or nothing."""

from __future__ import annotations

import bisect
import contextlib
import dataclasses
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from edgetl.errors import FingerprintMismatch, StoreError
from edgetl.store import captures, events, samples, schema
from edgetl.store.class_names import reconcile
from edgetl.store.connection import Connection
from edgetl.store.encoding import EncodingName, decode, encode, row_size
from edgetl.store.lock import WriterLock
from edgetl.types import Fingerprint, check_label

CHUNK = 256
"""Rows in memory at a time, with their thumbnails."""


@dataclasses.dataclass(frozen=True)
class Copy:
    """One store's copy of a photo.

    Attributes:
        store: the store's file.
        source: where the photo came from.
        label: its class there, by the name it has in the merged store.
    """

    store: str
    source: str
    label: str


@dataclasses.dataclass(frozen=True)
class Conflict:
    """One photo under two classes.

    Attributes:
        kept: the copy of the store that was given first.
        dropped: the other.
    """

    kept: Copy
    dropped: Copy


@dataclasses.dataclass(frozen=True)
class MergedStore:
    """What one store gave.

    Attributes:
        store: its file.
        photos: in it.
        added: of them, how many are in the merged store because of it; the others were there already.
        counts: its photos per class, by its own names.
    """

    store: str
    photos: int
    added: int
    counts: Mapping[str, int]


@dataclasses.dataclass(frozen=True)
class MergeReport:
    """What a merge gave.

    Attributes:
        target: the file that was made.
        stores: what each store gave, in the order in which they were given.
        duplicates: photos that were left out because a store before held the same bytes, the conflicts among them.
        conflicts: those that it held under another class.
        renamed: the classes that have another name now, old to new.
        counts: photos per class in the merged store.
    """

    target: str
    stores: tuple[MergedStore, ...]
    duplicates: int
    conflicts: tuple[Conflict, ...]
    renamed: Mapping[str, str]
    counts: Mapping[str, int]


def merge(
    sources: Sequence[str | os.PathLike[str]], target: str | os.PathLike[str], *, rename: Mapping[str, str] | None = None
) -> MergeReport:
    """Makes a store of the photos of several, each read as it is at this moment, also while it is being written to.

    The order matters in three places only: a photo that several stores hold is taken from the first of them, with its class; samples
    are numbered store by store; and of two spellings with as many photos the first store's is taken (see `names`). Heads are
    not merged: train again. Embeddings keep their bytes; where the stores' encodings differ, the merged one has float16, which
    loses 2^-11 of each int8 value at most.

    Args:
        sources: the stores' files; of one fingerprint.
        target: the file to make; it is absent or empty.
        rename: old class name to new one; it wins over everything.

    Raises:
        FingerprintMismatch: the stores are of different models, file by file.
        StoreError: the target is there already, a source cannot be read, or `rename` names a class that no store has.
        StoreCorrupt: a row of a source fails its check.
        LabelError: a new name is not allowed.
    """
    path = schema.locate(target)
    rename = {old: check_label(new) for old, new in (rename or {}).items()}
    with contextlib.ExitStack() as stack:
        stores = [_Source.open(Path(source).resolve(), stack) for source in sources]
        _refuse_unequal(path, stores)
        _refuse_unknown(stores, rename)
        stack.callback(_lock(path).release)
        merging = _Merging(stores, reconcile([store.counts for store in stores], rename))
        schema.create(path, stores[0].fingerprint, merging.encoding, merging.fill)
        return merging.report(path)


@dataclasses.dataclass(frozen=True)
class _Source:
    """A store to read, at one moment: all of its reads see the same state."""

    connection: Connection
    fingerprint: Fingerprint
    encoding: EncodingName
    counts: Mapping[str, int]

    @classmethod
    def open(cls, path: Path, stack: contextlib.ExitStack) -> _Source:
        schema.recognise(path)
        connection = stack.enter_context(contextlib.closing(Connection(path, read_only=True)))
        schema.migrate(connection)
        db = stack.enter_context(connection.reading())
        return cls(connection, *schema.identity(connection), samples.counts(db))

    @property
    def name(self) -> str:
        return str(self.connection.path)

    def rows(self) -> Iterator[tuple[samples.Row, bytes]]:
        """Each row with its thumbnail; as a generator, so that an error of the target's is not taken for one of this store's."""
        with self.connection.reading() as db:
            for chunk in samples.chunks(db, self.connection.path, 0, CHUNK):
                for row in map(samples.Row._make, chunk):
                    yield row, captures.thumbnail(db, self.connection.path, row.id, row.capture)


class _Merging:
    """The copying, and what it finds."""

    def __init__(self, stores: Sequence[_Source], names: Mapping[str, str]) -> None:
        self._stores, self._names = stores, names
        self.encoding: EncodingName = "float16" if any(store.encoding == "float16" for store in stores) else "int8"
        self._ends: list[int] = []  # the last id that each store gave
        self._conflicts: list[Conflict] = []
        self._counts: dict[str, int] = {}

    def fill(self, db: sqlite3.Connection) -> None:
        """Copies every store into the new one."""
        end = 0
        for store in self._stores:
            for row, thumbnail in store.rows():
                copy = Copy(store.name, row.source.decode(), self._names[row.label.decode()])
                kept = db.execute("SELECT id, source, label FROM sample WHERE photo = ?", (row.photo,)).fetchone()
                if kept is None:
                    end += 1
                    embedding = self._encoded(store, row)
                    samples.write(db, row._replace(id=end, label=copy.label.encode(), embedding=embedding), thumbnail)
                elif kept[2].decode() != copy.label:
                    self._conflicts.append(Conflict(self._copy(*kept), copy))
            self._ends.append(end)
        self._counts = samples.counts(db)
        given = [f"{one.added} of the {one.photos} photos of {Path(one.store).name}" for one in self._given()]
        events.insert(db, "merge", "; ".join(given), None)

        self._copy_background(db)

    def _copy_background(self, db: sqlite3.Connection) -> None:
        """The background of the first store that has one: it belongs to the model, which all of them share."""
        for store in self._stores:
            with store.connection.reading() as source:
                row = source.execute("SELECT id, digest, crc, rows FROM background").fetchone()
            if row is not None:
                db.execute("INSERT INTO background VALUES (?, ?, ?, ?)", (row[0], row[1].decode(), *row[2:]))
                return

    def report(self, path: Path) -> MergeReport:
        """What was done."""
        given = tuple(self._given())
        left_out = sum(one.photos - one.added for one in given)
        renamed = {old: new for old, new in self._names.items() if old != new}
        return MergeReport(str(path), given, left_out, tuple(self._conflicts), renamed, self._counts)

    def _given(self) -> Iterator[MergedStore]:
        for store, start, end in zip(self._stores, [0, *self._ends], self._ends):
            yield MergedStore(store.name, sum(store.counts.values()), end - start, store.counts)

    def _copy(self, sample: int, source: bytes, label: bytes) -> Copy:
        """The copy that was kept; the store it came from is known by its number."""
        return Copy(self._stores[bisect.bisect_left([*self._ends, sample], sample)].name, source.decode(), label.decode())

    def _encoded(self, store: _Source, row: samples.Row) -> bytes:
        if store.encoding == self.encoding:
            return row.embedding
        dim = store.fingerprint.dim
        embeddings = np.empty((len(row.embedding) // row_size(dim, store.encoding), dim), np.float32)
        decode([row.embedding], store.encoding, embeddings)
        return b"".join(encode(embeddings, self.encoding))


def _lock(path: Path) -> WriterLock:
    """The lock of the store to be made.

    Raises:
        StoreError: it is there already.
        StoreLocked: somebody is making it.
    """
    if not schema.holds_something(path):
        lock = WriterLock(path)
        if not schema.holds_something(path):
            return lock
        lock.release()
    raise StoreError(f"{path} is there already; give the merged store another name, or move this one away")


def _refuse_unequal(path: Path, stores: Sequence[_Source]) -> None:
    if not stores:
        raise StoreError(f"{path}: there is nothing to merge; name at least one store")
    first = stores[0]
    lines = [f"{s.name}: {line}" for s in stores for line in first.fingerprint.differences(s.fingerprint)]
    if lines:
        raise FingerprintMismatch(
            f"{path} is not made: embeddings of different models cannot be compared. What differs ({first.name} != the file named):\n  "
            + "\n  ".join(lines)
            + "\nMerge stores that were made with one bundle and runtime; add the photos of the others again."
        )


def _refuse_unknown(stores: Sequence[_Source], rename: Mapping[str, str]) -> None:
    known = {label for store in stores for label in store.counts}
    for old in rename:
        if old not in known:
            raise StoreError(f"no store has a class {old!r} to rename; they have {', '.join(sorted(known)) or 'none'}")
