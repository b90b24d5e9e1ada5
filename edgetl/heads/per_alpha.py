"""The training set at every regularisation, made when it is first read."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from edgetl.heads.linalg.normalisation import normalise_rows
from edgetl.heads.linalg.whitening import Whitening, decompose
from edgetl.heads.selection import list_alphas
from edgetl.heads.training_set import TrainingSet
from edgetl.types import Array, Embeddings


@dataclasses.dataclass(frozen=True)
class SampleRows:
    """What a training set holds of each row.

    Attributes:
        x: power-normalised embeddings, float32 [n, d].
        classes: int [n].
        bursts: near-duplicate group, int [n].
    """

    x: Embeddings
    classes: Array
    bursts: Array

    def keep_last(self, width: int) -> SampleRows:
        """The same with the last `width` values of each embedding only."""
        return dataclasses.replace(self, x=normalise_rows(np.ascontiguousarray(self.x[:, -width:])))

    def by_alpha(self, number: int, asked: Array) -> PerAlpha:
        """The training set of `number` classes at every alpha, judged by the rows `asked`, for embeddings that no learner keeps."""
        counts = np.bincount(self.classes, minlength=number)
        means = np.eye(number)[self.classes].T @ self.x / counts[:, None]
        return PerAlpha(self, counts, means, asked, functools.cache(decompose(self.x).build))


@dataclasses.dataclass(frozen=True)
class PerAlpha(Mapping[float, TrainingSet]):
    """The training set at every alpha that is tried.

    Attributes:
        rows: the samples.
        counts: rows per class, int [c].
        means: class means, float64 [c, d].
        asked: the rows to judge a head by, int [m].
        build_space: alpha -> the whitening at it.
        part: the same at fewer rows `asked`, whose coordinates are shared; None makes them here.
    """

    rows: SampleRows
    counts: Array
    means: Array
    asked: Array
    build_space: Callable[[float], Whitening]
    part: PerAlpha | None = None
    _made: dict[float, TrainingSet] = dataclasses.field(default_factory=dict, init=False)

    def __getitem__(self, alpha: float) -> TrainingSet:
        if alpha not in self._made:  # what the algorithms share is computed once
            self._made[alpha] = self._make(alpha)
        return self._made[alpha]

    def _make(self, alpha: float) -> TrainingSet:
        if self.part is not None:
            return self.part[alpha].asking(self.asked)
        rows, space = self.rows, self.build_space(alpha)
        centres = space.project(self.means)
        state = rows.x, rows.classes, self.counts, self.means, centres, rows.bursts, self.asked
        return TrainingSet(*state, space)

    def __iter__(self) -> Iterator[float]:
        return iter(list_alphas(int(self.rows.bursts.max()) + 1, self.rows.x.shape[1]))

    def __len__(self) -> int:
        return sum(1 for _ in self)
