"""From (true, predicted) pairs to accuracy with intervals and a confusion matrix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from edgetl.types import EvalReport, Proportion


def per_class_accuracy(outcomes: Sequence[tuple[str, str]]) -> tuple[Proportion, dict[str, Proportion]]:
    """Accuracy of (true, predicted) pairs, overall and per true class."""
    n = Counter(truth for truth, _ in outcomes)
    hits = Counter(truth for truth, said in outcomes if truth == said)
    return Proportion(sum(hits.values()), len(outcomes)), {label: Proportion(hits[label], n[label]) for label in sorted(n)}


def evaluated(outcomes: Sequence[tuple[str, str]], known: Sequence[str], failed: Sequence[tuple[str, str]], taught: int) -> EvalReport:
    """What an evaluation gave.

    Args:
        outcomes: (true, predicted) per photo.
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
    return EvalReport(accuracy, per_class, labels, confusion, tuple(failed), tuple(warnings))
