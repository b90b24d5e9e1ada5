"""Which algorithm, and how much regularisation: chosen by leave-one-out on the samples, said in one sentence."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping

import numpy as np

from edgetl.heads.algorithms import lda, logistic, ncm, ridge
from edgetl.heads.confidence.calibration import brier_of_each, temperature
from edgetl.heads.samples import cells_of
from edgetl.heads.training_set import FOLDS, Reading, View
from edgetl.stats import Proportion
from edgetl.types import Array, HeadKind

READERS: Mapping[HeadKind, Callable[[View], Reading]] = {"ncm": ncm.read, "lda": lda.read, "ridge": ridge.read, "logistic": logistic.read}
CANDIDATES: tuple[HeadKind, ...] = ("lda", "ridge", "ncm")
ALPHAS = (0.3, 0.03, 0.003)
"""What is tried, in units of squared power-normalised embeddings, whose own scale is 1; the strongest first, because it wins a draw. Steps
of half a decade from 0.003 to 3 were hardly more accurate (mean top-1 of flowers, sign digits and magnetic tiles at 5 / 20 / 100 / 70 % of
the photos per class 56.6 / 73.8 / 85.3 / 87.1 against 56.6 / 73.5 / 85.0 / 87.3 for these three, 5 seeds), and with few steps a new class
seldom changes alpha, which costs a new factorisation."""
PLENTY, SHORT = 0.6, 256
"""With at least PLENTY of the embedding's values in bursts the weakest of ALPHAS is not tried: it won once in 640 choices, by a Brier score
lower by 0.0008 (docs/evidence/head-choice.md). A factor of fewer than SHORT values costs next to nothing."""
LIMIT, ROWS = 512, 4
"""Every candidate is trained on all photos, and judged by its answers to at most LIMIT of their bursts, or one of each class, of at most
ROWS times as many rows (docs/evidence/head-choice.md)."""
LOGISTIC_ALPHA = 0.03
"""Logistic regression's in `auto`, which has one try. On solar cells (1,968 of 2,624, functional or defective, float and int8, 10 splits
each) `auto` with it got 85.5 / 85.6 / 85.5 % right at 0.1 / 0.03 / 0.01. With plain L2 normalisation, logistic regression alone got 83.8 /
84.1 / 84.4 / 84.5 / 83.7 at 0.3 / 0.1 / 0.03 / 0.01 / 0.003; chosen on LIMIT samples it was 0.003 in a third of the splits and the mean no
better."""
_MISSED, _PHOTOS, _CLASSES, _FEWEST = 0.1, 200, 10, 5


@dataclasses.dataclass(frozen=True)
class Trial:
    """One algorithm at one alpha.

    What counts is a burst's photos of one class, together: they are no independent evidence.

    Attributes:
        kind: the algorithm.
        view: the samples it was tried on.
        reading: what it gave on them.
    """

    kind: HeadKind
    view: View
    reading: Reading

    @classmethod
    def of(cls, kind: HeadKind, view: View) -> Trial:
        """Tries an algorithm."""
        return cls(kind, view, READERS[kind](view))

    @property
    def alpha(self) -> float:
        """Its regularisation."""
        return self.view.alpha

    @functools.cached_property
    def hits(self) -> Array:
        """Whether more than half of a burst's photos of a class were predicted right when they were left out, bool [k]."""
        _, classes, cell = self._judged
        right = np.bincount(cell, self.reading.predicted(self.view.classes[self.view.asked])[self.view.judged] == classes)
        return 2 * right > np.bincount(cell)

    @functools.cached_property
    def losses(self) -> Array:
        """The mean of their Brier scores (1950), float64 [k]."""
        held, classes, cell = self._judged
        return np.bincount(cell, brier_of_each(held, classes)) / np.bincount(cell)

    @functools.cached_property
    def _judged(self) -> tuple[Array, Array, Array]:
        """Held-out logits, class and cell of each photo; the photos of a burst that are of one class are one cell."""
        rows = self.view.asked[self.view.judged]
        classes = self.view.classes[rows]
        cell = np.unique(cells_of(classes, self.view.bursts[rows]), return_inverse=True)[1].reshape(-1)
        held = self.reading.held
        return held if len(rows) == len(held) else held[self.view.judged], classes, cell

    @property
    def accuracy(self) -> Proportion:
        """The share of hits."""
        return Proportion(int(self.hits.sum()), len(self.hits))

    @property
    def guesses(self) -> bool:
        """Whether the classes' mean accuracy is within two standard errors of what guessing gives.

        False for one class, and below 5 bursts of a class.
        """
        _, classes, cell = self._judged
        number = len(self.view.counts)
        of = np.empty(len(self.hits), np.intp)
        of[cell] = classes
        n = np.bincount(of, minlength=number)
        right = np.bincount(of, self.hits, minlength=number) / np.maximum(n, 1)
        error = np.sqrt((right * (1 - right) / np.maximum(n, 1)).sum()) / number
        return bool(number > 1 and n.min() >= _FEWEST and right.mean() - 2 * error <= 1 / number)

    def temperature(self) -> float:
        """The temperature that fits what was held out; NaN where nothing could be."""
        held, classes, _ = self._judged
        return temperature(held, classes)

    @property
    def says_something(self) -> bool:
        """Whether any photo has others of its class left when its burst is left out."""
        held, classes, _ = self._judged
        return bool(np.isfinite(held[np.arange(len(held)), classes]).any())


