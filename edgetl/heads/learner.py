"""The learner: samples come, go and change class, and a head is fitted from all of them at any time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from edgetl.errors import TrainError
from edgetl.heads.calibration import temperature
from edgetl.heads.head import Head
from edgetl.heads.reading import FOLDS, View
from edgetl.heads.samples import Samples, places, quota
from edgetl.heads.selection import ALPHAS, LOGISTIC_ALPHA, READERS, Trial, choose, deserves_logistic, limit, try_logistic, tune
from edgetl.heads.threads import single_thread
from edgetl.heads.whitening import Spectrum, Whitening, whiten
from edgetl.types import Array, HeadKind, Proportion, check_label


@dataclasses.dataclass(frozen=True)
class Fit:
    """What a training gave.

    Attributes:
        head: the head.
        kind: the algorithm that was used.
        reason: why this one, in a sentence.
        candidates: leave-one-out accuracy of every algorithm tried, all on the same samples (a part of them where they are many);
            that of `logistic`, where `auto` tries it, is 5-fold on all samples.
        ids: the samples, int64 [n].
        truth: the label of each.
        predicted: the label each gets from a head trained without it.
        method: how `predicted` came about, `leave-one-out` (exact, at the chosen regularisation) or `5-fold`.
        warnings: what the person should know, in sentences.
    """

    head: Head
    kind: HeadKind
    reason: str
    candidates: Mapping[str, Proportion]
    ids: Array
    truth: tuple[str, ...]
    predicted: tuple[str, ...]
    method: str
    warnings: tuple[str, ...]


class Learner:
    """Everything a head is fitted from, in memory; the same after any order of changes as after one batch.

    Up to a few hundred samples every fit starts afresh from their Gram matrix. Beyond that the regularised scatter is factored once, and
    samples that come or go are signed rows beside the factor (:mod:`edgetl.heads.whitening`), until they are too many or the
    regularisation changes; then it is factored again. Labels are not in the factor: relabelling is free.

    Memory: the embeddings as float32 [n, d], the same again in the factor's coordinates, and one float64 [d, d] (2,000 x 1280: 34 MB).
    """

    def __init__(self, dim: int) -> None:
        """Makes an empty learner for embeddings of `dim` values."""
        self._samples = Samples(dim)
        self._whitening: Whitening | None = None
        self._patience = max(64, dim // 8)

    def __len__(self) -> int:
        return len(self._samples)

    def add(self, ids: Array | Sequence[int], embeddings: Array, labels: Sequence[str]) -> None:
        """Adds samples.

        Args:
            ids: a number of each, int [n], none of them there already.
            embeddings: float [n, d], of any length; they are L2-normalised here.
            labels: class name of each.

        Raises:
            TrainError: shapes that do not fit, a NaN or an infinity, or a known id; nothing was added.
            LabelError: a class name that is not allowed; nothing was added.
        """
        fresh = self._samples.add(np.asarray(ids), embeddings, [check_label(label) for label in labels])
        if self._whitening is not None:
            with single_thread():
                self._whitening.add(fresh) if self._bears(len(fresh)) else self._forget_factor()

    def remove(self, ids: Iterable[int]) -> None:
        """Removes samples, exactly: what is fitted afterwards never saw them.

        Raises:
            KeyError: an id that is not there; nothing was removed.
        """
        keep, gone = self._samples.remove(ids)
        if self._whitening is not None:
            with single_thread():
                self._whitening.remove(keep, gone) if self._bears(len(gone)) else self._forget_factor()

    def relabel(self, sample: int, label: str) -> None:
        """Moves one sample to another class.

        Raises:
            KeyError: an id that is not there.
            LabelError: a class name that is not allowed.
        """
        self._samples.relabel(sample, check_label(label))

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
            raise TrainError(f"there is one class, {names[0]!r} ({counts[0]} samples); add photos of a second one to tell it from")
        with single_thread():
            return self._fit(kind, seed, names, counts, means)

    def _fit(self, kind: HeadKind, seed: int, names: tuple[str, ...], counts: Array, means: Array) -> Fit:
        number = {name: i for i, name in enumerate(names)}
        classes = np.array([number[label] for label in self._samples.labels])
        place = places(self._samples.ids, classes, seed)
        chosen = place < (quota(counts, limit(len(names))) if len(classes) > limit(len(names)) else len(classes))
        views = _views(self._samples.x[chosen], classes[chosen], place[chosen], len(names))
        if kind == "auto":
            trial, reason, candidates = choose(views, len(classes))
        else:
            trial = tune(kind, views)
            reason, candidates = f"{kind} was asked for (alpha {trial.alpha:g})", {str(kind): trial.accuracy}
        if not chosen.all():

            def everything(space: Whitening, alpha: float) -> View:
                return View(self._samples.x, classes, counts, means, space.project(means), place % FOLDS, space, alpha)

            # Nearest class mean needs no coordinates, so it gets those that are there.
            space = views[trial.alpha].whitening if trial.kind == "ncm" else self._factor(trial.alpha)
            trial = Trial.of(trial.kind, everything(space, trial.alpha))
            if kind == "auto" and deserves_logistic(trial, len(names)):
                trial, reason, accuracy = try_logistic(trial, reason, everything(self._factor(trial.alpha), LOGISTIC_ALPHA))
                candidates = {**candidates, "logistic": accuracy}
        reading = trial.reading
        said = tuple(names[i] for i in reading.predicted())
        weight, bias = (array.astype(np.float32) for array in reading.linear())
        head = Head(trial.kind, names, weight, bias, self._temperature(reading.held, classes, weight, bias), tuple(counts.tolist()))
        method = "5-fold" if trial.kind == "logistic" else "leave-one-out"
        truth = tuple(self._samples.labels)
        return Fit(head, trial.kind, reason, candidates, self._samples.ids.copy(), truth, said, method, self._warnings(names, counts))

    def _temperature(self, held: Array, classes: Array, weight: Array, bias: Array) -> float:
        """The temperature that fits the held-out logits; without any, one at which the photos taught have odds of about e : 1."""
        fitted = temperature(held, classes)
        if np.isfinite(fitted):
            return fitted
        logits = self._samples.x @ weight.T + bias
        own = logits[np.arange(len(classes)), classes]
        logits[np.arange(len(classes)), classes] = -np.inf
        margin = float((own - logits.max(1)).mean())
        return margin if margin > 1e-12 else 1.0

    def _warnings(self, names: tuple[str, ...], counts: Array) -> tuple[str, ...]:
        said = []
        lone = [name for name, count in zip(names, counts) if count == 1]
        if lone:
            shown = ", ".join(map(repr, lone[:5])) + (f" and {len(lone) - 5} more" if len(lone) > 5 else "")
            said.append(f"one photo only of {shown}: left out, nothing of its class remains, so it counts as missed; add a second photo")
        x = self._samples.x
        if (x[-1] == x[0]).all() and (x == x[0]).all():
            said.append(f"all {len(x)} embeddings are the same, so the classes cannot be told apart; check the camera and the runtime")
        elif zeros := int(((x.max(1) == 0) & (x.min(1) == 0)).sum()):
            said.append(f"{zeros} of {len(x)} embeddings are all zero; check the runtime with `edgetl inspect`")
        return tuple(said)

    def _bears(self, more: int) -> bool:
        return self._whitening is not None and len(self._whitening.signs) + more <= self._patience

    def _forget_factor(self) -> None:
        self._whitening = None

    def _factor(self, alpha: float) -> Whitening:
        if self._whitening is None or self._whitening.alpha != alpha:
            self._whitening = None  # two factors at once would double the memory
            self._whitening = whiten(self._samples.x, alpha)
        return self._whitening


def _views(x: Array, classes: Array, place: Array, number: int) -> dict[float, View]:
    """The view of a few samples at every alpha that is tried."""
    counts = np.bincount(classes, minlength=number)
    average = np.eye(number)[classes].T / counts[:, None]
    means, spectrum = average @ x, Spectrum(x)
    spaces = [spectrum.at(alpha) for alpha in ALPHAS]
    return {space.alpha: View(x, classes, counts, means, average @ space.rows, place % FOLDS, space, space.alpha) for space in spaces}
