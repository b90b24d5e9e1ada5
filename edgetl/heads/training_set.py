"""What every algorithm takes, the training set, and what it gives, a solution."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from edgetl.heads.linalg.whitening import BLOCK, Whitening
from edgetl.types import Array, Embeddings

FEW, _KEPT = 64, 8192
_TOGETHER = 2048


@dataclasses.dataclass(frozen=True)
class TrainingSet:
    """The training set in whitened coordinates, as all algorithms read it.

    Attributes:
        x: power-normalised embeddings, float32 [n, d].
        classes: class of each row, int [n].
        counts: rows per class, int [c].
        means: class means, float64 [c, d].
        centres: the same means in the whitened coordinates, float64 [c, r].
        bursts: near-duplicate group of each row, int [n], from 0; its rows are left out together.
        asked: the rows that a head is judged by, ascending, int [m]: whole near-duplicate groups. All rows are trained on.
        whitening: coordinates in which the regularised scatter of the samples is the identity.
    """

    x: Embeddings
    classes: Array
    counts: Array
    means: Array
    centres: Array
    bursts: Array
    asked: Array
    whitening: Whitening

    @property
    def alpha(self) -> float:
        """The regularisation, in units of squared power-normalised embeddings."""
        return self.whitening.alpha

    def locate(self, rows: Array) -> Array:
        """Coordinates of some rows, int [m], in [m, r]."""
        return self.whitening.points(self.x, rows)

    def asking(self, rows: Array) -> TrainingSet:
        """The same samples and coordinates, judged by other rows, ascending, int [m]."""
        other = dataclasses.replace(self, asked=rows)
        if "_product" in self.__dict__:  # computed once for both
            other.__dict__["_product"] = self._product
        return other

    def products(self, places: Array | slice) -> tuple[Array, Array]:
        """Products of the coordinates of some rows `asked` with those of the changes, float64 [..., k], and with the centres, [..., c].

        Those of up to _KEPT rows are kept, because several algorithms need them; of more they are computed each time.
        """
        products = self._products[places] if self._few else self._product(self.asked[places])
        return products[..., : len(self.whitening.changes)], products[..., len(self.whitening.changes) :]

    @functools.cached_property
    def _products(self) -> Array:
        return np.concatenate([self._product(self.asked[places]) for places in self.blocks()])

    @functools.cached_property
    def _product(self) -> Callable[[Array], Array]:
        return self.whitening.product(self.x, np.concatenate([self.whitening.changes, self.centres]))

    def blocks(self) -> Iterator[slice]:
        """The rows `asked`, some at a time, to hold few copies of a large set at once."""
        return (slice(start, start + BLOCK) for start in range(0, len(self.asked), BLOCK))

    def lengths(self) -> Array:
        """Squared lengths of the coordinates of the rows `asked`, float64 [m]."""
        if self._few:
            _ = self._sample  # their coordinates are computed once
        return self.whitening.lengths(self.x, self.asked)

    def grams(self) -> Iterator[tuple[Array, Array]]:
        """Near-duplicate groups that are taken out as a block: places among the rows `asked`, int [b, g], and q^T z, [b, g, g].

        Those of up to _KEPT rows are kept, because several algorithms are judged by them; of more they are computed each time.
        """
        return iter(self._sample) if self._few else self._grams()

    @property
    def _few(self) -> bool:
        return len(self.asked) <= _KEPT

    @functools.cached_property
    def _sample(self) -> list[tuple[Array, Array]]:
        return list(self._grams())

    def _grams(self) -> Iterator[tuple[Array, Array]]:
        for some in _together(group_rows(self.bursts[self.asked], self.most)):
            rows = self.asked[np.concatenate([places.reshape(-1) for places in some])]
            points = self.locate(rows)
            self.whitening.note(rows, points)
            for places, part in zip(some, np.split(points, np.cumsum([places.size for places in some])[:-1])):
                own = part.reshape(*places.shape, part.shape[1])
                yield places, own @ own.swapaxes(1, 2)

    @property
    def most(self) -> int:
        """Rows of a group up to which it is taken out as a block; for a larger one a head of the rest costs less."""
        return max(FEW, int(self.centres.shape[1]) // 2)


@dataclasses.dataclass(frozen=True)
class Solution:
    """What an algorithm gives: a linear classifier, and logits for samples it did not see.

    Attributes:
        model: computes the weight, float64 [c, r], of the coordinates in `space` ([c, d] without one), and the bias, float64 [c].
        space: the whitening whose coordinates it reads; None if it reads the power-normalised embedding.
        leave_out: computes `held`, up to a number per row.
    """

    model: Callable[[], tuple[Array, Array]]
    space: Whitening | None
    leave_out: Callable[[], Array]

    @functools.cached_property
    def held(self) -> Array:
        """Logits of each row `asked` from a head trained without its near-duplicate group, float64 [m, c]; -inf for a class with none left.

        The others of a row sum to zero, as :meth:`linear` makes them. Computed on first use; the learner may not have changed.
        """
        return centred(self.leave_out())

    def linear(self) -> tuple[Array, Array]:
        """Weight float64 [c, d] and bias float64 [c] for the power-normalised embedding, so that a row's logits sum to zero.

        Without what all logits share, the same samples give the same logits whatever the coordinates' origin is.
        """
        weight, bias = self.model() if self.space is None else self.space.unproject(*self.model())
        return weight - weight.mean(0), bias - bias.mean()

    def predicted(self, classes: Array) -> Array:
        """The predicted class of each row `asked` when it was left out, int [m].

        A row whose class, `classes` [m], had nothing left is never correct: if no class was left at all, it gets the one after its own.
        """
        best = self.held.argmax(1)
        nothing = np.isneginf(self.held[np.arange(len(best)), best])
        return np.where(nothing, (classes + 1) % self.held.shape[1], best)  # type: ignore[no-any-return]


def without_own(held: Array, classes: Array, own: Array, left: Array) -> Array:
    """Sets the logit of each row's own class to `own` [n], or to -inf where `left` [n], the samples left in it, is zero."""
    held[np.arange(len(classes)), classes] = np.where(left > 0, own, -np.inf)
    return held


