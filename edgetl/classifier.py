"""The facade: the only place where embedder, store and head meet."""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Sized
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from edgetl.errors import BundleMissing, LabelError, PhotoError, TrainError
from edgetl.types import ALLOWED_LOSS, ColorOrder, Embeddings, HeadInfo, HeadKind, Photo, Prediction, check_label

if TYPE_CHECKING:  # each is loaded by the first call that needs it: an import costs nothing of what a program does not use
    from edgetl.adaptation.adapters import AdapterKind
    from edgetl.adaptation.gate import AdaptReport
    from edgetl.diagnostics import Diagnosis
    from edgetl.diagnostics.explanation import Explanation
    from edgetl.embedding.embedder import Embedder
    from edgetl.heads import Head
    from edgetl.heads.confidence.rejection import Point
    from edgetl.inputs.photo.folders import Labelled, Progress
    from edgetl.session.reports import Added, AddReport, AssessReport, EvalReport, ForgetReport, TrainReport
    from edgetl.store import Event, Store


class Classifier:
    """A camera that learns: photos in, classes out.

    Every photo is embedded once and cached in the store; training reads only the store. Safe to call from several threads.

    Attributes:
        embedder: the opened backbone; None when opened without a bundle.
        store: the embeddings and the head history.
    """

    def __init__(self, embedder: Embedder | None, store: Store) -> None:
        """Use :meth:`open`."""
        from edgetl.session.workspace import Memory

        self.embedder, self.store = embedder, store
        self._memory = Memory(store)

    @classmethod
    def open(
        cls,
        bundle: str | os.PathLike[str] | None,
        store: str | os.PathLike[str],
        *,
        runtime: str | None = None,
        variant: str | None = None,
        threads: int | None = None,
        read_only: bool = False,
    ) -> Classifier:
        """Opens a bundle on a store, which is made when it is not there.

        Args:
            bundle: the bundle's path; None opens the store alone: it can train, forget, roll back and list, but not embed.
            store: the store's path.
            runtime: a runtime family, hard; None takes the store's, else the fastest here (see :meth:`Embedder.open`).
            variant: a variant's name, hard.
            threads: how many threads the runtime may use; None is every core, at most 4.
            read_only: predict only; works beside another process that writes.

        Raises:
            BundleError: as :meth:`Bundle.open`, or the self-test fails here.
            RuntimeUnavailable: no allowed runtime works.
            StoreError: the store is damaged, locked by another writer, or of another fingerprint.
        """
        from edgetl.store import Store

        if bundle is None:
            return cls(None, Store.open(store, None, read_only=read_only))
        from edgetl.bundle.bundle import Bundle
        from edgetl.embedding.embedder import Embedder
        from edgetl.session.workspace import copy_background

        opened = Bundle.open(bundle)
        choose = functools.partial(Embedder.open, opened, runtime=runtime, variant=variant, threads=threads)
        if not read_only and not _exists(store):
            embedder = choose()
            try:
                made = Store.open(store, embedder.fingerprint)
                copy_background(embedder, made)
                return cls(embedder, made)
            except BaseException:
                embedder.close()
                raise
        kept = Store.open(store, None, read_only=read_only)
        try:
            embedder = choose(store=kept.fingerprint)
            copy_background(embedder, kept)
            return cls(embedder, kept)
        except BaseException:
            kept.close()
            raise

    def add(self, photo: Photo, label: str, *, color: ColorOrder = "rgb", views: int = 1, strict: bool = False) -> Added:
        """Teaches one photo; durable when it returns.

        The same photo again costs no backbone pass; under another label it moves there.

        Args:
            photo: a path, bytes, a PIL image, or uint8 pixels.
            label: its class; a new one needs nothing else.
            color: the channel order of pixels.
            views: how many embeddings of it, its own included; the others are augmented copies (see
                :func:`edgetl.inputs.photo.preprocess.views` for what they gain), and each costs a backbone pass.
            strict: refuse a photo on which the doctor sees something, instead of saying so in `Added.findings`.

        Raises:
            PhotoError: the photo cannot be used.
            LabelError: the label is not allowed.
            StoreError: it could not be made durable; nothing was added.
        """
        from edgetl.session import adding

        return adding.add(self._memory, self._embedding(), photo, label, color=color, views=views, strict=strict)

    def add_many(
        self,
        photos: Labelled,
        *,
        label: str | None = None,
        color: ColorOrder = "rgb",
        views: int = 1,
        strict: bool = False,
        progress: Progress | None = None,
    ) -> AddReport:
        """Teaches many photos; each is durable once `progress` has counted it. One bad photo never stops the others.

        Args:
            photos: a folder `root/<class>/<photo>`, pairs of photo and label, or, with `label`, a folder of photos.
            label: one class for every photo of the folder.
            color: the channel order of pixels.
            views: how many embeddings of each photo, as in :meth:`add`.
            strict: leave out photos on which the doctor sees something; they are among `failed` then.
            progress: called with (photos done, photos in all or 0).

        Raises:
            PhotoError: the folder is missing or empty.
            LabelError: `label` is not allowed, or was given beside pairs.
            StoreError: a photo could not be made durable; those counted before are.
        """
        from edgetl.session import adding

        return adding.add_many(self._memory, self._embedding(), photos, label, color=color, views=views, strict=strict, progress=progress)

    def assess(self, kind: HeadKind = "auto") -> AssessReport:
        """Says whether the photos are enough: accuracy per class, how many more it needs, which class to photograph next. Changes nothing.

        Args:
            kind: the algorithm that :meth:`train` would be asked for.

        Raises:
            TrainError: no sample, or a single class.
        """
        from edgetl.session import training

        with self._memory.steady():
            return training.assess(self._memory, kind)

    def train(self, kind: HeadKind = "auto", *, allow_loss: float = ALLOWED_LOSS, unknown: Point | None = None) -> TrainReport:
        """Trains a head from the cached embeddings and makes it active; no backbone pass.

        A head that harms classes known before is kept without being active; `TrainReport.not_activated_because` says why.

        Args:
            kind: `ncm`, `lda`, `ridge`, `logistic`, or `auto`, which chooses by answers to photos left out (:mod:`edgetl.heads.selection`).
            allow_loss: the accuracy that a class known before may lose, in [0, 1]; 1 makes any head active.
            unknown: `strict` labels few unknown photos, `lenient` refuses few known ones; None is the active head's, at first `balanced`.

        Raises:
            TrainError: no sample, an unknown operating point, or a single class where the bundle brought no background to tell it from.
            StoreError: the head could not be made durable; the one before stays active.
        """
        from edgetl.session import training

        with self._memory.changing("training"):
            return training.train(self._memory, kind, allow_loss, "asked for", unknown or self._unknown())

    def predict(
        self, photo: Photo, *, top: int = 5, color: ColorOrder = "rgb", confidence: float | None = None, unknown: Point | None = None
    ) -> Prediction:
        """Says what is on a photo; no label, with the reason, where it is like nothing taught or like a reject class.

        `none`, `background` and `unknown` are reject classes. Whether other unknown things can be rejected here is measured at every
        training (`TrainReport.rejection`).

        Args:
            photo: a path, bytes, a PIL image, or uint8 pixels.
            top: how many classes `Prediction.top` lists.
            color: the channel order of pixels.
            confidence: how often `Prediction.candidates` shall hold the right class, in (0, 1), e.g. 0.9 (see
                :mod:`edgetl.heads.confidence.conformal`).
            unknown: `strict`, `balanced` or `lenient`, for this photo; None is what the head was trained for.

        Raises:
            PhotoError: the photo cannot be used.
            NotTrained: no head is active.
            HeadError: a class has too few photos for that confidence; it says how many more. Or the head has one operating point only.
        """
        from edgetl.inputs.photo.source import load

        embedder, head = self._embedding(), self._memory.trained()
        return guess(head, embedder.embed(load(photo, color=color)), top, confidence, unknown)

    def explain(self, photo: Photo, *, k: int = 5, color: ColorOrder = "rgb") -> Explanation:
        """Says why a photo gets its answer: the stored photos most like it, margins, and what is the trouble, if anything is.

        Args:
            photo: a path, bytes, a PIL image, or uint8 pixels.
            k: how many stored photos to show; :meth:`edgetl.store.Store.thumbnail` has their pictures.
            color: the channel order of pixels.

        Raises:
            PhotoError: the photo cannot be used.
            NotTrained: no head is active.
        """
        from edgetl.diagnostics import explanation
        from edgetl.inputs.photo.source import load

        embedder, head = self._embedding(), self._memory.trained()
        source = load(photo, color=color)
        made, kept = embedder.teach(source), self.store.find(source.digest)
        with self._memory.steady():
            taught = explanation.Taught.of(self.store.batches())
        embedding = made.views[0]
        return explanation.explain(
            guess(head, embedding, len(head.labels)), embedding, made.capture, taught, k, None if kept is None else kept.id
        )

    def evaluate(self, photos: Labelled, *, color: ColorOrder = "rgb", progress: Progress | None = None) -> EvalReport:
        """Measures accuracy on labelled photos; stores nothing.

        Photos of a class that the head does not know count apart: rejecting them is right, and a warning names the class.

        Args:
            photos: a folder `root/<class>/<photo>`, or pairs of photo and label.
            color: the channel order of pixels.
            progress: called with (photos done, photos in all or 0).

        Raises:
            PhotoError: the folder is missing or empty.
            NotTrained: no head is active.
        """
        from edgetl.heads.confidence.rejection import is_nothing
        from edgetl.inputs.photo import folders
        from edgetl.session.evaluation import Answer, evaluate

        embedder, head = self._embedding(), self._memory.trained()
        pairs, failed = folders.pairs(photos)
        total = len(pairs) if isinstance(pairs, Sized) else 0
        answers: list[Answer] = []
        stored = 0
        for done, (pair, photo, made) in enumerate(embedder.embed_many(pairs, functools.partial(folders.source, color=color)), 1):
            if photo is None or not isinstance(made, np.ndarray):
                failed.append((folders.name(pair[0]), str(made)))
            else:
                stored += self._memory.knows(photo)
                answer = guess(head, made, 1)
                answers.append(Answer(check_label(pair[1]), answer.top[0][0], answer.label is None))
            if progress is not None:
                progress(done, total)
        rejects = [label for label in head.labels if is_nothing(label)]
        return evaluate(answers, [label for label in head.labels if label not in rejects], rejects, failed, stored)

    def adapt(
        self,
        photos: Labelled,
        kind: AdapterKind | Literal["auto"] = "auto",
        *,
        labelled: bool = False,
        same_balance: bool = False,
        progress: Progress | None = None,
    ) -> AdaptReport:
        """Adapts the head to photos of a new place or camera, which need no labels, if that helps; otherwise nothing changes.

        The adapted head is one of the history, and active: `rollback` undoes it, and the next training begins without it.

        Args:
            photos: a folder of photos as the camera sees them now, or pairs of photo and label.
            kind: which adapter; `auto` tries all (see :mod:`edgetl.adaptation.adapters` and :mod:`edgetl.adaptation.gate`).
            labelled: the folder is `root/<class>/<photo>`, or the pairs' labels are true; they train nothing, they judge.
            same_balance: you confirm that the new photos have the classes in the same balance as the training; otherwise this is checked.
            progress: called with (photos done, photos in all or 0).

        Raises:
            PhotoError: the folder is missing or empty.
            NotTrained: no head is active.
            TrainError: too few photos, here or in the store.
        """
        from edgetl.inputs.photo import folders
        from edgetl.session import training

        embedder, _ = self._embedding(), self._memory.trained()
        pairs, _ = folders.pairs(photos, "unlabelled" if isinstance(photos, (str, os.PathLike)) and not labelled else None)
        total = len(pairs) if isinstance(pairs, Sized) else 0
        target: list[Embeddings] = []
        labels: list[str | None] = []
        for done, (pair, _, made) in enumerate(embedder.embed_many(pairs, functools.partial(folders.source, color="rgb")), 1):
            if isinstance(made, np.ndarray):
                target.append(made)
                labels.append(pair[1])
            if progress is not None:
                progress(done, total)
        embeddings = np.array(target, np.float32).reshape(len(target), self.store.fingerprint.dim)
        with self._memory.changing("adapting"):
            return training.adapt(
                self._memory,
                self._asked(),
                embeddings,
                labels if labelled else None,
                kind,
                same_balance=same_balance,
                unknown=self._unknown(),
            )

    def forget(self, *, label: str | None = None, photo: Photo | None = None, vacuum: bool = False) -> ForgetReport:
        """Removes a class or one photo, exactly: the next head is the one that never saw it, and the report proves it.

        Where a head is active, a new one is trained at once; the old one stays in the history, so `rollback` brings it back (the
        photos stay forgotten).

        Args:
            label: every photo of this class.
            photo: this photo, by its bytes.
            vacuum: give the freed room back to the disk, which takes room for a second copy meanwhile.

        Raises:
            LabelError: neither or both were given, or the store has no such class.
            PhotoError: the store has no such photo.
        """
        from edgetl.inputs.photo.source import load
        from edgetl.session import training
        from edgetl.session.reports import ForgetReport

        if (label is None) == (photo is None):
            raise LabelError("forget takes either label= or photo=")
        with self._memory.changing("forgetting"):
            if label is not None:
                removed = self._memory.remove(label=check_label(label))
                if not removed:
                    raise LabelError(f"{self.store.path}: no photo of class {label!r}; it has {', '.join(self.store.counts()) or 'none'}")
            else:
                source = load(cast(Photo, photo))
                removed = self._memory.remove(digest=source.digest)
                if not removed:
                    raise PhotoError(f"{self.store.path}: was never taught {source.name}; nothing was forgotten")
            gone = dict(Counter(removed.values()))
            why = ", ".join(f"{n} of {name!r}" for name, n in gone.items())
            self.store.log("forget", why)
            head = self._train_again(f"{why} forgotten")
            difference = None if head is None else training.distance(self._memory)
            counts = self.store.counts()
        freed = self.store.vacuum() if vacuum else 0
        return ForgetReport(gone, counts, head, difference, self.store.purge(removed), freed)

    def rollback(self) -> HeadInfo:
        """Makes the head active that was active before this one.

        Raises:
            NotTrained: there is none.
        """
        with self._memory.changing("going back"):
            info = self.store.rollback()
            self._memory.use_active()
            self.store.log("rollback", f"back to head {info.id}", info.id)
        return info

    def activate(self, head: int) -> HeadInfo:
        """Makes a head of the history the active one; `rollback` undoes it.

        Args:
            head: its number.

        Raises:
            StoreError: there is no such head.
        """
        with self._memory.changing(f"activating head {head}"):
            self.store.activate(head)
            self._memory.use_active()
            self.store.log("activate", "asked for", head)
        return self._info(head)

    def heads(self) -> list[HeadInfo]:
        """Every head ever trained, oldest first."""
        return self.store.heads()

    def export_head(self, path: str | os.PathLike[str], head: int | None = None) -> HeadInfo:
        """Writes a head to a safetensors file, with its labels, counts and fingerprint inside.

        Args:
            path: the file; it is replaced when it is there.
            head: its number; None is the active one.

        Raises:
            NotTrained: none is active.
            StoreError: there is no such head, or the file cannot be written.
        """
        from edgetl.session import head_files

        return self._info(head_files.write_head(self._memory, path, head))

    def import_head(self, path: str | os.PathLike[str]) -> HeadInfo:
        """Adds a head that another store exported and makes it active; `rollback` undoes it.

        Args:
            path: the file that :meth:`export_head` wrote.

        Raises:
            HeadError: the file is missing, or is no head.
            FingerprintMismatch: it reads the embeddings of another model.
        """
        from edgetl.session import head_files

        with self._memory.changing("adding a head from a file"):
            head = head_files.read_head(self._memory, path)
        return self._info(head)

    def events(self, last: int | None = None) -> list[Event]:
        """The log: what was done, in which order, by whom and why.

        Args:
            last: only so many of the latest; None is all.
        """
        return self.store.events(last)

    def diagnose(self) -> Diagnosis:
        """Examines every photo of the store: findings, and the photos that look like another class than their own, ranked."""
        from edgetl.diagnostics import diagnose

        with self._memory.steady():
            try:
                fit = self._memory.learner().fit()
            except TrainError:
                fit = None
            return diagnose(self.store.batches(), fit)

    @property
    def counts(self) -> dict[str, int]:
        """Samples per class in the store."""
        return self.store.counts()

    def close(self) -> None:
        """Releases the model and the store. Nothing is pending: what was acknowledged is on the disk."""
        if self.embedder is not None:
            self.embedder.close()
        self.store.close()

    def __enter__(self) -> Classifier:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _embedding(self) -> Embedder:
        if self.embedder is None:
            raise BundleMissing(f"{self.store.path} was opened without a bundle, which this needs; give one with -m BUNDLE")
        return self.embedder

    def _info(self, head: int) -> HeadInfo:
        return next(info for info in self.store.heads() if info.id == head)

    def _asked(self) -> HeadKind:
        """What the active head was asked to be."""
        active = self.store.active()
        return "auto" if active is None else cast(HeadKind, self.store.head_report(active.id)["asked"])

    def _unknown(self) -> Point:
        """The active head's operating point."""
        active = self.store.active()
        return "balanced" if active is None else cast("Point", self.store.head_report(active.id).get("unknown", "balanced"))

    def _train_again(self, why: str) -> int | None:
        from edgetl.session import training

        if self.store.active() is None:
            return None
        try:
            return training.train(self._memory, self._asked(), None, why, self._unknown()).head_id
        except TrainError:
            self.store.activate(None)
            self._memory.head = None
            return None


def _exists(store: str | os.PathLike[str]) -> bool:
    return os.path.exists(store) and os.path.getsize(store) > 0  # noqa: PTH110, PTH202 - pathlib takes 3 ms to import


def guess(head: Head, embedding: Embeddings, top: int, confidence: float | None = None, unknown: Point | None = None) -> Prediction:
    """What a head says of one embedding float32 [d], its `top` best classes listed, and those it may be at a confidence."""
    probabilities, reason = head.decide(embedding, unknown)
    ranked = tuple((head.labels[i], float(probabilities[i])) for i in np.argsort(-probabilities, kind="stable")[: max(top, 1)])
    candidates = None if confidence is None else head.candidates(embedding, confidence)
    return Prediction(None if reason else ranked[0][0], ranked[0][1], ranked, reason, candidates)
