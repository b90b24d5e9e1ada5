"""Readiness: how accurate the classes are, how accurate they will be with more photos, and what to photograph next."""

from __future__ import annotations

import dataclasses
import statistics
from collections import Counter
from collections.abc import Mapping
from typing import Literal

import numpy as np

from edgetl.diagnostics.learning_curve import AccuracyForecast, Range, measure
from edgetl.heads.learner import Fit
from edgetl.stats import Proportion, per_class_accuracy
from edgetl.types import Array

OutlookCode = Literal["too-few", "reached", "likely", "far", "open"]
ActionCode = Literal["few", "alike", "confused", "more", "none"]
TARGET = 0.95
LEAST = 8
"""With fewer near-duplicate groups of a class nothing is forecast: docs/evidence/forecast.md starts there."""
NEXT = 10
"""New photos of a class to take at least."""
_NAMED, _MANY = 3, 12
"""With more than _MANY classes only the most confused ones are photographed, although photos of all of them would gain more."""
_ALIKE = 0.25
"""Two classes may be one class under two names if clearly more than this share of each is taken for the other."""


@dataclasses.dataclass(frozen=True)
class ClassAssessment:
    """One class.

    Attributes:
        photos: training photos, count.
        groups: their near-duplicate groups, count.
        accuracy: leave-one-out; n is `groups`.
        taken_for: (class, photos) that it is most often mistaken for; None if it never is.
    """

    photos: int
    groups: int
    accuracy: Proportion
    taken_for: tuple[str, int] | None


@dataclasses.dataclass(frozen=True)
class Action:
    """What to photograph next.

    Attributes:
        code: `few` (these classes have too few photos, or less than half of the median here), `alike` (these two may be one class under
            two names: check the labels), `more` (every class), `confused` (of many classes, the most confused ones), or `none`.
        classes: which ones; empty for `more` and `none`.
        each: new photos to take of each of them, count.
        confused: the classes that are most often confused, at most three; may be empty.
    """

    code: ActionCode
    classes: tuple[str, ...]
    each: int
    confused: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Assessment:
    """Readiness of all classes. :mod:`edgetl.diagnostics.text` puts it into words.

    Attributes:
        target: the accuracy to reach, in (0, 1).
        per_class: each class by name.
        outlook: `too-few` (a single class, or a class with fewer than LEAST near-duplicate groups: nothing is forecast), `reached` (the
            target, with 90 % probability), `likely` (probably reached, but with too few photos to be sure), `far` (four times the photos of
            every class are unlikely to reach it), or `open`.
        now: accuracy on new photos, 10 %, 50 % and 90 % quantile, in [0, 1]; None if `too-few`, as are the next two.
        twice: the same with twice the photos of every class.
        fourfold: the same with four times the photos of every class.
        action: what to photograph next.
    """

    target: float
    per_class: Mapping[str, ClassAssessment]
    outlook: OutlookCode
    now: Range | None
    twice: Range | None
    fourfold: Range | None
    action: Action


def assess(fit: Fit, target: float = TARGET) -> Assessment:
    """Decides whether there are enough photos, and what to photograph next.

    Args:
        fit: the training to judge; its learner has not changed since.
        target: the accuracy to reach, in (0, 1).

    Raises:
        ValueError: a target outside (0, 1).
    """
    if not 0 < target < 1:
        raise ValueError(f"the target accuracy is {target}; expected a number between 0 and 1, e.g. 0.95")
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
    shares = accuracies.values()
    if len(labels) > 1 and min(share.n for share in shares) >= LEAST:
        whole = Proportion(sum(share.hits for share in shares), sum(share.n for share in shares))
        forecast = AccuracyForecast.estimate(whole, measure(fit, classes).exponent)
    now, twice, fourfold = (None if forecast is None else forecast.predict(times) for times in (1, 2, 4))
    outlook = _outlook(now, fourfold, target)
    return Assessment(target, per_class, outlook, now, twice, fourfold, _action(per_class, wrong, outlook))


def _outlook(now: Range | None, fourfold: Range | None, target: float) -> OutlookCode:
    if now is None or fourfold is None:
        return "too-few"
    if now[0] >= target:
        return "reached"
    if now[1] >= target:
        return "likely"
    return "far" if fourfold[2] < target else "open"


def _action(per_class: Mapping[str, ClassAssessment], wrong: Array, outlook: OutlookCode) -> Action:
    """The one thing to do next.

    The same number of photos gained more when spread over all classes than when taken of the confused ones: docs/evidence/forecast.md.

    Args:
        per_class: each class by name.
        wrong: photos of each class (row) that were taken for another (column), int [c, c].
        outlook: of all classes.
    """
    labels, groups = list(per_class), [assessment.groups for assessment in per_class.values()]
    usual = statistics.median(groups)
    each = max(NEXT, round(usual / 20) * 10)
    few = sorted((count, label) for count, label in zip(groups, labels) if count < max(LEAST, usual / 2))
    if few and len(few) < len(labels):
        return Action("few", tuple(label for _, label in few[:_NAMED]), max(NEXT, round(usual / 2) - few[0][0]))
    if outlook == "reached":
        return Action("none", (), 0)
    numbers = _most_confused(wrong + wrong.T)
    confused = tuple(labels[i] for i in numbers)
    if few or not numbers:
        return Action("more", (), each, confused)
    photos = [assessment.photos for assessment in per_class.values()]
    pair = numbers[:2]
    if all(Proportion(int(wrong[i, j]), photos[i]).interval[0] > _ALIKE for i, j in (pair, pair[::-1])):
        return Action("alike", confused[:2], each, confused)
    return Action("confused", confused, each, confused) if len(labels) > _MANY else Action("more", (), each, confused)


def _most_confused(both: Array) -> list[int]:
    """The pair that is confused most, and a third class that is confused with it at least half as often; from int [c, c], symmetric."""
    if not both.any():
        return []
    first, second = (int(i) for i in np.unravel_index(both.argmax(), both.shape))
    beside = both[:, [first, second]].sum(1)
    beside[[first, second]] = 0
    third = int(beside.argmax())
    return [first, second] + [third] * bool(2 * beside[third] >= both[first, second])
