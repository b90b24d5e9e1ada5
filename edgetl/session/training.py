"""From what is remembered to a head: fitted, judged, compared with the head before, and made active or kept."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from edgetl.errors import TrainError
from edgetl.heads import Head
from edgetl.machine import libraries
from edgetl.session.reports import AssessReport, TrainReport
from edgetl.session.workspace import Memory
from edgetl.stats import Proportion
from edgetl.types import ALLOWED_LOSS, Array, Embeddings, HeadKind

if TYPE_CHECKING:
    from edgetl.adaptation.adapters import AdapterKind
    from edgetl.adaptation.gate import AdaptReport
    from edgetl.diagnostics import Finding
    from edgetl.diagnostics.forecast import Assessment
    from edgetl.diagnostics.regression import Change
    from edgetl.heads import Fit
    from edgetl.heads.confidence.rejection import Point


FEW = 8
"""With fewer bursts of a class, leave-one-out reads lower than the truth."""


def train(memory: Memory, kind: HeadKind, allow_loss: float | None, why: str, unknown: Point = "balanced") -> TrainReport:
    """Trains a head; it becomes active unless it harms the classes known before. Within a change of the memory.

    Where the active head was trained from the same inputs, it stays; the training then only makes the report.

    Args:
        memory: what to train from.
        kind: the algorithm, or `auto`.
        allow_loss: the accuracy that a class known before may lose, in [0, 1]; None makes the head active whatever it does.
        why: for the log.
        unknown: the operating point: which unknown and known photos get a label (:data:`edgetl.heads.confidence.rejection.POINTS`).

    Raises:
        TrainError: no sample, a single class without a background, an unknown operating point, or an `allow_loss` outside [0, 1].
    """
    from edgetl.diagnostics import regression
    from edgetl.heads import open_set

    if allow_loss is not None and not 0 <= allow_loss <= 1:
        raise TrainError(f"allow_loss is {allow_loss}; expected a share of the accuracy, from 0 to 1")
    started = time.perf_counter()
    background, inputs = memory.store.background(), memory.store.digest()
    fit = memory.learner().fit(kind, single=len(background) > 0)
    calibrated, rejection, calibration = open_set.calibrate(fit, background, unknown)
    single = len(calibrated.labels) == 1
    if single and rejection.code == "cannot-measure":
        raise TrainError(
            f"there is one class, {calibrated.labels[0]!r}, and too few photos to tell it from: {rejection.near} of the background's "
            f"{len(background)} look like it; add a second class, or export the bundle again with --background FOLDER (other things)"
        )
    head = dataclasses.replace(calibrated, fingerprint=memory.store.fingerprint.digest)
    judged = _judged(memory, fit)
    # A single class is always named: what can be wrong is that a photo of it is rejected.
    accuracy = rejection.coverage if single else judged.accuracy
    per_class = {label: accuracy if single else one.accuracy for label, one in judged.assessment.per_class.items()}
    change = _change(memory, fit, allow_loss)
    asked = {"asked": kind, "unknown": unknown, "inputs": inputs, "version": libraries.distribution("edgetl")}
    unchanged = _trained_before(memory, asked)
    harmful = unchanged is None and change is not None and allow_loss is not None and bool(change.harmful)
    record = regression.Record.of(fit)
    report = {
        **asked, "alpha": fit.alpha, "reason": fit.reason, "method": fit.method, "per_class": per_class,
        "warnings": fit.warnings, "record": record,
        "rejection": rejection, "calibration": calibration,
        "not_activated_because": change.reason if change is not None and harmful else "",
    }  # fmt: skip
    number = _keep(memory, head, accuracy, report, activate=not harmful) if unchanged is None else unchanged
    kept = f"{change.reason}. {change.advice(number)}" if change is not None and harmful else ""
    if unchanged is None:
        memory.store.log("train", f"{why}: {fit.reason}" + (f"; kept inactive: {change.reason}" if change and harmful else ""), number)
    return TrainReport(
        code="unchanged" if unchanged is not None else "not-activated" if harmful else "trained",
        head_id=number,
        inputs=inputs,
        kind=fit.kind,
        reason=fit.reason,
        active=not harmful,
        not_activated_because=kept,
        method=fit.method,
        accuracy=accuracy,
        per_class=per_class,
        candidates=fit.candidates,
        assessment=judged.assessment,
        change=change,
        rejection=rejection,
        calibration=calibration,
        findings=judged.findings,
        warnings=judged.warnings,
        seconds=time.perf_counter() - started,
    )


def assess(memory: Memory, kind: HeadKind) -> AssessReport:
    """Says what a head would be worth, without making one.

    Raises:
        TrainError: no sample, or a single class.
    """
    return _judged(memory, memory.learner().fit(kind))


def adapt(
    memory: Memory,
    asked: HeadKind,
    target: Embeddings,
    labels: Sequence[str | None] | None,
    kind: AdapterKind | Literal["auto"],
    *,
    same_balance: bool,
    unknown: Point = "balanced",
) -> AdaptReport:
    """Adapts a head to new photos and makes it active, if that is expected to help. Within a change of the memory.

    Args:
        memory: what to train the head from that is adapted.
        asked: its algorithm.
        target: embeddings of the new photos, float32 [m, d].
        labels: the class of each, None where it is not known.
        kind: which adapter; `auto` tries all.
        same_balance: the person confirms that the class balance is that of the training.
        unknown: the operating point.

    Raises:
        TrainError: too few photos, new or taught.
    """
    from edgetl.adaptation import gate
    from edgetl.diagnostics import regression
    from edgetl.heads import open_set

    fit = memory.learner().fit(asked)
    made = gate.adapt(
        open_set.calibrate(fit, memory.store.background(), unknown)[0], fit, target, kind=kind, labels=labels, same_shares=same_balance
    )
    if made.report.kind is not None:
        head = dataclasses.replace(made.head, fingerprint=memory.store.fingerprint.digest)
        # What leaving one out said is the accuracy where the photos were taught, not where the camera is now.
        unmeasured = Proportion(0, 0)
        report = {
            "asked": asked,
            "reason": made.report.reason,
            "record": regression.Record.of(fit),
            "adaptation": made.report,
            "unknown": unknown,
        }
        number = _keep(memory, head, unmeasured, report, activate=True, kind=f"{head.kind}, adapted ({made.report.kind})")
        memory.store.log("adapt", made.report.reason, number)
    return made.report


def distance(memory: Memory) -> float:
    """Largest absolute difference between the active head's logits and those of one made from the rows in the file, over these photos.

    The other head is solved by :mod:`edgetl.heads.algorithms.textbook` at the regularisation that the training chose, from rows that are
    read again;
    nothing of the learner is used. Logistic regression has no formula: a learner that is new and has only these rows fits it. Both heads
    are float32, as heads are kept: what rounding does to a logit is no difference between them.
    """
    from edgetl.heads import Learner
    from edgetl.heads.algorithms import textbook
    from edgetl.heads.linalg.normalisation import power_normalised
    from edgetl.heads.linalg.threads import single_thread

    store, head, active = memory.store, memory.trained(), memory.store.active()
    alpha = None if active is None else store.head_report(active.id).get("alpha")
    if head.kind in textbook.KINDS and alpha is not None:
        samples = ((power_normalised(block.embeddings, head.rooted), block.labels) for block in store.blocks())
        weight, bias = textbook.fit(head.kind, alpha, head.labels, samples)
        again = dataclasses.replace(head, weight=weight.astype(np.float32), bias=bias.astype(np.float32))
    else:
        fresh = Learner(store.fingerprint.dim, store.fingerprint.levels)
        for block in store.blocks():
            fresh.add(block.ids, block.embeddings, block.labels, block.taken)
        again = fresh.fit(cast(HeadKind, head.kind), single=True).head
    with single_thread():
        rows = (power_normalised(block.embeddings, head.rooted) for block in store.blocks())
        return max(float(np.abs(head.linear(x) - again.linear(x)).max()) for x in rows)


def _judged(memory: Memory, fit: Fit) -> AssessReport:
    from edgetl.diagnostics import forecast

    made = forecast.assess(fit)
    each = [one.accuracy for one in made.per_class.values()]
    accuracy = Proportion(sum(one.hits for one in each), sum(one.n for one in each))
    return AssessReport(accuracy, fit.method, made, _findings(memory, fit), (*fit.warnings, *_timid(made)))


def _timid(made: Assessment) -> tuple[str, ...]:
    """Says where leaving one out reads lower than the truth: the photo left out is missed most by its own class, which has few.

    Mean over 12 draws, leave-one-out against all other photos: flowers 26 / 42 / 53 / 58 % against 46 / 52 / 56 / 60 % at 3 / 5 / 8 / 12
    photos per class, sign digits 47 / 68 / 80 / 84 against 67 / 76 / 83 / 87.
    """
    few = [label for label, one in made.per_class.items() if one.bursts < FEW]
    if not few or len(made.per_class) == 1:
        return ()
    shown = ", ".join(map(repr, few[:5])) + (f" and {len(few) - 5} more" if len(few) > 5 else "")
    return (f"fewer than {FEW} different photos of {shown}: the accuracy reads low, by about 20 points at 3 a class and 8 at 5",)


def _findings(memory: Memory, fit: Fit) -> tuple[Finding, ...]:
    """What the doctor says of the classes."""
    from edgetl.diagnostics import check_classes

    return check_classes(fit.truth, fit.bursts, _names(memory, fit))


def _names(memory: Memory, fit: Fit) -> list[str]:
    """Where the photos of bursts under two labels came from; empty for all others, whose names nobody will print."""
    names = [""] * len(fit.ids)
    first: dict[int, str] = {}
    mixed = {burst for burst, label in zip(fit.bursts.tolist(), fit.truth) if first.setdefault(burst, label) != label}
    rows: Array = np.flatnonzero(np.isin(fit.bursts, list(mixed)))
    for row, name in zip(rows.tolist(), memory.store.sources(fit.ids[rows].tolist())):
        names[row] = name
    return names


def _change(memory: Memory, fit: Fit, allow_loss: float | None) -> Change | None:
    from edgetl.diagnostics import regression

    active = memory.store.active()
    record = None if active is None else memory.store.head_report(active.id).get("record")
    if record is None:
        return None
    return regression.compare(regression.Record.from_json(record), fit, ALLOWED_LOSS if allow_loss is None else allow_loss)


def _trained_before(memory: Memory, asked: Mapping[str, str | None]) -> int | None:
    """The active head's id where it was asked for the same of the same inputs; None otherwise, or where it cannot be read."""
    active = memory.store.active()
    if active is None or memory.head is None:
        return None
    report = memory.store.head_report(active.id)
    return active.id if all(report.get(name) == value for name, value in asked.items()) else None


def _keep(memory: Memory, head: Head, accuracy: Proportion, report: Mapping[str, Any], *, activate: bool, kind: str = "") -> int:
    number = memory.store.add_head(
        kind=kind or head.kind, labels=head.labels, samples=sum(head.counts), accuracy=accuracy, weights=head.to_bytes(), report=report,
        activate=activate,
    )  # fmt: skip
    if activate:
        memory.head = head
    return number