def alphas_for(bursts: int, dim: int) -> tuple[float, ...]:
    """What is tried on so many bursts of embeddings of `dim` values."""
    return ALPHAS if dim < SHORT or bursts < PLENTY * dim else ALPHAS[:-1]


def tune(kind: HeadKind, views: Mapping[float, View]) -> Trial:
    """The algorithm at the alpha whose held-out probabilities have the least Brier score, each alpha at its own temperature.

    From the strongest on, until the score rises: the next one is worse still (docs/evidence/head-choice.md).

    On the data of ALPHAS, mean top-1 at 5 / 20 / 100 / 70 % of the photos per class was 56.6 / 73.5 / 85.0 / 87.3 by least Brier score and
    56.2 / 73.4 / 84.7 / 86.9 by highest accuracy. With plain L2 normalisation likelihood was as good there, but a few far photos outvote
    the rest: with flowers as an 11th class among the sign digits it lost up to 1.4 points.
    """
    best, scores = None, dict[float, float]()
    for alpha in views:
        trial = Trial.of(kind, views[alpha])
        scores[alpha] = round(float(trial.losses.mean()), 9)
        if best is not None and scores[alpha] > scores[best.alpha]:
            break
        if best is None or scores[alpha] < scores[best.alpha]:
            best = trial
        if kind == "ncm":
            break
    assert best is not None
    return best


def choose(views: Mapping[float, View], total: int) -> tuple[Trial, str, dict[str, Proportion]]:
    """Tries every candidate; returns the one to use, why, and each one's leave-one-out accuracy. With one class there is nothing to try.

    LDA is used unless the Brier score of another is lower by more than 2 standard errors of the difference. Counts of hits see less, and
    taking whichever is ahead, however narrowly, is worse (docs/evidence/head-choice.md).

    Args:
        views: the samples, at each alpha.
        total: how many photos there are in all.
    """
    if len(views[ALPHAS[0]].counts) == 1:
        return Trial.of(CANDIDATES[0], views[ALPHAS[0]]), "one class: every photo gets its label that is not rejected as unknown", {}
    trials = [tune(kind, views) for kind in CANDIDATES]
    chosen = trials[0]
    if not chosen.says_something:
        only = next(trial for trial in trials if trial.kind == "ridge")
        lone = "with one photo, or one burst of them, per class"
        return only, f"ridge, because {lone} nothing can be left out to compare by, and it does best there", {}
    for rival in trials[1:]:
        gain = chosen.losses - rival.losses
        if gain.mean() > 2 * gain.std() / np.sqrt(len(gain)):
            chosen = rival
    others = ", ".join(f"{trial.kind} {trial.accuracy}" for trial in trials if trial is not chosen)
    margin = "" if chosen is trials[0] else f"; its Brier score is lower than that of {trials[0].kind} by more than chance"
    reason = f"{chosen.kind}: compared on {_tried_on(chosen.view, total)}, it gets {chosen.accuracy} right"
    return chosen, f"{reason} (alpha {chosen.alpha:g}), against {others}{margin}", {trial.kind: trial.accuracy for trial in trials}


