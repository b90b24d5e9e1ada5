"""Ridge regression onto one-hot targets with an intercept that is not penalised (`sklearn.linear_model.RidgeClassifier`, centred)."""

from __future__ import annotations

import numpy as np

from edgetl.heads.groups import Rest, inverse, leave_out
from edgetl.heads.reading import Reading, View, centred, without_own
from edgetl.types import Array


def read(view: View) -> Reading:
    """Scores are the regression's values; leave-one-burst-out is exact by the leverages h: y - (y - f) / (1 - h) (Allen 1974, PRESS).

    With K = (T + lambda I)^-1 for the scatter T about the mean m, f(x) = share + (x - m)^T K sum_i (x_i - m) y_i, and
    h = 1/n + (x - m)^T K (x - m). A burst is its block of the hat matrix: y - (I - H)^-1 (y - f), where no eigenvalue of (I - H)^-1
    is above 1 + g / (n - g) + 4 g / lambda for g rows, because embeddings have norm 1. Lambda is chosen like LDA's alpha.
    """
    white, row, total = view.whitening, np.arange(len(view.classes)), len(view.classes)
    share = view.counts / total
    means = view.centres
    mean = share @ means
    solve = white.inverse(np.sqrt(total) * mean[None], np.array([-1.0]))
    solved = solve.apply(np.concatenate([view.counts[:, None] * (means - mean), mean[None]]))
    offset = share - solved[:-1] @ mean

    along = (white.rows @ solved.T.astype(white.rows.dtype)).astype(np.float64)
    leverage = 1 / total + solve.quadratic(white.rows) - 2 * along[:, -1] + mean @ solved[-1]
    free = np.maximum(1 - leverage, 1 / (1 + 1 / (total - 1) + 4 / view.alpha))[:, None]
    values = along[:, :-1] + offset
    # For the targets that are zero y - (y - f) / (1 - h) is this; the own class' target is one.
    held = values / free
    own = 1 - (1 - values[row, view.classes]) / free[:, 0]
    held = without_own(held, view.classes, own, view.counts[view.classes] - 1)

    def without(rows: Array) -> Array:
        size, targets = rows.shape[1], np.eye(len(view.counts))[view.classes[rows]]
        gone = targets.sum(1) == view.counts
        hat = solve.gram(white.rows[rows]) - along[rows, -1][:, :, None] - along[rows, -1][:, None] + mean @ solved[-1] + 1 / total
        most = np.full(len(rows), 1 + size / (total - size) + 4 * size / view.alpha)
        loss = inverse(np.eye(size) - hat, 1 / most) @ (targets - values[rows])
        return np.where(gone[:, None], -np.inf, targets - loss)

    leave_out(held, view.bursts, means.shape[1], without, lambda rows: _refitted(Rest(view, rows)))
    return Reading(solved[:-1], offset, white, centred(held))


def _refitted(rest: Rest) -> Array:
    """Values float64 [g, c] of the rows that are not in the rest."""
    total = rest.counts.sum()
    share = rest.counts / total
    mean = share @ rest.centres
    solved = rest.solve(np.sqrt(total) * mean[None], rest.counts[:, None] * (rest.centres - mean))
    return rest.logits(solved, share - solved @ mean)
