"""The store: samples, heads, and which head is active, in one file."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt

from edgetl.errors import StoreError
from edgetl.stats import Proportion
from edgetl.store import background, batches, captures, derived, erasure, events, heads, samples, schema
from edgetl.store.batches import Batch
from edgetl.store.connection import Connection
from edgetl.store.encoding import EncodingName
from edgetl.store.erasure import Removed
from edgetl.store.events import Event
from edgetl.store.lock import WriterLock
from edgetl.store.samples import NewSample, Sample, Samples
from edgetl.types import Capture, Embeddings, Fingerprint, HeadInfo

NAMED = 5
"""Classes that an event names before it only counts them."""


class Store:
    """Embeddings and heads of one fingerprint; made by :meth:`open`, shared by threads, closed by `with` or :meth:`close`.

    Every method that changes something returns when the change is on the disk. After an I/O error or on a full disk it raises
    `StoreError`, nothing of that change is kept, and the store is read-only until it is opened again. A row that fails its checksum
    raises `StoreCorrupt`, naming file, row and class.

    Attributes:
        path: the file, absolute.
        fingerprint: the model whose embeddings it holds.
        encoding: how embeddings are kept, `int8` or `float16`.
        read_only: whether it was opened for reading.
    """

    def __init__(self, connection: Connection, lock: WriterLock | None) -> None:
        self._connection, self._lock = connection, lock
        self.path, self.read_only = connection.path, connection.read_only
        schema.migrate(connection)
        self.fingerprint, self.encoding = schema.identity(connection)

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], fingerprint: Fingerprint | None, *, encoding: EncodingName = "int8", read_only: bool = False
    ) -> Store:
        """Opens a store, and makes it where there is none (or an empty file).

        Args:
            path: the file; `NAME.lock`, `NAME-wal` and `NAME-shm` lie beside it while it is open.
            fingerprint: the model in use; None opens an existing store as it is.
            encoding: for a new store; an existing one keeps its own. See :mod:`edgetl.store.encoding` for the loss.
            read_only: read beside a writer, or from a read-only disk.

        Raises:
            StoreError: no store and no fingerprint, no folder, not readable, another program's file, or a newer edgetl's.
            StoreLocked: it is open for writing already.
            StoreCorrupt: not a store, or a damaged one.
            FingerprintMismatch: it holds another model's embeddings.
        """
        path = schema.locate(path)
        make = None if read_only else fingerprint
        # Before the lock, whose file would lie beside a path that was mistyped.
        if schema.holds_something(path):
            schema.recognise(path)
        elif make is None:
            raise StoreError(f"{path} is not there, or empty; 'edgetl add' makes it")
        with contextlib.ExitStack() as undo:
            lock = None if read_only else WriterLock(path)
            if lock is not None:
                undo.callback(lock.release)
            if make is not None and not schema.holds_something(path):
                schema.create(path, make, encoding)
            connection = Connection(path, read_only)
            undo.callback(connection.close)
            store = cls(connection, lock)
            schema.check_fingerprint(path, store.fingerprint, fingerprint)
            undo.pop_all()
        return store

    def close(self) -> None:
        """Lets go of the file; a second call does nothing."""
        self._connection.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @contextlib.contextmanager
    def transaction(self, doing: str) -> Iterator[None]:
        """Makes several changes one: all of them are on the disk when it ends, or none is.

        Args:
            doing: what it is, for messages: "forgetting 'mug'".
        """
        with self._connection.transaction(doing):
            yield

    def add(self, new: Iterable[NewSample]) -> list[int]:
        """Adds samples in one transaction, with an event in the log, and returns their ids, in order.

        Raises:
            StoreError: NaN or infinity, a wrong shape, a photo that is in the store already; then none of them was added.
        """
        batch = list(new)
        if not batch:
            return []
        rows = samples.pack(self.path, batch, self.fingerprint.dim, self.encoding)
        with self._connection.transaction(f"adding {len(batch)} photos") as db:
            ids = samples.insert(db, self.path, batch, rows)
            events.insert(db, "add", _told(batch), None)
            return ids

    def find(self, photo: bytes) -> Sample | None:
        """The sample of the photo with this sha256 (32 bytes), or None."""
        with self._connection.reading() as db:
            return samples.find(db, self.path, photo)

    def sample(self, sample: int) -> Sample:
        """The sample with this number.

        Raises:
            StoreError: there is no such sample.
        """
        with self._connection.reading() as db:
            return samples.get(db, self.path, int(sample))

    def thumbnail(self, sample: int) -> bytes:
        """A sample's thumbnail, empty where none is kept.

        Raises:
            StoreError: there is no such sample.
        """
        with self._connection.reading() as db:
            return samples.thumbnail(db, self.path, int(sample))

    def relabel(self, sample: int, label: str) -> None:
        """Gives a sample another class; its number stays.

        Raises:
            StoreError: there is no such sample.
        """
        with self._connection.transaction(f"relabelling sample {sample}") as db:
            samples.relabel(db, self.path, int(sample), label)

    def remove(self, *, label: str | None = None, photo: bytes | None = None) -> Removed:
        """Removes a class, a photo, or a photo if it is of a class; returns what it removed, a mapping of id to label.

        The removed bytes are overwritten in the file and dropped from the journal, there as soon as no reader is in the midst of it.
        :meth:`purge`, after the transaction, makes sure of it.

        Raises:
            StoreError: neither was given.
        """
        if label is None and photo is None:
            raise StoreError(f"{self.path}: say what to remove: a label, a photo, or both")
        with self._connection.transaction("removing photos") as db:
            removed = samples.remove(db, label, photo)
            self._connection.erase()
        return removed

    def traces(self, removed: Removed) -> int:
        """How many pieces of what was removed are still in the store's file or journal, and in no row that remains.

        Raises:
            StoreError: a transaction is under way, so that nothing is in the file yet.
        """
        self._connection.refuse_within("looking for traces")
        self._connection.finish_erasing()
        with self._connection.reading() as db:
            return erasure.count(db, self.path, removed)

    def purge(self, removed: Removed) -> int:
        """Makes sure that nothing of what was removed is left, by a vacuum where it takes one; returns the traces that are left.

        0 is the proof that it is gone; there are others only while a reader is in the midst of the file.

        Raises:
            StoreError: a transaction is under way, or the disk has no room for a vacuum.
        """
        left = self.traces(removed)
        if left and self._connection.finish_erasing():
            self.vacuum()
            left = self.traces(removed)
        return left

    def vacuum(self) -> int:
        """Gives the room of what was removed back to the disk; returns the bytes by which the file shrank.

        It needs room for a copy in the system's temporary folder and for one beside the file while it works. While a reader is in the
        midst of the file it returns 0, and the first change after that shrinks the file.

        Raises:
            StoreError: a transaction is under way, or the disk is full; the store is as it was.
        """
        return self._connection.vacuum()

    def counts(self) -> dict[str, int]:
        """Samples per class. It reads the index only, so unlike :meth:`samples` it does not check the rows."""
        with self._connection.reading() as db:
            return samples.counts(db)

    def samples(self, after: int = 0) -> Samples:
        """All samples with an id above `after`, in the order of their ids."""
        with self._connection.reading() as db:
            return samples.read(db, self.path, int(after), self.fingerprint.dim, self.encoding)

    def blocks(self, after: int = 0) -> Iterator[Samples]:
        """The same, about a thousand photos at a time; other threads wait until the last one was read."""
        with self._connection.reading() as db:
            yield from samples.blocks(db, self.path, int(after), self.fingerprint.dim, self.encoding)

    def batches(self, after: int = 0) -> Iterator[Batch]:
        """Like :meth:`blocks`, with all that is known of the photos."""
        with self._connection.reading() as db:
            yield from batches.read(db, self.path, int(after), self.fingerprint.dim, self.encoding)

    def select(self, ids: Iterable[int]) -> Batch:
        """The samples with these numbers, in the order of the numbers; numbers that no sample has are passed over."""
        with self._connection.reading() as db:
            return batches.select(db, self.path, [int(sample) for sample in ids], self.fingerprint.dim, self.encoding)

    def ids(self, after: int = 0) -> npt.NDArray[np.int64]:
        """The numbers of all samples above `after`, int64 [n], ascending; like :meth:`counts` it does not check the rows."""
        with self._connection.reading() as db:
            return samples.ids(db, int(after))

    def digest(self) -> str:
        """The sha256 (hex) of what a training reads: every sample's number and checksum, and the background's digest."""
        with self._connection.reading() as db:
            return sha256(f"{samples.digest(db)} {background.digest(db)}".encode()).hexdigest()

    def derived(self, name: str) -> tuple[int, bytes] | None:
        """What :meth:`keep_derived` kept, with the last sample that went into it; None where it must be worked out again."""
        with self._connection.reading() as db:
            return derived.read(db, name)

    def keep_derived(self, name: str, content: bytes) -> None:
        """Keeps what was worked out from all samples that are there now; removing any of them deletes it."""
        with self._connection.transaction(f"keeping {name}") as db:
            derived.write(db, name, samples.last(db), content)

    def sources(self, ids: Iterable[int]) -> list[str]:
        """Where these samples came from, in the order asked for.

        Raises:
            StoreError: there is no such sample.
        """
        with self._connection.reading() as db:
            return [samples.get(db, self.path, int(sample)).source for sample in ids]

    def captures(self) -> dict[int, Capture]:
        """What was measured of every photo, by sample, without thumbnails; a photo of which nothing was measured is left out."""
        with self._connection.reading() as db:
            rows = (row for chunk in samples.chunks(db, self.path, 0) for row in chunk)
            packed = {row[0]: row[6] for row in rows}
        measured = captures.captures(captures.unpack(list(packed.values())))
        return {sample: capture for sample, capture in zip(packed, measured) if capture is not None}

    def background(self) -> Embeddings:
        """Embeddings float32 [k, d] of photos that are of none of the classes; k is 0 without a background.

        Raises:
            StoreCorrupt: they fail their check; opening the store with its bundle copies them again.
        """
        with self._connection.reading() as db:
            return background.read(db, self.path, self.fingerprint.dim)

    def background_digest(self) -> str | None:
        """The sha256 (hex) of the file that the background was copied from; None without a background, or with a damaged one."""
        with self._connection.reading() as db:
            return background.digest(db)

    def set_background(self, digest: str, embeddings: Embeddings) -> None:
        """Replaces the background.

        Args:
            digest: sha256 (hex) of the file that it comes from.
            embeddings: float32 [k, d]; kept as int8 with a scale per row, whatever the store's encoding.
        """
        with self._connection.transaction("copying the bundle's background") as db:
            background.write(db, digest, embeddings)

    def log(self, what: str, why: str, head: int | None = None) -> None:
        """Writes an event to the log; inside :meth:`transaction`, with the changes that it tells of.

        What was forgotten must not live on in the log: name classes, counts and what the person typed, no photo (see `events`).

        Args:
            what: one word: `train`, `forget`, `rollback`, `activate`, `merge`, `import`, `adapt`, `relabel`; :meth:`add` writes its own.
            why: a sentence.
            head: the head that it made or chose.
        """
        with self._connection.transaction("writing the log") as db:
            events.insert(db, what, why, None if head is None else int(head))

    def events(self, last: int | None = None) -> list[Event]:
        """The log, oldest first; only its last lines where `last` is given."""
        with self._connection.reading() as db:
            return events.read(db, self.path, last)

    def add_head(
        self,
        *,
        kind: str,
        labels: Sequence[str],
        samples: int,
        accuracy: Proportion,
        weights: bytes,
        report: Mapping[str, Any],
        activate: bool = True,
    ) -> int:
        """Adds a head and, in the same transaction, makes it the active one; returns its number.

        Args:
            kind: the algorithm.
            labels: the classes it knows.
            samples: how many samples it was trained from.
            accuracy: leave-one-out.
            weights: the head's file.
            report: anything that `edgetl.types.to_json` takes; :meth:`head_report` returns it.
            activate: False only keeps it.
        """
        with self._connection.transaction("adding a head") as db:
            head = heads.insert(db, kind, labels, samples, accuracy, weights, report)
            if activate:
                heads.activate(db, self.path, head)
            return head

    def heads(self) -> list[HeadInfo]:
        """Every head, oldest first."""
        with self._connection.reading() as db:
            return heads.history(db, self.path)

    def active(self) -> HeadInfo | None:
        """The active head, or None."""
        with self._connection.reading() as db:
            head = heads.present(db, self.path)
            return None if head is None else heads.info(db, self.path, head)

    def head_bytes(self, head: int) -> bytes:
        """One head's file.

        Raises:
            StoreError: there is no such head.
        """
        with self._connection.reading() as db:
            return heads.weights(db, self.path, head)

    def head_report(self, head: int) -> dict[str, Any]:
        """What was kept as one head's report.

        Raises:
            StoreError: there is no such head.
        """
        with self._connection.reading() as db:
            return heads.report(db, self.path, head)

    def activate(self, head: int | None) -> None:
        """Makes a head the active one; None leaves no head active.

        Raises:
            StoreError: there is no such head.
        """
        with self._connection.transaction("activating a head") as db:
            heads.activate(db, self.path, head)

    def rollback(self) -> HeadInfo:
        """Makes the head active that was active before the present one; again, the one before that.

        Raises:
            NotTrained: there was none.
        """
        with self._connection.transaction("going back to the head before") as db:
            return heads.info(db, self.path, heads.go_back(db, self.path))


def _told(batch: Sequence[NewSample]) -> str:
    """`3 photos: 2 of 'cup', 1 of 'mug'`."""
    each = Counter(sample.label for sample in batch).most_common()
    parts = [f"{n} of {label!r}" for label, n in each[:NAMED]]
    rest = [f"the others of {len(each) - NAMED} more classes"] if len(each) > NAMED else []
    return f"{len(batch)} photo{'s' if len(batch) > 1 else ''}: {', '.join(parts + rest)}"
