"""Measures a head on labelled photos: the answers, counted."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Sequence, Sized
from typing import TYPE_CHECKING

import numpy as np

from edgetl.heads.confidence.rejection import is_reject_class
from edgetl.inputs.photo import folders
from edgetl.session.prediction import predict
from edgetl.session.reports import EvalReport, FailedPhoto, not_photos
from edgetl.stats import Proportion
from edgetl.types import ColorOrder, check_label

if TYPE_CHECKING:
    from edgetl.embedding.embedder import Embedder
    from edgetl.inputs.photo.folders import LabelledPhotos, Progress
    from edgetl.session.workspace import Session


@dataclasses.dataclass(frozen=True)
class LabelledAnswer:
    """What a head answered to one labelled photo.

    Attributes:
        truth: the photo's class.
        best: the most probable class.
        rejected: whether the photo got no label.
    """

    truth: str
    best: str
    rejected: bool


def evaluate(session: Session, embedder: Embedder, photos: LabelledPhotos, *, color: ColorOrder, progress: Progress | None) -> EvalReport:
    """See :meth:`edgetl.Classifier.evaluate`."""
    head = session.trained()
    pairs, others = folders.pairs(photos)
    failed = not_photos(others)
    total = len(pairs) if isinstance(pairs, Sized) else 0
    answers: list[LabelledAnswer] = []
    stored = 0
    for done, (pair, photo, result) in enumerate(embedder.embed_many(pairs, functools.partial(folders.source, color=color)), 1):
        if photo is None or not isinstance(result, np.ndarray):
            failed.append(FailedPhoto.from_error(folders.name(pair[0]), result))
        else:
            stored += session.knows(photo)
            prediction = predict(head, result, 1)
            answers.append(LabelledAnswer(check_label(pair[1]), prediction.top[0][0], prediction.label is None))
        if progress is not None:
            progress(done, total)
    rejects = [label for label in head.labels if is_reject_class(label)]
    return count(answers, [label for label in head.labels if label not in rejects], rejects, failed, stored)


def count(
    answers: Sequence[LabelledAnswer], known: Sequence[str], rejects: Sequence[str], failed: Sequence[FailedPhoto], stored: int
) -> EvalReport:
    """Counts what a head answered.

    Args:
        answers: one per photo.
        known: the classes that the head gives as labels.
        rejects: the classes it knows in order to reject them.
        failed: the photos that could not be used.
        stored: how many of the photos were used for training.
    """
    own = [answer for answer in answers if answer.truth in known]
    others = [answer for answer in answers if answer.truth not in known]
    totals = Counter(answer.truth for answer in own)
    hits = Counter(answer.truth for answer in own if answer.truth == answer.best and not answer.rejected)
    rejected = sum(answer.rejected for answer in own)
    labels = tuple(sorted({*known, *rejects, *(answer.truth for answer in answers)}))
    cells = Counter((answer.truth, None if answer.rejected else answer.best) for answer in answers)
    untrained = Counter(answer.truth for answer in others if answer.truth not in rejects)
    return EvalReport(
        accuracy=Proportion(hits.total(), len(own)),
        per_class={label: Proportion(hits[label], totals[label]) for label in sorted(totals)},
        wrong=Proportion(len(own) - hits.total() - rejected, len(own)),
        rejected=Proportion(rejected, len(own)),
        best_guess=Proportion(sum(answer.truth == answer.best for answer in own), len(own)),
        unknown_rejected=Proportion(sum(answer.rejected for answer in others), len(others)),
        labels=labels,
        confusion=tuple(tuple(cells[truth, label] for label in (*labels, None)) for truth in labels),
        failed=tuple(failed),
        stored=stored,
        untrained=dict(sorted(untrained.items())),
    )
