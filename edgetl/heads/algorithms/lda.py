"""Linear discriminant analysis with one regularised within-class covariance and equal priors.

The covariance is W + alpha I for the within-class scatter W: Friedman's regularised discriminant analysis (1989) with shrinkage
rho = alpha / (alpha + tr W / d), the shrinkage that scikit-learn and OAS (Chen et al. 2010) write as (1 - rho) S + rho tr(S)/d I.
Alpha is chosen by leave-one-out Brier score (:mod:`edgetl.heads.selection`). Priors are equal, because the class balance of the training
set says little about the balance met later (docs/evidence/head-choice.md, "Regularisation").
"""

from __future__ import annotations

import numpy as np

from edgetl.heads.algorithms.leave_out import Removal, Rest, inverse, leave_out
from edgetl.heads.linalg.whitening import Inverse
from edgetl.heads.training_set import Solution, TrainingSet, without_own
from edgetl.types import Array


def fit(view: TrainingSet) -> Solution:
    """Scores x^T A m - m^T A m / 2 with A = (W + alpha I)^-1; leaving near-duplicate groups out is exact at the same alpha."""
    means = view.centres
    solve = view.whitening.inverse(means * np.sqrt(view.counts)[:, None], -np.ones(len(means)))
    solved = solve.apply(means)
    cross = means @ solved.T
    return Solution(lambda: (solved, -np.diag(cross) / 2), view.whitening, lambda: _held(view, solve, cross))


def _held(view: TrainingSet, solve: Inverse, cross: Array) -> Array:
    """Logits float64 [m, c] of each row `asked` from a head without its near-duplicate group.

    Without x, a sample of class y with n others and mean m: u = x - m, W' = W - (n+1)/n u u^T and m' = m - u/n, so that A' follows from
    A by Sherman and Morrison (1950). The scatter is not divided by a count: that scales all logits alike, and the temperature absorbs it.
    """
    y, held = view.classes[view.asked], np.empty((len(view.asked), len(cross)))
    norms = view.lengths()

    def products(places: Array | slice) -> tuple[Array, Array]:
        """Products of some rows `asked`, int [...], with what `solve` adds and, after it, with the means, [..., k] and [..., c]."""
        changes, along = view.products(places)
        inside = np.concatenate([changes, along * np.sqrt(view.counts)], -1)
        return inside, solve.products(along, inside, view.centres)

    for places in view.blocks():
        inside, along = products(places)
        held[places] = _alone(along, solve.quadratic(norms[places], inside), cross, y[places], view)

    def without(places: Array, gram: Array) -> Array:
        """By Woodbury's identity A' = A + A U^T S U A with S = (C^-1 - U A U^T)^-1, which is C + C U A' U^T C.

        No eigenvalue of S is above |C| + |C|^2 |U|^2 / alpha, and |U|^2 is at most 4 g, because embeddings have norm 1.
        """
        inside, along = products(places)
        loss = Removal.compute(y[places], view.counts, solve.within(gram, inside), along, cross)
        most = loss.most + 4 * places.shape[1] * loss.most**2 / view.alpha
        onto = inverse(loss.within - loss.u_u, 1 / most) @ loss.u_means
        squares = loss.squares + (loss.u_means * onto).sum(1)
        out: Array = np.where(loss.gone[:, None], -np.inf, loss.x_means + loss.x_u @ onto - squares[:, None] / 2)
        return out

    leave_out(held, view, view.grams(), without, lambda places: _refitted(Rest(view, view.asked[places])))
    return held


def _alone(along: Array, norms: Array, cross: Array, y: Array, view: TrainingSet) -> Array:
    """Logits float64 [k, c] of rows of the classes `y` that are left out one by one, from x A m [k, c] and x A x [k]."""
    row, left = np.arange(len(y)), view.counts[y] - 1
    step = 1 / np.maximum(left, 1)
    x_u = norms - along[row, y]
    u_u = x_u - along[row, y] + cross[y, y]
    u_means = along - cross[y]
    shrink = np.where(left > 0, 1 + step, 0)
    gain = shrink / np.maximum(1 - shrink * u_u, 1 / (1 + 4 * shrink / view.alpha))
    held = along - np.diag(cross) / 2 + gain[:, None] * u_means * (x_u[:, None] - u_means / 2)
    own = held[row, y] + (1 + gain * u_u) * (step * (u_means[row, y] - x_u) - step**2 * u_u / 2)
    return without_own(held, y, own, left)


def _refitted(rest: Rest) -> Array:
    """Logits float64 [g, c] of the rows that are not in the rest."""
    solved = rest.solve(rest.centres * np.sqrt(rest.counts)[:, None], rest.centres)
    return rest.logits(solved, -np.einsum("cr,cr->c", rest.centres, solved) / 2)
