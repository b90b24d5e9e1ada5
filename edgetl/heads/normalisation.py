"""Power normalisation, which every head reads an embedding through: square roots of the values, with their signs, then length 1."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from edgetl.types import Array, Embeddings

Normalisation = Literal["power", "l2"]
"""What a head reads an embedding through. Heads made before power normalisation read the L2-normalised embedding."""
NORMALISATIONS: tuple[Normalisation, ...] = get_args(Normalisation)
_GRID = np.float32(2**30)


def power_normalised(x: Embeddings) -> Embeddings:
    """sign(z) |z|^1/2 of each value, each row then L2-normalised (Perronnin, Sanchez and Mensink 2010, sections 3.1 and 3.2, alpha = 1/2).

    Products of such rows are Bhattacharyya coefficients of the values as shares: a few large values weigh less beside the many small ones.

    Args:
        x: float32 [n, d], of any length.

    Returns:
        As :func:`unit`.
    """
    return unit(signed_root(x))


def signed_root(x: Embeddings) -> Embeddings:
    """sign(z) |z|^1/2 of each value of an array, float32."""
    made: Embeddings = np.abs(x)
    np.sqrt(made, out=made)
    return np.copysign(made, x, out=made)


def unit(x: Array) -> Embeddings:
    """Rows of `x` float32 [n, d] divided by their L2 norm; zero rows stay zero, and rows with a NaN or an infinity get NaN.

    Values are rounded to multiples of 2^-30, which is finer than float32 holds of a row's larger values. A float64 holds every sum of
    up to 2^23 such rows exactly, so that sums do not depend on the order of what came and went, nor drift, however often they change.
    """
    norms = np.sqrt(np.einsum("nd,nd->n", x, x))[:, None]
    # Where the squares leave float32's range there is still a direction: such rows are scaled to a largest value of 1 first.
    odd = ~((norms[:, 0] > 1e-15) & (norms[:, 0] < 1e18))
    if odd.any():
        top = np.abs(x[odd]).max(1, keepdims=True)
        x = x.copy()
        x[odd] = np.divide(x[odd], top, out=np.zeros_like(x[odd]), where=top != 0)
        norms[odd] = np.sqrt(np.einsum("nd,nd->n", x[odd], x[odd]))[:, None]
    divided: Embeddings = x / np.where(norms == 0, np.float32(1), norms)
    divided *= _GRID
    np.rint(divided, out=divided)
    divided /= _GRID
    return divided
