"""Leave-class-out: scores of photos of an unknown class, and of known photos without their near-duplicate groups.

All follow from products x^T A z of a few rows and the class means, with A = (W + alpha I)^-1 as in :mod:`edgetl.heads.algorithms.lda`. A
class left out takes its own scatter out of W and its mean out of the total scatter, so that the model never saw it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from edgetl.heads.algorithms.leave_out import Removal, inverse
from edgetl.heads.linalg.whitening import OutsidePoints
from edgetl.heads.training_set import TrainingSet
from edgetl.types import Array

REMOVED, SMALL = 1024, 1 / 8
"""Of a class left out at most REMOVED rows are taken out of the scatter, and of one with at most the share SMALL of all rows only those
that are scored; its mean is taken out completely."""


@dataclasses.dataclass(frozen=True)
class HeldOutScores:
    """Scores of m photos from models that never saw their near-duplicate groups.

    Attributes:
        logits: x^T A m - m^T A m / 2, float64 [m, c]; -inf for a class left out.
        squares: x^T A x, [m].
        background: the squared Mahalanobis distance to the mean of all classes under the total scatter, [m], to which the ground belongs.
        nearness: x^T m - m^T m / 2, which orders classes by their distance, [m, c]; -inf for a class left out.
    """

    logits: Array
    squares: Array
    background: Array
    nearness: Array


class _Lost(NamedTuple):
    """The first factor of what a class adds to products, for rows [f, k] and means [c, k], and the rest transposed, for both."""

    rows: Array
    means: Array
    onto_rows: Array
    onto_means: Array


class LeaveClassOut:
    """Photos, one per near-duplicate group, to be scored by models without the group and without any one class.

    Attributes:
        classes: class of each photo, int [m].
        solve: A, of the whole training set.
        means: A m for each class mean and each photo of the ground, [c + k, r].
        cross: m^T A m among them, [c + k, c + k].
        beyond: of the ground, see :class:`edgetl.heads.linalg.whitening.OutsidePoints`.
    """

    def __init__(self, view: TrainingSet, rows: Array, ground: OutsidePoints | None = None, others: OutsidePoints | None = None) -> None:
        """Prepares the products that all models share.

        Args:
            view: the training set.
            rows: the photos to score, int [m], no two of one group; all rows of their groups have their class.
            ground: k photos of none of the classes: each is a class of its own, in the total scatter only.
            others: j photos that no model has seen, scored after `rows`.
        """
        self._view, self.classes = view, view.classes[rows]
        self._alone, self._extra = (0 if ground is None else len(ground)), (0 if others is None else len(others))
        means = view.centres if ground is None else np.concatenate([view.centres, ground.inside])
        self.solve = view.whitening.inverse(view.centres * np.sqrt(view.counts)[:, None], -np.ones(len(view.counts)))
        self.means = self.solve.apply(means)
        self.cross = means @ self.means.T
        mates = np.setdiff1d(np.flatnonzero(np.isin(view.bursts, view.bursts[rows])), rows)
        self._rows = np.concatenate([rows, mates])
        self._points = view.locate(self._rows)
        if others is not None:
            self._points = np.concatenate([self._points, others.inside.astype(self._points.dtype)])
        self._along = (self._points @ self.means.T.astype(self._points.dtype)).astype(np.float64)
        self._batches = [(at, self.solve.gram(self._points[at])) for at in _batches(view.bursts[self._rows], len(rows))]
        self._others: list[tuple[Array, Array]] = []
        if others is not None:
            at = len(self._rows) + np.arange(len(others))[:, None]
            self._others = [(at, self.solve.gram(self._points[at]) + np.einsum("jd,jd->j", others.beyond, others.beyond)[:, None, None])]
        self.beyond = view.x[:0] if ground is None else ground.beyond
        if ground is not None:
            self.cross[-len(ground) :, -len(ground) :] += ground.beyond @ ground.beyond.T
            if others is not None:
                self._along[-len(others) :, -len(ground) :] += others.beyond @ ground.beyond.T
        self._nearness = self._near(others)

    def without(self, drop: int | None = None) -> HeldOutScores:
        """The scores from models without each photo's group and, if given, without the class `drop`; those of `others` come last."""
        (m, number), alpha = (len(self.classes) + self._extra, len(self._view.counts)), self._view.whitening.alpha
        keep = np.arange(number) != (-1 if drop is None else drop)
        result = HeldOutScores(np.full((m, number), -np.inf), np.empty(m), np.empty(m), np.where(keep, self._nearness, -np.inf))
        lost = None if drop is None else self._scatter(drop)
        everywhere, cross, counts = self._along, self.cross, self._view.counts[keep]
        if lost is not None:
            everywhere, cross = everywhere + lost.rows @ lost.onto_means.T, cross + lost.means @ lost.onto_means.T
        there = np.append(keep, np.ones(self._alone, bool))
        everywhere, cross = everywhere[:, there], cross[np.ix_(there, there)]
        ground, left = _Ground.compute(cross, np.append(counts, np.ones(self._alone))), len(counts)
        cross = cross[:left, :left]
        for at, gram, seen in self._groups(drop):
            along, place = everywhere[at], np.where(at[:, 0] < len(self._rows), at[:, 0], at[:, 0] - len(self._rows) + len(self.classes))
            if lost is not None:
                gram = gram + lost.rows[at] @ lost.onto_rows[at].swapaxes(1, 2)
            own = along[..., :left]
            loss = Removal.compute((np.cumsum(keep) - 1)[self._view.classes[self._rows[at]]], counts, gram, own, cross) if seen else None
            result.logits[np.ix_(place, keep)], result.squares[place] = _gaussian(loss, gram, own, cross, alpha)
            result.background[place] = ground.distance(gram, along, seen, alpha)
        return result

    def _groups(self, drop: int | None) -> Iterator[tuple[Array, Array, bool]]:
        """Places and products of the groups that a model has seen and must forget, and of single photos that it has not seen."""
        for at, gram in self._batches:
            unknown = self.classes[at[:, 0]] == drop
            if not unknown.all():
                yield at[~unknown], gram[~unknown], True
            if unknown.any():
                yield at[unknown, :1], gram[unknown, :1, :1], False
        for at, gram in self._others:
            yield at, gram, False

    def _scatter(self, drop: int) -> _Lost:
        """What taking U = x - m of a class out of W adds to products: p A' q = p A q + (p A U^T) (I - U A U^T)^-1 (U A q)."""
        view, kind = self._view, self._points.dtype
        some, others = self._rows[view.classes[self._rows] == drop], np.flatnonzero(view.classes == drop)
        if view.counts[drop] > SMALL * len(view.classes):
            some = np.union1d(some, others[np.linspace(0, len(others) - 1, min(len(others), REMOVED)).astype(np.intp)])
        apart = view.locate(some) - view.centres[drop].astype(kind)
        solved = self.solve.apply(apart).astype(kind)
        rows, means = self._points @ solved.T, self.means.astype(kind) @ apart.T
        rest = np.eye(len(apart), dtype=kind) - apart @ solved.T
        onto = np.linalg.solve(rest, np.concatenate([rows, means]).T).T.astype(np.float64)
        return _Lost(rows.astype(np.float64), means.astype(np.float64), onto[: len(rows)], onto[len(rows) :])

    def _near(self, others: OutsidePoints | None) -> Array:
        """Nearness of every photo when its group is left out, [m + j, c]; a class that is left out as well only removes a column."""
        view, nearness = self._view, np.empty((len(self.classes) + self._extra, len(self._view.counts)))
        x, cross = view.x[self._rows], view.means @ view.means.T
        along = (x @ view.means.T.astype(np.float32)).astype(np.float64)
        for at, _ in self._batches:
            gram = (x[at] @ x[at].swapaxes(1, 2)).astype(np.float64)
            loss = Removal.compute(view.classes[self._rows[at]], view.counts, gram, along[at], cross)
            nearness[at[:, 0]] = np.where(loss.gone, -np.inf, loss.x_means[:, 0] - loss.squares / 2)
        if others is not None:
            nearness[-len(others) :] = others.x @ view.means.T.astype(np.float32) - np.diag(cross) / 2
        return nearness


