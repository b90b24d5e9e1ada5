"""The learner: samples come, go and change class, and a head is fitted from all of them at any time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from edgetl.errors import TrainError
from edgetl.heads.bursts import Bursts
from edgetl.heads.head import Head
from edgetl.heads.normalisation import unit
from edgetl.heads.oddities import oddities
from edgetl.heads.reading import FOLDS, View
from edgetl.heads.samples import Samples, cells_of, folds, places, quota
from edgetl.heads.selection import (
    ALPHAS,
    LOGISTIC_ALPHA,
    READERS,
    Trial,
    choose,
    compare_levels,
    deserves_logistic,
    limit,
    try_logistic,
    tune,
)
from edgetl.heads.threads import single_thread
from edgetl.heads.whitening import Spectrum, Whitening, whiten
from edgetl.types import Array, Embeddings, HeadKind, Proportion, check_label


@dataclasses.dataclass(frozen=True, eq=False)
class Fit:
    """What a training gave.

    Attributes:
        head: the head.
        kind: the algorithm that was used.
        reason: why this one, in a sentence.
        candidates: leave-one-out accuracy of every algorithm tried, all on the same samples (a part of them where they are many);
            that of `logistic`, where `auto` tries it, is 5-fold on all samples. Counted in bursts, as
            :func:`edgetl.evaluation.per_class_accuracy` does.
        alpha: the regularisation of the head, in units of squared power-normalised embeddings.
        ids: the photos, int64 [m], in the learner's order.
        truth: the label of each.
        predicted: the label each gets from a head trained without its burst. Where nothing of its class is left then, it is another class.
        held: the logits behind `predicted`, of the photo itself, float64 [m, c] in the order of `head.labels`; -inf for a class of which
            nothing was left.
        bursts: the burst of each photo, int64 [m], numbered from 0 in the order of their smallest ids.
        method: how `predicted` came about, `leave-one-out` (of whole bursts; exact, at the chosen regularisation) or `5-fold`.
        warnings: what the person should know, in sentences.
        part: the choice itself on the samples it was made on, at most about `selection.LIMIT` rows; where `auto` took `logistic` this is
            what it would have taken without it. With `whole` it is what rejection reads; both are valid until the learner changes.
        whole: the algorithm that was used, on all samples; `part` itself where they are few.
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
    part: Trial = dataclasses.field(repr=False)
    whole: Trial = dataclasses.field(repr=False)

    @property
    def photos(self) -> Embeddings:
        """The power-normalised photos themselves, float32 [m, d] in the order of `ids`; valid until the learner changes."""
        view = self.whole.view
        photos: Embeddings = view.x[view.evidence > 0]
        return photos


