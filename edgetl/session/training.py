"""From stored samples to a head: trained, measured, compared with the head before, saved, and activated unless it made a class worse."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from edgetl.decoding import decode
from edgetl.errors import TrainError
from edgetl.heads import Head
from edgetl.heads.warnings import TrainingWarning
from edgetl.machine import libraries
from edgetl.session.reports import AssessReport, TrainReport
from edgetl.session.workspace import Session
from edgetl.stats import Proportion
from edgetl.types import ALLOWED_LOSS, Array, HeadKind

if TYPE_CHECKING:
    from edgetl.diagnostics.forecast import Assessment
    from edgetl.diagnostics.regression import RegressionCheck
    from edgetl.heads import Fit
    from edgetl.heads.confidence.acceptance import RejectionReport
    from edgetl.heads.confidence.calibration import ExpectedCalibrationError
    from edgetl.heads.confidence.rejection import OperatingPoint


FEW = 8
"""With fewer near-duplicate groups of a class, leave-one-out reads lower than the truth: docs/evidence/few-photos.md."""


def train(session: Session, kind: HeadKind, allow_loss: float | None, why: str, unknown: OperatingPoint = "balanced") -> TrainReport:
    """Trains a head; it becomes active unless it makes an earlier class worse. Photos that are added meanwhile are not part of it.

    If the active head was trained from the same inputs, it stays; the training then only makes the report.

    Args:
        session: what to train from.
        kind: the algorithm, or `auto`.
        allow_loss: the accuracy that a class known before may lose, in [0, 1]; None activates the head whatever it does.
        why: for the log.
        unknown: the operating point: which unknown and known photos get a label (:data:`edgetl.heads.confidence.rejection.POINTS`).

    Raises:
        TrainError: no sample, a single class without a background, an unknown operating point, or an `allow_loss` outside [0, 1].
    """
    if allow_loss is not None and not 0 <= allow_loss <= 1:
        raise TrainError(
            f"allow_loss is {allow_loss}; expected a number from 0 to 1", code="allow-loss-out-of-range", allow_loss=allow_loss
        )
    from edgetl.diagnostics.text import advise_regression, describe_regression

    started = time.perf_counter()
    with session.learning():
        if allow_loss is not None and allow_loss < 1:
            _check_imported(session)
        fitted = _fit(session, kind, unknown)
        requested = {"asked": kind, "unknown": unknown, "inputs": fitted.inputs, "version": libraries.distribution("edgetl")}
        with session.changing("training"):
            change = _change(session, fitted.fit, allow_loss)
            unchanged = _trained_before(session, requested)
            is_worse = unchanged is None and change is not None and allow_loss is not None and bool(change.worse)
            head_id = _save(session, fitted, requested, change if is_worse else None, why) if unchanged is None else unchanged
    return TrainReport(
        code="unchanged" if unchanged is not None else "not-activated" if is_worse else "trained",
        head_id=head_id,
        inputs=fitted.inputs,
        kind=fitted.fit.kind,
        choice=fitted.fit.choice,
        active=not is_worse,
        not_activated_because=f"{describe_regression(change)}. {advise_regression(change, head_id)}" if change and is_worse else "",
        accuracy=fitted.accuracy,
        per_class=fitted.per_class,
        candidates=fitted.fit.candidates,
        assessment=fitted.judged.assessment,
        change=change,
        rejection=fitted.rejection,
        calibration=fitted.calibration,
        findings=fitted.judged.findings,
        warnings=fitted.judged.warnings,
        seconds=time.perf_counter() - started,
    )


def _check_imported(session: Session) -> None:
    """Rejects a training that would lose classes of a head from a file, of which no photo is here.

    Raises:
        TrainError: naming them (`imported-classes-lost`).
    """
    active = session.store.active()
    if active is None or "record" in session.store.head_report(active.id):
        return
    counts = session.store.counts()
    lost = [label for label in active.labels if label not in counts]
    if lost and counts:
        shown = ", ".join(map(repr, lost[:4])) + (", ..." if len(lost) > 4 else "")
        raise TrainError(
            f"head {active.id} came from a file and knows {len(lost)} classes without a photo here ({shown}); a new head would lose them. "
            "Merge the store that it came from, or add photos of them; to train anyway: edgetl train --allow-loss 1",
            code="imported-classes-lost", head_id=active.id, labels=lost,
        )  # fmt: skip


@dataclasses.dataclass(frozen=True, eq=False)
class _Fitted:
    """A head before it is saved, and what was measured of it."""

    head: Head
    fit: Fit
    inputs: str
    judged: AssessReport
    accuracy: Proportion
    per_class: Mapping[str, Proportion]
    rejection: RejectionReport
    calibration: ExpectedCalibrationError | None


def _fit(session: Session, kind: HeadKind, unknown: OperatingPoint) -> _Fitted:
    from edgetl.heads import open_set

    background, (learner, inputs) = session.store.background(), session.inputs()
    fit = learner.fit(kind, single=len(background) > 0)
    calibrated, rejection, calibration = open_set.calibrate(fit, background, unknown)
    single = len(calibrated.labels) == 1
    if single and rejection.code == "cannot-measure":
        raise TrainError(
            f"one class, {calibrated.labels[0]!r}, and nothing to tell it from: {rejection.near} of the background's {len(background)} "
            "photos look like it. Add a second class, or export the bundle again with --background FOLDER (other things).",
            code="background-too-similar", label=calibrated.labels[0], near=rejection.near, background=len(background),
        )  # fmt: skip
    head = dataclasses.replace(calibrated, fingerprint=session.store.fingerprint.digest)
    judged = judge(session, fit)
    # A single class is always named: what can be wrong is that a photo of it is rejected.
    accuracy = rejection.coverage if single else judged.accuracy
    per_class = {label: accuracy if single else row.accuracy for label, row in judged.assessment.per_class.items()}
    return _Fitted(head, fit, inputs, judged, accuracy, per_class, rejection, calibration)


def _save(session: Session, fitted: _Fitted, requested: Mapping[str, str | None], regression: RegressionCheck | None, why: str) -> int:
    """Saves a head, activates it unless it made a class worse, and logs it; returns its id."""
    from edgetl.diagnostics.text import describe_regression
    from edgetl.diagnostics.training_record import TrainingRecord

    fit = fitted.fit
    reason = "" if regression is None else describe_regression(regression)
    details = {
        **requested, "alpha": fit.alpha, "choice": fit.choice, "per_class": fitted.per_class,
        "warnings": fit.warnings, "record": TrainingRecord.from_fit(fit), "rejection": fitted.rejection,
        "calibration": fitted.calibration,
        "not_activated_because": reason,
    }  # fmt: skip
    head_id = save_head(session, fitted.head, fitted.accuracy, details, activate=regression is None)
    photos = f"{len(fit.ids)} photo" + ("" if len(fit.ids) == 1 else "s")
    saved = f"; saved but not activated: {reason}" if reason else ""
    session.store.log("train", f"{why}: {fit.kind} from {photos}{saved}", head_id)
    return head_id


def assess(session: Session, kind: HeadKind) -> AssessReport:
    """Measures the accuracy that a head would have, without making one.

    Raises:
        TrainError: no sample, or a single class.
    """
    with session.learning():
        return judge(session, session.inputs()[0].fit(kind))


def distance(session: Session) -> float:
    """Largest absolute difference between the active head's logits and those of a head trained only on the rows in the file.

    The other head is solved by :mod:`edgetl.heads.algorithms.textbook` with the regularisation that the training chose; nothing of the
    learner is used, unless that regularisation is unknown. Both heads are float32, as heads are stored, so rounding makes no difference.
    """
    from edgetl.heads.linalg.normalisation import power_normalise
    from edgetl.heads.linalg.threads import single_thread

    head, again = session.trained(), _retrained(session)
    with single_thread():
        rows = (power_normalise(batch.embeddings, head.rooted) for batch in session.store.batches())
        return max(float(np.abs(head.linear(x) - again.linear(x)).max()) for x in rows)


def _retrained(session: Session) -> Head:
    from edgetl.heads import Learner
    from edgetl.heads.algorithms import textbook
    from edgetl.heads.linalg.normalisation import power_normalise

    store, head, active = session.store, session.trained(), session.store.active()
    alpha = None if active is None else store.head_report(active.id).get("alpha")
    if head.kind in textbook.KINDS and alpha is not None:
        samples = ((power_normalise(batch.embeddings, head.rooted), batch.labels) for batch in store.batches())
        weight, bias = textbook.fit(head.kind, alpha, head.labels, samples)
        return dataclasses.replace(head, weight=weight.astype(np.float32), bias=bias.astype(np.float32))
    learner = Learner(store.fingerprint.dim, store.fingerprint.levels)
    for batch in store.batches():
        learner.add(batch.ids, batch.embeddings, batch.labels, batch.taken)
    return learner.fit(cast(HeadKind, head.kind), single=True).head


def judge(session: Session, fit: Fit) -> AssessReport:
    """The accuracy per class that a training shows, and what to photograph next."""
    from edgetl.diagnostics import check_classes, forecast

    assessment = forecast.assess(fit)
    each = [row.accuracy for row in assessment.per_class.values()]
    accuracy = Proportion(sum(row.hits for row in each), sum(row.n for row in each))
    findings = check_classes(fit.truth, fit.bursts, _names(session, fit))
    return AssessReport(accuracy, assessment, findings, (*fit.warnings, *_pessimistic(assessment)))


def _pessimistic(assessment: Assessment) -> tuple[TrainingWarning, ...]:
    """A warning of classes whose leave-one-out accuracy reads low, because they have few photos."""
    few = tuple(label for label, row in assessment.per_class.items() if row.groups < FEW)
    return (TrainingWarning("few-photos", few, total=FEW),) if few and len(assessment.per_class) > 1 else ()


def _names(session: Session, fit: Fit) -> list[str]:
    """The sources of photos in near-duplicate groups under two labels; empty for all others, whose names are not printed."""
    names = [""] * len(fit.ids)
    first: dict[int, str] = {}
    mixed = {burst for burst, label in zip(fit.bursts.tolist(), fit.truth) if first.setdefault(burst, label) != label}
    rows: Array = np.flatnonzero(np.isin(fit.bursts, list(mixed)))
    for row, name in zip(rows.tolist(), session.store.sources(fit.ids[rows].tolist())):
        names[row] = name
    return names


def _change(session: Session, fit: Fit, allow_loss: float | None) -> RegressionCheck | None:
    from edgetl.diagnostics import regression
    from edgetl.diagnostics.training_record import TrainingRecord

    active = session.store.active()
    record = None if active is None else session.store.head_report(active.id).get("record")
    if record is None:
        return None
    return regression.compare(decode(TrainingRecord, record), fit, ALLOWED_LOSS if allow_loss is None else allow_loss)


def _trained_before(session: Session, requested: Mapping[str, str | None]) -> int | None:
    """The active head's id if it was trained from the same inputs with the same settings; None otherwise, or if it cannot be read."""
    active = session.store.active()
    if active is None or session.head is None:
        return None
    report = session.store.head_report(active.id)
    return active.id if all(report.get(name) == value for name, value in requested.items()) else None


def save_head(session: Session, head: Head, accuracy: Proportion, details: Mapping[str, Any], *, activate: bool, kind: str = "") -> int:
    """Writes a head with what is known of it to the store, and activates it if it shall; returns its id."""
    head_id = session.store.add_head(
        kind=kind or head.kind, labels=head.labels, samples=sum(head.counts), accuracy=accuracy, weights=head.to_bytes(), report=details,
        activate=activate,
    )  # fmt: skip
    if activate:
        session.head = head
    return head_id
