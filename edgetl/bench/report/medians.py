"""Drawings of medians: accuracy against latency, and machines side by side."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgetl.bench.report.canvas import drawn, plot, short
from edgetl.bench.report.colours import ACCENT, INK, SOFT, TINT
from edgetl.bench.report.numbers import Scale, ticks
from edgetl.bench.report.series import colour, mark
from edgetl.bench.statistics import Estimate
from edgetl.stats import Proportion

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MANY = 12
"""Points that can all have a number."""


@dataclasses.dataclass(frozen=True)
class Point:
    """A configuration where accuracy is set against latency.

    Attributes:
        rank: its number in the table.
        p50: ns.
        top1: its accuracy.
        size: of the model, bytes.
        front: whether nothing measured is at least as good in everything and better in something.
    """

    rank: int
    p50: Estimate
    top1: Proportion
    size: int
    front: bool


def pareto(points: Sequence[Point], scale: Scale, salt: str) -> str:
    """Top-1 against p50, both with intervals; the size of a mark is the model's, filled marks are the front, numbers are the table's."""
    largest = max(point.size for point in points)

    def paint(figure: Figure) -> None:
        axes = plot(figure, top=20, bottom=34, left=40)
        _medians(axes, [point.p50 for point in points], scale)
        axes.grid()
        axes.text(0, 1.04, "top-1, %", color=SOFT, transform=axes.transAxes)
        for point in points:
            _point(axes, point, largest, numbered=point.front or len(points) <= MANY)

    words = "; ".join(f"{one.rank}: {scale.text(one.p50.value)} {scale.unit}, {one.top1}{', front' if one.front else ''}" for one in points)
    return drawn(paint, height=250, label=f"Top-1 against p50: {words}", salt=salt)


def beside(names: Sequence[str], medians: Sequence[Sequence[Estimate | None]], records: Sequence[str], scale: Scale, salt: str) -> str:
    """p50 with its interval: a line per configuration, a mark per record.

    Args:
        names: the configurations.
        medians: [configuration][record]; None where that record has none.
        records: what they are called.
        scale: of the axis.
        salt: see :func:`drawn`.
    """
    there = [one for row in medians for one in row if one]
    lane = 20 + 12 * len(records)
    height = lane * len(names) + 34

    def paint(figure: Figure) -> None:
        axes = plot(figure, top=0, bottom=34)
        axes.set_ylim(0, len(names))
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        _medians(axes, there, scale)
        axes.grid(axis="x")
        for place, (name, row) in enumerate(zip(names, medians)):
            y = len(names) - place
            axes.text(0, y - 10 / lane, short(name), transform=axes.get_yaxis_transform(), va="center", weight="bold")
            for number, one in enumerate(row):
                if one:
                    tone, at = colour(number), y - (24 + 12 * number) / lane
                    axes.plot(one.interval or [one.value] * 2, [at] * 2, color=tone, linewidth=3)
                    axes.plot(one.value, at, mark(number), color=tone, markersize=7)

    words = "; ".join(
        f"{name}: " + ", ".join(f"{record} {scale.text(one.value)}" for record, one in zip(records, row) if one)
        for name, row in zip(names, medians)
    )
    return drawn(paint, height=height, label=f"p50 in {scale.unit}: {words}", salt=salt)


def _medians(axes: Axes, medians: Sequence[Estimate], scale: Scale) -> None:
    """A logarithmic axis for medians; an interval that goes far beyond all of them, or to nothing, leaves the drawing."""
    values = [max(1, one.value) for one in medians]
    ends = [one.interval or (one.value, one.value) for one in medians]
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    axes.set_xscale("log")
    axes.set_xlim(max(low, min(values) / 3) / 1.2, min(high, max(values) * 3) * 1.2)
    axes.set_xticks([tick * scale.factor for tick in ticks(*(end / scale.factor for end in axes.get_xlim()))])
    axes.minorticks_off()
    axes.xaxis.set_major_formatter(lambda value, _: f"{value / scale.factor:g}")
    axes.set_xlabel(f"p50, {scale.unit}", labelpad=1)


def _point(axes: Axes, point: Point, largest: int, numbered: bool) -> None:
    low, high = point.top1.interval
    x, y = point.p50.value, 100 * point.top1.value
    above = 3 if point.front else 2
    axes.plot([x, x], [100 * low, 100 * high], color=SOFT, linewidth=1)
    axes.plot(point.p50.interval or [x, x], [y, y], color=SOFT, linewidth=1)
    side = 6 + 14 * math.sqrt(point.size / largest)
    axes.plot(x, y, "o", markersize=side, color=ACCENT if point.front else TINT, markeredgecolor=ACCENT, zorder=above)
    if numbered:
        away = side / 2 + 3
        axes.annotate(str(point.rank), (x, y), (away, away), textcoords="offset points", color=INK, weight="bold", zorder=4)
