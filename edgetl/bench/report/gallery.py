"""Which drawings a scenario or a record gets, and how each is read."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from edgetl.bench.judging.trend import Trend
from edgetl.bench.record import Round
from edgetl.bench.report import curves, figures, medians
from edgetl.bench.report.colours import SERIES, variable
from edgetl.bench.report.figures import Line
from edgetl.bench.report.medians import Point
from edgetl.bench.report.numbers import Scale
from edgetl.bench.report.series import Key, key
from edgetl.bench.statistics import Estimate
from edgetl.machine import sensors
from edgetl.stats import Proportion

_SHOT = re.compile(r"(\d+)-shot")
_MANY = 12
"""Configurations in one drawing; the next ones get another."""
_SERIES = 8
"""Curves in one drawing, as many as there are colours and marks."""
_FEW = 3
"""Samples that need no drawing."""
_NO_PARTS = ("first-inference", "n-shot")
"""Scenarios whose stages are other cases of the whole, and do not make it up."""


@dataclasses.dataclass(frozen=True)
class Figure:
    """A drawing.

    Attributes:
        title: what it shows.
        svg: the drawing.
        caption: how to read it.
        key: (mark, name, CSS colour) per series.
    """

    title: str
    svg: str
    caption: str
    key: tuple[Key, ...] = ()


def of_scenario(scenario: str, lines: Sequence[Line], scale: Scale, salt: str) -> list[Figure]:
    """All drawings of a scenario.

    Args:
        scenario: its name.
        lines: the configurations, the fastest first.
        scale: of the axes.
        salt: see :func:`edgetl.bench.report.canvas.drawn`.
    """
    made = []
    for number in range(0, len(lines), _MANY):
        some, here = lines[number : number + _MANY], f"{salt} {number}"
        made += _shots(some, here)
        if any(line.row.n > _FEW for line in some):
            made += [_distribution(some, scale, here), _course(some, scale, here)]
        if scenario not in _NO_PARTS and any(line.stages for line in some):
            made.append(_stages(some, scale, here))
    return made + [_minutes(line, scale, salt) for line in lines if line.row.minutes]


def pareto(points: Sequence[Point], scenario: str, scale: Scale, salt: str) -> Figure:
    """Accuracy against latency."""
    asked = " and ".join(map(str, sorted({point.top1.n for point in points})))
    numbered = "Numbers are ranks in the table" + (", of those on the front" if len(points) > medians.MANY else "")
    caption = (
        f"{numbered}; the size of a mark is the model's; whiskers are intervals, and long ones leave the drawing. Top-1: n={asked}. Filled "
        "marks are on the Pareto front: no other is at least as good in p50, accuracy lost, peak memory and size, and better in one of "
        "them; what is known of only one of two decides nothing between them."
    )
    return Figure(f"Accuracy against the p50 of {scenario}", medians.pareto(points, scale, f"{salt} pareto"), caption)


def load(rounds: Sequence[Round], salt: str) -> Figure | None:
    """What else the machine did; None where no process could read it."""
    loads = []
    for one in rounds:
        try:
            shares = sensors.between(one.before, one.after)
        except (KeyError, TypeError):  # a record may come from a version that reads less
            continue
        loads.append(curves.Load(one.seconds, shares["seconds"] or 0.0, shares["others"], shares["steal"], one.after.get("temperature_c")))
    if not any(one.others is not None for one in loads):
        return None
    key = (("■", "other processes", variable(SERIES[0])), ("■", "stolen by the hypervisor", variable(SERIES[1])))
    caption = f"One bar per process of the run, n={len(loads)}: what else the cores were busy with while it ran."
    return Figure("What else the machine did", curves.load(loads, f"{salt} load"), caption, key)


def beside(scenario: str, names: Sequence[str], p50s: Sequence[Sequence[tuple[Estimate, int] | None]], records: Sequence[str]) -> Figure:
    """One scenario on several machines.

    Args:
        scenario: its name.
        names: the configurations.
        p50s: [configuration][record] p50 and n; None where that record has none.
        records: what they are called.
    """
    scale = Scale.of([one[0].value for line in p50s for one in line if one], "ns")
    fewest = [min(one[1] for one in column if one) for column in zip(*p50s) if any(column)]
    shown = tuple(one for one, column in zip(key(records), zip(*p50s)) if any(column))
    svg = medians.beside(names, [[one and one[0] for one in line] for line in p50s], records, scale, f"beside {scenario}")
    return Figure(scenario, svg, f"p50 with its interval (long ones leave the drawing), n={min(fewest)} or more.", shown)


def trend(found: Sequence[Trend], salt: str) -> Figure:
    """One scenario's p50 over the records of one machine; at most as many configurations as fit into a drawing."""
    shown = found[:_SERIES]
    scale = Scale.of([point.p50.value for one in shown for point in one.points], shown[0].unit)
    changed = [
        f"{one.configuration} {point.change.verdict} in {point.record} (ratio {point.change.ratio.value:.3f})"
        for one in found
        for point in one.points
        if point.change and point.change.ratio and point.change.verdict in ("slower", "faster", "larger", "smaller")
    ]
    said = "; ".join(changed) or "nothing slower or faster was found, and a busy machine is not judged"
    more = f" {len(found) - len(shown)} more configurations are in edgetl bench trend." if len(found) > len(shown) else ""
    caption = f"p50 with its interval where there are 3 processes. Each record against the one before: {said}.{more}"
    title = f"{shown[0].scenario} on {shown[0].machine}"
    return Figure(title, curves.trend(shown, scale, f"{salt} trend"), caption, key([one.configuration for one in shown]))


