"""Nearest class mean (Mensink et al. 2013 without a learnt metric; `sklearn.neighbors.NearestCentroid`)."""

from __future__ import annotations

import numpy as np

from edgetl.heads.groups import Loss, leave_out
from edgetl.heads.reading import Reading, View, without_own
from edgetl.types import Array


def read(view: View) -> Reading:
    """Scores x.m - |m|^2/2, which orders classes by Euclidean distance; leave-one-burst-out is exact."""
    # Taken from a common origin, squared lengths are small and their differences keep their digits.
    origin = view.means.mean(0)
    means = view.means - origin
    squares = np.einsum("cd,cd->c", means, means)
    return Reading(means, -squares / 2 - means @ origin, None, lambda: _held(view, view.x - origin.astype(np.float32), means, squares))


def _held(view: View, x: Array, means: Array, squares: Array) -> Array:
    """Logits float64 [n, c] of each row from a head without its burst; without x its class mean is m' = m + (m - x) / (n - 1)."""
    along = (x @ means.T.astype(np.float32)).astype(np.float64)
    held = along - squares / 2
    left = view.counts[view.classes] - 1
    step = 1 / np.maximum(left, 1)
    mine, square = along[np.arange(len(x)), view.classes], squares[view.classes]
    norms = np.einsum("nd,nd->n", x, x)
    moved = mine + step * (mine - norms)
    shorter = (1 + step) ** 2 * square - 2 * step * (1 + step) * mine + step**2 * norms
    held = without_own(held, view.classes, moved - shorter / 2, left)

    def without(rows: Array) -> Array:
        loss = Loss.of(view.classes[rows], view.counts, x[rows] @ x[rows].swapaxes(1, 2), along[rows], means @ means.T)
        return np.where(loss.gone[:, None], -np.inf, loss.x_means - loss.squares[:, None] / 2)

    def refit(rows: Array) -> Array:
        classes, left = view.classes[rows], view.counts - np.bincount(view.classes[rows], minlength=len(means))
        sums = view.counts[:, None] * means
        for own in np.unique(classes):
            sums[own] -= x[rows[classes == own]].sum(0, dtype=np.float64)
        rest = sums / np.maximum(left, 1)[:, None]
        return np.where(left > 0, x[rows] @ rest.T.astype(np.float32) - np.einsum("cd,cd->c", rest, rest) / 2, -np.inf)

    leave_out(held, view.bursts, x.shape[1], without, refit)
    return held
