"""From photos of a new place to an adapted head: embedded, tried, and kept in the history."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

from edgetl import guard
from edgetl.evaluation import per_class_accuracy
from edgetl.memory import Memory
from edgetl.training import keep
from edgetl.types import Embeddings, HeadKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgetl.adapter import AdapterKind, AdaptReport


def adapt(
    memory: Memory, asked: HeadKind, target: Embeddings, labels: Sequence[str | None] | None, kind: AdapterKind | Literal["auto"]
) -> AdaptReport:
    """Adapts a head trained from what is remembered; makes it active if that is expected to help. Within a change of the memory.

    Args:
        memory: what to train from.
        asked: the algorithm of the head.
        target: embeddings of the new photos, float32 [m, d].
        labels: the class of each, None where it is not known.
        kind: which adapter; `auto` tries all.

    Raises:
        TrainError: too few photos, new or taught.
    """
    from edgetl import adapter

    fit = memory.learner().fit(asked)
    made = adapter.adapt(fit.head, fit, fit.photos, target, kind=kind, labels=labels)
    if made.report.kind is not None:
        head = dataclasses.replace(made.head, fingerprint=memory.store.fingerprint.digest)
        accuracy, _ = per_class_accuracy(list(zip(fit.truth, fit.predicted)), fit.bursts.tolist())
        report = {"asked": asked, "reason": made.report.reason, "record": guard.Record.of(fit), "adapter": made.report}
        number = keep(memory, head, accuracy, report, activate=True)
        memory.store.log("adapt", made.report.reason, number)
    return made.report
