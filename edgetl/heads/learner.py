"""The learner: samples come, go and change class, and a head is fitted to all of them at any time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from edgetl.errors import TrainError
from edgetl.heads.bursts import Bursts
from edgetl.heads.head import Head
from edgetl.heads.linalg.threads import single_thread
from edgetl.heads.linalg.whitening import Scatter, Spectrum, Whitening, decompose
from edgetl.heads.per_alpha import PerAlpha, SampleRows
from edgetl.heads.samples import LabelledEmbeddings, choose_judged
from edgetl.heads.selection import (
    ALGORITHMS,
    LIMIT,
    ROWS,
    HeadChoice,
    Trial,
    choose,
    tune,
)
from edgetl.heads.training_set import TrainingSet
from edgetl.heads.warnings import TrainingWarning, find_warnings
from edgetl.stats import Proportion
from edgetl.types import Array, Embeddings, HeadKind, check_label


@dataclasses.dataclass(frozen=True, eq=False)
class Fit:
    """The result of a training.

    Attributes:
        head: the head.
        choice: which algorithm was used, and why.
        candidates: leave-one-out accuracy of every algorithm tried, on all samples or, of many, on a part, counted in near-duplicate groups
            as :func:`edgetl.stats.per_class_accuracy` does.
        ids: the photos, int64 [m], in the learner's order.
        truth: the label of each.
        predicted: the label each gets from a head trained without its near-duplicate group. If nothing of its class is left, it is another
            class.
        held: the logits behind `predicted`, of the photo itself, float64 [m, c] in the order of `head.labels`; -inf for a class of which
            nothing was left.
        bursts: the near-duplicate group of each photo, int64 [m], numbered from 0 in the order of their smallest ids.
        warnings: possible problems with the training set.
        whole: the algorithm that was used, judged on all samples; valid until the learner changes, as `views` are.
        views: all samples at each alpha that is tried, and at any other of `selection.ALPHAS`.
    """

    head: Head
    choice: HeadChoice
    candidates: Mapping[str, Proportion]
    ids: Array
    truth: tuple[str, ...]
    predicted: tuple[str, ...]
    held: Array
    bursts: Array
    warnings: tuple[TrainingWarning, ...]
    whole: Trial = dataclasses.field(repr=False)
    views: Mapping[float, TrainingSet] = dataclasses.field(repr=False)

    @property
    def kind(self) -> HeadKind:
        """The algorithm that was used."""
        return self.choice.kind

    @property
    def alpha(self) -> float:
        """The head's regularisation, in units of squared power-normalised embeddings."""
        return self.choice.alpha

    def view(self, alpha: float) -> TrainingSet:
        """All samples at one alpha of `selection.ALPHAS`."""
        return self.whole.view if self.whole.alpha == alpha else self.views[alpha]

    @property
    def photos(self) -> Embeddings:
        """The power-normalised photos themselves, float32 [m, d] in the order of `ids`; valid until the learner changes."""
        return self.whole.view.x


