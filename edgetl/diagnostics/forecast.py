"""Readiness: how accurate the classes are, what more photos of all of them would give, and what to photograph next."""

from __future__ import annotations

import dataclasses
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from edgetl.diagnostics.learning_curve import Forecast, Range, measure
from edgetl.heads.learner import Fit
from edgetl.stats import Proportion, per_class_accuracy
from edgetl.types import Array

Outlook = Literal["too-few", "reached", "likely", "far", "open"]
Task = Literal["few", "alike", "confused", "more", "none"]
TARGET = 0.95
LEAST = 8
"""With fewer near-duplicate groups of a class nothing is forecast: docs/evidence/forecast.md begins there."""
NEXT = 10
_NAMED, _MANY = 3, 12
"""With more than _MANY classes only those that are confused most are photographed, although all of them would gain more."""
_ALIKE = 0.25
"""Two classes of which surely more than this share is taken for the other, in both directions, may be one class under two names."""


@dataclasses.dataclass(frozen=True)
class ClassAssessment:
    """One class.

    Attributes:
        photos: training photos, count.
        bursts: groups of near-duplicates that these are.
        accuracy: by the fit's leave-one-out; n is `bursts`.
        taken_for: (class, photos) that it is most often mistaken for; None where it never is.
    """

    photos: int
    bursts: int
    accuracy: Proportion
    taken_for: tuple[str, int] | None


@dataclasses.dataclass(frozen=True)
class Action:
    """What to photograph next.

    Attributes:
        code: `few` (these classes have too few photos, or less than half of what is usual here), `alike` (these two may be one class under
            two names: check the labels), `more` (every class), `confused` (of many classes, those that are mistaken for one another most),
            or `none`.
        classes: which ones; empty for `more` and `none`.
        each: so many new photos of each of them.
        confused: the classes that are mistaken for one another most, at most three; empty where nothing is.
    """

    code: Task
    classes: tuple[str, ...]
    each: int
    confused: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Assessment:
    """All classes.

    Attributes:
        target: the accuracy that is asked for, in (0, 1).
        per_class: each class by name.
        outlook: `too-few` (one class, or one with fewer than LEAST groups of near-duplicates: nothing is forecast), `reached` (the target,
            surely), `likely` (reached, but with too few photos to be sure), `far` (four times the photos of every class will hardly reach
            it), or `open`.
        now: accuracy on new photos, 10 %, 50 % and 90 % quantile, in [0, 1]; None with `too-few`, as the next two are.
        twice: the same with twice the photos of every class.
        fourfold: the same with four times the photos of every class.
        action: what to photograph next.
    """

    target: float
    per_class: Mapping[str, ClassAssessment]
    outlook: Outlook
    now: Range | None
    twice: Range | None
    fourfold: Range | None
    action: Action

    @property
    def forecast(self) -> str:
        """What may be expected, in a sentence; empty where the action says all."""
        goal, each = f"{100 * self.target:g} %", min(one.bursts for one in self.per_class.values())
        if len(self.per_class) == 1:
            return "One class: there is no other that it could be confused with."
        if self.twice is None or self.fourfold is None:
            return f"Too few photos for a forecast: {each} of a class, {LEAST} are needed."
        if self.outlook == "reached":
            return f"Above {goal}: enough photos."
        twice = f"With twice the photos of every class: {_interval(self.twice)}."
        if self.outlook == "likely":
            return f"Likely above {goal}, with {each} photos of a class not yet sure. {twice}"
        if self.outlook == "far":
            return f"Not {goal} with four times the photos of every class: {_interval(self.fourfold)}."
        return twice

    @property
    def advice(self) -> str:
        """What to do next, in a sentence."""
        action = self.action
        these, each = _listed(action.classes), f"{action.each} more" + (" each" if len(action.classes) != 1 else "")
        if action.code == "none":
            return "nothing is missing"
        if action.code == "alike":
            return f"check the labels of {these}: they look the same"
        if action.code == "few":
            return f"photograph {these}, {each}: the fewest photos"
        if action.code == "confused":
            return f"photograph {these}, {each}: confused most"
        return f"photograph every class, {each}" + (f"; {_listed(action.confused)} are confused most" if action.confused else "")