def _distribution(lines: Sequence[Line], scale: Scale, salt: str) -> Figure:
    return Figure(
        "How it is distributed",
        figures.distribution(lines, scale, f"{salt} distribution"),
        "Histograms of all samples, each scaled to its own highest; ● p50 with its interval, ▲ p90, ◆ p99 where n carries them. The short "
        "strokes below are the medians of the rounds, each a process of its own.",
    )


def _course(lines: Sequence[Line], scale: Scale, salt: str) -> Figure:
    thin = " Neighbouring samples share a step of the drawing; nothing outside of the band was taken." if figures.thinned(lines) else ""
    return Figure(
        "In the order in which it was taken",
        figures.in_time(lines, scale, f"{salt} time"),
        "Band: smallest to largest; line: median; uprights divide the rounds. Each has its own logarithmic height, from its smallest "
        f"sample to its largest.{thin}",
    )


def _stages(lines: Sequence[Line], scale: Scale, salt: str) -> Figure:
    stages = list(dict.fromkeys(stage for line in lines for stage in line.stages))
    return Figure(
        "Its stages",
        figures.stacked(lines, stages, scale, f"{salt} stages"),
        "Medians of the stages, end to end; the upright is the median of the whole. Where queries follow each other, stages are timed on "
        "other queries than the whole, so that no clock is read within it: they need not add up to it.",
        tuple(("■", stage, variable(SERIES[number % len(SERIES)])) for number, stage in enumerate(stages)),
    )


def _minutes(line: Line, scale: Scale, salt: str) -> Figure:
    counts = sorted({minute.n for minute in line.row.minutes})
    n = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else f"{counts[0]}"
    return Figure(
        f"Minute by minute: {line.name}",
        curves.sustained(line.row.minutes, scale, line.name, f"{salt} {line.name} minutes"),
        f"n={n} in a minute. A minute in which the machine says that it throttled is shaded.",
        (("●", f"p50, {scale.unit}", variable(SERIES[0])), ("■", f"p90, {scale.unit}", variable(SERIES[2]))),
    )


def _shots(lines: Sequence[Line], salt: str) -> list[Figure]:
    found = [(line.name, curve) for line in lines if (curve := _curve(line))]
    if not found:
        return []
    asked = " and ".join(map(str, sorted({top1.n for _, curve in found for _, top1 in curve})))
    caption = f"n={asked} photos asked, with 95 % Wilson intervals."
    return [Figure("Accuracy by photos taught", curves.shots(found, f"{salt} shots"), caption, key([name for name, _ in found]))]


def _curve(line: Line) -> list[tuple[int, Proportion]]:
    """(photos per class, accuracy) of the stages `1-shot`, `2-shot`, ..., whose counts are among the facts."""
    shots = [(int(found[1]), found[0]) for stage in line.stages if (found := _SHOT.fullmatch(stage))]
    facts = line.row.facts
    return sorted(
        (number, Proportion(int(facts.get(f"{stage} right", 0)), int(facts[f"{stage} asked"])))
        for number, stage in shots
        if f"{stage} asked" in facts
    )
