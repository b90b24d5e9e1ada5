"""Is it enough? How accurate each class is, how many more photos it needs, and which class to photograph next."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping
from typing import Literal

import numpy as np

from edgetl.curve import HORIZON, Forecast, draw, measure
from edgetl.evaluation import per_class_accuracy
from edgetl.heads.learner import Fit
from edgetl.types import Array, Proportion

State = Literal["reached", "more", "far", "flat", "unknown"]
TARGET = 0.95
LEAST = 5
"""With fewer bursts of a class there is too little to say."""
NEXT = 10
"""So many further photos are what the advice for the next class is worked out for."""


@dataclasses.dataclass(frozen=True)
class ClassAssessment:
    """One class.

    Attributes:
        photos: it was taught, count.
        bursts: that these are; near-duplicates are one burst.
        accuracy: by the fit's leave-one-out; n is the number of bursts.
        state: `reached` (the target); `more` photos will do; `far` (more than 9 times what there is); `flat` (far, and 8 times the photos
            would not halve the odds of an error: more of the same kind will hardly help); or `unknown` (too few to say).
        more: about how many more photos, each a burst of its own, reach the target; 0 where it is reached, None where that is not known.
        interval: the 80 % interval of `more`; None at its upper end is further than the curve is followed. None where that is not known.
        taken_for: (class, photos) that it is most often mistaken for; None where it never is.
        sentence: all of this in words.
    """

    photos: int
    bursts: int
    accuracy: Proportion
    state: State
    more: int | None
    interval: tuple[int, int | None] | None
    taken_for: tuple[str, int] | None
    sentence: str


@dataclasses.dataclass(frozen=True)
class Assessment:
    """All classes.

    Attributes:
        target: the accuracy that is asked of every class, in (0, 1).
        per_class: each class by name.
        next: the class to photograph next; None where every class has surely reached the target.
        reason: why that one, in a sentence.
        method: how the curve was measured, in a sentence.
    """

    target: float
    per_class: Mapping[str, ClassAssessment]
    next: str | None
    reason: str
    method: str


def assess(fit: Fit, target: float = TARGET, seed: int = 0) -> Assessment:
    """Says whether the photos are enough.

    Args:
        fit: the training to judge; its learner has not changed since.
        target: the accuracy that is asked of every class, in (0, 1).
        seed: of the draws.

    Raises:
        ValueError: a target outside (0, 1).
    """
    if not 0 < target < 1:
        raise ValueError(f"a target accuracy lies between 0 and 1, not {target}; 0.95 asks for 95 %")
    labels = fit.head.labels
    number = {label: i for i, label in enumerate(labels)}
    classes = np.array([number[label] for label in fit.truth])
    _, accuracies = per_class_accuracy(list(zip(fit.truth, fit.predicted)), fit.bursts.tolist())
    accuracy = [accuracies[label] for label in labels]
    curve = measure(fit, classes)
    draws = draw(curve, accuracy, seed)
    wrong = Counter(pair for pair in zip(fit.truth, fit.predicted) if pair[0] != pair[1])
    photos = np.bincount(classes, minlength=len(labels))
    rivals: dict[str, tuple[str, int]] = {}
    for (truth, said), count in sorted(wrong.items(), key=lambda item: (item[1], item[0])):
        rivals[truth] = said, count
    per_class = {
        label: _judge(label, count, share, rivals.get(label), forecast, target)
        for label, count, share, forecast in zip(labels, photos.tolist(), accuracy, draws.forecasts(target))
    }
    chosen, reason = _next(per_class, draws.gains(NEXT), target)
    return Assessment(target, per_class, chosen, reason, curve.method)


def _judge(
    label: str, photos: int, accuracy: Proportion, rival: tuple[str, int] | None, forecast: Forecast, target: float
) -> ClassAssessment:
    n = accuracy.n
    state, said = _say(accuracy, forecast, f"{100 * target:g} %")
    known = f"{label}: {accuracy} photo{'s' * (n != 1)}" + f" after bursts were joined ({photos} in all)" * (photos != n)
    mistaken = f"; {rival[1]} of {photos} {'is' if rival[1] == 1 else 'are'} taken for {rival[0]!r}" if rival and state != "reached" else ""
    low, middle, high = (None if math.isinf(end) else _whole(end) for end in forecast.more)
    more, interval = (None, None) if state == "unknown" else (middle, None if low is None else (low, high))
    return ClassAssessment(photos, n, accuracy, state, more, interval, rival, f"{known}; {said}{mistaken}")


def _say(accuracy: Proportion, forecast: Forecast, goal: str) -> tuple[State, str]:
    n, (low, middle, high) = accuracy.n, forecast.more
    if n < LEAST:
        return "unknown", f"too few to say how many it needs for {goal}: photograph at least {LEAST - n} more from other views"
    further = f"more than {_whole((HORIZON - 1) * n)}"
    least, most = (further if math.isinf(end) else f"{_whole(end)}" for end in (low, high))
    between = f" (80 % interval {least} to {most})" if least != most else ""
    if middle == 0:
        return "reached", f"{goal} seems reached" + (f" (80 % interval 0 to {most} more photos)" if high else "")
    if not math.isinf(middle):
        return "more", f"about {_whole(middle)} more photo{'s' * (middle > 1)} for {goal}{between}"
    worst, middling, best = (100 * share for share in forecast.twice)
    twice = f"twice as many would make it about {middling:.0f} % (80 % interval {worst:.0f} to {best:.0f})"
    if forecast.flat:
        return "flat", f"more photos of the same kind, of every class, will hardly help: {twice}"
    return "far", f"{goal} needs {further} more photos{between}: {twice}"


def _whole(more: float) -> int:
    """Rounded up to two digits: a forecast has no third."""
    step: int = 10 ** max(0, math.floor(math.log10(max(more, 1))) - 1)
    return math.ceil(more / step - 1e-9) * step


def _next(per_class: Mapping[str, ClassAssessment], gains: Array, target: float) -> tuple[str | None, str]:
    """The class with the fewest bursts among those that may miss the target; where several have as few, the one that gains most.

    Without roots (:mod:`edgetl.heads.normalisation`), followed from 6 photos per class in steps of 10, over 3 steps per class and 6 draws,
    that gave a mean class accuracy above that of equal numbers by 0.7 +- 0.2 points on sign digits, 0.2 +- 0.2 on magnetic tiles and -0.1
    +- 0.2 on flowers (no class left out as surely good enough; with those left out whose forecast was 0, 0.1 +- 0.3 on sign digits). The
    class with the lowest accuracy first lost 1.2, 3.5 and 0.8 points to equal numbers, the one that gains most by its own curve 0.6 on the
    tiles and 1.0 on flowers, and a random one 3.0, 2.3 and 1.9.
    """
    goal = f"{100 * target:g} %"
    gain = dict(zip(per_class, gains.T.tolist()))
    missing = [label for label, one in per_class.items() if one.interval != (0, 0)]
    if not missing:
        return None, f"every class has reached {goal}"
    label = min(missing, key=lambda label: (per_class[label].bursts, -round(gain[label][1], 6), label))
    one, others = per_class[label], sum(per_class[other].bursts == per_class[label].bursts for other in missing) - 1
    fewest = f"it has the fewest photos (n={one.bursts}) of the classes that may not have reached {goal}"
    if others:
        fewest = f"of the {others + 1} classes with the fewest photos (n={one.bursts}) that may not have reached {goal} it gains most"
    if one.bursts < LEAST:
        return label, f"{label}: {fewest}; photograph at least {LEAST - one.bursts} more from other views"
    low, middle, high = (100 * points for points in gain[label])
    raised = f"{NEXT} more are expected to raise its accuracy by about {middle:.1f} points (80 % interval {low:.1f} to {high:.1f})"
    return label, f"{label}: {fewest}; {raised}"