def assess(fit: Fit, target: float = TARGET) -> Assessment:
    """Says whether the photos are enough.

    Args:
        fit: the training to judge; its learner has not changed since.
        target: the accuracy that is asked for, in (0, 1).

    Raises:
        ValueError: a target outside (0, 1).
    """
    if not 0 < target < 1:
        raise ValueError(f"a target accuracy lies between 0 and 1, not {target}; 0.95 asks for 95 %")
    labels = fit.head.labels
    number = {label: i for i, label in enumerate(labels)}
    classes = np.array([number[label] for label in fit.truth])
    _, accuracies = per_class_accuracy(list(zip(fit.truth, fit.predicted)), fit.bursts.tolist())
    photos = np.bincount(classes, minlength=len(labels))
    wrong = np.zeros((len(labels), len(labels)), np.int64)
    for (truth, answer), count in Counter(zip(fit.truth, fit.predicted)).items():
        if truth != answer:
            wrong[number[truth], number[answer]] = count
    rivals = [(labels[i], int(row[i])) if row[i] else None for row in wrong for i in [int(row.argmax())]]
    per_class = {
        label: ClassAssessment(count, accuracies[label].n, accuracies[label], rival)
        for label, count, rival in zip(labels, photos.tolist(), rivals)
    }
    forecast = None
    if len(labels) > 1 and min(one.n for one in accuracies.values()) >= LEAST:
        whole = Proportion(sum(one.hits for one in accuracies.values()), sum(one.n for one in accuracies.values()))
        forecast = Forecast.of(whole, measure(fit, classes).exponent)
    now, twice, fourfold = (None if forecast is None else forecast.accuracy(times) for times in (1, 2, 4))
    outlook = _outlook(now, fourfold, target)
    return Assessment(target, per_class, outlook, now, twice, fourfold, _action(per_class, wrong, outlook))


def _outlook(now: Range | None, fourfold: Range | None, target: float) -> Outlook:
    if now is None or fourfold is None:
        return "too-few"
    if now[0] >= target:
        return "reached"
    if now[1] >= target:
        return "likely"
    return "far" if fourfold[2] < target else "open"


def _action(per_class: Mapping[str, ClassAssessment], wrong: Array, outlook: Outlook) -> Action:
    """The one thing to do next.

    Of as many photos, spread over all classes or of the confused ones alone, the former gained more: docs/evidence/forecast.md.

    Args:
        per_class: each class by name.
        wrong: photos of each class (row) that are taken for another (column), int [c, c].
        outlook: of all classes.
    """
    labels, bursts = list(per_class), [one.bursts for one in per_class.values()]
    usual = statistics.median(bursts)
    each = max(NEXT, round(usual / 20) * 10)
    few = sorted((count, label) for count, label in zip(bursts, labels) if count < max(LEAST, usual / 2))
    if few and len(few) < len(labels):
        return Action("few", tuple(label for _, label in few[:_NAMED]), max(NEXT, round(usual / 2) - few[0][0]))
    if outlook == "reached":
        return Action("none", (), 0)
    group = _confused(wrong + wrong.T)
    confused = tuple(labels[i] for i in group)
    if few or not group:
        return Action("more", (), each, confused)
    photos = [one.photos for one in per_class.values()]
    pair = group[:2]
    if all(Proportion(int(wrong[i, j]), photos[i]).interval[0] > _ALIKE for i, j in (pair, pair[::-1])):
        return Action("alike", confused[:2], each, confused)
    return Action("confused", confused, each, confused) if len(labels) > _MANY else Action("more", (), each, confused)


def _confused(both: Array) -> list[int]:
    """The pair that is confused most, and a third class that is confused with it at least half as often; of int [c, c], symmetric."""
    if not both.any():
        return []
    first, second = (int(i) for i in np.unravel_index(both.argmax(), both.shape))
    beside = both[:, [first, second]].sum(1)
    beside[[first, second]] = 0
    third = int(beside.argmax())
    return [first, second] + [third] * bool(2 * beside[third] >= both[first, second])


def _listed(labels: Sequence[str]) -> str:
    names = list(map(repr, labels))
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _interval(share: Range) -> str:
    """The middle, and the 80 % interval rounded outwards to whole percents."""
    low, middle, high = (100 * end for end in share)
    return f"about {middle:.0f} % (80 % interval {int(low)} to {min(100, -int(-high // 1))} %)"
