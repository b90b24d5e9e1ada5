"""Merges several stores into one, all of it or nothing."""

from __future__ import annotations

import bisect
import contextlib
import dataclasses
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from edgetl.errors import FingerprintMismatch, StoreError
from edgetl.store import background, captures, events, samples, schema
from edgetl.store.class_names import reconcile
from edgetl.store.connection import Connection
from edgetl.store.lock import WriterLock
from edgetl.types import Fingerprint, check_label

CHUNK = 256
"""Rows in memory at a time, with their thumbnails."""


@dataclasses.dataclass(frozen=True)
class PhotoCopy:
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
        kept: the copy of the store that comes first.
        dropped: the other.
    """

    kept: PhotoCopy
    dropped: PhotoCopy


@dataclasses.dataclass(frozen=True)
class MergedStore:
    """What one store contributed.

    Attributes:
        store: its file.
        photos: how many it holds.
        added: how many of them it contributed; the others were in a store before it.
        counts: its photos per class, by its own names.
    """

    store: str
    photos: int
    added: int
    counts: Mapping[str, int]


@dataclasses.dataclass(frozen=True)
class MergeReport:
    """The result of a merge.

    Attributes:
        target: the file that was made.
        stores: what each store contributed, in the order of the call.
        duplicates: photos left out because a store before held the same bytes, conflicts included.
        conflicts: those of them that the two stores hold under different classes.
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
    """Makes a store of the photos of several, each read as it is at this moment, even if it is being written to.

    The order matters in three places only: a photo that several stores hold is taken from the first of them, with its class; samples
    are numbered store by store; and of two spellings with the same number of photos the first store's is taken (see `class_names`).
    Embeddings keep their bytes. Heads are not merged: train again.

    Args:
        sources: the stores' files; of one fingerprint.
        target: the file to make; it must be missing or empty.
        rename: old class name to new one; it wins over everything.

    Raises:
        FingerprintMismatch: the stores are of different models, file by file.
        StoreError: no source (`nothing-to-merge`), the target already exists (`target-exists`), a source cannot be read, or `rename` names
            a class that no store has (`class-missing`).
        StoreCorrupt: a row of a source fails its check.
        LabelError: a new name is not allowed.
    """
    path = schema.locate(target)
    rename = {old: check_label(new) for old, new in (rename or {}).items()}
    with contextlib.ExitStack() as stack:
        stores = [_Source.open(Path(source).resolve(), stack) for source in sources]
        _check_models(path, stores)
        _check_names(path, stores, rename)
        stack.callback(_lock(path).release)
        merging = _Merging(stores, reconcile([store.counts for store in stores], rename))
        schema.create(path, stores[0].fingerprint, merging.fill)
        return merging.report(path)


@dataclasses.dataclass(frozen=True)
class _Source:
    """A store to read, at one moment: all of its reads see the same state."""

    connection: Connection
    fingerprint: Fingerprint
    counts: Mapping[str, int]

    @classmethod
    def open(cls, path: Path, stack: contextlib.ExitStack) -> _Source:
        schema.recognise(path)
        connection = stack.enter_context(contextlib.closing(Connection(path, read_only=True)))
        schema.check_version(connection)
        db = stack.enter_context(connection.reading())
        samples.check_index(db, path)
        return cls(connection, schema.read_fingerprint(connection), samples.counts(db))

    @property
    def name(self) -> str:
        return str(self.connection.path)

    def rows(self) -> Iterator[tuple[samples.SampleRow, bytes]]:
        """Each row with its preview; as a generator, so that an error of the target is not taken for one of this store."""
        with self.connection.reading() as db:
            for chunk in samples.chunks(db, self.connection.path, 0, CHUNK):
                for row in map(samples.SampleRow._make, chunk):
                    yield row, captures.preview(db, self.connection.path, row.id, row.measured)


class _Merging:
    """Copies the stores, and counts what it left out."""

    def __init__(self, stores: Sequence[_Source], names: Mapping[str, str]) -> None:
        self._stores, self._names = stores, names
        self._ends: list[int] = []  # the last id that each store contributed
        self._conflicts: list[Conflict] = []
        self._counts: dict[str, int] = {}

    def fill(self, db: sqlite3.Connection) -> None:
        """Copies every store into the new one."""
        end = 0
        for store in self._stores:
            for row, preview in store.rows():
                copy = PhotoCopy(store.name, row.source.decode(), self._names[row.label.decode()])
                kept = db.execute("SELECT id, source, label FROM sample WHERE digest = ?", (row.digest,)).fetchone()
                if kept is None:
                    end += 1
                    samples.write(db, row._replace(id=end, label=copy.label.encode()), preview)
                elif kept[2].decode() != copy.label:
                    self._conflicts.append(Conflict(self._copy(*kept), copy))
            self._ends.append(end)
        self._counts = samples.counts(db)
        shares = [f"{share.added} of the {share.photos} photos of {Path(share.store).name}" for share in self._shares()]
        events.insert(db, "merge", "; ".join(shares), None)
        self._copy_background(db)

    def _copy_background(self, db: sqlite3.Connection) -> None:
        """The background of the first store that has one: it belongs to the model, which all of them share."""
        for store in self._stores:
            with store.connection.reading() as source:
                if background.copy(source, db):
                    return

    def report(self, path: Path) -> MergeReport:
        """What was done."""
        shares = tuple(self._shares())
        left_out = sum(share.photos - share.added for share in shares)
        renamed = {old: new for old, new in self._names.items() if old != new}
        return MergeReport(str(path), shares, left_out, tuple(self._conflicts), renamed, self._counts)

    def _shares(self) -> Iterator[MergedStore]:
        for store, start, end in zip(self._stores, [0, *self._ends], self._ends):
            yield MergedStore(store.name, sum(store.counts.values()), end - start, store.counts)

    def _copy(self, sample: int, source: bytes, label: bytes) -> PhotoCopy:
        """The copy that was kept; the store it came from is known by its number."""
        return PhotoCopy(self._stores[bisect.bisect_left([*self._ends, sample], sample)].name, source.decode(), label.decode())


def _lock(path: Path) -> WriterLock:
    """The lock of the store to be made.

    Raises:
        StoreError: it exists already (`target-exists`).
        StoreLocked: somebody is making it.
    """
    if not schema.has_content(path):
        lock = WriterLock(path)
        if not schema.has_content(path):
            return lock
        lock.release()
    message = f"{path} already exists. Choose another name for the merged store, or move this one away."
    raise StoreError(message, code="target-exists", path=str(path))


def _check_models(path: Path, stores: Sequence[_Source]) -> None:
    if not stores:
        raise StoreError(f"{path}: nothing to merge. Name at least one store.", code="nothing-to-merge", path=str(path))
    first = stores[0]
    lines = [f"{s.name}: {line}" for s in stores for line in first.fingerprint.differences(s.fingerprint)]
    if lines:
        names = [s.name for s in stores if s.fingerprint != first.fingerprint]
        raise FingerprintMismatch(
            f"{path} was not made: {', '.join(names)} has embeddings of another model than {first.name}. "
            "Merge stores that were made with one bundle and runtime; add the photos of the others again.",
            path=str(path),
            differences=lines,
        )


def _check_names(path: Path, stores: Sequence[_Source], rename: Mapping[str, str]) -> None:
    known = sorted({label for store in stores for label in store.counts})
    for old in rename:
        if old not in known:
            message = f"{path}: no store has a class {old!r} to rename. Known classes: {', '.join(known) or 'none'}."
            raise StoreError(message, code="class-missing", path=str(path), label=old, labels=known)
