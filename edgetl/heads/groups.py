"""Whole bursts left out at once: rows in groups, and what a class loses when a group goes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from edgetl.types import Array

_TOGETHER = 2048


def groups_of(numbers: Array) -> Iterator[Array]:
    """The rows of every group that has more than one, int [b, g]: groups of one size together, about _TOGETHER rows at a time.

    Args:
        numbers: the group of each row, int [n], from 0.
    """
    sizes = np.bincount(numbers)
    if sizes.max(initial=0) < 2:
        return
    starts, order = np.cumsum(sizes) - sizes, np.argsort(numbers, kind="stable")
    for size in np.unique(sizes[sizes > 1]).tolist():
        rows = order[starts[sizes == size][:, None] + np.arange(size)]
        step = max(1, _TOGETHER // size)
        for begin in range(0, len(rows), step):
            yield rows[begin : begin + step]


def leave_out(held: Array, numbers: Array, without: Callable[[Array], Array]) -> None:
    """Puts what `without` gives for the rows of each group, int [b, g] -> float64 [b, g, c], into `held` [n, c], in place.

    Where all rows are one group nothing is left of any class. A group costs O(g^3): 1,500 frames of one thing take a second.
    """
    if (numbers == numbers[0]).all():
        held[:] = -np.inf
        return
    for rows in groups_of(numbers):
        held[rows] = without(rows)


@dataclasses.dataclass(frozen=True)
class Loss:
    """What b groups of g rows take with them, each on its own, in a geometry A: products are x^T A z.

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
    def of(cls, classes: Array, counts: Array, gram: Array, along: Array, cross: Array) -> Loss:
        """Takes groups out.

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

    Rounding can take an eigenvalue near `least` below it, even below zero; there the bound is what is known.
    """
    values, vectors = np.linalg.eigh(matrices)
    return (vectors / np.maximum(values, least[:, None])[:, None]) @ vectors.swapaxes(1, 2)  # type: ignore[no-any-return]
