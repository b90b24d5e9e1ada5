"""The reports of the calls that add, train, forget and evaluate."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from edgetl.errors import EdgetlError
from edgetl.stats import Proportion

if TYPE_CHECKING:  # for the types of fields: the code that makes a value has loaded its module
    from edgetl.diagnostics import Finding
    from edgetl.diagnostics.forecast import Assessment
    from edgetl.diagnostics.regression import RegressionCheck
    from edgetl.heads.confidence.acceptance import RejectionReport
    from edgetl.heads.confidence.calibration import ExpectedCalibrationError
    from edgetl.heads.selection import HeadChoice
    from edgetl.heads.warnings import TrainingWarning


@dataclasses.dataclass(frozen=True)
class Added:
    """What became of one photo.

    Attributes:
        source: the photo's path, or a word for its kind.
        label: its class.
        status: `added`; `known` (the same bytes under the same label: nothing was computed); `relabelled`; or `kept` (the store has it
            under another label, which stays).
        previous: the label it had before, when `relabelled`, and has, when `kept`.
        findings: possible problems, when `added`.
        sample: its sample id.
    """

    source: str
    label: str
    status: Literal["added", "known", "relabelled", "kept"]
    previous: str | None = None
    findings: tuple[Finding, ...] = ()
    sample: int = 0


@dataclasses.dataclass(frozen=True)
class FailedPhoto:
    """A photo that could not be used; the others were not affected.

    Attributes:
        source: the photo's path, or a word for its kind.
        code: of the error, e.g. `photo-unusable`; `not-a-photo` for other files in a folder.
        reason: the error's message.
    """

    source: str
    code: str
    reason: str

    @classmethod
    def from_error(cls, source: str, error: object) -> FailedPhoto:
        """A photo that was stopped by an error."""
        return cls(source, error.code if isinstance(error, EdgetlError) else "photo-unusable", str(error))


def not_photos(others: Sequence[tuple[str, str]]) -> list[FailedPhoto]:
    """The other files of a folder, from (path, reason) each."""
    return [FailedPhoto(source, "not-a-photo", reason) for source, reason in others]


@dataclasses.dataclass(frozen=True)
class AddReport:
    """What became of one photo, or of many.

    Attributes:
        photos: one entry per photo that is in the store now.
        failed: the photos that could not be used.
        counts: samples per class in the whole store afterwards.
        seconds: wall time, s.
    """

    photos: tuple[Added, ...]
    failed: tuple[FailedPhoto, ...]
    counts: Mapping[str, int]
    seconds: float

    def number(self, status: str) -> int:
        """How many photos have this status."""
        return sum(photo.status == status for photo in self.photos)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The possible problems of all of them."""
        return tuple(finding for photo in self.photos for finding in photo.findings)


@dataclasses.dataclass(frozen=True)
class AssessReport:
    """The accuracy that a head trained now would have.

    Attributes:
        accuracy: over all near-duplicate groups, each judged by a head that never saw it; a group counts once.
        assessment: the same per class, what more photos would give, and what to photograph next.
        findings: possible problems with the classes.
        warnings: as codes and numbers.
    """

    accuracy: Proportion
    assessment: Assessment
    findings: tuple[Finding, ...]
    warnings: tuple[TrainingWarning, ...]


@dataclasses.dataclass(frozen=True)
class TrainReport:
    """The result of a training.

    Attributes:
        code: `trained` (a new head, active), `not-activated` (a new head, saved only), or `unchanged`: the active head was trained by this
            version from the same photos and background with the same settings, so it stays and no head was saved.
        head_id: the head id of the new head, or of the one that stays.
        inputs: sha256 (hex) of what was trained from (:meth:`edgetl.store.Store.digest`).
        kind: the algorithm that was used.
        choice: which algorithm was used, and why.
        active: whether the new head is the active one; if not, `not_activated_because` says why.
        not_activated_because: why the head is saved but not activated, and what can be done; empty if it is active.
        accuracy: leave-one-out, over all near-duplicate groups. Of a single class it is the share of its photos that get their label.
        per_class: the same per class.
        candidates: the same for every algorithm that was tried, some on a part of the samples; its n says so.
        assessment: what more photos would give, and what to photograph next.
        change: what it does to the classes that the head before knew; None if no head was active, or it has no record.
        rejection: whether unknown objects can be rejected here.
        calibration: how far the probabilities are from the accuracy; None if nothing could be left out.
        findings: possible problems with the classes.
        warnings: as codes and numbers.
        seconds: wall time, s.
    """

    code: Literal["trained", "not-activated", "unchanged"]
    head_id: int
    inputs: str
    kind: str
    choice: HeadChoice
    active: bool
    not_activated_because: str
    accuracy: Proportion
    per_class: Mapping[str, Proportion]
    candidates: Mapping[str, Proportion]
    assessment: Assessment
    change: RegressionCheck | None
    rejection: RejectionReport
    calibration: ExpectedCalibrationError | None
    findings: tuple[Finding, ...]
    warnings: tuple[TrainingWarning, ...]
    seconds: float


@dataclasses.dataclass(frozen=True)
class ForgetReport:
    """What a `forget` removed, and the proof.

    Attributes:
        removed: samples removed, per class.
        counts: samples per class that remain.
        head_id: the head trained without them, or None if none can be trained from what remains (then no head is active).
        difference: largest absolute difference between the logits of that head and of one trained only on what remains, over what
            remains; None without a head.
        traces: pieces of the removed embeddings and thumbnails that are still in the store's file; 0 unless a reader has it open.
        freed: bytes by which the file shrank; 0 if that was not requested.
    """

    removed: Mapping[str, int]
    counts: Mapping[str, int]
    head_id: int | None
    difference: float | None
    traces: int
    freed: int


@dataclasses.dataclass(frozen=True)
class EvalReport:
    """How the active head answers labelled photos, those it was not trained on and does not know counted apart.

    Attributes:
        accuracy: photos of trained classes that got their own label; n counts every readable photo of a trained class.
        per_class: the same per trained class.
        wrong: photos of trained classes that got the label of another class, of as many.
        rejected: photos of trained classes that were rejected as unknown, of as many. Hits of `accuracy`, `wrong` and `rejected` sum to n.
        best_guess: photos of trained classes whose most probable class is their own, rejected or not, of as many. Leave-one-out accuracy,
            which knows no rejection, compares with this one.
        unknown_rejected: photos of classes that the head does not know, or of its reject classes, that were rejected, which is right; the
            others got a label, which is wrong.
        labels: the classes: the rows of `confusion` and all of its columns but the last.
        confusion: `[true class][label]`, count, int [c, c + 1]; the last column counts photos that were rejected as unknown.
        failed: the photos that could not be used.
        stored: photos that were used for training, which makes the accuracy read too high; count.
        untrained: photos of each class that the head does not know, which should be rejected; count.
    """

    accuracy: Proportion
    per_class: Mapping[str, Proportion]
    wrong: Proportion
    rejected: Proportion
    best_guess: Proportion
    unknown_rejected: Proportion
    labels: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    failed: tuple[FailedPhoto, ...]
    stored: int
    untrained: Mapping[str, int]
