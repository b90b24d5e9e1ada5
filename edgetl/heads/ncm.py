"""Nearest class mean (Mensink et al. 2013 without a learnt metric; `sklearn.neighbors.NearestCentroid`)."""

from __future__ import annotations

import numpy as np

from edgetl.heads.groups import Loss, leave_out
from edgetl.heads.reading import Reading, View, groups_of, without_own
from edgetl.types import Array


def read(view: View) -> Reading:
    """Scores x.m - |m|^2/2, which orders classes by Euclidean distance; leave-one-burst-out is exact."""
    # Taken from a common origin, squared lengths are small and their differences keep their digits.
    origin = view.means.mean(0)
    means = view.means - origin
    squares = np.einsum("cd,cd->c", means, means)
    return Reading(lambda: (means, -squares / 2 - means @ origin), None, lambda: _held(view, origin, means, squares))


def _held(view: View, origin: Array, means: Array, squares: Array) -> Array:
    """Logits float64 [m, c] of each asked row from a head without its burst; without x its class mean is m' = m + (m - x) / (n - 1)."""
    x, classes = view.x[view.asked] - origin.astype(np.float32), view.classes[view.asked]
    along = (x @ means.T.astype(np.float32)).astype(np.float64)
    held = along - squares / 2
    left = view.counts[classes] - 1
    step = 1 / np.maximum(left, 1)
    mine, square = along[np.arange(len(x)), classes], squares[classes]
    norms = np.einsum("nd,nd->n", x, x)
    moved = mine + step * (mine - norms)
    shorter = (1 + step) ** 2 * square - 2 * step * (1 + step) * mine + step**2 * norms
    held = without_own(held, classes, moved - shorter / 2, left)

    def without(places: Array) -> Array:
        loss = Loss.of(classes[places], view.counts, x[places] @ x[places].swapaxes(1, 2), along[places], means @ means.T)
        return np.where(loss.gone[:, None], -np.inf, loss.x_means - loss.squares[:, None] / 2)

    def refit(places: Array) -> Array:
        own, rest = classes[places], view.counts - np.bincount(classes[places], minlength=len(means))
        sums = view.counts[:, None] * means
        for label in np.unique(own):
            sums[label] -= x[places[own == label]].sum(0, dtype=np.float64)
        mean = sums / np.maximum(rest, 1)[:, None]
        return np.where(rest > 0, x[places] @ mean.T.astype(np.float32) - np.einsum("cd,cd->c", mean, mean) / 2, -np.inf)

    leave_out(held, view, ((places,) for places in groups_of(view.bursts[view.asked], view.most)), without, refit)
    return held
