"""Power normalisation, which every head reads an embedding through: square roots of the values, with their signs, then length 1."""

from __future__ import annotations

import numpy as np

from edgetl.types import Array, Embeddings

_GRID = np.float32(2**30)
_ROOTS = np.copysign(
    np.sqrt(np.abs(np.arange(256, dtype=np.uint8).view(np.int8).astype(np.float32))), np.arange(256, dtype=np.uint8).view(np.int8)
)
"""The signed root of each int8, by its bits."""


def power_normalised(x: Embeddings, rooted: int | None = None) -> Embeddings:
    """sign(z) |z|^1/2 of each value, each row then L2-normalised (Perronnin, Sanchez and Mensink 2010, sections 3.1 and 3.2, alpha = 1/2).

    Few large values no longer outweigh the many small ones. On EfficientNet-Lite0 embeddings (`tools/bench_heads --only auto`, 5 seeds)
    roots took `auto` from 36.4 to 37.6 % at one photo per class, from 54.1 to 55.7 at 5, from 70.3 to 72.4 at 20 and from 82.3 to 84.6 at
    100 (mean of flowers, sign digits and magnetic tiles; on each they were better or the same), and on solar cells (functional or
    defective, float32 / int8, 10 splits) from 67.1 / 67.7 to 68.4 / 70.1 at 20, from 76.8 / 76.9 to 76.9 / 76.6 at 100 and with 75 % of all
    taught (30 splits) from 84.8 / 85.0 to 85.3 / 84.8.

    Args:
        x: float32 [n, d], of any length.
        rooted: of how many of the last values roots are taken; of all when not given. See :func:`signed_roots`.

    Returns:
        As :func:`unit`.
    """
    return unit(signed_roots(x, x.shape[1] if rooted is None else rooted))


def directions(codes: Array) -> Embeddings:
    """What :func:`power_normalised` gives for rows of any length [n, d], within float32's rounding: for products, not for exact sums.

    Rows of int8 take a quarter of the time: their roots come from a table, and the squares of those are the values themselves.
    """
    if codes.dtype != np.int8:
        return power_normalised(codes.astype(np.float32))
    rows: Embeddings = _ROOTS[codes.view(np.uint8)]
    squares = np.einsum("nd,nd->n", rows, rows)
    rows /= np.sqrt(np.where(squares > 0, squares, 1))[:, None]
    return rows


def signed_roots(x: Embeddings, rooted: int) -> Embeddings:
    """An array [..., d] with roots of the last `rooted` values in their place, with their signs.

    Where there are others before, the roots are scaled to the L2 norm that their values had, so that every level keeps its share. Middle
    levels are read as they are: they have both signs, and with roots of all values the four levels of EfficientNet-Lite0 lost what they
    gain over the last one alone (top-1 at 20 / 100 photos per class: flowers 61.8 / 72.0, sign digits 91.2 / 96.8, magnetic tiles 64.6 /
    88.6; with roots of the last level's only 62.1 / 72.4, 93.0 / 97.7, 67.4 / 88.8; the last level alone 62.0 / 71.3, 90.0 / 95.4, 65.1 /
    87.0; all without roots 62.2 / 72.2, 92.4 / 97.6, 64.9 / 88.1; 5 seeds).
    """
    last = x[..., x.shape[-1] - rooted :]
    roots: Embeddings = np.abs(last)
    np.sqrt(roots, out=roots)
    np.copysign(roots, last, out=roots)
    if rooted == x.shape[-1]:
        return roots
    before, after = (np.sqrt(np.einsum("...d,...d->...", rows, rows, dtype=np.float64))[..., None] for rows in (last, roots))
    made: Embeddings = x.copy()
    made[..., x.shape[-1] - rooted :] = roots * (before / np.where(after > 0, after, 1))
    return made


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
