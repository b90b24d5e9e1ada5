"""What a person should know about what was taught, in sentences."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from edgetl.stats import Proportion
from edgetl.types import Array, Embeddings

_SHOWN = 5
_UNEVEN = 100


def oddities(x: Embeddings, classes: Array, bursts: Array, names: tuple[str, ...], guessed: Proportion | None) -> tuple[str, ...]:
    """What is odd about the samples; empty where nothing is.

    Args:
        x: power-normalised embeddings of all rows, float32 [n, d].
        classes: class of each photo, int [m].
        bursts: burst of each photo, int [m].
        names: of the classes.
        guessed: the accuracy on photos left out, where it is no better than guessing.
    """
    counts = np.bincount(classes)
    # A class is one burst where all of its photos have the number of its first.
    one_burst = np.bincount(classes, bursts == bursts[np.unique(classes, return_index=True)[1]][classes]) == counts
    lone, alike = counts == 1, one_burst & (counts > 1)
    said = []
    if (x[-1] == x[0]).all() and (x == x[0]).all():
        said.append(f"all {len(x)} embeddings are the same, so the classes cannot be told apart; check the camera and the runtime")
    elif zeros := int((np.einsum("nd,nd->n", x, x) == 0).sum()):
        said.append(f"{zeros} of {len(x)} embeddings are all zero; check the runtime with `edgetl bundle inspect`")
    if lone.any():
        shown = _listed(names[i] for i in np.flatnonzero(lone))
        said.append(f"one photo only of {shown}: left out, nothing of its class remains, so it counts as missed; add a second photo")
    if (bursts == bursts[0]).all():
        said.append(f"all {len(bursts)} photos are one burst (near-duplicates, or one second), so none can be left out to judge the head")
    elif alike.any():
        shown = _listed(names[i] for i in np.flatnonzero(alike))
        said.append(f"all photos of {shown} are one burst (near-duplicates): left out together, nothing remains, so they count as missed")
    if counts.max() > _UNEVEN * counts.min():
        few, many = int(counts.argmin()), int(counts.argmax())
        said.append(f"{names[many]!r} has {counts[many]} photos and {names[few]!r} {counts[few]}; add photos of {names[few]!r}")
    if guessed is not None and not said:
        said.append(f"photos left out are not yet told apart better than by guessing ({guessed}); add photos, and check the labels")
    return tuple(said)


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(map(repr, names[:_SHOWN])) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
