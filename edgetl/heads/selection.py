"""Chooses the algorithm and its regularisation by leave-one-out on the training set."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np

from edgetl.heads.algorithms import lda, ncm, ridge
from edgetl.heads.confidence.calibration import brier_scores, fit_temperature
from edgetl.heads.samples import number_cells
from edgetl.heads.training_set import Solution, TrainingSet
from edgetl.stats import Proportion
from edgetl.types import Array, HeadKind

ALGORITHMS: Mapping[HeadKind, Callable[[TrainingSet], Solution]] = {"ncm": ncm.fit, "lda": lda.fit, "ridge": ridge.fit}
CANDIDATES: tuple[HeadKind, ...] = ("lda", "ridge", "ncm")
ALPHAS = (0.3, 0.03, 0.003)
"""Tried in this order, in units of squared power-normalised embeddings, whose own scale is 1; the strongest wins a draw
(docs/evidence/head-choice.md, "Regularisation")."""
PLENTY, SHORT = 0.6, 256
"""With PLENTY near-duplicate groups or more per value of the embedding, and SHORT values or more, the weakest of ALPHAS is not tried
(docs/evidence/head-choice.md, "What it costs")."""
LIMIT, ROWS = 512, 4
"""Every candidate is trained on all photos, and judged on at most LIMIT near-duplicate groups, or one of each class, of ROWS times as many
rows at most (docs/evidence/head-choice.md)."""
_FEWEST = 5

ChoiceCode = Literal["one-class", "nothing-to-compare", "requested", "default", "better-score"]


@dataclasses.dataclass(frozen=True)
class HeadChoice:
    """Which algorithm was chosen, and on what; :func:`edgetl.heads.text.choice_text` words it.

    Attributes:
        code: `one-class`: there is nothing to choose by; `nothing-to-compare`: one photo or near-duplicate group per class, so ridge
            regression, which does best there; `requested`: by the caller; `default`: LDA, because no rival's Brier score is lower by more
            than chance; `better-score`: a rival whose is.
        kind: the algorithm.
        alpha: its regularisation.
        accuracy: its leave-one-out accuracy, counted in near-duplicate groups; n is 0 for one class.
        photos: the photos that were left out to compare.
        total: photos of the training set.
        last_stage: the accuracy with the last stage of multi-scale features alone; None for embeddings of one stage.
    """

    code: ChoiceCode
    kind: HeadKind
    alpha: float
    accuracy: Proportion
    photos: int
    total: int
    last_stage: Proportion | None = None


@dataclasses.dataclass(frozen=True)
class Trial:
    """One algorithm at one alpha, judged by cells: the photos that a near-duplicate group has in one class count as one.

    Attributes:
        kind: the algorithm.
        view: the training set.
        solution: what the algorithm gave.
    """

    kind: HeadKind
    view: TrainingSet
    solution: Solution

    @classmethod
    def run(cls, kind: HeadKind, view: TrainingSet) -> Trial:
        """Tries an algorithm."""
        return cls(kind, view, ALGORITHMS[kind](view))

    @property
    def alpha(self) -> float:
        """Its regularisation."""
        return self.view.alpha

    @functools.cached_property
    def hits(self) -> Array:
        """Whether more than half of a cell's photos were predicted correctly when they were left out, bool [k]."""
        _, classes, cell = self._judged
        return 2 * np.bincount(cell, self.solution.predicted(classes) == classes) > np.bincount(cell)

    @functools.cached_property
    def losses(self) -> Array:
        """Mean Brier score (1950) of each cell, float64 [k]."""
        held, classes, cell = self._judged
        return np.bincount(cell, brier_scores(held, classes)) / np.bincount(cell)

    @functools.cached_property
    def _judged(self) -> tuple[Array, Array, Array]:
        """Held-out logits, class and cell of each photo."""
        rows = self.view.asked
        classes = self.view.classes[rows]
        cell = np.unique(number_cells(classes, self.view.bursts[rows]), return_inverse=True)[1].reshape(-1)
        return self.solution.held, classes, cell

    @property
    def accuracy(self) -> Proportion:
        """The share of hits."""
        return Proportion(int(self.hits.sum()), len(self.hits))

    @property
    def is_guessing(self) -> bool:
        """Whether the classes' mean accuracy is within two standard errors of guessing.

        False for one class, and if a class has fewer than 5 cells.
        """
        _, classes, cell = self._judged
        number = len(self.view.counts)
        class_of_cell = np.empty(len(self.hits), np.intp)
        class_of_cell[cell] = classes
        n = np.bincount(class_of_cell, minlength=number)
        share = np.bincount(class_of_cell, self.hits, minlength=number) / np.maximum(n, 1)
        error = np.sqrt((share * (1 - share) / np.maximum(n, 1)).sum()) / number
        return bool(number > 1 and n.min() >= _FEWEST and share.mean() - 2 * error <= 1 / number)

    def fit_temperature(self) -> float:
        """The temperature fitted to the held-out logits; NaN if no photo could be left out."""
        held, classes, _ = self._judged
        return fit_temperature(held, classes)

    @property
    def is_comparable(self) -> bool:
        """Whether any photo has others of its class left when its near-duplicate group is left out."""
        held, classes, _ = self._judged
        return bool(np.isfinite(held[np.arange(len(held)), classes]).any())

    def choice(self, code: ChoiceCode, total: int) -> HeadChoice:
        """The choice of this trial for a training set of `total` photos."""
        accuracy = Proportion(0, 0) if code == "one-class" else self.accuracy
        return HeadChoice(code, self.kind, self.alpha, accuracy, len(self.view.asked), total)


