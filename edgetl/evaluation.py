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


def student(normal: float, freedom: int) -> float:
    """Student's t at the probability of the normal deviate `normal`, for at least 2 degrees of freedom (Abramowitz and Stegun 26.7.5).

    It is 1 % low at 2 degrees of freedom, and less above.
    """
    z = normal
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + math.fsum(term / freedom**power for power, term in enumerate(terms, 1))
