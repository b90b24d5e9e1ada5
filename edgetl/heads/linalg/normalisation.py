"""Power normalisation of embeddings, as every head reads them: signed square roots of the values, then length 1."""

from __future__ import annotations

import numpy as np

from edgetl.types import Array, Embeddings

_GRID = np.float32(2**30)
_ROOTS = np.copysign(
    np.sqrt(np.abs(np.arange(256, dtype=np.uint8).view(np.int8).astype(np.float32))), np.arange(256, dtype=np.uint8).view(np.int8)
)
"""The signed root of each int8, by its bits."""


def power_normalise(x: Embeddings, rooted: int | None = None) -> Embeddings:
    """sign(z) |z|^1/2 of each value, each row then L2-normalised (Perronnin, Sanchez and Mensink 2010, sections 3.1 and 3.2, alpha = 1/2).

    Few large values no longer outweigh the many small ones (docs/evidence/normalisation.md).

    Args:
        x: float32 [n, d], of any length.
        rooted: of how many of the last values roots are taken; None for all. See :func:`signed_roots`.

    Returns:
        As :func:`normalise_rows`.
    """
    return normalise_rows(signed_roots(x, x.shape[1] if rooted is None else rooted))


def power_normalise_int8(codes: Array) -> Embeddings:
    """What :func:`power_normalise` gives for int8 rows [n, d], within float32's rounding: for products, not for exact sums.

    It takes a quarter of the time: the roots come from a table, and the squares of those are the values themselves.
    """
    rows: Embeddings = _ROOTS[codes.view(np.uint8)]
    squares = np.einsum("nd,nd->n", rows, rows)
    rows /= np.sqrt(np.where(squares > 0, squares, 1))[:, None]
    return rows


def signed_roots(x: Embeddings, rooted: int) -> Embeddings:
    """An array [..., d] with roots of the last `rooted` values in their place, with their signs.

    The roots are scaled to the L2 norm that the values had, so that every stage keeps its share. The earlier stages are read as they are
    (docs/evidence/normalisation.md).
    """
    last = x[..., x.shape[-1] - rooted :]
    roots: Embeddings = np.abs(last)
    np.sqrt(roots, out=roots)
    np.copysign(roots, last, out=roots)
    if rooted == x.shape[-1]:
        return roots
    before, after = (np.sqrt(np.einsum("...d,...d->...", rows, rows, dtype=np.float64))[..., None] for rows in (last, roots))
    normalised: Embeddings = x.copy()
    normalised[..., x.shape[-1] - rooted :] = roots * (before / np.where(after > 0, after, 1))
    return normalised


def normalise_rows(x: Array) -> Embeddings:
    """Rows of `x` float32 [n, d] divided by their L2 norm; zero rows stay zero, and rows with a NaN or an infinity get NaN.

    Values are rounded to multiples of 2^-30, which is finer than float32 holds of a row's larger values. A float64 holds every sum of
    up to 2^23 such rows exactly, so that sums do not depend on the order of what came and went, nor drift, however often they change.
    """
    norms = np.sqrt(np.einsum("nd,nd->n", x, x))[:, None]
    # Rows whose squares leave float32's range still have a direction: they are scaled to a largest value of 1 first.
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
