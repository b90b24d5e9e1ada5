"""What every algorithm takes, and what it gives."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from edgetl.heads.linalg.whitening import BLOCK, Whitening
from edgetl.types import Array, Embeddings

FOLDS = 5
FEW, _KEPT = 64, 8192
_TOGETHER = 2048


@dataclasses.dataclass(frozen=True)
class TrainingSet:
    """The state that all heads read.

    Attributes:
        x: power-normalised embeddings, float32 [n, d].
        classes: class of each row, int [n].
        counts: rows per class, int [c].
        means: class means, float64 [c, d].
        centres: the same means in the whitened coordinates, float64 [c, r].
        bursts: burst of each row, int [n], from 0; the rows of a burst, the views of a photo among them, are left out together.
        evidence: what each row counts for when a head is judged by the rows left out, float64 [n]: the photos that a burst has in one class
            share one, because they are no independent evidence, and an augmented view has none.
        folds: fold of each row for an algorithm without an exact leave-one-out, int [n] in 0 to FOLDS - 1, spread over each class; no fold
            cuts a burst.
        asked: the rows that a head is judged by, ascending, int [m]: whole bursts. All rows train, whichever are asked.
        whitening: coordinates in which the regularised scatter of the samples is the identity.
        alpha: the regularisation to use. LDA and ridge can only use the whitening's own; logistic regression takes any, and another one
            costs it a few more steps.
    """

    x: Embeddings
    classes: Array
    counts: Array
    means: Array
    centres: Array
    bursts: Array
    evidence: Array
    folds: Array
    asked: Array
    whitening: Whitening
    alpha: float

    @property
    def judged(self) -> Array:
        """Which of the asked rows count when a head is judged, bool [m]."""
        return self.evidence[self.asked] > 0

    @functools.cached_property
    def points(self) -> Array:
        """Coordinates of all rows, [n, r]; only logistic regression needs them at once, and what is worked out after it uses them."""
        made = self.whitening.points(self.x, np.arange(len(self.x)))
        self.whitening.note(np.arange(len(made)), made)
        return made

    def points_of(self, rows: Array) -> Array:
        """Coordinates of some rows, int [m], in [m, r]."""
        return self.points[rows] if "points" in self.__dict__ else self.whitening.points(self.x, rows)

    def at(self, alpha: float) -> TrainingSet:
        """The same coordinates, and those of all rows where they are known, for another alpha."""
        return self._shared(dataclasses.replace(self, alpha=alpha))

    def asking(self, rows: Array) -> TrainingSet:
        """The same samples and coordinates, judged by other rows, ascending, int [m]."""
        return self._shared(dataclasses.replace(self, asked=rows))

    def _shared(self, other: TrainingSet) -> TrainingSet:
        """Gives another view what was worked out here and depends on neither alpha nor the rows that are asked."""
        other.__dict__.update((name, self.__dict__[name]) for name in ("points", "_product") if name in self.__dict__)
        return other

    def products(self, places: Array | slice) -> tuple[Array, Array]:
        """Products of some asked rows' coordinates with those of the changes, float64 [..., k], and with the centres, [..., c].

        Those of up to _KEPT rows are kept, because several algorithms need them; of more they are worked out each time.
        """
        made = self._products[places] if self._few else self._product(self.asked[places])
        return made[..., : len(self.whitening.changes)], made[..., len(self.whitening.changes) :]

    @functools.cached_property
    def _products(self) -> Array:
        return np.concatenate([self._product(self.asked[places]) for places in self.blocks()])

    @functools.cached_property
    def _product(self) -> Callable[[Array], Array]:
        return self.whitening.product(self.x, np.concatenate([self.whitening.changes, self.centres]))

    def blocks(self) -> Iterator[slice]:
        """The asked rows, some at a time, so that of a large set few copies are held at once."""
        return (slice(start, start + BLOCK) for start in range(0, len(self.asked), BLOCK))

    def lengths(self) -> Array:
        """Squared lengths of the asked rows' coordinates, float64 [m]."""
        if self._few:
            _ = self._sample  # their coordinates are worked out once
        return self.whitening.lengths(self.x, self.asked)

    def grams(self) -> Iterator[tuple[Array, Array]]:
        """The asked bursts of several rows that are taken out as a block: places among the asked rows, int [b, g], and q^T z, [b, g, g].

        Those of up to _KEPT rows are kept, because several algorithms are judged by them; of more they are worked out each time.
        """
        return iter(self._sample) if self._few else self._grams()

    @property
    def _few(self) -> bool:
        return len(self.asked) <= _KEPT

    @functools.cached_property
    def _sample(self) -> list[tuple[Array, Array]]:
        return list(self._grams())

    def _grams(self) -> Iterator[tuple[Array, Array]]:
        for some in _together(groups_of(self.bursts[self.asked], self.most)):
            rows = self.asked[np.concatenate([places.reshape(-1) for places in some])]
            points = self.points_of(rows)
            self.whitening.note(rows, points)
            for places, part in zip(some, np.split(points, np.cumsum([places.size for places in some])[:-1])):
                own = part.reshape(*places.shape, part.shape[1])
                yield places, own @ own.swapaxes(1, 2)

    @property
    def most(self) -> int:
        """Rows of a burst up to which it is taken out as a block; one of more costs less as a head of the rest."""
        return max(FEW, int(self.centres.shape[1]) // 2)


@dataclasses.dataclass(frozen=True)
class Solution:
    """One algorithm's answer: a linear classifier, and its logits for samples it did not see.

    Attributes:
        model: works out the weight, float64 [c, r], of the coordinates in `space` ([c, d] without one), and the bias, float64 [c].
        space: the whitening whose coordinates it reads, or None if it reads the power-normalised embedding.
        leave_out: works out `held`, up to a number per row.
    """

    model: Callable[[], tuple[Array, Array]]
    space: Whitening | None
    leave_out: Callable[[], Array]

    @functools.cached_property
    def held(self) -> Array:
        """Logits of each asked row from a head that was trained without its burst, float64 [m, c]; -inf for a class of which none was left.

        The others of a row sum to zero, as :meth:`linear` makes them. Worked out when first asked for; the learner may not have changed.
        """
        return centred(self.leave_out())

    def linear(self) -> tuple[Array, Array]:
        """Weight float64 [c, d] and bias float64 [c] for the power-normalised embedding, so that a row's logits sum to zero.

        What all logits share says nothing, and without it the same samples give the same logits whatever the coordinates' origin is.
        """
        weight, bias = self.model() if self.space is None else self.space.unproject(*self.model())
        return weight - weight.mean(0), bias - bias.mean()

    def predicted(self, classes: Array) -> Array:
        """The predicted class of each asked row when it was left out, int [m].

        A row of `classes` [m] of which nothing was left is never right: where no class was left at all, it is the one after its own.
        """
        said = self.held.argmax(1)
        nothing = np.isneginf(self.held[np.arange(len(said)), said])
        return np.where(nothing, (classes + 1) % self.held.shape[1], said)  # type: ignore[no-any-return]


def without_own(held: Array, classes: Array, own: Array, left: Array) -> Array:
    """Puts `own` [n] in the place of each row's own class, or -inf where `left` [n], the number of samples left in it, is zero."""
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


def groups_of(numbers: Array, most: int) -> Iterator[Array]:
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
