"""Numbers for people: one unit per table, three to four digits."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from edgetl.bench.record import Unit

_STEPS: Mapping[Unit, tuple[tuple[str, float], ...]] = {
    "ns": (("ns", 1), ("µs", 1e3), ("ms", 1e6), ("s", 1e9)),
    "B": (("B", 1), ("kB", 1e3), ("MB", 1e6), ("GB", 1e9)),
    "uJ": (("µJ", 1), ("mJ", 1e3), ("J", 1e6)),
    "cycles": (("cycles", 1), ("k cycles", 1e3), ("M cycles", 1e6)),
}


@dataclasses.dataclass(frozen=True)
class Scale:
    """A unit.

    Attributes:
        unit: as it is printed.
        factor: how many of the record's units it is.
    """

    unit: str
    factor: float

    @classmethod
    def of(cls, values: Sequence[int], unit: Unit) -> Scale:
        """The one in which the middle one of these values is a number from 1 to 1000."""
        middle = sorted(values)[len(values) // 2] if values else 1
        return cls(*next((step for step in reversed(_STEPS[unit]) if step[1] <= middle), _STEPS[unit][0]))

    def text(self, value: float) -> str:
        """A value of the record in this unit."""
        return digits(value / self.factor)


def digits(value: float) -> str:
    """Four digits or so; thousands apart."""
    size = abs(value)
    places = 0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 10 else 3
    return f"{value:,.{places}f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def count(value: float) -> str:
    """A count; thousands apart."""
    return f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def ticks(low: float, high: float) -> list[float]:
    """Round numbers for a logarithmic axis from `low` > 0 to `high`: as many steps of a decade as there is room for, or even ones."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 1.5, 2, 3, 4, 5, 6, 8), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
        found = [step * 10.0**decade for decade in decades for step in steps if low <= step * 10.0**decade <= high]
        if len(found) <= 5:
            break
    return found[:: math.ceil(len(found) / 5)] if len(found) > 1 else _even(low, high)


def _even(low: float, high: float) -> list[float]:
    """At most five round numbers from `low` to `high`, equally far from each other."""
    room = (high - low) / 4
    decade = 10.0 ** math.floor(math.log10(room))
    step = next(one * decade for one in (1, 2, 5, 10) if one * decade >= room)
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]
