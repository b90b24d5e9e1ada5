"""Store, learner and active head of one classifier, kept in step."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, cast

from edgetl.errors import HeadError, NotTrained, StoreCorrupt, StoreError
from edgetl.heads import Head
from edgetl.store import NewSample, Removed, Store, TakenSamples
from edgetl.types import HeadKind

if TYPE_CHECKING:  # diagnostics and reports are loaded when the first photo is added, the learner for the first training
    from edgetl.diagnostics import Finding, PhotoHistory
    from edgetl.embedding.embedder import EmbeddedPhoto, Embedder
    from edgetl.heads import Learner
    from edgetl.heads.confidence.rejection import OperatingPoint
    from edgetl.inputs.photo.source import PhotoSource
    from edgetl.session.reports import Added

log = logging.getLogger("edgetl")


@dataclasses.dataclass(frozen=True)
class Ready:
    """A photo on its way into the store; its pixels are already released.

    Attributes:
        name: where it came from.
        digest: sha256, 32 bytes.
        label: its class.
        embedded: its embeddings and what was measured; None if the store has the photo.
        findings: possible problems.
    """

    name: str
    digest: bytes
    label: str
    embedded: EmbeddedPhoto | None
    findings: tuple[Finding, ...] = ()


class Session:
    """Store, learner and active head of one classifier; safe to use from several threads.

    Attributes:
        store: what is on the disk.
        head: the active head; None if no head is active, or if it cannot be read.
    """

    def __init__(self, store: Store) -> None:
        """Reads the active head; the samples are read for the first training."""
        self.store = store
        self._learning = threading.RLock()
        self._lock = threading.RLock()  # if both are taken, this one last
        self._learner: Learner | None = None
        self._seen = 0
        self._moved: dict[int, str] = {}
        self._history: PhotoHistory | None = None
        self._head_id: int | None = None
        self.head = self._readable_head()

    @contextmanager
    def learning(self) -> Iterator[None]:
        """Until it ends no other thread trains, removes a photo or changes the head; photos may be added and moved."""
        with self._learning, self._snapshot():
            yield

    def _snapshot(self) -> AbstractContextManager[None]:
        """Keeps what another process writes out of several reads that belong together."""
        return self.store.snapshot() if self.store.read_only else nullcontext()

    @contextmanager
    def changing(self, doing: str) -> Iterator[None]:
        """One change of store, learner and head: durable when it ends, or none of it happened, in memory neither."""
        with self._learning, self._storing(doing):
            yield

    @contextmanager
    def steady(self) -> Iterator[None]:
        """No other thread changes anything until it ends."""
        with self._learning, self._lock, self._snapshot():
            yield

    @contextmanager
    def _storing(self, doing: str) -> Iterator[None]:
        """As :meth:`changing`, also while another thread trains."""
        with self._lock:
            try:
                with self.store.transaction(doing):
                    yield
            except BaseException:
                self._reset()
                self.head = self._readable_head()
                raise

    def _reset(self) -> None:
        """The next training reads the store again."""
        self._learner, self._seen, self._history = None, 0, None
        self._moved.clear()

    def trained(self) -> Head:
        """The active head; on a store that is open for reading, the one that another process activated a moment ago.

        Raises:
            NotTrained: there is none.
        """
        if self.store.read_only and self.store.changed_elsewhere() and self.store.active_id() != self._head_id:
            self.head = self._readable_head()
        if self.head is None:
            raise NotTrained(
                f"{self.store.path}: no head is active. Train one: edgetl train -s {self.store.path}", path=str(self.store.path)
            )
        return self.head

    def requested_kind(self) -> HeadKind:
        """The algorithm that the active head was requested with; `auto` without one."""
        active = self.store.active()
        return "auto" if active is None else cast(HeadKind, self.store.head_report(active.id)["asked"])

    def operating_point(self) -> OperatingPoint:
        """The active head's operating point; `balanced` without one."""
        active = self.store.active()
        return "balanced" if active is None else cast("OperatingPoint", self.store.head_report(active.id).get("unknown", "balanced"))

    def inputs(self) -> tuple[Learner, str]:
        """The learner with every sample of the store, as rounded there, and the digest of those samples. Within :meth:`learning`.

        Raises:
            OutOfMemory: a training from all of them does not fit.
        """
        with self._lock:
            try:
                return self._read_samples(), self.store.digest()
            except BaseException:
                self._reset()
                raise

    def _read_samples(self) -> Learner:
        if self._learner is None:
            from edgetl.heads import Learner
            from edgetl.session import capacity

            counts = self.store.counts()
            capacity.check(self.store.path, sum(counts.values()), self.store.fingerprint.dim, len(counts))
            self._learner = Learner(self.store.fingerprint.dim, self.store.fingerprint.levels)
            self._learner.reserve(sum(counts.values()))
        for sample, label in self._moved.items():
            if sample in self._learner:  # the others are read below
                self._learner.relabel(sample, label)
        self._moved.clear()
        for batch in self.store.batches(after=self._seen):
            self._learner.add(batch.ids, batch.embeddings, batch.labels, batch.taken)
            self._seen = int(batch.ids[-1])
        return self._learner

    def knows(self, photo: PhotoSource) -> bool:
        """Whether the store has this photo, by its bytes.

        Raises:
            PhotoError: it cannot be read.
        """
        return self.store.find(photo.digest) is not None

    def examine(self, photo: Ready) -> Ready:
        """The photo with its possible problems, judged beside the photos before it; it then counts as one of those."""
        if photo.embedded is None:
            return photo
        from edgetl.diagnostics import check

        with self._lock:
            history, embedding, capture = self.history(), photo.embedded.embedding, photo.embedded.capture
            probabilities = None if self.head is None else dict(zip(self.head.labels, self.head.probabilities(embedding).tolist()))
            findings = check(photo.name, photo.label, capture, embedding, history, probabilities, keep_as=photo.digest)
        return dataclasses.replace(photo, findings=findings)

    def history(self) -> PhotoHistory:
        """What a new photo is compared with."""
        if self._history is None:
            from edgetl.diagnostics import PhotoHistory

            self._history = PhotoHistory.load(self.store)
        return self._history

    def put(self, ready: Sequence[Ready], *, relabel: bool = True) -> list[Added]:
        """Stores a batch in one transaction: all of it is durable on return, or none of it happened. Does not wait for a training.

        Args:
            ready: the photos.
            relabel: whether a photo that the store has under another label moves.
        """
        fresh: dict[bytes, NewSample] = {}
        moved: dict[int, str] = {}
        with self._storing("adding photos"):
            outcomes = [self._place(photo, fresh, moved, relabel) for photo in ready]
            ids = dict(zip(fresh, self.store.add(fresh.values())))
            if self._history is not None and ids:
                self._history.assign_ids(ids)
                self._history.save(self.store)
            for sample, label in moved.items():
                self._move(sample, label)
            for label, n in Counter(moved.values()).items():
                self.store.log("relabel", f"{n} photo{'s are' if n > 1 else ' is'} {label!r} now")
        return [dataclasses.replace(each, sample=ids.get(photo.digest, each.sample)) for photo, each in zip(ready, outcomes)]

    def remove(self, *, label: str | None = None, digest: bytes | None = None) -> Removed:
        """Removes a class or a photo from store and learner; returns the samples it removed, id to label."""
        removed = self.store.remove(label=label, digest=digest)
        self._drop(removed)
        return removed

    def relabel(self, sample: int, label: str) -> str:
        """Gives a photo another class in store and learner; returns the class it had.

        Raises:
            StoreError: there is no such sample (`sample-missing`).
        """
        previous = self.store.label(sample)
        if previous != label:
            self._move(sample, label)
        return previous

    def take(self, samples: Sequence[int]) -> TakenSamples:
        """Removes photos from store and learner, and returns them; ids without a photo are ignored."""
        taken = self.store.take(samples)
        self._drop(taken.ids)
        return taken

    def put_back(self, taken: TakenSamples) -> None:
        """Brings back what :meth:`take` removed; the next training reads the store again.

        Raises:
            StoreError: one of the photos is in the store again (`photo-known`).
        """
        self.store.put_back(taken)
        self._reset()

    def _move(self, sample: int, label: str) -> None:
        """Gives a photo another class; the learner hears of it when it is used next."""
        self.store.relabel(sample, label)
        self._moved[sample] = label
        self._history = None  # it knows photos by their classes

    def _drop(self, removed: Collection[int]) -> None:
        """Removes photos from the learner that are no longer in the store."""
        for sample in removed:
            self._moved.pop(sample, None)
        if self._learner is not None:
            self._learner.remove([sample for sample in removed if sample in self._learner])  # not those that are damaged
        self._history = None

    def use_active(self) -> None:
        """Reads the head that the store calls active.

        Raises:
            StoreCorrupt: its bytes are damaged.
        """
        self.head = self._active_head()

    def _active_head(self) -> Head | None:
        self._head_id = self.store.active_id()
        return None if self._head_id is None else Head.from_bytes(self.store.head_bytes(self._head_id))

    def _readable_head(self) -> Head | None:
        """The active head; None, with a warning, if its bytes are damaged: the photos are not, so a training repairs it."""
        try:
            return self._active_head()
        except (StoreCorrupt, HeadError) as error:
            log.warning("warning: %s: the active head cannot be read (%s). Train again, or run: edgetl rollback", self.store.path, error)
            return None

    def _place(self, photo: Ready, fresh: dict[bytes, NewSample], moved: dict[int, str], relabel: bool) -> Added:
        """Decides what becomes of one photo: new, known, or moved to another class."""
        from edgetl.session.reports import Added

        stored = self.store.find(photo.digest)
        here, sample = fresh.get(photo.digest), 0 if stored is None else stored.id
        if stored is None and here is None:
            if photo.embedded is None:
                raise StoreError(
                    f"{photo.name} was forgotten while it was being added. Add it again.", code="forgotten-meanwhile", photo=photo.name
                )
            fresh[photo.digest] = NewSample(photo.digest, photo.label, photo.embedded.embedding, photo.name, photo.embedded.capture)
            return Added(photo.name, photo.label, "added", findings=photo.findings)
        previous = here.label if here is not None else moved.get(stored.id, stored.label) if stored is not None else ""
        if previous == photo.label:
            return Added(photo.name, photo.label, "known", sample=sample)
        if not relabel:
            return Added(photo.name, photo.label, "kept", previous, sample=sample)
        if here is not None:
            fresh[photo.digest] = dataclasses.replace(here, label=photo.label)
        elif stored is not None:
            moved[stored.id] = photo.label
        return Added(photo.name, photo.label, "relabelled", previous, sample=sample)


def copy_background(embedder: Embedder, store: Store) -> None:
    """Copies the bundle's background into the store, which then trains without the bundle; again if the bundle's is another one."""
    file, before = embedder.variant.background, store.background_digest()
    if file is None or store.read_only or before == file.sha256:
        return
    if before is None or embedder.fingerprint == store.fingerprint:
        store.set_background(file.sha256, embedder.bundle.background(embedder.variant))
