"""Drawings that are no lines per configuration: minutes, n-shot, accuracy against latency, machines side by side, and load."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgetl.bench.record import Minute
from edgetl.bench.report.canvas import drawn, plot, short
from edgetl.bench.report.colours import ACCENT, BAD, INK, SERIES, SOFT, TINT, variable
from edgetl.bench.report.numbers import Scale, ticks
from edgetl.bench.statistics import Estimate
from edgetl.types import Proportion

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

_MARKS = {"o": "●", "s": "■", "^": "▲", "D": "◆", "v": "▼", "P": "✚", "X": "✖", "*": "★"}
MANY = 12
"""Points that can all have a number."""


Key = tuple[str, str, str]
"""(mark, name, CSS colour) of a series."""


def key(names: Sequence[str]) -> tuple[Key, ...]:
    """What a drawing of these series is read with."""
    marks = tuple(_MARKS.values())
    return tuple((marks[number % len(marks)], name, variable(SERIES[number % len(SERIES)])) for number, name in enumerate(names))


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


@dataclasses.dataclass(frozen=True)
class Load:
    """What else the machine did while one process ran.

    Attributes:
        start: seconds since the run began.
        seconds: how long it ran.
        others: share of all cores' time that went to other processes; None where unreadable.
        steal: share that the hypervisor gave to other guests.
        temperature_c: the hottest zone afterwards; None where unreadable.
    """

    start: float
    seconds: float
    others: float | None
    steal: float | None
    temperature_c: float | None


def sustained(minutes: Sequence[Minute], scale: Scale, name: str, salt: str) -> str:
    """p50 and p90 of every minute; below them temperature and frequency where there are any; throttled minutes shaded."""
    panels = [(f"p50 and p90, {scale.unit}", [(SERIES[0], [one.p50 / scale.factor for one in minutes]),
               (SERIES[2], [math.nan if one.p90 is None else one.p90 / scale.factor for one in minutes])])]  # fmt: skip
    for title, values in (
        ("°C", [one.temperature_c for one in minutes]),
        ("MHz, slowest core", [None if one.frequency_khz is None else one.frequency_khz / 1000 for one in minutes]),
    ):
        if any(value is not None for value in values):
            panels.append((title, [(SERIES[1], [math.nan if value is None else value for value in values])]))
    heights = [130, *[80] * (len(panels) - 1)]
    height = sum(heights) + 34

    def paint(figure: Figure) -> None:
        top = 0
        for (title, curves), tall in zip(panels, heights):
            axes = plot(
                figure, top=top + 20, bottom=height - top - tall + 12 if tall != heights[-1] or title != panels[-1][0] else 34, left=40
            )
            _panel(axes, minutes, title, curves)
            axes.tick_params(labelbottom=title == panels[-1][0])
            top += tall
        axes.set_xlabel("minute", labelpad=1)

    first, last = minutes[0], minutes[-1]
    label = f"{name}, minute by minute: p50 from {scale.text(first.p50)} to {scale.text(last.p50)} {scale.unit} in {len(minutes)} minutes"
    return drawn(paint, height=height, label=label, salt=salt)


def shots(curves: Sequence[tuple[str, Sequence[tuple[int, Proportion]]]], salt: str) -> str:
    """Accuracy against photos taught per class, with intervals; one curve per configuration."""

    def paint(figure: Figure) -> None:
        axes = plot(figure, top=20, bottom=34, left=40)
        axes.set_xscale("log")
        counts = sorted({count for _, curve in curves for count, _ in curve})
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.minorticks_off()
        axes.grid()
        axes.set_xlabel("photos per class", labelpad=1)
        axes.text(0, 1.04, "right, %", color=SOFT, transform=axes.transAxes)
        for number, (_, curve) in enumerate(curves):
            _intervals(axes, [count for count, _ in curve], [top1 for _, top1 in curve], number)

    words = "; ".join(f"{name}: " + ", ".join(f"{count}: {top1}" for count, top1 in curve) for name, curve in curves)
    return drawn(paint, height=220, label=f"Accuracy by photos per class: {words}", salt=salt)


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
                    colour, at = SERIES[number % len(SERIES)], y - (24 + 12 * number) / lane
                    axes.plot([one.low, one.high], [at] * 2, color=colour, linewidth=3)
                    axes.plot(one.value, at, _mark(number), color=colour, markersize=7)

    words = "; ".join(
        f"{name}: " + ", ".join(f"{record} {scale.text(one.value)}" for record, one in zip(records, row) if one)
        for name, row in zip(names, medians)
    )
    return drawn(paint, height=height, label=f"p50 in {scale.unit}: {words}", salt=salt)


def load(loads: Sequence[Load], salt: str) -> str:
    """The share of all cores' time that others had while each process ran, and the temperature after it."""
    hot = [(one.start + one.seconds, one.temperature_c) for one in loads if one.temperature_c is not None]
    height = 120 + 80 * bool(hot)

    def paint(figure: Figure) -> None:
        axes = plot(figure, top=20, bottom=height - 120 + 34, left=40)
        axes.set_title("busy with others and stolen, % of all cores", loc="left", color=SOFT, pad=5)
        known = [one for one in loads if one.others is not None]
        starts, widths = [one.start for one in known], [0.85 * one.seconds for one in known]
        others, steal = [100 * (one.others or 0) for one in known], [100 * (one.steal or 0) for one in known]
        axes.bar(starts, others, widths, align="edge", color=SERIES[0], linewidth=0)
        axes.bar(starts, steal, widths, bottom=others, align="edge", color=SERIES[1], linewidth=0)
        axes.set_ylim(0, max([5.0, *(1.1 * (one + other) for one, other in zip(others, steal))]))
        axes.yaxis.set_major_locator(_few())
        axes.grid(axis="y")
        axes.set_xlabel("seconds since the run began", labelpad=1)
        if hot:
            below = plot(figure, top=height - 60, bottom=10, left=40)
            below.plot([seconds for seconds, _ in hot], [degrees for _, degrees in hot], color=BAD, linewidth=1.5)
            below.set_xlim(axes.get_xlim())
            below.set_title("°C", loc="left", color=SOFT, pad=5)
            below.tick_params(labelbottom=False)
            below.yaxis.set_major_locator(_few())
            below.grid(axis="y")

    shares = [100 * ((one.others or 0) + (one.steal or 0)) for one in loads if one.others is not None]
    most = f"at most {max(shares):.0f} % of all cores" if shares else "not readable"
    return drawn(paint, height=height, label=f"Load by others while {len(loads)} processes ran: {most}", salt=salt)


