"""Scores each near-duplicate group by a head that was trained without it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np

from edgetl.heads.linalg.whitening import BLOCK
from edgetl.heads.training_set import TrainingSet
from edgetl.types import Array


def leave_out(
    held: Array, view: TrainingSet, groups: Iterable[tuple[Array, ...]], without: Callable[..., Array], refit: Callable[[Array], Array]
) -> None:
    """Writes the logits of each group's rows, from a head trained without that group, into `held`.

    A small group of g rows is taken out of the finished head, in O(g^3). For a large one a head of the rest is fitted, in O(g r^2 + r^3);
    all groups together cost O(n r^2) (docs/evidence/near-duplicates.md). If all rows are one group, nothing is left to train from and
    every logit is -inf.

    Args:
        held: float64 [m, c], one row for each of `view.asked`; overwritten.
        view: the samples.
        groups: batches of b groups of g rows, g at most `view.most`: their places in `view.asked`, int [b, g], then `without`'s
            other arguments.
        without: an item of `groups` -> float64 [b, g, c].
        refit: places of the rows of a larger group, int [g] -> float64 [g, c].
    """
    if (view.bursts == view.bursts[0]).all():
        held[:] = -np.inf
        return
    for group in groups:
        held[group[0]] = without(*group)
    numbers = view.bursts[view.asked]
    for burst in np.flatnonzero(np.bincount(numbers) > view.most):
        places = np.flatnonzero(numbers == burst)
        held[places] = refit(places)


class Rest:
    """A view without some of its rows, in the same coordinates: what a head is fitted from that never saw them.

    Attributes:
        counts: rows per class that are left, int [c].
        centres: the means of the rows that are left, float64 [c, r]; zero for a class with none.
    """

    def __init__(self, view: TrainingSet, rows: Array) -> None:
        """Takes out `rows`, int [g], in O(g d^2 + g r^2); their coordinates are float64 here, whatever the view's are."""
        self._view, self._rows = view, rows
        member = np.eye(len(view.counts))[view.classes[rows]]
        space, sums = view.whitening, view.counts[:, None] * view.centres
        self._scatter = np.eye(sums.shape[1]) + (space.changes.T * space.signs) @ space.changes
        for start in range(0, len(rows), BLOCK):
            here = slice(start, start + BLOCK)
            points = space.project(view.x[rows[here]])
            self._scatter -= points.T @ points
            sums -= member[here].T @ points
        self.counts = view.counts - member.sum(0).astype(np.intp)
        self.centres = np.where(self.counts[:, None] > 0, sums / np.maximum(self.counts, 1)[:, None], 0)

    def solve(self, less: Array, vectors: Array) -> Array:
        """(P (M + alpha I) P^T - less^T less)^-1 times each row of `vectors` [m, r], for M of what is left and `less` [k, r]."""
        return np.linalg.solve(self._scatter - less.T @ less, vectors.T).T  # type: ignore[no-any-return]

    def logits(self, weight: Array, bias: Array) -> Array:
        """Logits of a head [c, r], [c] for the rows that were taken out, float64 [g, c]; -inf for a class with nothing left."""
        w, b = self._view.whitening.unproject(weight, bias)
        x, at = self._view.x, range(0, len(self._rows), BLOCK)
        along = np.concatenate([x[self._rows[start : start + BLOCK]].astype(np.float64) @ w.T for start in at])
        return np.where(self.counts > 0, along + b, -np.inf)


@dataclasses.dataclass(frozen=True)
class Removal:
    """What a class loses when each of b groups of g rows is taken out, in a geometry A: products are x^T A z.

    With u = x - m for a row and its class's mean, and n classes' rows before, the mean of a class k becomes m' = m - U^T e, where e is
    1 / (rows left) for the group's rows of that class and 0 for its others.

    Attributes:
        gone: whether nothing is left of a class, bool [b, c].
        within: C^-1 = I - 1 1^T / n in each class (I where nothing is left), for which the scatter becomes W' = W - U^T C U, [b, g, g].
        most: an upper bound of C's eigenvalues, [b].
        x_u: [b, g, g].
        u_u: [b, g, g].
        u_means: products with the means after, U A m', [b, g, c].
        x_means: the same of the rows, x A m', [b, g, c].
        squares: m' A m', [b, c].
    """

    gone: Array
    within: Array
    most: Array
    x_u: Array
    u_u: Array
    u_means: Array
    x_means: Array
    squares: Array

    @classmethod
    def compute(cls, classes: Array, counts: Array, gram: Array, along: Array, cross: Array) -> Removal:
        """Computes it.

        Args:
            classes: of the rows, int [b, g].
            counts: rows per class before, [c].
            gram: x A x among the rows, [b, g, g].
            along: x A m, [b, g, c].
            cross: m A m, [c, c].
        """
        member = np.eye(len(counts))[classes]
        across = member.swapaxes(1, 2)
        left = counts - member.sum(1)
        share = member * np.where(left > 0, 1 / np.maximum(left, 1), 0)[:, None]
        u_before = along - cross[classes]
        x_u = gram - along @ across
        u_u = x_u - (u_before @ across).swapaxes(1, 2)
        u_share = u_u @ share
        u_means, x_means = u_before - u_share, along - x_u @ share
        squares = np.diag(cross) - ((u_before + u_means) * share).sum(1)
        within = np.eye(classes.shape[1]) - (member * np.where(left > 0, 1 / counts, 0)[:, None]) @ across
        most = 1 + classes.shape[1] * share.max((1, 2))
        return cls(left == 0, within, most, x_u, u_u, u_means, x_means, squares)


def inverse(matrices: Array, least: Array) -> Array:
    """The inverses of symmetric matrices [b, g, g] whose eigenvalues are known to be at least `least`, [b].

    Rounding can take an eigenvalue near `least` below it, even below zero; then the bound is used.
    """
    values, vectors = np.linalg.eigh(matrices)
    return (vectors / np.maximum(values, least[:, None])[:, None]) @ vectors.swapaxes(1, 2)  # type: ignore[no-any-return]
