"""Drawings over minutes, over photos taught, and over the run."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgetl.bench.judging.trend import Trend
from edgetl.bench.record import Minute
from edgetl.bench.report.canvas import drawn, plot
from edgetl.bench.report.colours import BAD, SERIES, SOFT
from edgetl.bench.report.numbers import Scale
from edgetl.bench.report.series import colour, mark
from edgetl.stats import Proportion

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator


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


def trend(curves: Sequence[Trend], scale: Scale, salt: str) -> str:
    """p50 with its interval, record by record in the order of their dates; one curve per configuration."""
    records = dict(sorted({point.record: point.created for one in curves for point in one.points}.items(), key=lambda pair: pair[1]))
    places = {name: place for place, name in enumerate(records)}

    def paint(figure: Figure) -> None:
        axes = plot(figure, top=20, bottom=34, left=44)
        axes.set_xlim(-0.4, len(places) - 0.6)
        shown = list(places.values())[:: math.ceil(len(places) / 5)]
        axes.set_xticks(shown, [list(records.values())[place][5:10] for place in shown])
        axes.grid()
        axes.yaxis.set_major_locator(_few())
        axes.set_xlabel("month and day of each record", labelpad=1)
        axes.text(0, 1.04, f"p50, {scale.unit}", color=SOFT, transform=axes.transAxes)
        for number, one in enumerate(curves):
            at = [places[point.record] + 0.06 * (number - (len(curves) - 1) / 2) for point in one.points]
            for place, point in zip(at, one.points):
                ends = point.p50.interval or (point.p50.value, point.p50.value)
                axes.plot([place] * 2, [end / scale.factor for end in ends], color=colour(number), linewidth=1)
            values = [point.p50.value / scale.factor for point in one.points]
            axes.plot(at, values, color=colour(number), marker=mark(number), linewidth=1.5, markersize=6)

    words = "; ".join(
        f"{one.configuration}: " + ", ".join(f"{point.record} {scale.text(point.p50.value)}" for point in one.points) for one in curves
    )
    return drawn(paint, height=220, label=f"p50 in {scale.unit} by date: {words}", salt=salt)


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


def _panel(axes: Axes, minutes: Sequence[Minute], title: str, curves: Sequence[tuple[str, Sequence[float]]]) -> None:
    from matplotlib.ticker import MaxNLocator

    numbers = [one.number + 1 for one in minutes]
    for one in minutes:
        if one.throttled:
            axes.axvspan(one.number + 0.5, one.number + 1.5, color=BAD, alpha=0.18, linewidth=0)
    for number, (tone, values) in enumerate(curves):
        axes.plot(numbers, values, color=tone, linewidth=1.5, marker=mark(number), markersize=4)
    axes.set_xlim(min(numbers) - 0.6, max(numbers) + 0.6)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    axes.margins(y=0.15)
    axes.yaxis.set_major_locator(_few())
    axes.grid(axis="y")
    axes.set_title(title, loc="left", color=SOFT, pad=5)


def _intervals(axes: Axes, counts: Sequence[int], shares: Sequence[Proportion], number: int) -> None:
    tone = colour(number)
    for count, share in zip(counts, shares):
        axes.plot([count] * 2, [100 * end for end in share.interval], color=tone, linewidth=1)
    axes.plot(counts, [100 * share.value for share in shares], color=tone, marker=mark(number), linewidth=1.5, markersize=6)


def _few() -> MaxNLocator:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(4)
