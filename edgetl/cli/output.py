"""How results are printed: results on stdout, talk on stderr."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgetl.session.reports import EvalReport
from edgetl.stats import Proportion
from edgetl.tables import render
from edgetl.types import to_json

if TYPE_CHECKING:
    from edgetl.diagnostics import Finding
    from edgetl.diagnostics.forecast import Assessment
    from edgetl.session.reports import TrainReport

_SHOWN, _NAMED = 5, 10

PROPORTION = ("right", "of", "%", "95 % interval")


def proportion(value: Proportion) -> tuple[object, ...]:
    """The cells under the headers PROPORTION."""
    low, high = value.interval
    return value.hits, value.n, f"{100 * value.value:.1f}" if value.n else "-", f"{100 * low:.1f} to {100 * high:.1f}"


def when(clock: float) -> str:
    """Seconds since 1970 as the device's local time."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(clock))


def print_json(value: Any) -> None:
    """Prints a result for programs."""
    click.echo(json.dumps(to_json(value), indent=1, ensure_ascii=False))


def print_assessment(accuracy: Proportion, assessment: Assessment, *, advise: bool = True) -> None:
    """One row per class, the accuracy of all, what more photos would give, and with `advise` what to photograph next."""
    rows = []
    for label, one in assessment.per_class.items():
        other, count = one.taken_for or ("", 0)
        views = f"{one.accuracy.hits} of {one.accuracy.n}"
        rows.append((label, one.photos, views, f"{100 * one.accuracy.value:.0f}", f"{other} ({count})" if count else ""))
    click.echo(render(("class", "photos", "correct", "%", "taken for"), rows))
    click.echo(f"accuracy {accuracy}, 95 % interval")
    click.echo(assessment.forecast, err=True)
    if advise:
        click.echo(f"next: {assessment.advice}", err=True)


def print_change(report: TrainReport) -> None:
    """What an active head changed for the classes before."""
    change = report.change
    if change is None:
        click.echo("old classes: nothing to compare with, no head was active or it came from a file", err=True)
    elif change.code == "maybe-worse":
        click.echo(f"warning: {change.reason}. `edgetl rollback` takes this head back.", err=True)
    elif report.active:
        click.echo(f"old classes: {change.reason}", err=True)


def print_evaluation(report: EvalReport, *, matrix: bool) -> None:
    """The accuracy, each class, and the most frequent confusions; with `matrix` all of them."""
    accuracy, unknown = report.accuracy, report.unknown_rejected
    if accuracy.n:
        counts = f"{accuracy.hits} correct, {report.wrong.hits} wrong label, {report.rejected.hits} rejected as unknown"
        click.echo(f"accuracy {accuracy}\n{counts}")
    if unknown.n:
        got = unknown.n - unknown.hits
        click.echo(f"classes not trained: {unknown.hits} of {unknown.n} rejected (good), {got} got a label (bad)")
    rows = []
    for label, cells in zip(report.labels, report.confusion):
        own = cells[report.labels.index(label)] if label in report.per_class else None
        rows.append((label, own, sum(cells[:-1]) - (own or 0), cells[-1], sum(cells)))
    click.echo("\n" + render(("class", "correct", "wrong", "unknown", "of"), [row for row in rows if row[-1]]))
    pairs = [
        (count, truth, given)
        for truth, cells in zip(report.labels, report.confusion)
        for given, count in zip(report.labels, cells)
        if count and given != truth
    ]
    for count, truth, given in sorted(pairs, key=lambda pair: (-pair[0], *pair[1:]))[:_SHOWN]:
        click.echo(f"{count} {truth!r} called {given!r}")
    if matrix:
        table = [(label, *row) for label, row in zip(report.labels, report.confusion)]
        click.echo("\n" + render(("true \\ given", *report.labels, "(unknown)"), table))


def say_findings(findings: Sequence[Finding]) -> None:
    """Says what the doctor saw, each kind's first ones."""
    kinds = Counter(finding.kind for finding in findings)
    said = Counter[str]()
    for finding in findings:
        said[finding.kind] += 1
        if said[finding.kind] <= _SHOWN:
            click.echo(f"{finding.kind}: {f'{finding.photo}: ' if finding.photo else ''}{finding.text}", err=True)
    for kind, n in kinds.items():
        if n > _SHOWN:
            click.echo(f"{kind}: {n - _SHOWN} more (--json lists all)", err=True)


def named(labels: Sequence[str]) -> str:
    """Class names for a sentence; of many, the first ones."""
    return ", ".join(labels[:_NAMED]) + (f" and {len(labels) - _NAMED} more" if len(labels) > _NAMED else "")


def write_text(path: str, text: str) -> None:
    """Writes a page.

    Raises:
        ClickException: where it cannot be written.
    """
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}") from error


def say_failed(failed: Sequence[tuple[str, str]]) -> None:
    """Names every photo that could not be used."""
    for source, reason in failed:
        click.echo(f"not used: {reason if source in reason else f'{source}: {reason}'}", err=True)


def say_warnings(warnings: Sequence[str]) -> None:
    """Says what the person should know."""
    for warning in warnings:
        click.echo(f"note: {warning}", err=True)
