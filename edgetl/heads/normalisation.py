"""Power normalisation, which every head reads an embedding through: square roots of the values, with their signs, then length 1."""

from __future__ import annotations

import numpy as np

from edgetl.types import Array, Embeddings

_GRID = np.float32(2**30)


def power_normalised(x: Embeddings, rooted: int | None = None) -> Embeddings:
    """sign(z) |z|^1/2 of each value, each row then L2-normalised (Perronnin, Sanchez and Mensink 2010, sections 3.1 and 3.2, alpha = 1/2).

    Few large values no longer outweigh the many small ones. Before / with roots, `auto` got 37.7 / 36.4 ... TODO

    Args:
        x: float32 [n, d], of any length.
        rooted: of how many of the last values roots are taken; of all when not given. See :func:`signed_roots`.

    Returns:
        As :func:`unit`.
    """
    return unit(signed_roots(x, x.shape[1] if rooted is None else rooted))


def signed_roots(x: Embeddings, rooted: int) -> Embeddings:
    """An array [..., d] with roots of the last `rooted` values in their place, with their signs.

    Where there are others before, the roots are scaled to the L2 norm that their values had, so that each level of an embedding keeps its
    share. TODO
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