def _medians(axes: Axes, medians: Sequence[Estimate], scale: Scale) -> None:
    """A logarithmic axis for medians; an interval that goes far beyond all of them, or to nothing, leaves the drawing."""
    values = [max(1, one.value) for one in medians]
    low, high = min(one.low for one in medians), max(one.high for one in medians)
    axes.set_xscale("log")
    axes.set_xlim(max(low, min(values) / 3) / 1.2, min(high, max(values) * 3) * 1.2)
    axes.set_xticks([tick * scale.factor for tick in ticks(*(end / scale.factor for end in axes.get_xlim()))])
    axes.minorticks_off()
    axes.xaxis.set_major_formatter(lambda value, _: f"{value / scale.factor:g}")
    axes.set_xlabel(f"p50, {scale.unit}", labelpad=1)


def _panel(axes: Axes, minutes: Sequence[Minute], title: str, curves: Sequence[tuple[str, Sequence[float]]]) -> None:
    from matplotlib.ticker import MaxNLocator

    numbers = [one.number + 1 for one in minutes]
    for one in minutes:
        if one.throttled:
            axes.axvspan(one.number + 0.5, one.number + 1.5, color=BAD, alpha=0.18, linewidth=0)
    for number, (colour, values) in enumerate(curves):
        axes.plot(numbers, values, color=colour, linewidth=1.5, marker=_mark(number), markersize=4)
    axes.set_xlim(min(numbers) - 0.6, max(numbers) + 0.6)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    axes.margins(y=0.15)
    axes.yaxis.set_major_locator(_few())
    axes.grid(axis="y")
    axes.set_title(title, loc="left", color=SOFT, pad=5)


def _point(axes: Axes, point: Point, largest: int, numbered: bool) -> None:
    low, high = point.top1.interval
    x, y = point.p50.value, 100 * point.top1.value
    above = 3 if point.front else 2
    axes.plot([x, x], [100 * low, 100 * high], color=SOFT, linewidth=1)
    axes.plot([point.p50.low, point.p50.high], [y, y], color=SOFT, linewidth=1)
    side = 6 + 14 * math.sqrt(point.size / largest)
    axes.plot(x, y, "o", markersize=side, color=ACCENT if point.front else TINT, markeredgecolor=ACCENT, zorder=above)
    if numbered:
        away = side / 2 + 3
        axes.annotate(str(point.rank), (x, y), (away, away), textcoords="offset points", color=INK, weight="bold", zorder=4)


def _intervals(axes: Axes, counts: Sequence[int], shares: Sequence[Proportion], number: int) -> None:
    colour = SERIES[number % len(SERIES)]
    for count, share in zip(counts, shares):
        axes.plot([count] * 2, [100 * end for end in share.interval], color=colour, linewidth=1)
    axes.plot(counts, [100 * share.value for share in shares], color=colour, marker=_mark(number), linewidth=1.5, markersize=6)


def _mark(number: int) -> str:
    return tuple(_MARKS)[number % len(_MARKS)]


def _few() -> MaxNLocator:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(4)
