"""Adapts the active head to new photos, if that is expected to help."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Sequence, Sized
from typing import TYPE_CHECKING, Literal

import numpy as np

from edgetl.adaptation import gate
from edgetl.adaptation.text import describe_report
from edgetl.diagnostics.training_record import TrainingRecord
from edgetl.heads import open_set
from edgetl.inputs.photo import folders
from edgetl.session.training import save_head
from edgetl.session.workspace import Session
from edgetl.stats import Proportion
from edgetl.types import Embeddings

if TYPE_CHECKING:
    from edgetl.adaptation.adapters import AdapterKind
    from edgetl.adaptation.gate import AdaptReport
    from edgetl.embedding.embedder import Embedder
    from edgetl.inputs.photo.folders import LabelledPhotos, Progress


def adapt(
    session: Session,
    embedder: Embedder,
    photos: LabelledPhotos,
    kind: AdapterKind | Literal["auto"],
    *,
    labelled: bool,
    same_balance: bool,
    progress: Progress | None,
) -> AdaptReport:
    """See :meth:`edgetl.Classifier.adapt`."""
    session.trained()
    pairs, _ = folders.pairs(photos, "unlabelled" if isinstance(photos, (str, os.PathLike)) and not labelled else None)
    total = len(pairs) if isinstance(pairs, Sized) else 0
    embeddings: list[Embeddings] = []
    labels: list[str | None] = []
    read = functools.partial(folders.source, color="rgb")
    for done, (pair, _, result) in enumerate(embedder.embed_many(pairs, read), 1):
        if isinstance(result, np.ndarray):
            embeddings.append(result)
            labels.append(pair[1])
        if progress is not None:
            progress(done, total)
    target = np.array(embeddings, np.float32).reshape(len(embeddings), session.store.fingerprint.dim)
    with session.changing("adapting"):
        return adapt_head(session, target, labels if labelled else None, kind, same_balance=same_balance)


def adapt_head(
    session: Session, target: Embeddings, labels: Sequence[str | None] | None, kind: AdapterKind | Literal["auto"], *, same_balance: bool
) -> AdaptReport:
    """Adapts the active head to embeddings and makes the result active, if that is expected to help. Within a change of the session.

    Args:
        session: what to train the head from that is adapted.
        target: embeddings of the new photos, float32 [m, d].
        labels: the class of each, None where it is not known.
        kind: which adapter; `auto` tries all.
        same_balance: the person confirms that the class balance is that of the training.

    Raises:
        TrainError: too few photos, new ones or in the store.
    """
    requested, unknown = session.requested_kind(), session.operating_point()
    fit = session.inputs()[0].fit(requested)
    calibrated = open_set.calibrate(fit, session.store.background(), unknown)[0]
    adaptation = gate.adapt(calibrated, fit, target, kind=kind, labels=labels, same_balance=same_balance)
    report = adaptation.report
    if report.kind is not None:
        head = dataclasses.replace(adaptation.head, fingerprint=session.store.fingerprint.digest)
        details = {
            "asked": requested,
            "record": TrainingRecord.from_fit(fit),
            "adaptation": report,
            "unknown": unknown,
        }
        # Leave-one-out measures the accuracy where the training photos were taken, not where the camera is now.
        unmeasured = Proportion(0, 0)
        head_id = save_head(session, head, unmeasured, details, activate=True, kind=f"{head.kind}, adapted ({report.kind})")
        session.store.log("adapt", describe_report(report), head_id)
    return report