def centred(held: Array) -> Array:
    """Logits [n, c] less the mean of those of a row that are finite, in place."""
    mean = held.mean(1)
    odd = np.flatnonzero(~np.isfinite(mean))
    there = np.isfinite(held[odd])
    mean[odd] = np.where(there, held[odd], 0).sum(1) / np.maximum(there.sum(1), 1)
    held -= mean[:, None]
    return held


def group_rows(numbers: Array, most: int) -> Iterator[Array]:
    """The rows of every group that has more than one, int [b, g]: groups of one size together, about _TOGETHER rows at a time.

    Args:
        numbers: the group of each row, int [n], from 0.
        most: groups of more rows are left out.
    """
    sizes = np.bincount(numbers)
    if sizes.max(initial=0) < 2:
        return
    starts, order = np.cumsum(sizes) - sizes, np.argsort(numbers, kind="stable")
    for size in np.unique(sizes[(sizes > 1) & (sizes <= most)]).tolist():
        rows = order[starts[sizes == size][:, None] + np.arange(size)]
        step = max(1, _TOGETHER // size)
        for begin in range(0, len(rows), step):
            yield rows[begin : begin + step]


def _together(groups: Iterable[Array]) -> Iterator[list[Array]]:
    """Groups of several sizes, about _TOGETHER rows at a time: coordinates of few rows take hardly less time than of many."""
    some: list[Array] = []
    for places in groups:
        if some and sum(other.size for other in some) + places.size > _TOGETHER:
            yield some
            some = []
        some.append(places)
    if some:
        yield some
