"""The texts of `predict`, `eval` and `explain`: which label photos get, how often that is correct, and why."""

from __future__ import annotations

import functools
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from edgetl.cli.output.common import WIDTH, failures, number, percent, short, warnings_in_full
from edgetl.tables import render
from edgetl.types import Prediction

if TYPE_CHECKING:
    from edgetl.diagnostics.explanation import Explanation
    from edgetl.session.reports import EvalReport

_LISTED, _SIMILAR, _LINES = 5, 3, 6
_REJECTED = 0.1
"""The share of rejected known photos above which `eval` advises what to do; `balanced` is meant to reject 5 %."""


def predict(name: str, prediction: Prediction, *, single: bool, top: bool) -> str:
    """One line: name, label and probability; `unknown` for a rejected photo, with the reject class that it looks like, if any.

    Args:
        name: of the photo.
        prediction: what to print.
        single: the head has one class, whose probability is 1 whatever the photo shows.
        top: print every class of `prediction.top`.
    """
    ranked = [f"{label} {probability:.3f}" for label, probability in prediction.top]
    unknown = f"unknown ({prediction.top[0][0]})" if prediction.code == "reject-class" else "unknown"
    if single:
        cells = [prediction.label or unknown]
    elif prediction.label is None:
        cells = [unknown, *(ranked if top else [])]
    else:
        cells = ranked if top else ranked[:1]
    if prediction.candidates is not None and not single:
        cells.append(f"one of: {', '.join(prediction.candidates)}")
    return "  ".join([name, *cells])


def evaluate(report: EvalReport, *, verbose: bool) -> list[str]:
    """Accuracy and counts; with `verbose` each class and the confusion matrix."""
    accuracy, unknown = report.accuracy, report.unknown_rejected
    failed = functools.partial(failures, [(photo.source, photo.reason) for photo in report.failed])
    mistakes = _mistakes(report)
    lines = []
    if accuracy.n:
        worst = min(report.per_class, key=lambda label: report.per_class[label].value)
        lowest = report.per_class[worst]
        below = f" Lowest: {short(worst)}, {lowest.hits} of {lowest.n}." if lowest.hits < lowest.n else ""
        lines.append(f"Accuracy: {percent(accuracy)}.{below}")
        lines.append(f"{accuracy.hits} correct, {report.wrong.hits} with a wrong label, {report.rejected.hits} rejected as unknown.")
    if unknown.n:
        lines.append(f"Photos of classes not trained: {unknown.hits} of {unknown.n} rejected, {unknown.n - unknown.hits} got a label.")
    warnings = warnings_in_full(_warnings(report))
    if verbose:
        return [*lines, *_tables(report), *mistakes, *warnings, *failed(verbose=True)]
    lines += [f"Most frequent mistake: {mistakes[0]}."] if mistakes else []
    advice = ["next: -v shows every class, edgetl explain PHOTO why a photo gets its label."] if mistakes else []
    if report.rejected.hits > _REJECTED * report.rejected.n:
        advice = ["next: many are rejected: add some of them, or edgetl train --unknown lenient"]
    return [*lines, *warnings[:1], *failed(verbose=False), *advice][:_LINES]


def _warnings(report: EvalReport) -> list[str]:
    """The accuracy that reads too high first."""
    stored = f"{number(report.stored, 'photo')} {'was' if report.stored == 1 else 'were'} used for training: the accuracy reads too high."
    untrained = [
        f"{short(label)} is not trained: its {number(count, 'photo')} should be rejected." for label, count in report.untrained.items()
    ]
    return [stored, *untrained] if report.stored else untrained


def _mistakes(report: EvalReport) -> list[str]:
    pairs = [
        (count, truth, label)
        for truth, cells in zip(report.labels, report.confusion)
        for label, count in zip(report.labels, cells)
        if count and label != truth
    ]
    most = sorted(pairs, key=lambda pair: (-pair[0], *pair[1:]))[:_LISTED]
    return [f"{number(count, 'photo')} of {short(truth)} labelled {short(label)}" for count, truth, label in most]


def _tables(report: EvalReport) -> list[str]:
    rows = []
    for label, cells in zip(report.labels, report.confusion):
        own = cells[report.labels.index(label)] if label in report.per_class else None
        rows.append((label, own, sum(cells[:-1]) - (own or 0), cells[-1], sum(cells)))
    matrix = [(label, *cells) for label, cells in zip(report.labels, report.confusion)]
    return [
        "",
        render(("class", "correct", "wrong", "unknown", "of"), [row for row in rows if row[-1]]),
        "",
        render(("true \\ label", *report.labels, "(unknown)"), matrix),
        "",
    ]


def explain(name: str, report: Explanation, *, verbose: bool) -> list[str]:
    """The label with its probabilities, what may be the reason, and the stored photos most like it."""
    from edgetl.diagnostics.text import advise_reason, describe_reason, sentence

    probabilities = "  ".join(f"{label} {probability:.3f}" for label, probability in report.top[:3])
    lines = [f"{name}  {'' if report.label else 'unknown  '}{probabilities}"]
    reasons = [f"{sentence(describe_reason(reason))} {advise_reason(reason)}" for reason in report.reasons]
    lines += [line for reason in reasons for line in textwrap.wrap(reason, WIDTH, break_long_words=False, break_on_hyphens=False)]
    if verbose:
        rows = [(neighbour.sample, neighbour.label, f"{neighbour.cosine:.3f}", neighbour.source) for neighbour in report.neighbours]
        return [*lines, "", render(("sample", "label", "cosine", "most similar photo"), rows)]
    similar = [f"{Path(neighbour.source).name} ({neighbour.label})" for neighbour in report.neighbours[:_SIMILAR]]
    return [*lines, *textwrap.wrap(f"Most similar: {', '.join(similar)}.", WIDTH, break_long_words=False, break_on_hyphens=False)]
