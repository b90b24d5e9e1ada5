"""Ridge regression onto one-hot targets with an intercept that is not penalised (`sklearn.linear_model.RidgeClassifier`, centred)."""

from __future__ import annotations

import numpy as np

from edgetl.heads.algorithms.leave_out import Rest, inverse, leave_out
from edgetl.heads.linalg.whitening import Inverse
from edgetl.heads.training_set import Solution, TrainingSet, without_own
from edgetl.types import Array


def fit(view: TrainingSet) -> Solution:
    """Scores are the regression's values, with K = (T + lambda I)^-1 for the scatter T about the mean m: share + (x - m)^T K sum (x - m) y.

    Leaving near-duplicate groups out is exact. Lambda is chosen like LDA's alpha.
    """
    total, means = len(view.classes), view.centres
    share = view.counts / total
    mean = share @ means
    solve = view.whitening.inverse(np.sqrt(total) * mean[None], np.array([-1.0]))
    vectors = np.concatenate([view.counts[:, None] * (means - mean), mean[None]])
    solved = solve.apply(vectors)
    offset = share - solved[:-1] @ mean
    return Solution(lambda: (solved[:-1], offset), view.whitening, lambda: _held(view, solve, vectors, offset, mean @ solved[-1]))


def _held(view: TrainingSet, solve: Inverse, vectors: Array, offset: Array, level: float) -> Array:
    """Values float64 [m, c] of each row `asked` without its near-duplicate group, by the leverages h: y - (y - f) / (1 - h) (Allen 1974).

    It is h = 1/n + (x - m)^T K (x - m). A group is its block of the hat matrix: y - (I - H)^-1 (y - f), where no eigenvalue of
    (I - H)^-1 is above 1 + g / (n - g) + 4 g / lambda for g rows, because embeddings have norm 1.

    Args:
        view: the samples.
        solve: K.
        vectors: sum (x - m) y and m, [c + 1, r].
        offset: the values at zero, [c].
        level: m^T K m.
    """
    classes, total, number = view.classes[view.asked], len(view.classes), len(view.counts)
    held, lengths = np.empty((len(classes), number)), view.lengths()

    def products(places: Array | slice) -> tuple[Array, Array]:
        """Products of some rows `asked`, int [...], with what `solve` adds and, after it, with `vectors`, [..., k] and [..., c + 1]."""
        changes, along = view.products(places)
        at_mean = along @ view.counts[:, None] / total
        inside = np.concatenate([changes, np.sqrt(total) * at_mean], -1)
        return inside, solve.products(np.concatenate([view.counts * (along - at_mean), at_mean], -1), inside, vectors)

    for places in view.blocks():
        inside, along = products(places)
        leverage = 1 / total + solve.quadratic(lengths[places], inside) - 2 * along[:, -1] + level
        free = np.maximum(1 - leverage, 1 / (1 + 1 / (total - 1) + 4 / view.alpha))[:, None]
        values, own = along[:, :-1] + offset, classes[places]
        # For the targets that are zero y - (y - f) / (1 - h) is this; the own class' target is one.
        mine = 1 - (1 - values[np.arange(len(own)), own]) / free[:, 0]
        held[places] = without_own(values / free, own, mine, view.counts[own] - 1)

    def without(places: Array, gram: Array) -> Array:
        size, targets = places.shape[1], np.eye(number)[classes[places]]
        gone = targets.sum(1) == view.counts
        inside, along = products(places)
        at_mean = along[:, :, -1]
        hat = solve.within(gram, inside) - at_mean[:, :, None] - at_mean[:, None] + level + 1 / total
        most = np.full(len(places), 1 + size / (total - size) + 4 * size / view.alpha)
        loss = inverse(np.eye(size) - hat, 1 / most) @ (targets - (along[:, :, :-1] + offset))
        return np.where(gone[:, None], -np.inf, targets - loss)

    leave_out(held, view, view.grams(), without, lambda places: _refitted(Rest(view, view.asked[places])))
    return held


def _refitted(rest: Rest) -> Array:
    """Values float64 [g, c] of the rows that are not in the rest."""
    total = rest.counts.sum()
    share = rest.counts / total
    mean = share @ rest.centres
    solved = rest.solve(np.sqrt(total) * mean[None], rest.counts[:, None] * (rest.centres - mean))
    return rest.logits(solved, share - solved @ mean)
