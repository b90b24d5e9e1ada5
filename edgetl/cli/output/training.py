"""The texts of `train`, `adapt` and of readiness: how accurate a head is, what it changed, and what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgetl.cli.output.common import (
    PROPORTION,
    findings_in_full,
    listed,
    number,
    percent,
    proportion,
    short,
    warnings_in_full,
)
from edgetl.heads.text import choice_text, kind_name, rejection_details, rejection_text
from edgetl.stats import Proportion
from edgetl.tables import render

if TYPE_CHECKING:
    from edgetl.adaptation.gate import AdaptReport
    from edgetl.diagnostics.forecast import Assessment
    from edgetl.diagnostics.regression import RegressionCheck
    from edgetl.session.reports import TrainReport


def train_brief(report: TrainReport) -> list[str]:
    """At most six lines: the head, its accuracy, the earlier classes, unknown objects, warnings, and what to do next."""
    if report.code == "not-activated" and report.change is not None:
        return _not_activated(report, report.change)
    photos = sum(assessment.photos for assessment in report.assessment.per_class.values())
    done = "unchanged (same photos and settings)" if report.code == "unchanged" else "trained and active"
    head = f"Head {report.head_id} {done}: {kind_name(report.kind)}, {number(len(report.per_class), 'class', 'classes')}"
    warnings = len(report.warnings) + len(report.findings)
    return [
        f"{head}, {number(photos, 'photo')}.",
        accuracy(report.accuracy, report.assessment),
        *_earlier_classes(report),
        rejection_text(report.rejection),
        *([f"warning: {number(warnings, 'possible problem')}; see {'it' if warnings == 1 else 'them'} with -v."] if warnings else []),
        *next_step(report.assessment),
    ]


def train_in_full(report: TrainReport) -> list[str]:
    """Everything: the table of classes, the measured rates, every warning."""
    from edgetl.diagnostics.text import describe_forecast, describe_regression, sentence

    lines = [*per_class(report.assessment), "", *train_brief(report)[:1], f"{choice_text(report.choice)} {1000 * report.seconds:.0f} ms."]
    lines += [f"{kind_name(kind)}: {percent(value)}" for kind, value in report.candidates.items()]
    lines.append(f"{accuracy(report.accuracy, report.assessment)} Measured by leave-one-out.")
    if report.change is not None:
        lines.append(sentence(describe_regression(report.change)))
    lines += [rejection_text(report.rejection), *rejection_details(report.rejection)]
    if report.calibration is not None:
        lines.append(f"Calibration error of the probabilities: {report.calibration}")
    if report.not_activated_because:
        lines.append(f"warning: not activated: {report.not_activated_because}")
    lines += [*findings_in_full(report.findings), *warnings_in_full(report.warnings)]
    return lines if report.not_activated_because else [*lines, describe_forecast(report.assessment), *next_step(report.assessment)]


def accuracy(value: Proportion, assessment: Assessment) -> str:
    """The accuracy, and the lowest class."""
    if len(assessment.per_class) == 1:
        return f"Accuracy: {percent(value)} of its own photos are accepted; no other class to confuse."
    worst = min(assessment.per_class, key=lambda label: assessment.per_class[label].accuracy.value)
    lowest = assessment.per_class[worst].accuracy
    if not value.n or lowest.hits == lowest.n:
        return f"Accuracy: {percent(value)}."
    return f"Accuracy: {percent(value)}. Lowest: {short(worst)}, {lowest.hits} of {lowest.n}."


def per_class(assessment: Assessment) -> list[str]:
    """A table with a row per class."""
    rows = []
    for label, row in assessment.per_class.items():
        other, count = row.taken_for or ("", 0)
        groups = f"{row.accuracy.hits} of {row.accuracy.n}"
        rows.append((label, row.photos, groups, f"{100 * row.accuracy.value:.0f}", f"{other} ({count})" if count else ""))
    return [render(("class", "photos", "correct", "%", "taken for"), rows)]


def next_step(assessment: Assessment) -> list[str]:
    """What to photograph next, and what it will give."""
    action, goal = assessment.action, f"{100 * assessment.target:g} %"
    if action.code == "none":
        return [f"next: nothing is missing, {goal} is reached."]
    if action.code == "alike":
        return [f"next: check the labels of {listed(action.classes)}: they look the same."]
    whom = "every class" if action.code == "more" else listed(action.classes)
    each = " each" if len(action.classes) > 1 else ""
    return [f"next: add {number(action.each, 'photo')}{each} of {whom}{_outlook(assessment, goal)}."]


def _outlook(assessment: Assessment, goal: str) -> str:
    if assessment.outlook == "likely":
        return f", to be sure of {goal}"
    if assessment.outlook == "open" and assessment.twice is not None:
        return f" (twice the photos: about {100 * assessment.twice[1]:.0f} %)"
    if assessment.outlook == "far" and assessment.fourfold is not None:
        return f" (four times the photos: only about {100 * assessment.fourfold[1]:.0f} %)"
    return ""


def _earlier_classes(report: TrainReport) -> list[str]:
    change = report.change
    if change is None or change.code == "not-compared" or report.code == "unchanged":
        return []
    count = sum(one_class.before.n for one_class in change.classes.values())
    if change.code == "maybe-worse":
        return [f"warning: {listed(change.maybe_worse)} may be worse than before; `edgetl rollback` goes back."]
    return [f"Earlier classes: no loss ({number(len(change.classes), 'class', 'classes')}, n={count})."]


def _not_activated(report: TrainReport, change: RegressionCheck) -> list[str]:
    worst = change.worse[0]
    loss = change.classes[worst]
    rivals = list(dict.fromkeys(pair.taken_for for pair in change.confused if pair.truth == worst))
    return [
        f"Head {report.head_id} saved but not activated: {short(worst)} fell from {100 * loss.before.value:.0f} to "
        f"{100 * loss.after.value:.0f} % (n={loss.before.n}).",
        "The previous head stays active. " + (f"{short(worst)} is now taken for {short(rivals[0])}." if rivals else ""),
        f"next: photograph {listed([worst, *rivals[:2]])} where they look alike, and train again.",
        f"To use it anyway: edgetl head activate {report.head_id}",
    ]


def adapt(report: AdaptReport, *, verbose: bool) -> list[str]:
    """What was tried, and whether the head was adapted."""
    from edgetl.adaptation.text import advise_report, describe_attempt, describe_report, describe_warning

    lines = []
    if verbose:
        rows = [
            (attempt.kind, "accepted" if attempt.accepted else "rejected", *proportion(attempt.changed), describe_attempt(attempt))
            for attempt in report.tried
        ]
        lines += [render(("adapter", "", "answers changed", *PROPORTION[1:], "why"), rows)]
        lines += warnings_in_full(list(map(describe_warning, report.warnings)))
    result = describe_report(report)
    if report.code == "no-gain":
        return [*lines, f"{result[0].upper()}{result[1:]}."]
    if report.kind is None:
        return [*lines, f"error: {result}.", f"next: {advise_report(report)}; -v shows what was tried."]
    undo = "next: `edgetl rollback` undoes it; the next training begins without it."
    return [*lines, f"{result[0].upper()}{result[1:]}; the adapted head is active.", undo]
