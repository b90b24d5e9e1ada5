"""Tables for the screen: plain aligned text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from unicodedata import east_asian_width

_UNITS = ("", "%", "x", "ns", "us", "µs", "ms", "s", "B", "kB", "MB", "MiB")


def render(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Lays out rows under their headers, numbers to the right, text to the left.

    Args:
        headers: one name per column.
        rows: values as long as `headers`; None is shown as `-`.

    Returns:
        Lines without trailing spaces; the header line, a rule, and one line per row.
    """
    cells = [["-" if value is None else str(value) for value in row] for row in rows]
    columns = list(zip(headers, *cells))
    widths = [max(map(_width, column)) for column in columns]
    right = [len(column) > 1 and all(map(_numeric, column[1:])) for column in columns]
    lines = [list(headers), ["-" * width for width in widths], *cells]
    return "\n".join("  ".join(map(_pad, line, widths, right)).rstrip() for line in lines)


def _numeric(cell: str) -> bool:
    number, _, unit = cell.partition(" ")
    if cell == "-":
        return True
    try:
        float(number.rstrip("%x"))
    except ValueError:
        return False
    return unit in _UNITS


def _pad(cell: str, width: int, right: bool) -> str:
    space = " " * (width - _width(cell))
    return space + cell if right else cell + space


def _width(text: str) -> int:
    """Columns on a terminal: East Asian wide characters and emoji take two (Unicode Annex 11)."""
    return sum(2 if east_asian_width(c) in "WF" else 1 for c in text)
