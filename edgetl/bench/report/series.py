"""What tells the series of a drawing apart: a mark, and a colour."""

from __future__ import annotations

from collections.abc import Sequence

from edgetl.bench.report.colours import SERIES, variable

_MARKS = {"o": "●", "s": "■", "^": "▲", "D": "◆", "v": "▼", "P": "✚", "X": "✖", "*": "★"}
"""Matplotlib's names -> the same in text."""
Key = tuple[str, str, str]
"""(mark, name, CSS colour) of a series."""


def key(names: Sequence[str]) -> tuple[Key, ...]:
    """What a drawing of these series is read with."""
    marks = tuple(_MARKS.values())
    return tuple((marks[number % len(marks)], name, variable(colour(number))) for number, name in enumerate(names))


def mark(number: int) -> str:
    """Matplotlib's name of a series' mark."""
    return tuple(_MARKS)[number % len(_MARKS)]


def colour(number: int) -> str:
    """The stand-in of its colour (see :mod:`edgetl.bench.report.colours`)."""
    return SERIES[number % len(SERIES)]
