"""What a build may require of a comparison: every headline number of the baseline is there, was judged, and is known well enough."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from edgetl.bench.measuring.scenarios import SCENARIOS
from edgetl.bench.record import Record, Row

if TYPE_CHECKING:
    from edgetl.bench.judging.compare import Change


@dataclasses.dataclass(frozen=True)
class Unmet:
    """A requirement that is not met.

    Attributes:
        configuration: the subject's name.
        scenario: of which a number is missing or not known well enough.
        code: `missing`, `not-judged` or `too-wide`.
        words: the same for people.
    """

    configuration: str
    scenario: str
    code: str
    words: str


def unmet(before: Record, after: Record, changes: Sequence[Change], metrics: Sequence[str], width: float) -> Iterator[Unmet]:
    """What is missing of the numbers of `before` that may fail a build.

    Args:
        before: the baseline.
        after: what is compared with it.
        changes: the comparison.
        metrics: the percentiles of whole scenarios that may fail a build.
        width: how far the ends of a ratio's interval may be from the ratio, as a share of it.
    """
    judged = {(change.configuration, change.scenario, str(change.metric)): change for change in changes if change.headline}
    others = {result.subject.name for result in after.results}
    for result in before.results:
        name = result.subject.name
        needed = [(row.scenario, metric) for row in result.rows for metric in _metrics(row, metrics)]
        needed += [("accuracy", "top-1")] if result.accuracy else []
        if needed and name not in others:
            yield Unmet(name, "every scenario", "missing", "this configuration is missing in the second record")
            continue
        for scenario, metric in needed:
            change = judged.get((name, scenario, metric))
            if change is None:
                yield Unmet(name, scenario, "missing", f"{metric} is missing in the second record, or cannot be compared")
            elif not change.judged:
                yield Unmet(name, scenario, "not-judged", f"{metric}: {change.reason}")
            elif change.ratio and (known := _width(change)) > width:
                words = f"{metric} is known to ±{100 * known:.1f} %, required are ±{100 * width:g} %: measure longer"
                yield Unmet(name, scenario, "too-wide", words)


def _metrics(row: Row, metrics: Sequence[str]) -> Sequence[str]:
    """The numbers of a row that may fail a build; one that a single process measures by design is never judged, and not required."""
    once = row.scenario in SCENARIOS and SCENARIOS[row.scenario].once
    if row.stage is not None or row.kind != "measured" or once:
        return ()
    return metrics if row.unit == "ns" else ("p50",) if row.unit == "B" else ()


def _width(change: Change) -> float:
    """How far the further end of the ratio's interval is from the ratio, as a share of it."""
    assert change.ratio is not None, "it has one"
    low, value, high = change.ratio.low, change.ratio.value, change.ratio.high
    return max(high / value, value / low) - 1 if low > 0 else float("inf")
