"""Newton's method with conjugate gradients: a convex function's minimum to nearly all digits, once a first search has come near it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgetl.types import Array

_STEPS, _INNER = 12, 500
_SHARE = 0.03
"""Each step is solved to this share of the gradient (docs/evidence/head-choice.md)."""


def newton(
    gradient: Callable[[Array], tuple[Array, Callable[[Array], Array]]], solve: Callable[[Array], Array], start: Array, enough: float
) -> Array:
    """Steps p - H^-1 g (Nocedal and Wright 2006, algorithm 7.1), with H^-1 g by preconditioned conjugate gradients.

    Where it ends depends on the gradient only: what is computed in a lower precision, the product with H, costs steps and no digits.

    Args:
        gradient: the gradient at a point, and the product of the second derivative there with a direction.
        solve: a gradient divided by a guess of the second derivative.
        start: a point near the minimum.
        enough: the gradient's length, measured with `solve`, at which it stops.
    """
    point = best = start
    least = np.inf
    for _ in range(_STEPS):
        slope, curved = gradient(point)
        length = float(np.sqrt((slope * solve(slope)).sum()))
        if length >= least:
            break
        best, least = point, length
        if length <= enough:
            break
        point = best + _descent(slope, curved, solve)
    return best


def _descent(slope: Array, curved: Callable[[Array], Array], solve: Callable[[Array], Array]) -> Array:
    """The solution of H step = -slope, to _SHARE (Golub and Van Loan 2013, algorithm 11.5.1)."""
    step, residual = np.zeros_like(slope), -slope
    towards = solve(residual)
    square = first = float((residual * towards).sum())
    direction = towards
    for _ in range(_INNER):
        bent = curved(direction)
        length = square / float((direction * bent).sum())
        step, residual = step + length * direction, residual - length * bent
        towards = solve(residual)
        square, last = float((residual * towards).sum()), square
        if square <= _SHARE**2 * first:
            break
        direction = towards + square / last * direction
    return step
