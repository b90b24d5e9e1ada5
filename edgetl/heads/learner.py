"""The learner: samples come, go and change class, and a head is fitted from all of them at any time."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from edgetl.errors import TrainError
from edgetl.heads.bursts import Bursts
from edgetl.heads.head import Head
from edgetl.heads.linalg.normalisation import unit
from edgetl.heads.linalg.threads import single_thread
from edgetl.heads.linalg.whitening import Scatter, Spectrum, Whitening, source
from edgetl.heads.samples import Samples, asked, cells_of, folds
from edgetl.heads.selection import (
    LIMIT,
    LOGISTIC_ALPHA,
    READERS,
    ROWS,
    Trial,
    alphas_for,
    choose,
    compare_levels,
    deserves_logistic,
    may_deserve_logistic,
    try_logistic,
    tune,
)
from edgetl.heads.training_set import FOLDS, View
from edgetl.heads.warnings import oddities
from edgetl.stats import Proportion
from edgetl.types import Array, Embeddings, HeadKind, check_label


@dataclasses.dataclass(frozen=True, eq=False)
class Fit:
    """What a training gave.

    Attributes:
        head: the head.
        kind: the algorithm that was used.
        reason: why this one, in a sentence.
        candidates: leave-one-out accuracy of every algorithm tried, trained on all samples and asked about the same ones (a part of them
            where they are many); that of `logistic`, where `auto` tries it, is 5-fold on all samples. Counted in bursts, as
            :func:`edgetl.stats.per_class_accuracy` does.
        alpha: the regularisation of the head, in units of squared power-normalised embeddings.
        ids: the photos, int64 [m], in the learner's order.
        truth: the label of each.
        predicted: the label each gets from a head trained without its burst. Where nothing of its class is left then, it is another class.
        held: the logits behind `predicted`, of the photo itself, float64 [m, c] in the order of `head.labels`; -inf for a class of which
            nothing was left.
        bursts: the burst of each photo, int64 [m], numbered from 0 in the order of their smallest ids.
        method: how `predicted` came about, `leave-one-out` (of whole bursts; exact, at the chosen regularisation) or `5-fold`.
        warnings: what the person should know, in sentences.
        whole: the algorithm that was used, asked about all samples; valid until the learner changes, as `views` are.
        views: all samples at each alpha that is tried, and at any of `selection.ALPHAS` that is asked for.
    """

    head: Head
    kind: HeadKind
    reason: str
    candidates: Mapping[str, Proportion]
    alpha: float
    ids: Array
    truth: tuple[str, ...]
    predicted: tuple[str, ...]
    held: Array
    bursts: Array
    method: str
    warnings: tuple[str, ...]
    whole: Trial = dataclasses.field(repr=False)
    views: Mapping[float, View] = dataclasses.field(repr=False)

    def view(self, alpha: float) -> View:
        """All samples at one alpha of `selection.ALPHAS`."""
        view = self.whole.view
        return view if view.alpha == view.whitening.alpha == alpha else self.views[alpha]

    @property
    def photos(self) -> Embeddings:
        """The power-normalised photos themselves, float32 [m, d] in the order of `ids`; valid until the learner changes."""
        view = self.whole.view
        photos: Embeddings = view.x[view.evidence > 0]
        return photos


class Learner:
    """Everything a head is fitted from, in memory; the same after any order of changes as after one batch.

    Every fit reads all samples in coordinates made once for each regularisation that is tried
    (:func:`edgetl.heads.linalg.whitening.source`).
    Samples that come or go are signed rows beside them, until those are too many; then they are made again. Labels are not in them:
    relabelling is free. Nothing drifts: class sums are exact (:func:`edgetl.heads.linalg.normalisation.unit`).

    A photo may come as several views of itself, rows with one id: the photo first, then augmented copies. Every row weighs the same in a
    fit. What is left out to judge a head is always a whole burst (:mod:`edgetl.heads.bursts`), with all views of its photos.

    Memory: the embeddings as float32 [n, d], half of it for the bursts, and a float64 [d, d] for each regularisation (2,000 x 1280: 41 MB).
    """

    def __init__(self, dim: int, levels: Sequence[int] = ()) -> None:
        """Makes an empty learner for embeddings of `dim` values.

        Args:
            dim: values of an embedding.
            levels: the lengths of the pooled stages that an embedding is made of, the last stage last; with more than one, a fit says what
                they gain over the last one alone.

        Raises:
            TrainError: `levels` do not add up to `dim`.
        """
        if levels and sum(levels) != dim:
            raise TrainError(f"levels of {' + '.join(map(str, levels))} = {sum(levels)} values do not make an embedding of {dim}")
        self._levels = tuple(levels)
        # The threshold of bursts was measured on last stages, and those before it need not be alike where photos are.
        self._width = levels[-1] if levels else dim
        self._samples = Samples(dim, self._width)
        self._bursts = Bursts()
        self._spaces: dict[float, Whitening] = {}
        self._source: Spectrum | Scatter | None = None
        self._patience = max(64, dim // 12)

    def __len__(self) -> int:
        """How many photos."""
        return len(self._samples)

    def reserve(self, rows: int) -> None:
        """Makes room for so many embeddings in all, so that adding them in parts takes no more memory than at once."""
        self._samples.reserve(rows)

    def add(
        self,
        ids: Array | Sequence[int],
        embeddings: Array,
        labels: Sequence[str],
        taken: Array | Sequence[float] | None = None,
    ) -> None:
        """Adds photos.

        Args:
            ids: the photo of each row, int [n], none of them there already; rows of one photo are neighbours, the photo itself first.
            embeddings: float [n, d], of any length; they are power-normalised here (:mod:`edgetl.heads.linalg.normalisation`).
            labels: class name of each row.
            taken: when each row's photo was taken, seconds since 1970 by the camera's clock, NaN where unknown; None where all are.

        Raises:
            TrainError: shapes that do not fit, a NaN or an infinity, or a known id; nothing was added.
            LabelError: a class name that is not allowed; nothing was added.
        """
        before = len(self._samples)
        times = None if taken is None else np.asarray(taken, np.float64)
        fresh = self._samples.add(np.asarray(ids), embeddings, _checked(labels), times)
        self._bursts.add(len(self._samples) - before)
        self._change(lambda space: space.add(fresh), len(fresh))

    def remove(self, ids: Iterable[int]) -> None:
        """Removes photos with all their views, exactly: what is fitted afterwards never saw them.

        Raises:
            KeyError: an id that is not there; nothing was removed.
        """
        first = self._samples.first
        keep, gone = self._samples.remove(ids)
        self._bursts.remove(keep[first])
        self._change(lambda space: space.remove(keep, gone), len(gone))

    def relabel(self, photo: int, label: str) -> None:
        """Moves one photo to another class.

        Raises:
            KeyError: an id that is not there.
            LabelError: a class name that is not allowed.
        """
        self._samples.relabel(photo, check_label(label))

    def fit(self, kind: HeadKind = "auto", seed: int = 0, *, single: bool = False) -> Fit:
        """Fits a head to all samples, on one BLAS thread.

        Args:
            kind: the algorithm, or `auto` to choose one by leave-one-out.
            seed: picks the samples on which the regularisation is chosen where there are many, and the folds of `logistic`.
            single: a single class is enough: what rejects unknown objects tells it from the rest (:mod:`edgetl.heads.background`).

        Raises:
            TrainError: no sample, or a single class where that is not enough.
        """
        if kind != "auto" and kind not in READERS:
            raise TrainError(f"head kind {kind!r} is unknown; choose one of auto, {', '.join(READERS)}")
        names, counts, means = self._samples.classes()
        if not names:
            raise TrainError("there is no sample to train from; add photos of at least two classes")
        if len(names) == 1 and not single:
            raise TrainError(f"there is one class, {names[0]!r} ({len(self)} samples); add photos of a second one to tell it from")
        if len(self) == 1:
            raise TrainError(f"there is one photo, of {names[0]!r}; add a second one of it, or of another class")
        with single_thread():
            made = self._fit(kind, seed, names, counts, means)
        self._source = None  # as large as a factor
        return made

    def _fit(self, kind: HeadKind, seed: int, names: tuple[str, ...], counts: Array, means: Array) -> Fit:
        rows, sample = self._rows(names, seed)
        views = _Views(rows, counts, means, sample, self._space)
        everything = dataclasses.replace(views, asked=np.arange(len(rows.x)), part=views)
        if kind == "auto":
            part, reason, candidates = choose(views, len(self))
        else:
            part = tune(kind, views)
            reason, candidates = f"{kind} was asked for (alpha {part.alpha:g})", {str(kind): part.accuracy}
        if len(self._levels) > 1:
            said, alone = compare_levels(part, rows.last(self._width).views(len(names), sample), len(self._levels))
            reason, candidates = f"{reason}; {said}", {**candidates, f"{part.kind}, last level alone": alone.accuracy}
        whole = part if len(sample) == len(rows.x) else Trial.of(part.kind, everything[part.alpha])
        if kind == "auto" and may_deserve_logistic(part, len(self), len(names)):
            _ = whole.view.points  # for all that follows
        if kind == "auto" and deserves_logistic(whole, len(names)):
            whole, reason, accuracy = try_logistic(whole, reason, whole.view.at(LOGISTIC_ALPHA))
            candidates = {**candidates, "logistic": accuracy}
        weight, bias = (array.astype(np.float32) for array in whole.reading.linear())
        heat = self._temperature(whole, weight, bias)
        first, classes, bursts = rows.first, rows.classes[rows.first], rows.bursts[rows.first]
        return Fit(
            head=Head(whole.kind, names, weight, bias, heat, self._width, tuple(np.bincount(classes).tolist())),
            kind=whole.kind,
            reason=reason,
            candidates=candidates,
            alpha=whole.alpha,
            ids=self._samples.ids[first],
            truth=tuple(names[i] for i in classes),
            predicted=tuple(names[i] for i in whole.reading.predicted(rows.classes)[first]),
            held=whole.reading.held if first.all() else whole.reading.held[first],
            bursts=bursts,
            method="5-fold" if whole.kind == "logistic" else "leave-one-out",
            warnings=oddities(self._samples.x, classes, bursts, names, whole.accuracy if whole.guesses else None),
            whole=whole,
            views=everything,
        )

    def _rows(self, names: tuple[str, ...], seed: int) -> tuple[_Rows, Array]:
        """All samples as an algorithm takes them, and the rows by which candidates are judged, int [m]."""
        number = {name: i for i, name in enumerate(names)}
        samples = self._samples
        first = samples.first
        ids, itself = samples.ids[first], np.zeros(len(samples.ids), bool)
        itself[first] = True
        photo = np.cumsum(itself) - 1
        classes = np.array([number[label] for label in samples.labels])
        x = samples.x[:, -self._width :]
        bursts = self._bursts.find(x if itself.all() else x[first], samples.taken[first], ids)
        fold = folds(ids, classes[first], bursts, seed, FOLDS)
        judged = asked(ids, classes[first], bursts, np.bincount(photo), seed, LIMIT, ROWS * LIMIT)
        return _Rows(samples.x, classes, bursts[photo], fold[photo], itself), np.flatnonzero(judged[photo])

    def _temperature(self, trial: Trial, weight: Array, bias: Array) -> float:
        """The temperature that fits the held-out logits; without any, one at which the photos taught have odds of about e : 1."""
        fitted = trial.temperature()
        if np.isfinite(fitted):
            return fitted
        classes = trial.view.classes
        logits = self._samples.x @ weight.T + bias
        own = logits[np.arange(len(classes)), classes]
        logits[np.arange(len(classes)), classes] = -np.inf
        margin = float((own - logits.max(1)).mean())
        return margin if margin > 1e-12 else 1.0

    def _change(self, change: Callable[[Whitening], None], count: int) -> None:
        """Tells the kept coordinates of samples that came or went, or forgets them where those are too many."""
        self._source = None
        if all(space.bears(count, self._patience) for space in self._spaces.values()):
            with single_thread():
                for space in self._spaces.values():
                    change(space)
        else:
            self._spaces = {}

    def _space(self, alpha: float) -> Whitening:
        """The coordinates at one alpha, kept until the samples have changed much."""
        if alpha not in self._spaces:
            if self._source is None:
                self._spaces = {}  # those of before and after at once would double the memory
                self._source = source(self._samples.x)
            self._spaces[alpha] = self._source.at(alpha)
        return self._spaces[alpha]


def _checked(labels: Sequence[str]) -> list[str]:
    known = {label: check_label(label) for label in set(labels)}
    return [known[label] for label in labels]


@dataclasses.dataclass(frozen=True)
class _Rows:
    """What a view holds of each row: embedding, class, burst and fold, and whether it is the photo itself."""

    x: Embeddings
    classes: Array
    bursts: Array
    folds: Array
    first: Array

    def last(self, width: int) -> _Rows:
        """The same with the last `width` values of each embedding only."""
        return dataclasses.replace(self, x=unit(np.ascontiguousarray(self.x[:, -width:])))

    def views(self, number: int, asked: Array) -> _Views:
        """The views at every alpha, of samples that are read once."""
        counts = np.bincount(self.classes, minlength=number)
        means = np.eye(number)[self.classes].T @ self.x / counts[:, None]
        return _Views(self, counts, means, asked, functools.cache(source(self.x).at))


@dataclasses.dataclass(frozen=True)
class _Views(Mapping[float, View]):
    """The view at every alpha that is tried, made when it is asked for: from the one of `part`, whose rows are others, if there is one."""

    rows: _Rows
    counts: Array
    means: Array
    asked: Array
    space: Callable[[float], Whitening]
    part: _Views | None = None
    _made: dict[float, View] = dataclasses.field(default_factory=dict, init=False)

    def __getitem__(self, alpha: float) -> View:
        if alpha not in self._made:  # what the algorithms share is worked out once
            self._made[alpha] = self._view(alpha)
        return self._made[alpha]

    def _view(self, alpha: float) -> View:
        if self.part is not None:
            return self.part[alpha].asking(self.asked)
        rows, space = self.rows, self.space(alpha)
        centres = space.project(self.means)
        state = rows.x, rows.classes, self.counts, self.means, centres, rows.bursts, self.evidence, rows.folds, self.asked
        return View(*state, space, alpha)

    def __iter__(self) -> Iterator[float]:
        return iter(alphas_for(int(self.rows.bursts.max()) + 1, self.rows.x.shape[1]))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @functools.cached_property
    def evidence(self) -> Array:
        cells, first = cells_of(self.rows.classes, self.rows.bursts), self.rows.first
        _, cell, size = np.unique(cells[first], return_inverse=True, return_counts=True)
        evidence = np.zeros(len(cells))
        evidence[first] = 1 / size[cell.reshape(-1)]
        return evidence