class Learner:
    """Everything a head is fitted from, in memory; the same after any order of changes as after one batch.

    Up to a few hundred samples every fit starts afresh from their Gram matrix. Beyond that the regularised scatter is factored once, and
    samples that come or go are signed rows beside the factor (:mod:`edgetl.heads.whitening`), until they are too many or the
    regularisation changes; then it is factored again. Labels are not in the factor: relabelling is free. Nothing drifts: class sums are
    exact (:func:`edgetl.heads.normalisation.unit`), and the factor is made anew from the samples before many rows stand beside it.

    A photo may come as several views of itself, rows with one id: the photo first, then augmented copies. Every row weighs the same in a
    fit. What is left out to judge a head is always a whole burst (:mod:`edgetl.heads.bursts`), with all views of its photos.

    Memory: the embeddings as float32 [n, d], the same again in the factor's coordinates, half of it for the bursts, and one float64
    [d, d] (2,000 x 1280: 39 MB).
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
        self._whitening: Whitening | None = None
        self._patience = max(64, dim // 12)

    def __len__(self) -> int:
        """How many photos."""
        return len(self._samples)

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
            embeddings: float [n, d], of any length; they are power-normalised here (:mod:`edgetl.heads.normalisation`).
            labels: class name of each row.
            taken: when each row's photo was taken, seconds since 1970 by the camera's clock, NaN where unknown; None where all are.

        Raises:
            TrainError: shapes that do not fit, a NaN or an infinity, or a known id; nothing was added.
            LabelError: a class name that is not allowed; nothing was added.
        """
        before = len(self._samples)
        times = None if taken is None else np.asarray(taken, np.float64)
        fresh = self._samples.add(np.asarray(ids), embeddings, [check_label(label) for label in labels], times)
        self._bursts.add(len(self._samples) - before)
        if self._whitening is not None:
            with single_thread():
                self._whitening.add(fresh) if self._bears(len(fresh)) else self._forget_factor()

    def remove(self, ids: Iterable[int]) -> None:
        """Removes photos with all their views, exactly: what is fitted afterwards never saw them.

        Raises:
            KeyError: an id that is not there; nothing was removed.
        """
        first = self._samples.first
        keep, gone = self._samples.remove(ids)
        self._bursts.remove(keep[first])
        if self._whitening is not None:
            with single_thread():
                self._whitening.remove(keep, gone) if self._bears(len(gone)) else self._forget_factor()

    def relabel(self, photo: int, label: str) -> None:
        """Moves one photo to another class.

        Raises:
            KeyError: an id that is not there.
            LabelError: a class name that is not allowed.
        """
        self._samples.relabel(photo, check_label(label))

    def fit(self, kind: HeadKind = "auto", seed: int = 0) -> Fit:
        """Fits a head to all samples, on one BLAS thread.

        Args:
            kind: the algorithm, or `auto` to choose one by leave-one-out.
            seed: picks the samples on which the regularisation is chosen where there are many, and the folds of `logistic`.

        Raises:
            TrainError: no sample, or a single class.
        """
        if kind != "auto" and kind not in READERS:
            raise TrainError(f"head kind {kind!r} is unknown; choose one of auto, {', '.join(READERS)}")
        names, counts, means = self._samples.classes()
        if not names:
            raise TrainError("there is no sample to train from; add photos of at least two classes")
        if len(names) == 1:
            raise TrainError(f"there is one class, {names[0]!r} ({len(self)} samples); add photos of a second one to tell it from")
        with single_thread():
            return self._fit(kind, seed, names, counts, means)

    def _fit(self, kind: HeadKind, seed: int, names: tuple[str, ...], counts: Array, means: Array) -> Fit:
        rows, chosen = self._rows(names, seed)
        views = _views(rows.where(chosen), len(names))
        photos = len(self)
        if kind == "auto":
            part, reason, candidates = choose(views, photos)
        else:
            part = tune(kind, views)
            reason, candidates = f"{kind} was asked for (alpha {part.alpha:g})", {str(kind): part.accuracy}
        if len(self._levels) > 1:
            last = rows.where(chosen).last(self._width)
            said, alone = compare_levels(part, _views(last, len(names)), len(self._levels))
            reason, candidates = f"{reason}; {said}", {**candidates, f"{part.kind}, last level alone": alone.accuracy}
        whole = part
        if not chosen.all():

            def everything(space: Whitening, alpha: float) -> View:
                return rows.view(counts, means, space.project(means), space, alpha)

            # Nearest class mean needs no coordinates, so it gets those that are there.
            space = views[part.alpha].whitening if part.kind == "ncm" else self._factor(part.alpha)
            whole = Trial.of(part.kind, everything(space, part.alpha))
            if kind == "auto" and deserves_logistic(whole, len(names)):
                whole, reason, accuracy = try_logistic(whole, reason, everything(self._factor(part.alpha), LOGISTIC_ALPHA))
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
            held=whole.reading.held[first],
            bursts=bursts,
            method="5-fold" if whole.kind == "logistic" else "leave-one-out",
            warnings=oddities(self._samples.x, classes, bursts, names, whole.accuracy if whole.guesses else None),
            part=part,
            whole=whole,
        )

    def _rows(self, names: tuple[str, ...], seed: int) -> tuple[_Rows, Array]:
        """All samples as an algorithm takes them, and on which of them, bool [n], the choice is made."""
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
        place, most = places(ids, classes[first], bursts, seed), limit(len(names), len(first), len(photo))
        chosen = place < (quota(np.bincount(classes[first]), most) if len(first) > most else len(first))
        return _Rows(samples.x, classes, bursts[photo], fold[photo], itself), chosen[photo]

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

    def _bears(self, more: int) -> bool:
        # More changes than the factor has samples leave few digits to tell apart what came in one burst.
        return self._whitening is not None and len(self._whitening.signs) + more <= min(self._patience, self._whitening.founders)

    def _forget_factor(self) -> None:
        self._whitening = None

    def _factor(self, alpha: float) -> Whitening:
        if self._whitening is None or self._whitening.alpha != alpha:
            self._whitening = None  # two factors at once would double the memory
            self._whitening = whiten(self._samples.x, alpha)
        return self._whitening


@dataclasses.dataclass(frozen=True)
class _Rows:
    """What a view holds of each row: embedding, class, burst and fold, and whether it is the photo itself."""

    x: Embeddings
    classes: Array
    bursts: Array
    folds: Array
    first: Array

    def where(self, chosen: Array) -> _Rows:
        if chosen.all():
            return self
        return _Rows(self.x[chosen], self.classes[chosen], self.bursts[chosen], self.folds[chosen], self.first[chosen])

    def last(self, width: int) -> _Rows:
        """The same with the last `width` values of each embedding only."""
        return dataclasses.replace(self, x=unit(np.ascontiguousarray(self.x[:, -width:])))

    def view(self, counts: Array, means: Array, centres: Array, space: Whitening, alpha: float) -> View:
        cells = cells_of(self.classes, self.bursts)
        _, cell, size = np.unique(cells[self.first], return_inverse=True, return_counts=True)
        evidence = np.zeros(len(cells))
        evidence[self.first] = 1 / size[cell.reshape(-1)]
        return View(self.x, self.classes, counts, means, centres, self.bursts, evidence, self.folds, space, alpha)


def _views(rows: _Rows, number: int) -> dict[float, View]:
    """The view of a few samples at every alpha that is tried."""
    counts = np.bincount(rows.classes, minlength=number)
    average = np.eye(number)[rows.classes].T / counts[:, None]
    means, spectrum = average @ rows.x, Spectrum(rows.x)
    spaces = [spectrum.at(alpha) for alpha in ALPHAS]
    return {space.alpha: rows.view(counts, means, average @ space.rows, space, space.alpha) for space in spaces}