def list_alphas(bursts: int, dim: int) -> tuple[float, ...]:
    """The regularisations to try on so many near-duplicate groups of embeddings of `dim` values."""
    return ALPHAS if dim < SHORT or bursts < PLENTY * dim else ALPHAS[:-1]


def tune(kind: HeadKind, views: Mapping[float, TrainingSet]) -> Trial:
    """The algorithm at the alpha whose held-out probabilities have the lowest Brier score, each alpha at its own temperature.

    From the strongest on, until the score rises: the next one is worse still (docs/evidence/head-choice.md, "Regularisation").
    """
    best, scores = None, dict[float, float]()
    for alpha in views:
        trial = Trial.run(kind, views[alpha])
        scores[alpha] = round(float(trial.losses.mean()), 9)
        if best is not None and scores[alpha] > scores[best.alpha]:
            break
        if best is None or scores[alpha] < scores[best.alpha]:
            best = trial
        if kind == "ncm":
            break
    assert best is not None
    return best


def choose(views: Mapping[float, TrainingSet], total: int) -> tuple[Trial, HeadChoice, dict[str, Proportion]]:
    """Tries every candidate; returns the one to use, the choice, and each one's leave-one-out accuracy (empty if nothing was compared).

    LDA is used unless the Brier score of another is lower by more than 2 standard errors of the difference
    (docs/evidence/head-choice.md, "The rule").

    Args:
        views: the training set, at each alpha.
        total: photos in all.
    """
    if len(views[ALPHAS[0]].counts) == 1:
        trial = Trial.run(CANDIDATES[0], views[ALPHAS[0]])
        return trial, trial.choice("one-class", total), {}
    trials = [tune(kind, views) for kind in CANDIDATES]
    chosen = trials[0]
    if not chosen.is_comparable:
        only = next(trial for trial in trials if trial.kind == "ridge")
        return only, only.choice("nothing-to-compare", total), {}
    for rival in trials[1:]:
        gain = chosen.losses - rival.losses
        if gain.mean() > 2 * gain.std() / np.sqrt(len(gain)):
            chosen = rival
    code: ChoiceCode = "default" if chosen is trials[0] else "better-score"
    return chosen, chosen.choice(code, total), {trial.kind: trial.accuracy for trial in trials}
