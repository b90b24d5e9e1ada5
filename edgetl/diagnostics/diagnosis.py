"""The whole report on a store."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from edgetl.diagnostics.class_check import check_classes, views
from edgetl.diagnostics.finding import Finding
from edgetl.diagnostics.label_errors import LISTED, Suspect, suspicion
from edgetl.diagnostics.photo_check import judge
from edgetl.diagnostics.photo_history import Past
from edgetl.heads import Fit
from edgetl.heads.bursts import Bursts
from edgetl.heads.linalg.normalisation import power_normalised
from edgetl.store import SampleBatch
from edgetl.types import Array, Embeddings

_OF_THE_PHOTO = ("dark", "overexposed", "flat", "blurred", "tiny", "unlike")


@dataclasses.dataclass(frozen=True)
class ClassHealth:
    """What a class holds.

    Attributes:
        label: its name.
        photos: how many.
        bursts: how many different views they are.
    """

    label: str
    photos: int
    bursts: int


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """What is wrong with a store.

    Attributes:
        photos: how many there are.
        classes: each of them, by name.
        findings: about photos, in the order they were added, then about classes.
        suspects: photos that look like another class than their own, the most suspicious first.
        failed: (source, reason) per photo that could not be added, each once.
        notes: what could not be judged, and why, in sentences.
    """

    photos: int
    classes: tuple[ClassHealth, ...]
    findings: tuple[Finding, ...]
    suspects: tuple[Suspect, ...]
    failed: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def diagnose(batches: Iterable[SampleBatch], fit: Fit | None = None, failed: Sequence[tuple[str, str]] = ()) -> Diagnosis:
    """Examines a store.

    A photo is judged beside those that were added before it, as it was (or would have been) when it was added.

    Args:
        batches: all of it, read once.
        fit: a training on all samples; None where there is none, e.g. with a single class.
        failed: (source, reason) per photo that could not be added.
    """
    past: Past | None = None
    photos, found = _Photos(), []
    for batch in batches:
        past = past or Past(batch.codes.shape[1])
        for i, look in past.replay(batch):
            seen = judge(batch.sources[i], batch.labels[i], batch.captures[i], look, past)
            found += [finding for finding in seen if finding.kind in _OF_THE_PHOTO]
        photos.add(batch, fit is None)
    bursts = photos.bursts(fit)
    counts, different = Counter(photos.labels), views(photos.labels, bursts)
    return Diagnosis(
        len(photos.ids),
        tuple(ClassHealth(label, counts[label], different[label]) for label in sorted(counts)),
        (*found, *check_classes(photos.labels, bursts, photos.sources)),
        () if fit is None else _suspects(fit, dict(zip(photos.ids, photos.sources))),
        tuple(dict(failed).items()),
        _notes(len(photos.ids), len(counts), fit, photos.unmeasured),
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
        """Takes over a batch, with its embeddings where no training tells the bursts."""
        self.ids += batch.ids.tolist()
        self.labels += batch.labels
        self.sources += batch.sources
        self.unmeasured += sum(capture is None for capture in batch.captures)
        if with_units:
            self._taken.append(batch.taken)
            self._units.append(power_normalised(batch.embeddings[batch.first]))

    def bursts(self, fit: Fit | None) -> Array:
        """The burst of each photo, int [m], numbered from 0."""
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


def _suspects(fit: Fit, sources: Mapping[int, str]) -> tuple[Suspect, ...]:
    ids = fit.ids.tolist()
    ranked = zip(*(array.tolist() for array in suspicion(fit)))
    return tuple(
        Suspect(ids[row], sources[ids[row]], fit.truth[row], fit.head.labels[looks], score)
        for row, looks, score in ranked
        if score > LISTED
    )


def _notes(photos: int, classes: int, fit: Fit | None, unmeasured: int) -> tuple[str, ...]:
    said = []
    if not photos:
        said.append("the store holds no photo; add some of at least two classes")
    elif classes == 1:
        said.append(f"there is one class only ({photos} photos), so no label can be doubted; add a second one")
    elif fit is None:
        said.append("nothing was trained, so no label was doubted")
    if unmeasured:
        said.append(f"{unmeasured} of {photos} photos were added without a look at light and sharpness, so none is reported on theirs")
    return tuple(said)
