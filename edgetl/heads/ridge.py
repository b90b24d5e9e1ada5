"""Ridge regression onto one-hot targets with an intercept that is not penalised (`sklearn.linear_model.RidgeClassifier`, centred)."""

from __future__ import annotations

import numpy as np

from edgetl.heads.reading import Reading, View, without_own


def read(view: View) -> Reading:
    """Scores are the regression's values; leave-one-out is exact by the leverages h: y - (y - f) / (1 - h) (Allen 1974, PRESS).

    With K = (T + lambda I)^-1 for the scatter T about the mean m, f(x) = share + (x - m)^T K sum_i (x_i - m) y_i, and
    h = 1/n + (x - m)^T K (x - m). Lambda is chosen like LDA's alpha.
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
    free = np.maximum(1 - leverage, 1e-9)[:, None]
    values = along[:, :-1] + offset
    # For the targets that are zero y - (y - f) / (1 - h) is this; the own class' target is one.
    held = values / free
    own = 1 - (1 - values[row, view.classes]) / free[:, 0]
    return Reading(solved[:-1], offset, white, without_own(held, view.classes, own, view.counts[view.classes] - 1))
