"""The whole report on a store."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from edgetl.doctor.check import admit
from edgetl.doctor.classes import check_classes, views
from edgetl.doctor.finding import Finding
from edgetl.doctor.past import Past, first_rows, photos
from edgetl.doctor.suspects import LISTED, Suspect, suspicion
from edgetl.heads import Fit
from edgetl.heads.bursts import Bursts
from edgetl.heads.normalisation import power_normalised
from edgetl.store import Samples
from edgetl.types import Capture, Embeddings

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


def diagnose(
    samples: Samples,
    captures: Mapping[int, Capture],
    sources: Mapping[int, str],
    fit: Fit | None = None,
    failed: Sequence[tuple[str, str]] = (),
) -> Diagnosis:
    """Examines a store.

    A photo is judged beside those that were added before it, as it was (or would have been) when it was added.

    Args:
        samples: all of it.
        captures: by sample id, where there is one.
        sources: by sample id, where it is known.
        fit: a training on all samples; None where there is none, e.g. with a single class.
        failed: (source, reason) per photo that could not be added.
    """
    rows = first_rows(samples.ids)
    ids, labels = samples.ids[rows].tolist(), [samples.labels[row] for row in rows.tolist()]
    named = [sources.get(sample, f"sample {sample}") for sample in ids]
    units = power_normalised(samples.embeddings[rows])
    bursts = Bursts()
    bursts.add(len(ids))
    number = bursts.find(units, samples.taken[rows], samples.ids[rows])
    past, found = Past(samples.embeddings.shape[1]), []
    for photo in photos(samples, rows, captures, sources):
        found += [finding for finding in admit(*photo, past) if finding.kind in _OF_THE_PHOTO]
    counts, different = Counter(labels), views(labels, number)
    return Diagnosis(
        len(ids),
        tuple(ClassHealth(label, counts[label], different[label]) for label in sorted(counts)),
        (*found, *check_classes(labels, number, named)),
        () if fit is None else _suspects(fit, dict(zip(ids, units)), dict(zip(ids, named))),
        tuple(dict(failed).items()),
        _notes(len(ids), len(counts), fit, sum(sample not in captures for sample in ids)),
    )


def _suspects(fit: Fit, units: Mapping[int, Embeddings], sources: Mapping[int, str]) -> tuple[Suspect, ...]:
    ids = fit.ids.tolist()
    ranked = zip(*(array.tolist() for array in suspicion(fit, np.array([units[sample] for sample in ids]))))
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
