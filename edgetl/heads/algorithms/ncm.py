"""Nearest class mean (Mensink et al. 2013 without a learnt metric; `sklearn.neighbors.NearestCentroid`)."""

from __future__ import annotations

import numpy as np

from edgetl.heads.algorithms.leave_out import Removal, leave_out
from edgetl.heads.training_set import Solution, TrainingSet, group_rows, without_own
from edgetl.types import Array


def fit(view: TrainingSet) -> Solution:
    """Scores x.m - |m|^2/2, which orders classes by Euclidean distance; leaving near-duplicate groups out is exact."""
    # Taken from a common origin, squared lengths are small and their differences keep their digits.
    origin = view.means.mean(0)
    means = view.means - origin
    squares = np.einsum("cd,cd->c", means, means)
    return Solution(lambda: (means, -squares / 2 - means @ origin), None, lambda: _held(view, origin, means, squares))


def _held(view: TrainingSet, origin: Array, means: Array, squares: Array) -> Array:
    """Logits float64 [m, c] of each row `asked` without its near-duplicate group; without x a class mean is m' = m + (m - x) / (n - 1)."""
    classes, held = view.classes[view.asked], np.empty((len(view.asked), len(means)))

    def products(places: Array | slice) -> tuple[Array, Array]:
        """Some rows `asked`, int [...], from the origin, float32 [..., d], and their products with the means, float64 [..., c]."""
        x = view.x[view.asked[places]] - origin.astype(np.float32)
        return x, (x @ means.T.astype(np.float32)).astype(np.float64)

    for places in view.blocks():
        x, along = products(places)
        own = classes[places]
        left = view.counts[own] - 1
        step = 1 / np.maximum(left, 1)
        mine, square = along[np.arange(len(x)), own], squares[own]
        norms = np.einsum("nd,nd->n", x, x)
        moved = mine + step * (mine - norms)
        shorter = (1 + step) ** 2 * square - 2 * step * (1 + step) * mine + step**2 * norms
        held[places] = without_own(along - squares / 2, own, moved - shorter / 2, left)

    def without(places: Array) -> Array:
        x, along = products(places)
        loss = Removal.compute(classes[places], view.counts, x @ x.swapaxes(1, 2), along, means @ means.T)
        return np.where(loss.gone[:, None], -np.inf, loss.x_means - loss.squares[:, None] / 2)

    def refit(places: Array) -> Array:
        (x, _), own = products(places), classes[places]
        rest = view.counts - np.bincount(own, minlength=len(means))
        sums = view.counts[:, None] * means
        for label in np.unique(own):
            sums[label] -= x[own == label].sum(0, dtype=np.float64)
        mean = sums / np.maximum(rest, 1)[:, None]
        return np.where(rest > 0, x @ mean.T.astype(np.float32) - np.einsum("cd,cd->c", mean, mean) / 2, -np.inf)

    leave_out(held, view, ((places,) for places in group_rows(view.bursts[view.asked], view.most)), without, refit)
    return held
