"""Linear discriminant analysis with one regularised within-class covariance and equal priors.

The covariance is W + alpha I for the within-class scatter W: Friedman's regularised discriminant analysis (1989) with shrinkage
rho = alpha / (alpha + tr W / d), the shrinkage that scikit-learn and OAS (Chen et al. 2010) write as (1 - rho) S + rho tr(S)/d I.
Alpha is chosen by leave-one-out Brier score (see :mod:`edgetl.heads.selection`). Measured on EfficientNet-Lite0 embeddings of flowers,
sign digits and magnetic tiles, mean top-1 at 5 / 20 / 100 / all photos per class: 56.8 / 70.1 / 84.4 / 86.5, with OAS 56.1 / 69.7 / 81.8
/ 84.9. Equal priors, because the share of photos taught says little about the share met: on the tiles 89.5 against 86.6 with the
taught shares, on flowers with one rare class 69.4 against 66.6, on balanced data the same.
"""

from __future__ import annotations

import numpy as np

from edgetl.heads.reading import Reading, View, without_own


def read(view: View) -> Reading:
    """Scores x^T A m - m^T A m / 2 with A = (W + alpha I)^-1; leave-one-out is exact at the same alpha.

    Without x, a sample of class y with n others and mean m: u = x - m, W' = W - (n+1)/n u u^T and m' = m - u/n, so that A' follows from
    A by Sherman and Morrison (1950). The scatter is not divided by a count: that scales all logits alike, and the temperature absorbs it.
    """
    white, y, row = view.whitening, view.classes, np.arange(len(view.classes))
    means = view.centres
    solve = white.inverse(means * np.sqrt(view.counts)[:, None], -np.ones(len(means)))
    solved = solve.apply(means)
    cross = means @ solved.T
    along = (white.rows @ solved.T.astype(white.rows.dtype)).astype(np.float64)
    norms = solve.quadratic(white.rows)
    left = view.counts[y] - 1
    step = 1 / np.maximum(left, 1)
    x_u = norms - along[row, y]
    u_u = x_u - along[row, y] + cross[y, y]
    u_means = along - cross[y]
    shrink = np.where(left > 0, 1 + step, 0)
    gain = shrink / np.maximum(1 - shrink * u_u, 1e-9)
    held = along + (gain * x_u)[:, None] * u_means - (np.diag(cross) + gain[:, None] * u_means**2) / 2
    own = held[row, y] + (1 + gain * u_u) * (step * (u_means[row, y] - x_u) - step**2 * u_u / 2)
    return Reading(solved, -np.diag(cross) / 2, white, without_own(held, y, own, left))