def _batches(bursts: Array, m: int) -> Iterator[Array]:
    """Groups of one size together, int [b, g]: places of the rows of a group, first the one among the first `m`."""
    order = np.lexsort((np.arange(len(bursts)), bursts))
    starts = np.flatnonzero(np.diff(bursts[order], prepend=-1))
    sizes = np.diff(np.append(starts, len(order)))
    for size in np.unique(sizes):
        yield order[starts[sizes == size][:, None] + np.arange(size)]


def _gaussian(loss: Removal | None, gram: Array, along: Array, cross: Array, alpha: float) -> tuple[Array, Array]:
    """Logits [b, c] and x^T A x [b] of each group's first row, in the model without the group if `loss` is given."""
    if loss is None:
        return along[:, 0] - np.diag(cross) / 2, gram[:, 0, 0]
    most = loss.most + 4 * gram.shape[1] * loss.most**2 / alpha
    solved = inverse(loss.within - loss.u_u, 1 / most)
    pull = (loss.x_u[:, :1] @ solved)[:, 0]
    squares = loss.squares + (loss.u_means * (solved @ loss.u_means)).sum(1)
    logits = loss.x_means[:, 0] + (pull[:, None] @ loss.u_means)[:, 0] - squares / 2
    return np.where(loss.gone, -np.inf, logits), gram[:, 0, 0] + (pull * loss.x_u[:, 0]).sum(1)


