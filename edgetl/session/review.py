"""How good the classes are, measured on the stored photos: accuracy, confusions with the photos behind them, likely label errors."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from edgetl.decoding import decode
from edgetl.diagnostics import LikelyLabelError
from edgetl.diagnostics.diagnosis import find_label_errors
from edgetl.session import training
from edgetl.session.reports import AssessReport
from edgetl.session.workspace import Session
from edgetl.stats import Proportion
from edgetl.types import Array, HeadInfo


@dataclasses.dataclass(frozen=True, eq=False)
class Review:
    """What leave-one-out says of every stored photo.

    Attributes:
        report: accuracy per class, forecast, what to photograph next.
        labels: the classes: rows and columns of `confusion`.
        confusion: `[true class][label]`, photos, int64 [c, c]; each photo is judged by a head that never saw it or its near-duplicates.
        label_errors: photos that look like another class than their own, the most likely error first.
    """

    report: AssessReport
    labels: tuple[str, ...]
    confusion: Array
    label_errors: tuple[LikelyLabelError, ...]
    _cells: Mapping[tuple[str, str], tuple[int, ...]] = dataclasses.field(repr=False)

    def samples(self, label: str, answer: str) -> tuple[int, ...]:
        """The sample ids of a cell of `confusion`; empty for labels that are not there."""
        return self._cells.get((label, answer), ())


def review(session: Session) -> Review:
    """Measures all of it from one training, which is not kept.

    Raises:
        TrainError: no sample, or a single class.
    """
    with session.learning():
        fit = session.inputs()[0].fit(session.requested_kind())
        report = training.judge(session, fit)
        sources = dict(zip(fit.ids.tolist(), session.store.sources(fit.ids.tolist())))
        label_errors = find_label_errors(fit, sources)
    labels = fit.head.labels
    number = {label: i for i, label in enumerate(labels)}
    confusion = np.zeros((len(labels), len(labels)), np.int64)
    cells: dict[tuple[str, str], list[int]] = {}
    for sample, truth, answer in zip(fit.ids.tolist(), fit.truth, fit.predicted):
        confusion[number[truth], number[answer]] += 1
        cells.setdefault((truth, answer), []).append(sample)
    return Review(report, labels, confusion, label_errors, {cell: tuple(samples) for cell, samples in cells.items()})


def per_class(session: Session, heads: Sequence[HeadInfo]) -> list[dict[str, Proportion]]:
    """The leave-one-out accuracy of each class when a head was trained; empty for a head that was not trained here."""
    reports = (session.store.head_report(info.id).get("per_class", {}) for info in heads)
    return [{label: decode(Proportion, value) for label, value in report.items()} for report in reports]