def may_deserve_logistic(part: Trial, total: int, classes: int) -> bool:
    """Whether logistic regression may be tried on all of `total` photos, from what was tried on a part of them."""
    return bool(1 - part.hits.mean() > _MISSED / 2) and total >= _PHOTOS * classes and classes <= _CLASSES


def deserves_logistic(trial: Trial, classes: int) -> bool:
    """Whether logistic regression may do better than what `auto` chose and tried on all samples.

    Only where more than a tenth is missed, with at least 200 photos per class on average and at most 10 classes: with fewer missed there is
    little to gain, with fewer photos its 5-fold accuracy was the lower one on sign digits, flowers and magnetic tiles at 20 and 100 per
    class, and its cost beside the others' grows with the classes. `tools/bench_train` says what it adds to a fit.
    """
    n = len(trial.hits)
    return bool(1 - trial.hits.mean() > _MISSED and n >= _PHOTOS * classes and classes <= _CLASSES)


def try_logistic(chosen: Trial, reason: str, view: View) -> tuple[Trial, str, Proportion]:
    """Tries logistic regression on all samples; returns the one to use, why, and logistic regression's 5-fold accuracy.

    It is used where its held-out Brier score is the lower one. The score sees what a count of hits misses, and being judged by models of
    four fifths of the photos already speaks against it. On solar cells (see LOGISTIC_ALPHA; 12 other splits of the int8 embeddings) that
    took it in 7 of 12 fits, where top-1 was 85.6, against 85.1 without it, 85.3 where it had to be lower by a standard error, and 85.9 with
    it always. On all flowers (8 splits) its score was worse by 3 to 5 standard errors, and top-1 0.9 points lower.

    Args:
        chosen: what `auto` chose, tried on all samples.
        reason: why it did.
        view: all samples, at logistic regression's alpha.
    """
    rival = Trial.of("logistic", view)
    gain = chosen.losses - rival.losses
    better = bool(gain.mean() > 0)
    score = f"its Brier score of {rival.losses.mean():.3f} against {chosen.losses.mean():.3f}"
    tried = f"on all {len(gain)} {_noun(view)}, in {FOLDS} folds"
    if better:
        said = f"logistic: {tried}, it gets {rival.accuracy} right (alpha {rival.alpha:g}), against {chosen.kind} {chosen.accuracy}"
        return rival, f"{said}, and {score} is the better one", rival.accuracy
    said = f"{reason}; logistic (alpha {rival.alpha:g}), {tried}, gets {rival.accuracy} right against {chosen.accuracy}"
    return chosen, f"{said}, and {score} is not the better one", rival.accuracy


def compare_levels(chosen: Trial, last: Mapping[float, View], count: int) -> tuple[str, Trial]:
    """What all levels of the embedding gain over the last one alone, in a sentence, and the trial of the last one alone.

    Args:
        chosen: what was chosen for all levels, on the samples it was chosen on.
        last: the same samples with the last level's values only, at each alpha.
        count: how many levels there are.
    """
    alone = tune(chosen.kind, last)
    return f"all {count} levels get {chosen.accuracy}, the last alone {alone.accuracy}", alone


def _tried_on(view: View, total: int) -> str:
    rows = view.asked[view.judged]
    photos = len(rows)
    several = len(np.unique(view.bursts[rows])) < photos
    counted = f"{photos} photos" if photos == total else f"{photos} of {total} photos"
    each = f" ({round(view.evidence[rows].sum())} bursts), each burst" if several else ", each"
    return f"{counted}{each} left out once"


def _noun(view: View) -> str:
    return "photos" if (view.evidence[view.evidence > 0] == 1).all() else "bursts"
