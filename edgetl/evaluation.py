"""From (true, predicted) pairs to accuracy with intervals and a confusion matrix."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence

from edgetl.types import EvalReport, Proportion


def per_class_accuracy(
    outcomes: Sequence[tuple[str, str]], bursts: Sequence[int] | None = None
) -> tuple[Proportion, dict[str, Proportion]]:
    """Accuracy of (true, predicted) pairs, overall and per true class.

    Args:
        outcomes: (true, predicted) per photo.
        bursts: the near-duplicate group of each photo. Frames of one group are not independent evidence: with groups, n counts those that
            have photos of the class, and a group is correct if more than half of its photos of that class are. None counts photos.
    """
    cells = range(len(outcomes)) if bursts is None else bursts
    photos = Counter((truth, cell) for (truth, _), cell in zip(outcomes, cells, strict=True))
    hits = Counter((truth, cell) for (truth, said), cell in zip(outcomes, cells) if truth == said)
    n = Counter(truth for truth, _ in photos)
    right = Counter(cell[0] for cell, count in hits.items() if 2 * count > photos[cell])
    return Proportion(right.total(), len(photos)), {label: Proportion(right[label], n[label]) for label in sorted(n)}


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a head answered to one labelled photo.

    Attributes:
        truth: the photo's class.
        best: the most probable class.
        rejected: whether the photo got no label.
    """

    truth: str
    best: str
    rejected: bool


def evaluate(
    answers: Sequence[Answer], known: Sequence[str], rejects: Sequence[str], failed: Sequence[tuple[str, str]], stored: int
) -> EvalReport:
    """Counts what a head answered.

    Args:
        answers: one per photo.
        known: the classes that the head gives as labels.
        rejects: the classes it knows in order to reject them.
        failed: (source, reason) per photo that could not be used.
        stored: how many of the photos were used for training.
    """
    own = [answer for answer in answers if answer.truth in known]
    others = [answer for answer in answers if answer.truth not in known]
    n = Counter(answer.truth for answer in own)
    hits = Counter(answer.truth for answer in own if answer.truth == answer.best and not answer.rejected)
    refused = sum(answer.rejected for answer in own)
    labels = tuple(sorted({*known, *rejects, *(answer.truth for answer in answers)}))
    cells = Counter((answer.truth, None if answer.rejected else answer.best) for answer in answers)
    missing = Counter(answer.truth for answer in others if answer.truth not in rejects)
    warnings = [f"the head does not know {label!r}: its {count} photos should be rejected" for label, count in sorted(missing.items())]
    if stored:
        warnings.append(f"{stored} of these photos were used for training, so the accuracy reads high; evaluate on new photos")
    return EvalReport(
        accuracy=Proportion(hits.total(), len(own)),
        per_class={label: Proportion(hits[label], n[label]) for label in sorted(n)},
        wrong=Proportion(len(own) - hits.total() - refused, len(own)),
        refused=Proportion(refused, len(own)),
        best_guess=Proportion(sum(answer.truth == answer.best for answer in own), len(own)),
        unknown_refused=Proportion(sum(answer.rejected for answer in others), len(others)),
        labels=labels,
        confusion=tuple(tuple(cells[truth, label] for label in (*labels, None)) for truth in labels),
        failed=tuple(failed),
        warnings=tuple(warnings),
    )


def student(normal: float, freedom: float) -> float:
    """Student's t with as much above it as the normal deviate `normal` > 0 has, for `freedom` > 0 degrees of freedom."""
    tail, t = math.erfc(normal / math.sqrt(2)) / 2, normal
    scale = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - math.log(freedom * math.pi) / 2
    # Newton's method: the tail is convex and the normal's is lighter, so it comes from the left and never overshoots.
    for _ in range(100):
        step = (above(t, freedom) - tail) / math.exp(scale - (freedom + 1) / 2 * math.log1p(t * t / freedom))
        t += step
        if abs(step) <= 1e-12 * t:
            break
    return t


def above(t: float, freedom: float) -> float:
    """The probability that Student's t is above `t` >= 0: an incomplete beta function (DLMF 8.17.2, 8.17.4 and the fraction 8.17.22)."""
    x, a, b = freedom / (freedom + t * t), freedom / 2, 0.5
    y = t * t / (freedom + t * t)
    if x < (a + 1) / (a + b + 2):
        return _beta(x, y, a, b) / 2
    return (1 - _beta(y, x, b, a)) / 2


def _beta(x: float, y: float, a: float, b: float) -> float:
    """The regularised incomplete beta function at `x`, where `y` is 1 - x, by Lentz's method (Press et al. 2007, section 6.4)."""
    if not x:
        return 0.0
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(y)) / a
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    fraction = d
    for m in range(1, 1000):
        before = fraction
        for term in (m * (b - m) / ((a + 2 * m - 1) * (a + 2 * m)), -(a + m) * (a + b + m) / ((a + 2 * m) * (a + 2 * m + 1))):
            c, d = 1 + term * x / c, 1 / (1 + term * x * d)
            fraction *= c * d
        if abs(fraction - before) <= 1e-15 * fraction:
            break
    return front * fraction
