"""How latencies are distributed, how they went on, and which stages they have: one line of a drawing per configuration."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edgetl.bench.record import Row
from edgetl.bench.report.canvas import drawn, plot, short
from edgetl.bench.report.colours import ACCENT, APART, INK, LINE, SERIES, SOFT, TINT
from edgetl.bench.report.numbers import Scale, ticks
from edgetl.bench.statistics import percentile

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

_LINE = 58
_CELLS = 170
_POINTS = 120
_LETTERS = 58
"""That fit side by side."""


@dataclasses.dataclass(frozen=True)
class Line:
    """One configuration's line.

    Attributes:
        name: the configuration.
        row: what was timed, as a whole.
        stages: its stages that were timed too.
    """

    name: str
    row: Row
    stages: Mapping[str, Row] = dataclasses.field(default_factory=dict)


def distribution(lines: Sequence[Line], scale: Scale, salt: str) -> str:
    """Histograms over a shared logarithmic axis, with p50 and its interval, p90 and p99, and the median of every round below."""
    low = max(1, min(min(map(min, line.row.samples)) for line in lines))
    high = max(line.row.summary.max.value for line in lines)
    edges = np.geomspace(low * 0.98, max(high, low + 1) * 1.02, _CELLS + 1)

    def paint(figure: Figure) -> None:
        axes = _lanes(figure, len(lines), bottom=34)
        axes.set_xscale("log")
        axes.set_xlim(edges[0], edges[-1])
        _time_axis(axes, edges[0], edges[-1], scale)
        for lane, line in enumerate(lines):
            _title(axes, lane, line.name, f"p50 {scale.text(line.row.p50.value)} {scale.unit}, n={line.row.n}")
            _histogram(axes, lane, line.row, edges)

    return drawn(paint, height=_LINE * len(lines) + 34, label=f"Distribution of samples: {_medians(lines, scale)}", salt=salt)


def in_time(lines: Sequence[Line], scale: Scale, salt: str) -> str:
    """Samples in the order in which they were taken: the band from smallest to largest and the median of neighbours; rounds apart."""

    def paint(figure: Figure) -> None:
        axes = _lanes(figure, len(lines), bottom=20)
        axes.set_xlim(0, 1)
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
        axes.text(0, -0.02, "first round", color=SOFT, va="top")
        axes.text(1, -0.02, "last round", color=SOFT, va="top", ha="right")
        for lane, line in enumerate(lines):
            low, high = min(map(min, line.row.samples)), line.row.summary.max.value
            _title(axes, lane, line.name, f"{scale.text(low)} to {scale.text(high)} {scale.unit}, n={line.row.n}")
            _course(axes, lane, line.row, max(1, low), max(2, low + 1, high))

    words = "; ".join(f"{line.name}: {len(line.row.samples)} rounds" for line in lines)
    return drawn(paint, height=_LINE * len(lines) + 20, label=f"Samples in the order in which they were taken: {words}", salt=salt)


def stacked(lines: Sequence[Line], stages: Sequence[str], scale: Scale, salt: str) -> str:
    """Medians of the stages end to end, and the median of the whole as a mark."""
    longest = max(max(1, line.row.p50.value, sum(row.p50.value for row in line.stages.values())) for line in lines)

    def paint(figure: Figure) -> None:
        axes = _lanes(figure, len(lines), bottom=34)
        axes.set_xlim(0, longest * 1.04)
        axes.xaxis.set_major_locator(_locator())
        _unit(axes, scale)
        for lane, line in enumerate(lines):
            begin, y = 0, len(lines) - 1 - lane
            _title(axes, lane, line.name, f"whole {scale.text(line.row.p50.value)} {scale.unit}, n={line.row.n}")
            for number, stage in enumerate(stages):
                if row := line.stages.get(stage):
                    colour = SERIES[number % len(SERIES)]
                    axes.barh(y + 0.3, row.p50.value, left=begin, height=0.36, color=colour, linewidth=0)
                    begin += row.p50.value
            axes.plot([line.row.p50.value] * 2, [y + 0.04, y + 0.56], color=INK, linewidth=2)

    words = "; ".join(
        f"{line.name}: " + ", ".join(f"{stage} {scale.text(row.p50.value)}" for stage, row in line.stages.items()) for line in lines
    )
    return drawn(paint, height=_LINE * len(lines) + 34, label=f"Medians of the stages in {scale.unit}: {words}", salt=salt)


def thinned(lines: Sequence[Line]) -> bool:
    """Whether `in_time` shows neighbours together."""
    return any(line.row.n > _POINTS for line in lines)


def _histogram(axes: Axes, lane: int, row: Row, edges: npt.NDArray[np.float64]) -> None:
    y, colour = axes.get_ylim()[1] - 1 - lane, ACCENT if row.kind == "measured" else APART
    # What took no time at all belongs to the first cell of a logarithmic axis.
    counts, _ = np.histogram(np.maximum(np.concatenate([np.asarray(taken) for taken in row.samples]), edges[0]), edges)
    there = np.flatnonzero(counts)
    held = slice(there[0], there[-1] + 1)
    heights, sides = y + 0.2 + 0.44 * counts[held] / counts.max(), edges[there[0] : there[-1] + 2]
    axes.stairs(heights, sides, baseline=y + 0.2, fill=True, color=TINT, linewidth=0)
    axes.plot([edges[0], edges[-1]], [y + 0.2] * 2, color=LINE, linewidth=1)
    # The median of a round is below the line that all rounds share.
    axes.plot([percentile(taken, 50) for taken in row.samples], [y + 0.1] * len(row.samples), "|", color=SOFT, markersize=6)
    axes.plot(row.p50.interval or [row.p50.value] * 2, [y + 0.2] * 2, color=colour, linewidth=4)
    axes.plot(max(1, row.p50.value), y + 0.2, "o", color=colour, markersize=7)
    for mark, estimate in (("^", row.summary.p90), ("D", row.summary.p99)):
        if estimate:
            axes.plot(estimate.value, y + 0.2, mark, color=colour, markersize=5)


def _course(axes: Axes, lane: int, row: Row, low: int, high: int) -> None:
    y, done = axes.get_ylim()[1] - 1 - lane, 0

    def place(values: list[float]) -> npt.NDArray[np.float64]:
        return np.asarray(y + 0.04 + 0.56 * np.log(np.maximum(values, low) / low) / math.log(high / low))

    for taken in row.samples:
        cells = np.array_split(np.asarray(taken), min(len(taken), max(1, round(_POINTS * len(taken) / row.n))))
        where = (done + np.cumsum([len(cell) for cell in cells]) - len(cells[0]) / 2) / row.n
        least, most = place([cell.min() for cell in cells]), place([cell.max() for cell in cells])
        axes.fill_between(where, least, most, color=TINT, linewidth=1)
        mark = "o" if len(cells) == 1 else ""  # there is no line through one point
        colour = ACCENT if row.kind == "measured" else APART
        axes.plot(where, place([percentile(cell, 50) for cell in cells]), marker=mark, color=colour, linewidth=1.5, markersize=4)
        done += len(taken)
        if done < row.n:
            axes.plot([done / row.n] * 2, [y, y + 0.64], color=LINE, linewidth=1)


def _lanes(figure: Figure, count: int, bottom: float) -> Axes:
    axes = plot(figure, top=0, bottom=bottom)
    axes.set_ylim(0, count)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    return axes


def _title(axes: Axes, lane: int, name: str, said: str) -> None:
    y, place = axes.get_ylim()[1] - 1 - lane + 0.82, axes.get_yaxis_transform()
    room = _LETTERS - len(said)
    axes.text(0, y, short(name) if len(name) <= room else f"{name[: room - 1]}…", transform=place, va="center", weight="bold")
    axes.text(1, y, said, transform=place, va="center", ha="right", color=SOFT)


def _time_axis(axes: Axes, low: float, high: float, scale: Scale) -> None:
    from matplotlib.ticker import NullLocator

    axes.set_xticks([tick * scale.factor for tick in ticks(low / scale.factor, high / scale.factor)])
    axes.xaxis.set_minor_locator(NullLocator())
    _unit(axes, scale)


def _unit(axes: Axes, scale: Scale) -> None:
    axes.xaxis.set_major_formatter(lambda value, _: f"{value / scale.factor:g}")
    axes.grid(axis="x")
    axes.set_xlabel(scale.unit, labelpad=1)


def _locator() -> MaxNLocator:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(5, steps=[1, 2, 5, 10])


def _medians(lines: Sequence[Line], scale: Scale) -> str:
    return "; ".join(f"{line.name}: p50 {scale.text(line.row.p50.value)} {scale.unit}, n={line.row.n}" for line in lines)
