"""What may be wrong with a training set, as codes and numbers; :func:`edgetl.heads.text.warning_text` words it."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np

from edgetl.stats import Proportion
from edgetl.types import Array, Embeddings

_UNEVEN = 100
WarningCode = Literal[
    "same-embeddings",
    "zero-embeddings",
    "one-photo",
    "one-group",
    "one-group-per-class",
    "uneven-classes",
    "as-good-as-guessing",
    "few-photos",
]


@dataclasses.dataclass(frozen=True)
class TrainingWarning:
    """A possible problem with a training set.

    Attributes:
        code: `same-embeddings`: all are equal; `zero-embeddings`: `count` of `total` are zero; `one-photo`: classes of one photo, which
            leave-one-out counts as missed; `one-group`: all photos are near-duplicates; `one-group-per-class`: so are the photos of
            each of these classes; `uneven-classes`: `labels` are the smallest class, with `count` photos, and the largest, with `total`;
            `as-good-as-guessing`: `accuracy` is; `few-photos`: these classes have fewer than `total` near-duplicate groups, and
            leave-one-out underestimates their accuracy.
        labels: the classes.
        count: of photos.
        total: of photos, or the number of near-duplicate groups that is enough.
        accuracy: leave-one-out accuracy.
    """

    code: WarningCode
    labels: tuple[str, ...] = ()
    count: int = 0
    total: int = 0
    accuracy: Proportion | None = None


def find_warnings(
    x: Embeddings, classes: Array, bursts: Array, names: tuple[str, ...], guessing: Proportion | None
) -> tuple[TrainingWarning, ...]:
    """The possible problems of a training set.

    Args:
        x: power-normalised embeddings of all rows, float32 [n, d].
        classes: class of each photo, int [m].
        bursts: near-duplicate group of each photo, int [m].
        names: of the classes.
        guessing: the leave-one-out accuracy if it is no better than guessing.
    """
    counts = np.bincount(classes)
    # A class is one group if all of its photos have the number of its first.
    one_group = np.bincount(classes, bursts == bursts[np.unique(classes, return_index=True)[1]][classes]) == counts
    warnings = []
    if (x[-1] == x[0]).all() and (x == x[0]).all():
        warnings.append(TrainingWarning("same-embeddings", total=len(x)))
    elif zeros := int((np.einsum("nd,nd->n", x, x) == 0).sum()):
        warnings.append(TrainingWarning("zero-embeddings", count=zeros, total=len(x)))
    if (counts == 1).any():
        warnings.append(TrainingWarning("one-photo", _select(names, counts == 1)))
    if (bursts == bursts[0]).all():
        warnings.append(TrainingWarning("one-group", total=len(bursts)))
    elif (alike := one_group & (counts > 1)).any():
        warnings.append(TrainingWarning("one-group-per-class", _select(names, alike)))
    if counts.max() > _UNEVEN * counts.min():
        few, many = int(counts.argmin()), int(counts.argmax())
        warnings.append(TrainingWarning("uneven-classes", (names[few], names[many]), int(counts[few]), int(counts[many])))
    if guessing is not None and not warnings:
        warnings.append(TrainingWarning("as-good-as-guessing", accuracy=guessing))
    return tuple(warnings)


def _select(names: tuple[str, ...], chosen: Array) -> tuple[str, ...]:
    return tuple(names[i] for i in np.flatnonzero(chosen))
