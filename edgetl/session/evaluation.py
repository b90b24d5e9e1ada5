"""Counts what a head answered to labelled photos."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

from edgetl.session.reports import EvalReport
from edgetl.stats import Proportion


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
        rejected=Proportion(refused, len(own)),
        best_guess=Proportion(sum(answer.truth == answer.best for answer in own), len(own)),
        unknown_rejected=Proportion(sum(answer.rejected for answer in others), len(others)),
        labels=labels,
        confusion=tuple(tuple(cells[truth, label] for label in (*labels, None)) for truth in labels),
        failed=tuple(failed),
        warnings=tuple(warnings),
    )
