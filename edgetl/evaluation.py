"""From (true, predicted) pairs to accuracy with intervals and a confusion matrix."""

from __future__ import annotations

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
        bursts: the burst of each photo. Frames of one burst are no independent evidence: with bursts n counts those that have photos of
            the class, and one is right if more than half of its photos of that class are. None counts photos.
    """
    cells = range(len(outcomes)) if bursts is None else bursts
    photos = Counter((truth, cell) for (truth, _), cell in zip(outcomes, cells, strict=True))
    hits = Counter((truth, cell) for (truth, said), cell in zip(outcomes, cells) if truth == said)
    n = Counter(truth for truth, _ in photos)
    right = Counter(cell[0] for cell, count in hits.items() if 2 * count > photos[cell])
    return Proportion(right.total(), len(photos)), {label: Proportion(right[label], n[label]) for label in sorted(n)}


def evaluated(
    outcomes: Sequence[tuple[str, str]], labelled: Sequence[bool], known: Sequence[str], failed: Sequence[tuple[str, str]], taught: int
) -> EvalReport:
    """What an evaluation gave.

    Args:
        outcomes: (true, most probable) per photo.
        labelled: whether each got a label, or was rejected.
        known: the classes that the head knows.
        failed: (source, reason) per photo that could not be used.
        taught: how many of the photos the store holds.
    """
    accuracy, per_class = per_class_accuracy(outcomes)
    labels = tuple(sorted({*known, *per_class}))
    cells = Counter(outcomes)
    warnings = [
        f"the head was never taught {label!r}: its {per_class[label].n} photos count as wrong" for label in labels if label not in known
    ]
    if taught:
        warnings.append(f"{taught} of these photos were taught, so the accuracy flatters; evaluate on photos the store has not seen")
    confusion = tuple(tuple(cells[truth, said] for said in labels) for truth in labels)
    got = Proportion(sum(labelled), len(labelled))
    right = Proportion(sum(truth == said for (truth, said), one in zip(outcomes, labelled) if one), got.hits)
    return EvalReport(accuracy, per_class, got, right, labels, confusion, tuple(failed), tuple(warnings))


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
