"""The facade: the only place where embedder, store and head meet."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal

from edgetl.session.stored import StoredClassifier
from edgetl.types import TOP, ColorOrder, Photo, Prediction

if TYPE_CHECKING:  # each is loaded by the first call that needs it: an import costs nothing of what a program does not use
    from edgetl.adaptation.adapters import AdapterKind
    from edgetl.adaptation.gate import AdaptReport
    from edgetl.diagnostics.explanation import Explanation
    from edgetl.embedding.embedder import Embedder
    from edgetl.errors import PhotoError
    from edgetl.heads.confidence.rejection import OperatingPoint
    from edgetl.inputs.photo.folders import LabelledPhotos, Progress
    from edgetl.session.reports import AddReport, EvalReport
    from edgetl.store import Store


class Classifier(StoredClassifier):
    """A camera that learns: photos in, classes out.

    Every photo is embedded once and cached in the store; training reads only the store. Safe to call from several threads.

    Attributes:
        embedder: the opened backbone.
        store: the embeddings and the head history.
        session: store, learner and active head, kept in step.
    """

    def __init__(self, embedder: Embedder, store: Store) -> None:
        """Use :meth:`open`."""
        from edgetl.session.workspace import Session

        self.embedder, self.store, self.session = embedder, store, Session(store)

    @classmethod
    def open(
        cls,
        bundle: str | os.PathLike[str],
        store: str | os.PathLike[str],
        *,
        runtime: str | None = None,
        variant: str | None = None,
        threads: int | None = None,
        read_only: bool = False,
    ) -> Classifier:
        """Opens a bundle on a store, which is made if it does not exist.

        Args:
            bundle: the bundle's path.
            store: the store's path.
            runtime: a runtime family; an error if it does not work here. None takes the store's, else the fastest here (see
                :meth:`Embedder.open`).
            variant: a variant's name; an error if it does not work here.
            threads: how many threads the runtime may use; None is every core, at most 4.
            read_only: predict only; works beside another process that writes, and uses the head that it trains from the next prediction on.

        Raises:
            BundleError: as :meth:`Bundle.open`, or the self-test fails here.
            RuntimeUnavailable: no allowed runtime works.
            StoreError: the store is damaged, locked by another writer, or of another fingerprint.
        """
        from edgetl.bundle.bundle import Bundle
        from edgetl.embedding.embedder import Embedder
        from edgetl.session.workspace import copy_background
        from edgetl.store import Store

        open_embedder = functools.partial(Embedder.open, Bundle.open(bundle), runtime=runtime, variant=variant, threads=threads)
        if not read_only and not _exists(store):
            embedder = open_embedder()
            try:
                new = Store.open(store, embedder.fingerprint)
                copy_background(embedder, new)
                return cls(embedder, new)
            except BaseException:
                embedder.close()
                raise
        existing = Store.open(store, None, read_only=read_only)
        try:
            embedder = open_embedder(store=existing.fingerprint)
            copy_background(embedder, existing)
            return cls(embedder, existing)
        except BaseException:
            existing.close()
            raise

    @staticmethod
    def open_store(store: str | os.PathLike[str], *, read_only: bool = False) -> StoredClassifier:
        """Opens an existing store without a bundle: to train, forget, roll back and list, not to read photos.

        Raises:
            StoreError: the store is missing, damaged, or locked by another writer.
        """
        from edgetl.session.workspace import Session
        from edgetl.store import Store

        stored = StoredClassifier()
        stored.store = Store.open(store, None, read_only=read_only)
        stored.session = Session(stored.store)
        return stored

    def add(self, photo: Photo, label: str, *, color: ColorOrder = "rgb", strict: bool = False) -> AddReport:
        """Adds one labelled photo; durable when it returns.

        The same photo again costs no backbone pass; under another label it moves there.

        Args:
            photo: a path, bytes, a PIL image, or uint8 pixels.
            label: its class; a new one needs nothing else.
            color: the channel order of pixels.
            strict: raise PhotoError for a photo with possible problems, instead of listing them in `AddReport.findings`.

        Raises:
            PhotoError: the photo cannot be used.
            LabelError: the label is not allowed.
            StoreError: it could not be made durable; nothing was added.
        """
        from edgetl.session import adding

        return adding.add(self.session, self.embedder, photo, label, color=color, strict=strict)

    def add_many(
        self,
        photos: LabelledPhotos,
        *,
        label: str | None = None,
        color: ColorOrder = "rgb",
        strict: bool = False,
        relabel: bool = False,
        progress: Progress | None = None,
    ) -> AddReport:
        """Adds many labelled photos; each is durable once `progress` has counted it. One bad photo never stops the others.

        Args:
            photos: a folder `root/<class>/<photo>`, pairs of photo and label, or, with `label`, a folder of photos.
            label: one class for every photo of the folder.
            color: the channel order of pixels.
            strict: leave out photos with possible problems; they are among `failed` then.
            relabel: move photos of `root/<class>` that the store has under another label, which somebody may have corrected; pairs, and
                photos with `label`, always move.
            progress: called with (photos done, photos in all or 0).

        Raises:
            PhotoError: the folder is missing or empty.
            LabelError: `label` is not allowed, or was given beside pairs.
            StoreError: a photo could not be made durable; those counted before are.
        """
        from edgetl.session import adding

        return adding.add_many(self.session, self.embedder, photos, label, color=color, strict=strict, relabel=relabel, progress=progress)

    def predict(
        self,
        photo: Photo,
        *,
        top: int = TOP,
        color: ColorOrder = "rgb",
        confidence: float | None = None,
        unknown: OperatingPoint | None = None,
    ) -> Prediction:
        """Classifies a photo; no label, with the reason, for an unknown object or a photo that looks like a reject class.

        `none`, `background` and `unknown` are reject classes. Whether other unknown objects can be rejected here is measured at every
        training (`TrainReport.rejection`).

        Args:
            photo: a path, bytes, a PIL image, or uint8 pixels.
            top: how many classes `Prediction.top` lists.
            color: the channel order of pixels.
            confidence: how often `Prediction.candidates` shall contain the correct class, in (0, 1), e.g. 0.9 (see
                :mod:`edgetl.heads.confidence.conformal`).
            unknown: `strict`, `balanced` or `lenient`, for this photo; None is what the head was trained for.

        Raises:
            PhotoError: the photo cannot be used.
            NotTrained: no head is active.
            HeadError: a class has too few photos for that confidence; it says how many more. Or the head has one operating point only.
        """
        from edgetl.inputs.photo.source import load
        from edgetl.session import prediction

        head = self.session.trained()
        return prediction.predict(head, self.embedder.embed(load(photo, color=color)), top, confidence, unknown)

    def predict_many(
        self,
        photos: Iterable[Photo],
        *,
        top: int = TOP,
        color: ColorOrder = "rgb",
        confidence: float | None = None,
        unknown: OperatingPoint | None = None,
    ) -> Iterator[Prediction | PhotoError]:
        """Classifies many photos with the same answers as :meth:`predict`; the next photos are decoded during an inference.

        Args:
            photos: paths, bytes, PIL images or uint8 pixels; any number, also without an end.
            top: how many classes each `Prediction.top` lists.
            color: the channel order of pixels.
            confidence: as in :meth:`predict`.
            unknown: as in :meth:`predict`.

        Returns:
            One result per photo, in their order: a prediction, or the error of a photo that cannot be used.

        Raises:
            NotTrained: no head is active.
            HeadError: as :meth:`predict`.
        """
        from edgetl.session import prediction

        self.session.trained()
        return prediction.predict_many(self.session, self.embedder, photos, top, color=color, confidence=confidence, unknown=unknown)

    def explain(self, photo: Photo, *, k: int = 5, color: ColorOrder = "rgb") -> Explanation:
        """Explains a prediction: the stored photos most like the photo, margins, and possible problems with the photo.

        Args:
            photo: a path, bytes, a PIL image, or uint8 pixels.
            k: how many stored photos to show; :meth:`edgetl.store.Store.preview` has their pictures.
            color: the channel order of pixels.

        Raises:
            PhotoError: the photo cannot be used.
            NotTrained: no head is active.
        """
        from edgetl.session import prediction

        return prediction.explain(self.session, self.embedder, photo, k, color)

    def evaluate(self, photos: LabelledPhotos, *, color: ColorOrder = "rgb", progress: Progress | None = None) -> EvalReport:
        """Measures the accuracy on labelled photos; stores nothing.

        Photos of a class that the head does not know are counted separately: rejecting them is correct, and a warning names the class.

        Args:
            photos: a folder `root/<class>/<photo>`, or pairs of photo and label.
            color: the channel order of pixels.
            progress: called with (photos done, photos in all or 0).

        Raises:
            PhotoError: the folder is missing or empty.
            NotTrained: no head is active.
        """
        from edgetl.session import evaluation

        return evaluation.evaluate(self.session, self.embedder, photos, color=color, progress=progress)

    def adapt(
        self,
        photos: LabelledPhotos,
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
            labelled: the folder is `root/<class>/<photo>`, or the pairs' labels are true; they only check the adapted head.
            same_balance: you confirm that the new photos have the classes in the same balance as the training; otherwise this is checked.
            progress: called with (photos done, photos in all or 0).

        Raises:
            PhotoError: the folder is missing or empty.
            NotTrained: no head is active.
            TrainError: too few photos, new ones or in the store.
        """
        from edgetl.session import adapting

        return adapting.adapt(self.session, self.embedder, photos, kind, labelled=labelled, same_balance=same_balance, progress=progress)

    def close(self) -> None:
        """Releases the model and the store. Nothing is pending: what was acknowledged is on the disk."""
        self.embedder.close()
        super().close()


def _exists(store: str | os.PathLike[str]) -> bool:
    return os.path.exists(store) and os.path.getsize(store) > 0  # noqa: PTH110, PTH202 - pathlib takes 3 ms to import
