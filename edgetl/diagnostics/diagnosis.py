"""Examines a whole store: problems of photos and classes, and likely label errors."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from edgetl.diagnostics.class_check import check_classes, count_groups
from edgetl.diagnostics.finding import Finding
from edgetl.diagnostics.label_errors import REPORTED, LikelyLabelError, rank_label_errors
from edgetl.diagnostics.photo_check import judge
from edgetl.diagnostics.photo_history import PhotoHistory
from edgetl.heads import Fit
from edgetl.heads.bursts import Bursts
from edgetl.heads.linalg.normalisation import power_normalise
from edgetl.store import SampleBatch
from edgetl.types import Array, Embeddings

_OF_ONE_PHOTO = ("dark", "overexposed", "low-contrast", "blurred", "too-small", "unusual")
"""Findings that need no other photo; the others are about pairs, which :func:`check_classes` and the label errors report."""


@dataclasses.dataclass(frozen=True)
class ClassHealth:
    """What a class contains.

    Attributes:
        label: its name.
        photos: count.
        groups: near-duplicate groups, count: how many different views the photos show.
    """

    label: str
    photos: int
    groups: int


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """What may be wrong with a store.

    Attributes:
        photos: count.
        classes: each of them, by name.
        findings: about photos, in the order in which they were added, then about classes.
        label_errors: photos that look like another class than their own, the most likely error first.
        notes: what could not be judged, and why.
    """

    photos: int
    classes: tuple[ClassHealth, ...]
    findings: tuple[Finding, ...]
    label_errors: tuple[LikelyLabelError, ...]
    notes: tuple[Finding, ...]


def diagnose(batches: Iterable[SampleBatch], fit: Fit | None = None) -> Diagnosis:
    """Examines a store.

    Each photo is compared with the photos added before it, as it was (or would have been) when it was added.

    Args:
        batches: the whole store, read once.
        fit: a training on all samples; None if none is possible, e.g. with a single class.
    """
    history: PhotoHistory | None = None
    photos, findings = _Photos(), list[Finding]()
    for batch in batches:
        history = history or PhotoHistory(batch.codes.shape[1])
        for i, comparison in history.replay(batch):
            of_photo = judge(batch.sources[i], batch.labels[i], batch.captures[i], comparison, history)
            findings += [finding for finding in of_photo if finding.code in _OF_ONE_PHOTO]
        photos.add(batch, fit is None)
    bursts = photos.find_groups(fit)
    counts, groups = Counter(photos.labels), count_groups(photos.labels, bursts)
    return Diagnosis(
        len(photos.ids),
        tuple(ClassHealth(label, counts[label], groups[label]) for label in sorted(counts)),
        (*findings, *check_classes(photos.labels, bursts, photos.sources)),
        () if fit is None else find_label_errors(fit, dict(zip(photos.ids, photos.sources))),
        tuple(_notes(len(photos.ids), len(counts), fit, photos.unmeasured)),
    )


class _Photos:
    """What is kept of each photo until all were read."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.labels: list[str] = []
        self.sources: list[str] = []
        self.unmeasured = 0
        self._taken: list[Array] = []
        self._units: list[Embeddings] = []

    def add(self, batch: SampleBatch, with_units: bool) -> None:
        """Adds a batch; with its embeddings if there is no training that knows the near-duplicate groups."""
        self.ids += batch.ids.tolist()
        self.labels += batch.labels
        self.sources += batch.sources
        self.unmeasured += sum(capture is None for capture in batch.captures)
        if with_units:
            self._taken.append(batch.taken)
            self._units.append(power_normalise(batch.embeddings))

    def find_groups(self, fit: Fit | None) -> Array:
        """The near-duplicate group of each photo, int [m], numbered from 0."""
        ids = np.array(self.ids, np.int64)
        if fit is not None:
            order = np.argsort(fit.ids)
            bursts: Array = fit.bursts[order[np.searchsorted(fit.ids[order], ids)]]
            return bursts
        if not len(ids):
            return ids
        finder = Bursts()
        finder.add(len(ids))
        return finder.find(np.concatenate(self._units), np.concatenate(self._taken), ids)


def find_label_errors(fit: Fit, sources: Mapping[int, str]) -> tuple[LikelyLabelError, ...]:
    """Photos that look like another class than their own, the most likely error first.

    Args:
        fit: a training on all samples.
        sources: where each sample came from, by its id.
    """
    ids = fit.ids.tolist()
    ranked = zip(*(array.tolist() for array in rank_label_errors(fit)))
    return tuple(
        LikelyLabelError(ids[row], sources[ids[row]], fit.truth[row], fit.head.labels[looks_like], score)
        for row, looks_like, score in ranked
        if score > REPORTED
    )


def _notes(photos: int, classes: int, fit: Fit | None, unmeasured: int) -> Iterator[Finding]:
    if not photos:
        yield Finding("no-photos")
    elif classes == 1:
        yield Finding("one-class", values={"photos": photos})
    elif fit is None:
        yield Finding("not-trained")
    if unmeasured:
        yield Finding("not-measured", values={"photos": photos, "unmeasured": unmeasured})
