"""The part of a classifier that needs no backbone: it trains, forgets, and keeps the history of heads."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeVar

from edgetl.errors import StoreError, TrainError
from edgetl.types import ALLOWED_LOSS, HeadInfo, HeadKind, Photo

if TYPE_CHECKING:  # each is loaded by the first call that needs it: an import costs nothing of what a program does not use
    from edgetl.diagnostics import Diagnosis
    from edgetl.diagnostics.explanation import Explanation
    from edgetl.heads.confidence.rejection import OperatingPoint
    from edgetl.session.reports import AssessReport, ForgetReport, TrainReport
    from edgetl.session.review import Review
    from edgetl.session.workspace import Session
    from edgetl.store import Event, Store

Self = TypeVar("Self", bound="StoredClassifier")


class StoredClassifier:
    """A classifier without its backbone, from :meth:`edgetl.Classifier.open_store`: it trains and forgets, and cannot read photos.

    Safe to call from several threads.

    Attributes:
        store: the embeddings and the head history.
        session: store, learner and active head, kept in step.
    """

    store: Store
    session: Session

    def assess(self, kind: HeadKind = "auto") -> AssessReport:
        """Says whether the photos are enough: accuracy per class, what more photos would give, what to photograph next. Changes nothing.

        Args:
            kind: the algorithm that :meth:`train` would be given.

        Raises:
            TrainError: no sample, or a single class.
        """
        from edgetl.session import training

        return training.assess(self.session, kind)

    def review(self) -> Review:
        """Judges every stored photo by a head that never saw it: accuracy, confusions, likely label errors. Changes nothing.

        Raises:
            TrainError: no sample, or a single class.
        """
        from edgetl.session import review

        return review.review(self.session)

    def relabel(self, sample: int, label: str) -> str:
        """Moves a stored photo to another class; the next training uses it. Returns the class it had.

        Args:
            sample: its sample id.
            label: the class; a new one needs nothing else.

        Raises:
            LabelError: the label is not allowed.
            StoreError: there is no such sample (`sample-missing`).
        """
        from edgetl.session import editing

        return editing.relabel(self.session, sample, label)

    def train(self, kind: HeadKind = "auto", *, allow_loss: float = ALLOWED_LOSS, unknown: OperatingPoint | None = None) -> TrainReport:
        """Trains a head from the stored embeddings and makes it active; no photo is read.

        A head that makes an earlier class worse is saved but not activated; `TrainReport.not_activated_because` says why.

        Args:
            kind: `ncm`, `lda`, `ridge` or `auto`, which chooses by answers to photos left out (:mod:`edgetl.heads.selection`).
            allow_loss: the accuracy that a class known before may lose, in [0, 1]; 1 activates any head.
            unknown: `strict` labels few unknown photos, `lenient` rejects few known ones; None is the active head's, at first `balanced`.

        Raises:
            TrainError: no sample, an unknown operating point, or a single class and no background in the bundle to tell it from.
            StoreError: the head could not be made durable; the one before stays active.
        """
        from edgetl.session import training

        return training.train(self.session, kind, allow_loss, "requested", unknown or self.session.operating_point())

    def forget(self, *, label: str | None = None, photo: Photo | None = None, vacuum: bool = False) -> ForgetReport:
        """Removes a class or one photo, exactly: the next head is the one that never saw it, and the report proves it.

        If a head is active, a new one is trained at once; the old one stays in the history, so `rollback` brings it back (the photos
        stay forgotten).

        Args:
            label: every photo of this class.
            photo: this photo, by its bytes.
            vacuum: give the freed room back to the disk, which takes room for a second copy meanwhile.

        Raises:
            LabelError: neither or both were given, or the store has no such class.
            PhotoError: the store has no such photo.
        """
        from edgetl.session import forgetting

        return forgetting.forget(self.session, label, photo, vacuum=vacuum)

    def rollback(self) -> HeadInfo:
        """Makes the head active that was active before this one.

        Raises:
            NotTrained: there is none.
        """
        with self.session.changing("going back"):
            info = self.store.rollback()
            self.session.use_active()
            self.store.log("rollback", f"back to head {info.id}", info.id)
        return info

    def activate(self, head_id: int) -> HeadInfo:
        """Makes a head of the history the active one; `rollback` undoes it.

        Raises:
            StoreError: there is no such head.
        """
        with self.session.changing(f"activating head {head_id}"):
            self.store.activate(head_id)
            self.session.use_active()
            self.store.log("activate", "requested", head_id)
        return self._info(head_id)

    def heads(self) -> list[HeadInfo]:
        """Every head ever trained, oldest first."""
        return self.store.heads()

    def export_head(self, path: str | os.PathLike[str], head_id: int | None = None) -> HeadInfo:
        """Writes a head to a safetensors file, with its labels, counts and fingerprint inside.

        Args:
            path: the file; an existing one is replaced.
            head_id: None is the active one.

        Raises:
            NotTrained: none is active.
            StoreError: there is no such head, or the file cannot be written.
        """
        from edgetl.session import head_files

        return self._info(head_files.write_head(self.session, path, head_id))

    def import_head(self, path: str | os.PathLike[str]) -> HeadInfo:
        """Adds a head that another store exported and makes it active; `rollback` undoes it.

        Args:
            path: the file that :meth:`export_head` wrote.

        Raises:
            HeadError: the file is missing, or is not a head.
            FingerprintMismatch: it reads the embeddings of another model.
        """
        from edgetl.session import head_files

        with self.session.changing("adding a head from a file"):
            head_id = head_files.read_head(self.session, path)
        return self._info(head_id)

    def events(self, last: int | None = None) -> list[Event]:
        """The log: what was done, in which order, by whom and why; only the last N entries if `last` is given."""
        return self.store.events(last)

    def diagnose(self) -> Diagnosis:
        """Examines every photo of the store: bad photos, and photos that look like another class than their own, ranked."""
        from edgetl.diagnostics import diagnose

        with self.session.steady():
            try:
                fit = self.session.inputs()[0].fit()
            except TrainError:
                fit = None
            return diagnose(self.store.batches(), fit)

    def explain_sample(self, sample: int, *, k: int = 5) -> Explanation:
        """Explains what the active head says of a stored photo, as :meth:`edgetl.Classifier.explain` does of any photo.

        Args:
            sample: its sample id.
            k: how many other stored photos to show.

        Raises:
            StoreError: there is no such sample (`sample-missing`).
            NotTrained: no head is active.
        """
        from edgetl.session import prediction

        return prediction.explain_sample(self.session, sample, k)

    @property
    def counts(self) -> dict[str, int]:
        """Samples per class in the store."""
        return self.store.counts()

    def __reduce__(self) -> Any:
        """Not possible: a store is open in one process.

        Raises:
            StoreError: always (`open-in-each-process`).
        """
        message = f"{self.store.path}: an open classifier cannot be sent to another process. Open it in each process."
        raise StoreError(message, code="open-in-each-process", path=str(self.store.path))

    def close(self) -> None:
        """Releases the store. Nothing is pending: what was acknowledged is on the disk."""
        self.store.close()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _info(self, head_id: int) -> HeadInfo:
        return next(info for info in self.store.heads() if info.id == head_id)
