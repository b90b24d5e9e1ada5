"""What is wrong with the classes of a store: too few photos, too few views, too uneven, one burst in two classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from edgetl.diagnostics.finding import Finding
from edgetl.types import Array

_UNEVEN = 5
_FRAMES = 3
"""Photos per burst from which a class has many photos of few views."""
_SHOWN = 3


def check_classes(labels: Sequence[str], bursts: Array, sources: Sequence[str]) -> tuple[Finding, ...]:
    """Says what is wrong with the classes: of well-photographed ones, nothing.

    Args:
        labels: class of each photo.
        bursts: burst of each, int [m] (`Fit.bursts`).
        sources: where each came from.
    """
    return (*_per_class(labels, bursts), *_uneven(Counter(labels)), *_two_labels(labels, bursts, sources))


def views(labels: Sequence[str], bursts: Array) -> dict[str, int]:
    """Bursts per class."""
    return dict(Counter(label for label, _ in set(zip(labels, bursts.tolist()))))


def _per_class(labels: Sequence[str], bursts: Array) -> Iterator[Finding]:
    different, counts = views(labels, bursts), Counter(labels)
    for label in sorted(counts):
        n, seen = counts[label], different[label]
        if n == 1:
            yield Finding("single", f"{label!r} has one photo: nothing can be said of how well it is known; add a second one", None, label)
        elif n >= _FRAMES * seen:
            shown = f"{n} photos of {label!r} = {seen} view{'s' * (seen != 1)}"
            yield Finding("few-views", f"{shown}: frames of one burst count once; take them from other sides", None, label)


def _uneven(counts: Counter[str]) -> Iterator[Finding]:
    if not counts:
        return
    (most, top), *_ = counts.most_common(1)
    few = sorted((label for label in counts if counts[label] * _UNEVEN < top), key=lambda label: (counts[label], label))
    if few:
        named = ", ".join(f"{label!r} ({counts[label]})" for label in few[:_SHOWN]) + (
            f" and {len(few) - _SHOWN} more" if len(few) > _SHOWN else ""
        )
        text = f"{most!r} has {top} photos, more than {_UNEVEN} times as many as {named}: photograph the smaller classes next"
        yield Finding("imbalance", text, None, few[0])


def _two_labels(labels: Sequence[str], bursts: Array, sources: Sequence[str]) -> Iterator[Finding]:
    order = np.argsort(bursts, kind="stable")
    order = order[np.bincount(bursts)[bursts[order]] > 1]
    for members in np.split(order, np.flatnonzero(np.diff(bursts[order])) + 1):
        firsts = {labels[i]: sources[i] for i in members[::-1].tolist()}
        if len(firsts) > 1:
            named = ", ".join(f"{source} as {label!r}" for label, source in sorted(firsts.items())[:_SHOWN])
            text = f"{len(members)} photos of one burst have {len(firsts)} labels ({named}): nearly the same photo cannot be of two classes"
            yield Finding("two-labels", text, firsts[min(firsts)], min(firsts))