class Learner:
    """Everything a head is fitted from, in memory; the same after any order of changes as after one batch.

    Every fit reads all samples in coordinates made once for each regularisation (:func:`edgetl.heads.linalg.whitening.decompose`). Samples
    that come or go are signed rows beside them, until those are too many; then the coordinates are made again. Labels are not in them, so
    relabelling is free. Nothing drifts: class sums are exact (:func:`edgetl.heads.linalg.normalisation.normalise_rows`).

    To judge a head, whole near-duplicate groups (:mod:`edgetl.heads.bursts`) are left out.

    Memory: the embeddings as float32 [n, d], half of it for the near-duplicates, and a float64 [d, d] for each regularisation (2,000 photos
    of 1280 values: 41 MB).
    """

    def __init__(self, dim: int, levels: Sequence[int] = ()) -> None:
        """Makes an empty learner for embeddings of `dim` values.

        Args:
            dim: values of an embedding.
            levels: the lengths of the pooled stages of an embedding, the last stage last; with several, a fit tries the last one alone too.

        Raises:
            TrainError: `levels` do not add up to `dim`.
        """
        if levels and sum(levels) != dim:
            message = f"stages of {' + '.join(map(str, levels))} = {sum(levels)} values do not make an embedding of {dim}"
            raise TrainError(message, code="levels-mismatch", levels=list(levels), expected=dim)
        self._levels = tuple(levels)
        # The threshold for near-duplicates was measured on last stages, and the earlier ones need not be alike for similar photos.
        self._width = levels[-1] if levels else dim
        self._samples = LabelledEmbeddings(dim, self._width)
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
            ids: of the photos, int [n], none of them known.
            embeddings: float [n, d], of any length; they are power-normalised here (:mod:`edgetl.heads.linalg.normalisation`).
            labels: class name of each.
            taken: when each was taken, seconds since 1970 by the camera's clock, NaN if unknown; None if all are.

        Raises:
            TrainError: shapes that do not fit, a NaN or an infinity, or a known id; nothing was added.
            LabelError: a class name that is not allowed; nothing was added.
        """
        times = None if taken is None else np.asarray(taken, np.float64)
        rows = self._samples.add(np.asarray(ids), embeddings, _check_labels(labels), times)
        self._bursts.add(len(rows))
        self._change(lambda space: space.add(rows), len(rows))

    def __contains__(self, photo: int) -> bool:
        """Whether it has this sample id."""
        return photo in self._samples

    def remove(self, ids: Iterable[int]) -> None:
        """Removes photos, exactly: later fits are as if the photos had never been added.

        Raises:
            KeyError: an unknown id; nothing was removed.
        """
        keep, gone = self._samples.remove(ids)
        self._bursts.remove(keep)
        self._change(lambda space: space.remove(keep, gone), len(gone))

    def relabel(self, photo: int, label: str) -> None:
        """Moves one photo to another class.

        Raises:
            KeyError: an unknown id.
            LabelError: a class name that is not allowed.
        """
        self._samples.relabel(photo, check_label(label))

    def fit(self, kind: HeadKind = "auto", seed: int = 0, *, single: bool = False) -> Fit:
        """Fits a head to all samples, on one BLAS thread.

        Args:
            kind: the algorithm, or `auto` to choose one by leave-one-out.
            seed: picks the samples on which the regularisation is chosen if there are many.
            single: a single class is enough: the rejection of unknown objects tells it from the rest (:mod:`edgetl.heads.background`).

        Raises:
            TrainError: no sample, or a single class although `single` is false.
        """
        if kind != "auto" and kind not in ALGORITHMS:
            message = f"head kind {kind!r} is unknown; choose one of auto, {', '.join(ALGORITHMS)}"
            raise TrainError(message, code="unknown-head-kind", kind=kind)
        names, counts, means = self._samples.classes()
        self._check_enough(names, single)
        with single_thread():
            fit = self._fit(kind, seed, names, counts, means)
        self._source = None  # as large as a factor
        return fit

    def _check_enough(self, names: tuple[str, ...], single: bool) -> None:
        if not names:
            raise TrainError("no photos to train from; add photos of at least two classes", code="no-photos")
        if len(names) == 1 and not single:
            message = f"there is only one class, {names[0]!r} ({len(self)} photos); add photos of a second class"
            raise TrainError(message, code="one-class", label=names[0], count=len(self))
        if len(self) == 1:
            message = f"there is only one photo, of {names[0]!r}; add a second one of it, or of another class"
            raise TrainError(message, code="one-photo", label=names[0])

    def _fit(self, kind: HeadKind, seed: int, names: tuple[str, ...], counts: Array, means: Array) -> Fit:
        rows, sample = self._rows(names, seed)
        views = PerAlpha(rows, counts, means, sample, self._space)
        everything = dataclasses.replace(views, asked=np.arange(len(rows.x)), part=views)
        whole, choice, candidates = self._select(kind, views, everything)
        weight, bias = (array.astype(np.float32) for array in whole.solution.linear())
        heat = self._temperature(whole, weight, bias)
        return Fit(
            head=Head(whole.kind, names, weight, bias, heat, self._width, tuple(np.bincount(rows.classes).tolist())),
            choice=choice,
            candidates=candidates,
            ids=self._samples.ids,
            truth=tuple(names[i] for i in rows.classes),
            predicted=tuple(names[i] for i in whole.solution.predicted(rows.classes)),
            held=whole.solution.held,
            bursts=rows.bursts,
            warnings=find_warnings(self._samples.x, rows.classes, rows.bursts, names, whole.accuracy if whole.is_guessing else None),
            whole=whole,
            views=everything,
        )

    def _select(self, kind: HeadKind, views: PerAlpha, everything: PerAlpha) -> tuple[Trial, HeadChoice, dict[str, Proportion]]:
        """The algorithm to use, judged on all samples, chosen on the rows that `views` ask for."""
        number, total = len(views.counts), len(self)
        if kind == "auto":
            part, choice, candidates = choose(views, total)
        else:
            part = tune(kind, views)
            choice, candidates = part.choice("requested", total), {str(kind): part.accuracy}
        if len(self._levels) > 1:
            alone = tune(part.kind, views.rows.keep_last(self._width).by_alpha(number, views.asked))
            choice = dataclasses.replace(choice, last_stage=alone.accuracy)
        whole = part if len(views.asked) == len(views.rows.x) else Trial.run(part.kind, everything[part.alpha])
        return whole, choice, candidates

    def _rows(self, names: tuple[str, ...], seed: int) -> tuple[SampleRows, Array]:
        """All samples as an algorithm takes them, and the rows by which candidates are judged, int [m]."""
        number = {name: i for i, name in enumerate(names)}
        samples = self._samples
        ids, classes = samples.ids, np.array([number[label] for label in samples.labels])
        bursts = self._bursts.find(samples.x[:, -self._width :], samples.taken, ids)
        judged = choose_judged(ids, classes, bursts, seed, LIMIT, ROWS * LIMIT)
        return SampleRows(samples.x, classes, bursts), np.flatnonzero(judged)

    def _temperature(self, trial: Trial, weight: Array, bias: Array) -> float:
        """The temperature fitted to the held-out logits; without any, one at which the training photos have odds of about e : 1."""
        fitted = trial.fit_temperature()
        if np.isfinite(fitted):
            return fitted
        classes = trial.view.classes
        logits = self._samples.x @ weight.T + bias
        own = logits[np.arange(len(classes)), classes]
        logits[np.arange(len(classes)), classes] = -np.inf
        margin = float((own - logits.max(1)).mean())
        return margin if margin > 1e-12 else 1.0

    def _change(self, change: Callable[[Whitening], None], count: int) -> None:
        """Applies `count` samples that came or went to the kept coordinates, or drops those if there are too many."""
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
                self._source = decompose(self._samples.x)
            self._spaces[alpha] = self._source.build(alpha)
        return self._spaces[alpha]


def _check_labels(labels: Sequence[str]) -> list[str]:
    known = {label: check_label(label) for label in set(labels)}
    return [known[label] for label in labels]
