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
from edgetl.store import background, batches, derived, erasure, events, heads, samples, schema
from edgetl.store.batches import SampleBatch, StoredSamples
from edgetl.store.connection import Connection
from edgetl.store.erasure import Removed
from edgetl.store.events import Event
from edgetl.store.lock import WriterLock
from edgetl.store.samples import NewSample, Sample, TakenSamples
from edgetl.types import Embeddings, Fingerprint, HeadInfo

NAMED = 5
"""Classes that an event names; it counts the others."""


class Store:
    """Embeddings and heads of one fingerprint; opened by :meth:`open`, shared by threads, closed by `with` or :meth:`close`.

    Every method that changes something returns when the change is on the disk. After an I/O error or on a full disk it raises
    `StoreError`, nothing of that change is kept, and the store is read-only until it is opened again. A row that fails its checksum
    raises `StoreCorrupt` with the file, the row and the class.

    Attributes:
        path: the file, absolute.
        fingerprint: the model whose embeddings it holds.
        read_only: whether it was opened for reading.
    """

    def __init__(self, connection: Connection, lock: WriterLock | None) -> None:
        self._connection, self._lock = connection, lock
        self.path, self.read_only = connection.path, connection.read_only
        schema.check_version(connection)
        self.fingerprint = schema.read_fingerprint(connection)

    @classmethod
    def open(cls, path: str | os.PathLike[str], fingerprint: Fingerprint | None, *, read_only: bool = False) -> Store:
        """Opens a store; creates it if the file is missing or empty.

        Args:
            path: the file; `NAME.lock`, `NAME-wal` and `NAME-shm` lie beside it while it is open.
            fingerprint: the model in use; None opens an existing store as it is.
            read_only: read beside a writer, or from a read-only disk.

        Raises:
            StoreError: no store and no fingerprint (`store-missing`), or as :mod:`edgetl.store.schema` says: no folder, not readable,
                another program's file, or another version.
            StoreLocked: it is open for writing already.
            StoreCorrupt: not a store, or a damaged one.
            FingerprintMismatch: it holds another model's embeddings.
        """
        path = schema.locate(path)
        make = None if read_only else fingerprint
        # Before the lock, whose file would lie beside a mistyped path.
        if schema.has_content(path):
            schema.recognise(path)
        elif make is None:
            raise StoreError(f"{path} does not exist, or is empty. 'edgetl add' creates it.", code="store-missing", path=str(path))
        with contextlib.ExitStack() as undo:
            lock = None if read_only else WriterLock(path)
            if lock is not None:
                undo.callback(lock.release)
            if make is not None and not schema.has_content(path):
                schema.create(path, make)
            connection = Connection(path, read_only)
            undo.callback(connection.close)
            store = cls(connection, lock)
            schema.check_fingerprint(path, store.fingerprint, fingerprint)
            undo.pop_all()
        return store

    def close(self) -> None:
        """Closes the file; a second call does nothing."""
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
        """Joins several changes: all of them are on the disk when it ends, or none is.

        Args:
            doing: what it does, for messages: "forgetting 'mug'".
        """
        with self._connection.transaction(doing):
            yield

    def add(self, new: Iterable[NewSample]) -> list[int]:
        """Adds samples in one transaction, with an event in the log, and returns their ids, in order.

        Raises:
            StoreError: NaN or infinity (`embedding-not-finite`), a wrong shape (`embedding-shape`), a photo that is in the store already
                (`photo-known`); then none of them was added.
        """
        batch = list(new)
        if not batch:
            return []
        rows = samples.pack(self.path, batch, self.fingerprint.dim)
        with self._connection.transaction(f"adding {len(batch)} photos") as db:
            ids = samples.insert(db, self.path, batch, rows)
            events.insert(db, "add", _summary(batch), None)
            return ids

    def find(self, digest: bytes) -> Sample | None:
        """The sample of the photo with this sha256 (32 bytes), or None."""
        with self._connection.reading() as db:
            return samples.find(db, self.path, digest)

    def label(self, sample: int) -> str:
        """The class of a sample.

        Raises:
            StoreError: there is no such sample (`sample-missing`).
        """
        with self._connection.reading() as db:
            return samples.label(db, self.path, int(sample))

    def preview(self, sample: int) -> bytes:
        """What a person is shown of a sample: a photo's thumbnail, a JPEG; empty if none is kept.

        Raises:
            StoreError: there is no such sample (`sample-missing`).
        """
        with self._connection.reading() as db:
            return samples.preview(db, self.path, int(sample))

    def relabel(self, sample: int, label: str) -> None:
        """Gives a sample another class; its number stays.

        Raises:
            StoreError: there is no such sample (`sample-missing`).
        """
        with self._connection.transaction(f"relabelling sample {sample}") as db:
            samples.relabel(db, self.path, int(sample), label)

    def remove(self, *, label: str | None = None, digest: bytes | None = None) -> Removed:
        """Removes a class, the photo with this sha256, or that photo if it is of that class.

        The removed bytes are overwritten in the file, and dropped from the journal as soon as nobody reads it. :meth:`purge`, after the
        transaction, makes sure of it.

        Returns:
            What it removed: a mapping of id to label.

        Raises:
            StoreError: neither a label nor a digest (`nothing-to-remove`).
        """
        if label is None and digest is None:
            raise StoreError(f"{self.path}: give a label, a digest, or both", code="nothing-to-remove", path=str(self.path))
        with self._connection.transaction("removing photos") as db:
            removed = samples.remove(db, label, digest)
            self._connection.erase()
        return removed

    def take(self, ids: Iterable[int]) -> TakenSamples:
        """Removes the samples with these numbers and returns them, complete; numbers without a sample are ignored."""
        with self._connection.transaction("taking photos out") as db:
            taken = samples.take(db, self.path, [int(sample) for sample in ids])
            self._connection.erase()
        return taken

    def put_back(self, taken: TakenSamples) -> None:
        """Brings back what :meth:`take` removed, under the same numbers.

        Raises:
            StoreError: one of the photos is in the store again (`photo-known`); none is brought back.
        """
        with self._connection.transaction("bringing photos back") as db:
            samples.put_back(db, self.path, taken)

    def copy_samples(self, other: Store) -> list[int]:
        """Adds every sample of another store whose photo is not here yet; returns their numbers here.

        Raises:
            FingerprintMismatch: it holds another model's embeddings.
            StoreCorrupt: a row of the other store fails its check; nothing was added.
        """
        schema.check_fingerprint(other.path, other.fingerprint, self.fingerprint)
        with other._connection.reading() as source, self._connection.transaction("copying photos") as db:
            ids = samples.copy(db, source, other.path)
            events.insert(db, "merge", f"{len(ids)} photos of {other.path.name}", None)
        return ids

    def save_copy(self, path: str | os.PathLike[str]) -> None:
        """Writes the whole store as it is now to a new file, without its free pages.

        Raises:
            StoreError: the file exists, or the disk has no room.
        """
        self._connection.save_copy(os.fspath(path))

    def traces(self, removed: Removed) -> int:
        """How many pieces of removed photos are still in the store's file or journal, and in no row that remains.

        Raises:
            StoreError: a transaction is under way, so that nothing is in the file yet (`transaction-open`).
        """
        self._connection.check_no_transaction("searching for traces")
        self._connection.finish_erasing()
        with self._connection.reading() as db:
            return erasure.count(db, self.path, removed)

    def purge(self, removed: Removed) -> int:
        """Makes sure that nothing of removed photos is left, with a vacuum if needed.

        Returns:
            The traces that are left: 0 proves that the photos are gone; it is more only while somebody reads the file.

        Raises:
            StoreError: a transaction is under way (`transaction-open`), or the disk has no room for a vacuum.
        """
        left = self.traces(removed)
        if left and self._connection.finish_erasing():
            self.vacuum()
            left = self.traces(removed)
        return left

    def vacuum(self) -> int:
        """Gives the room of removed photos back to the disk; returns the bytes by which the file shrank.

        It needs room for a copy in the system's temporary folder and for one beside the file while it works. While somebody reads the
        file it returns 0, and the first change after that shrinks the file.

        Raises:
            StoreError: a transaction is under way (`transaction-open`), or the disk is full; the store is as it was.
        """
        return self._connection.vacuum()

    def check_index(self) -> None:
        """Compares the index, from which :meth:`counts` reads, with the rows; reads every row's class.

        Raises:
            StoreCorrupt: they differ.
        """
        with self._connection.reading() as db:
            samples.check_index(db, self.path)

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """All reads inside see one state of the store, whatever another process writes."""
        with self._connection.reading():
            yield

    def counts(self) -> dict[str, int]:
        """Samples per class. It reads the index only, so unlike :meth:`samples` it does not check the rows."""
        with self._connection.reading() as db:
            return samples.counts(db)

    def samples(self, after: int = 0) -> StoredSamples:
        """All samples with an id above `after`, in the order of their ids."""
        with self._connection.reading() as db:
            return batches.read_all(db, self.path, int(after), self.fingerprint.dim)

    def batches(self, after: int = 0) -> Iterator[SampleBatch]:
        """All that is known of all samples with an id above `after`, about a thousand photos at a time; other threads wait meanwhile.

        A damaged row stops nobody from using the others: it is left out, and logged.
        """
        with self._connection.reading() as db:
            yield from batches.read(db, self.path, int(after), self.fingerprint.dim)

    def select(self, ids: Iterable[int]) -> SampleBatch:
        """The samples with these numbers, in the order of the numbers; numbers without a sample are ignored."""
        with self._connection.reading() as db:
            return batches.select(db, self.path, [int(sample) for sample in ids], self.fingerprint.dim)

    def ids(self, after: int = 0) -> npt.NDArray[np.int64]:
        """The numbers of all samples above `after`, int64 [n], ascending; like :meth:`counts` it does not check the rows."""
        with self._connection.reading() as db:
            return samples.ids(db, int(after))

    def digest(self) -> str:
        """The sha256 (hex) of what a training reads: every sample's number and checksum, and the background's digest."""
        with self._connection.reading() as db:
            return sha256(f"{samples.digest(db)} {background.digest(db)}".encode()).hexdigest()

    def derived(self, name: str) -> tuple[int, bytes] | None:
        """What :meth:`keep_derived` kept, with the last sample that went into it; None if it must be computed again."""
        with self._connection.reading() as db:
            return derived.read(db, name)

    def keep_derived(self, name: str, content: bytes) -> None:
        """Keeps what was computed from all samples that are there now; removing any of them deletes it."""
        with self._connection.transaction(f"keeping {name}") as db:
            derived.write(db, name, samples.last(db), content)

    def sources(self, ids: Iterable[int]) -> list[str]:
        """Where these samples came from, in the order of `ids`.

        Raises:
            StoreError: there is no such sample (`sample-missing`).
        """
        with self._connection.reading() as db:
            return [samples.source(db, self.path, int(sample)) for sample in ids]

    def background(self) -> Embeddings:
        """Embeddings float32 [k, d] of unrelated photos; k is 0 without a background.

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
            embeddings: float32 [k, d]; kept as int8 with a scale per row.
        """
        with self._connection.transaction("copying the bundle's background") as db:
            background.write(db, digest, embeddings)

    def log(self, what: str, why: str, head: int | None = None) -> None:
        """Writes an event to the log; inside :meth:`transaction`, with the changes that it describes.

        Nothing forgotten may live on in the log: name classes, counts and what the person typed, no photo (see `events`).

        Args:
            what: one word: `train`, `forget`, `rollback`, `activate`, `merge`, `import`, `adapt`, `relabel`; :meth:`add` writes its own.
            why: a sentence.
            head: the head that it made or chose.
        """
        with self._connection.transaction("writing the log") as db:
            events.insert(db, what, why, None if head is None else int(head))

    def events(self, last: int | None = None) -> list[Event]:
        """The log, oldest first: its last `last` lines, or all."""
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
            activate: False only saves it.
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
            head = heads.active_id(db, self.path)
            return None if head is None else heads.info(db, self.path, head)

    def changed_elsewhere(self) -> bool:
        """Whether another process has changed the file since the last call; a few microseconds, and True at first."""
        return self._connection.changed_elsewhere()

    def active_id(self) -> int | None:
        """The number of the active head; None if no head is active."""
        with self._connection.reading() as db:
            return heads.active_id(db, self.path)

    def head_bytes(self, head: int) -> bytes:
        """One head's file.

        Raises:
            StoreError: there is no such head (`head-missing`).
        """
        with self._connection.reading() as db:
            return heads.weights(db, self.path, head)

    def head_report(self, head: int) -> dict[str, Any]:
        """One head's report, as :meth:`add_head` received it.

        Raises:
            StoreError: there is no such head (`head-missing`).
        """
        with self._connection.reading() as db:
            return heads.report(db, self.path, head)

    def activate(self, head: int | None) -> None:
        """Makes a head the active one; None leaves no head active.

        Raises:
            StoreError: there is no such head (`head-missing`).
        """
        with self._connection.transaction("activating a head") as db:
            heads.activate(db, self.path, head)

    def rollback(self) -> HeadInfo:
        """Activates the head that was active before the present one; a second call, the one before that.

        Raises:
            NotTrained: there was none (`nothing-to-roll-back`).
        """
        with self._connection.transaction("rolling back to the head before") as db:
            return heads.info(db, self.path, heads.roll_back(db, self.path))


def _summary(batch: Sequence[NewSample]) -> str:
    """`3 photos: 2 of 'cup', 1 of 'mug'`."""
    each = Counter(sample.label for sample in batch).most_common()
    parts = [f"{n} of {label!r}" for label, n in each[:NAMED]]
    rest = [f"and {len(each) - NAMED} more classes"] if len(each) > NAMED else []
    return f"{len(batch)} photo{'s' if len(batch) > 1 else ''}: {', '.join(parts + rest)}"