@dataclasses.dataclass(frozen=True)
class _Ground:
    """The mean o of n rows, and K = (T + alpha I)^-1 with their scatter T = W + M^T N M, for class means M taken from o.

    By Woodbury K = A - A M^T (N^-1 + M A M^T)^-1 M A.

    Attributes:
        n: rows.
        share: of the classes, a photo of the ground being one, [c].
        origin: m A o for each class mean, [c].
        level: o A o.
        form: (N^-1 + M A M^T)^-1, [c, c].
    """

    n: int
    share: Array
    origin: Array
    level: float
    form: Array

    @classmethod
    def compute(cls, cross: Array, counts: Array) -> _Ground:
        """From the products m A m [c, c] and the rows per class, [c]."""
        n = int(counts.sum())
        share = counts / n
        origin = cross @ share
        level = float(origin @ share)
        means = cross - origin - origin[:, None] + level
        return cls(n, share, origin, level, np.linalg.inv(np.diag(1 / counts) + means))

    def distance(self, gram: Array, along: Array, seen: bool, alpha: float) -> Array:
        """(x - o)^T K (x - o) for the first row of each group, float64 [b], in the model without the group where it was `seen`.

        Without a group V of g rows x - o, with Q = V K V^T, E = I - 1 1^T / n and w = e_0 + 1 / (n - g), it is w^T Q (E - Q)^-1 e_0, by
        Woodbury again and because E w = e_0.
        """
        n, size = self.n, gram.shape[1]
        shift = along @ self.share
        rows = along - shift[..., None] - self.origin + self.level
        onto = (rows.reshape(-1, len(self.form)) @ self.form).reshape(rows.shape)
        inner = gram - shift[..., None] - shift[:, None] + self.level - onto @ rows.swapaxes(1, 2)
        distance: Array = inner[:, 0, 0]
        if not seen:
            return distance
        most = n / (n - size) + 4 * size * (n / (n - size)) ** 2 / alpha
        solved = inverse(np.eye(size) - 1 / n - inner, np.full(len(inner), 1 / most))[:, :, 0]
        weight = np.eye(size)[0] + 1 / (n - size)
        distance = ((weight @ inner) * solved).sum(1)
        return distance
