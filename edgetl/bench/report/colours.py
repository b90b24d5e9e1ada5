"""The page's colours: figures are drawn with stand-ins that become CSS variables, so that one drawing follows light and dark."""

from __future__ import annotations

import re

_NAMES = ("ink", "soft", "line", "accent", "tint", "bad", "apart", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7")
_STAND_IN = {name: f"#0{number:x}f{number:x}e{number:x}" for number, name in enumerate(_NAMES)}
_USED = re.compile(r"(fill|stroke): (#[0-9a-f]{6})")

INK, SOFT, LINE, ACCENT, TINT, BAD, APART = (_STAND_IN[name] for name in _NAMES[:7])
"""Text; lesser text; rules; what was measured; its area; trouble; what was emulated or estimated."""
SERIES = tuple(_STAND_IN[name] for name in _NAMES[7:])
"""Stages, minutes and machines, in this order; a figure with more starts again, and never relies on colour alone."""


def variable(stand_in: str) -> str:
    """The CSS of a stand-in, e.g. `var(--ink)`."""
    return next(f"var(--{name})" for name, value in _STAND_IN.items() if value == stand_in)


def to_variables(svg: str) -> str:
    """An SVG with every stand-in replaced; what is no stand-in stays."""
    known = set(_STAND_IN.values())
    return _USED.sub(lambda found: f"{found[1]}: {variable(found[2])}" if found[2] in known else found[0], svg)
