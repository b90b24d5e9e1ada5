"""Drawings of a report as inline SVG in the page's own colours; the same numbers give the same bytes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from html import escape

from edgetl.bench.record import Unit
from edgetl.bench.statistics import Estimate

WIDTH, LANE, BOTTOM = 360, 58, 34
"""Of every drawing, of a lane, and of the axis below, px: a phone shows it whole."""
_STEPS: dict[Unit, tuple[tuple[str, float], ...]] = {
    "ns": (("ns", 1), ("µs", 1e3), ("ms", 1e6), ("s", 1e9)),
    "B": (("B", 1), ("kB", 1e3), ("MB", 1e6), ("GB", 1e9)),
    "uJ": (("µJ", 1), ("mJ", 1e3), ("J", 1e6)),
}
_LETTERS = 52


@dataclasses.dataclass(frozen=True)
class AxisScale:
    """A unit as it is printed, and how many of the record's units it is."""

    unit: str
    factor: float

    @classmethod
    def choose(cls, values: Sequence[int], unit: Unit) -> AxisScale:
        """The one in which the middle one of these values is a number from 1 to 1000."""
        middle = sorted(values)[len(values) // 2] if values else 1
        return cls(*next((step for step in reversed(_STEPS[unit]) if step[1] <= middle), _STEPS[unit][0]))

    def text(self, value: float) -> str:
        """A value of the record in this unit."""
        return digits(value / self.factor)


def digits(value: float) -> str:
    """About four digits; thousands apart."""
    size = abs(value)
    places = 0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 10 else 3
    return f"{value:,.{places}f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def colour(number: int) -> str:
    """The CSS of a series' colour; a drawing with more than eight series starts again, and never relies on colour alone."""
    return f"var(--s{number % 8})"


class Lanes:
    """A lane per configuration over one axis from `low` to `high`, logarithmic if low > 0."""

    def __init__(self, names: Sequence[tuple[str, str]], low: float, high: float, scale: AxisScale) -> None:
        """`names` are the lanes' titles and what stands at their right."""
        self.height = LANE * len(names) + BOTTOM
        self._low, self._high, self._scale, self._label = low, max(high, low * 1.02, low + 1), scale, []
        self._parts = [part for lane, (name, words) in enumerate(names) for part in self._title(lane, name, words)]
        self._label = [f"{name}: {words}" for name, words in names]
        for tick in ticks(low / scale.factor, self._high / scale.factor):
            x = self.x(tick * scale.factor)
            self._parts.append(_line(x, 0, x, self.height - BOTTOM, "var(--line)", 1))
            self._parts.append(_text(x, self.height - BOTTOM + 14, f"{tick:g}", "var(--soft)", "middle"))
        self._parts.append(_text(WIDTH / 2, self.height - 4, scale.unit, "var(--soft)", "middle"))

    def x(self, value: float) -> float:
        """Where a value lies, px."""
        if self._low > 0:
            return 4 + (WIDTH - 12) * math.log(max(value, self._low) / self._low) / math.log(self._high / self._low)
        return 4 + (WIDTH - 12) * value / self._high

    def bar(self, lane: int, left: float, right: float, tone: str, top: int = 26, height: int = 22) -> None:
        """A rectangle from one value to another, `top` px below the lane's beginning."""
        x, width = self.x(left), max(0.5, self.x(right) - self.x(left))
        self._parts.append(f'<rect x="{x:.1f}" y="{lane * LANE + top}" width="{width:.1f}" height="{height}" style="fill: {tone}"/>')

    def dot(self, lane: int, estimate: Estimate, tone: str, top: int = 48) -> None:
        """A number and its interval."""
        low, high = estimate.interval or (estimate.value, estimate.value)
        y = lane * LANE + top
        self._parts.append(_line(self.x(low), y, self.x(min(high, self._high)), y, tone, 3))
        self._parts.append(f'<circle cx="{self.x(estimate.value):.1f}" cy="{y}" r="3.5" style="fill: {tone}"/>')

    def mark(self, lane: int, value: float, tone: str, top: int = 44, height: int = 8) -> None:
        """A short upright at a value."""
        self._parts.append(_line(self.x(value), lane * LANE + top, self.x(value), lane * LANE + top + height, tone, 1.5))

    def svg(self, what: str) -> str:
        """The drawing; `what` it shows is read to those who cannot see it."""
        return _svg(self.height, f"{what}: {'; '.join(self._label)}", self._parts)

    def _title(self, lane: int, name: str, words: str) -> list[str]:
        room = max(4, _LETTERS - len(words))
        short = name if len(name) <= room else f"{name[: room - 1]}…"
        y = lane * LANE + 16
        return [_text(2, y, short, "var(--ink)", "start", bold=True), _text(WIDTH - 2, y, words, "var(--soft)", "end")]


def ticks(low: float, high: float) -> list[float]:
    """Round numbers for an axis: a logarithmic one if `low` > 0, with as many steps of a decade as there is room for, else even ones."""
    if low <= 0:
        return even(0.0, high)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    numbers: list[float] = []
    for steps in ((1, 1.5, 2, 3, 4, 5, 6, 8), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
        numbers = [step * 10.0**decade for decade in decades for step in steps if low <= step * 10.0**decade <= high]
        if len(numbers) <= 5:
            break
    return numbers[:: math.ceil(len(numbers) / 5)] if len(numbers) > 1 else even(low, high)


def even(low: float, high: float) -> list[float]:
    """At most five round numbers from `low` to `high`, equally far from each other."""
    room = (high - low) / 4
    decade = 10.0 ** math.floor(math.log10(room))
    step = next(factor * decade for factor in (1, 2, 5, 10) if factor * decade >= room)
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _text(x: float, y: float, text: str, tone: str, anchor: str, bold: bool = False) -> str:
    weight = ' font-weight="700"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="11"{weight} style="fill: {tone}">{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, tone: str, width: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" style="stroke: {tone}; stroke-width: {width:g}"/>'


def _svg(height: float, label: str, parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
