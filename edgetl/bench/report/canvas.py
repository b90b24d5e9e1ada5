"""Matplotlib's drawings as inline SVG: the same drawing gives the same bytes, in the page's own font and colours."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

from edgetl.bench.report.colours import INK, LINE, SOFT, to_variables

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 360
"""Of every drawing, px: a phone shows it whole."""
SIZE = 11
"""Of its letters, px."""
_STYLE: Any = {
    "svg.fonttype": "none", "text.parse_math": False, "font.family": "DejaVu Sans", "font.size": SIZE, "text.color": INK,
    "figure.facecolor": "none", "axes.facecolor": "none", "axes.edgecolor": LINE, "axes.labelcolor": SOFT, "axes.labelsize": SIZE,
    "axes.titlesize": SIZE,
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 1, "axes.axisbelow": True,
    "xtick.color": LINE, "ytick.color": LINE, "xtick.labelcolor": SOFT, "ytick.labelcolor": SOFT, "xtick.labelsize": SIZE,
    "ytick.labelsize": SIZE, "grid.color": LINE, "grid.linewidth": 1, "path.simplify": False,
}  # fmt: skip
_NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))
_SHORT = 48
_SHORTHAND = re.compile(r'font: (?:(bold|700) )?([\d.]+px) [^;"]*')
"""As matplotlib 3.8 writes it."""


def drawn(paint: Callable[[Figure], None], *, height: float, label: str, salt: str) -> str:
    """Paints a figure and returns it as an `<svg>` element.

    Args:
        paint: draws on an empty figure of WIDTH x `height`.
        height: px.
        label: what it shows, for those who cannot see it.
        salt: another one for every figure of a page: the ids of its parts come from it.
    """
    import matplotlib
    from matplotlib.figure import Figure

    # The reader's matplotlibrc must not change the page, and letters that this font lacks are in one of the reader's.
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing from font")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        matplotlib.rcParams["svg.hashsalt"] = salt
        figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72)
        paint(figure)
        content = io.StringIO()
        figure.savefig(content, format="svg", metadata=_NO_METADATA)
    return _inline(content.getvalue(), label, height)


def plot(figure: Figure, *, top: float, bottom: float, left: float = 2, right: float = 8) -> Axes:
    """Axes with margins in px."""
    width, height = figure.get_size_inches() * 72
    return figure.add_axes((left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height))


def short(text: str) -> str:
    """A name that fits into a drawing; the tables have it in full."""
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 1]}…"


def _inline(svg: str, label: str, height: float) -> str:
    body = svg[svg.index("<g ") : svg.rindex("</svg>")]
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body).replace("xlink:href", "href")
    body = re.sub(r'; font-family: [^;"]*', "", re.sub(_SHORTHAND, _font, body))
    body = re.sub(r' (?:d|x|y|transform|points)="[^"]*"', lambda found: re.sub(r"\d+\.\d+", _rounded, found[0]), body)
    body = re.sub(r"\s*\n\s*", " ", to_variables(body))
    return f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(label)}">{body}</svg>'


def _font(found: re.Match[str]) -> str:
    return f"font-size: {found[2]}" + ("; font-weight: 700" if found[1] else "")


def _rounded(found: re.Match[str]) -> str:
    return f"{float(found[0]):.1f}".removesuffix(".0")
