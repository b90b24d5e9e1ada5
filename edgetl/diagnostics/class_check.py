"""Possible problems with the classes of a store: too few photos or views, imbalance, one near-duplicate group in two classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from edgetl.diagnostics.finding import Finding
from edgetl.types import Array

_IMBALANCE = 5
"""The largest class has this many times the photos of a class that is reported."""
_PHOTOS_PER_VIEW = 3


def check_classes(labels: Sequence[str], bursts: Array, sources: Sequence[str]) -> tuple[Finding, ...]:
    """Lists possible problems with the classes; usually there are none.

    Args:
        labels: class of each photo.
        bursts: near-duplicate group of each, int [m] (`Fit.bursts`).
        sources: where each came from.
    """
    return (*_check_each(labels, bursts), *_check_imbalance(Counter(labels)), *_check_groups(labels, bursts, sources))


def count_groups(labels: Sequence[str], bursts: Array) -> dict[str, int]:
    """Near-duplicate groups per class."""
    return dict(Counter(label for label, _ in set(zip(labels, bursts.tolist()))))


def _check_each(labels: Sequence[str], bursts: Array) -> Iterator[Finding]:
    groups, counts = count_groups(labels, bursts), Counter(labels)
    for label in sorted(counts):
        if counts[label] == 1:
            yield Finding("one-photo", None, label)
        elif counts[label] >= _PHOTOS_PER_VIEW * groups[label]:
            yield Finding("few-views", None, label, {"photos": counts[label], "views": groups[label]})


def _check_imbalance(counts: Counter[str]) -> Iterator[Finding]:
    if not counts:
        return
    (largest, most), *_ = counts.most_common(1)
    small = sorted((label for label in counts if counts[label] * _IMBALANCE < most), key=lambda label: (counts[label], label))
    if small:
        values = {"largest": largest, "photos": most, "times": _IMBALANCE, "smaller": {label: counts[label] for label in small}}
        yield Finding("imbalance", None, small[0], values)


def _check_groups(labels: Sequence[str], bursts: Array, sources: Sequence[str]) -> Iterator[Finding]:
    """Near-duplicate groups whose photos have different labels."""
    order = np.argsort(bursts, kind="stable")
    order = order[np.bincount(bursts)[bursts[order]] > 1]
    for members in np.split(order, np.flatnonzero(np.diff(bursts[order])) + 1):
        first = {labels[i]: sources[i] for i in members[::-1].tolist()}
        if len(first) > 1:
            values = {"photos": len(members), "labels": dict(sorted(first.items()))}
            yield Finding("two-labels", first[min(first)], min(first), values)
