"""Conformal prediction sets: classes among which the correct one is with a stated confidence (Vovk et al. 2005; Sadinle et al. 2019).

The score of a class for a photo is one minus its probability. Training photos are scored for their own class by heads that never saw their
near-duplicate group, so that none has to be set aside. A new photo's set holds every class whose score is no higher than the
ceil((n + 1) * confidence)-th lowest of that class's n scores, and always the most probable class.

The guarantee is the jackknife's, with one quantile per class (Mondrian): if the head were the same without one near-duplicate group, every
class would be in its own photos' sets with the stated confidence, whatever their distribution, as long as new photos are like the training
photos. The head is nearly the same, not quite, and then no bound holds for every distribution and algorithm (Barber et al. 2021).
Jackknife+ and CV+ guarantee at least 2 * confidence - 1 (Romano et al. 2020), but need all n heads at each prediction.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from edgetl.errors import HeadError
from edgetl.heads.confidence.calibration import softmax
from edgetl.types import Array, Embeddings

_BLOCK = 4096


@dataclasses.dataclass(frozen=True, eq=False)
class Conformal:
    """The scores of the training photos, by class.

    Attributes:
        scores: of each near-duplicate group for its own class, ascending within each class, float32 [n], in [0, 1]; 1 if nothing of the
            class was left.
        sizes: near-duplicate groups of each class, which follow one another in `scores`.
    """

    scores: Embeddings
    sizes: tuple[int, ...]

    def holds(self, probabilities: Array, labels: Sequence[str], confidence: float) -> Array:
        """Which classes are in the set, bool [c], for probabilities float32 [c].

        Raises:
            HeadError: a confidence outside (0, 1), or a class with too few photos for it (the message says how many more).
        """
        if not 0 < confidence < 1:
            raise HeadError(f"confidence {confidence} is not between 0 and 1", code="confidence-out-of-range", confidence=confidence)
        ranks = [math.ceil((size + 1) * confidence - 1e-9) for size in self.sizes]
        few = [(label, size) for label, size, rank in zip(labels, self.sizes, ranks) if rank > size]
        if few:
            needed = math.ceil(confidence / (1 - confidence) - 1e-9)
            short = ", ".join(f"{needed - size} more of {label!r} (it has {size})" for label, size in few[:5])
            others = f" and of {len(few) - 5} other classes" if len(few) > 5 else ""
            raise HeadError(
                f"no prediction set at {confidence:.0%}: every class needs {needed} photos (near-duplicates count once). "
                f"Add {short}{others}, or lower the confidence.",
                code="too-few-photos-for-confidence", confidence=confidence, needed=needed, counts=dict(few),
            )  # fmt: skip
        limits = self.scores[np.cumsum((0, *self.sizes[:-1])) + np.array(ranks) - 1]
        inside: Array = 1 - probabilities <= limits
        inside[probabilities.argmax()] = True
        return inside


def make_conformal(held: Array, classes: Array, bursts: Array, temperature: float) -> Conformal:
    """Scores photos that were left out.

    Args:
        held: logits of each photo from a head without its near-duplicate group, float64 [m, c]; -inf for a class of which nothing was left.
        classes: class of each, int [m].
        bursts: near-duplicate group of each, int [m]; its photos of one class give one score, their (lower) median.
        temperature: the head's.
    """
    number = held.shape[1]
    fits = np.empty(len(held))
    for start in range(0, len(held), _BLOCK):
        some, own = held[start : start + _BLOCK], classes[start : start + _BLOCK]
        nothing = some.max(1) == -np.inf
        fits[start : start + _BLOCK] = 1 - softmax(np.where(nothing[:, None], 0.0, some) / temperature)[np.arange(len(own)), own]
    cell = classes * (int(bursts.max()) + 1) + bursts
    order = np.lexsort((fits, cell))
    starts = np.flatnonzero(np.diff(cell[order], prepend=-1))
    middle: Array = order[starts + (np.diff(np.append(starts, len(order))) - 1) // 2]
    middle = middle[np.lexsort((fits[middle], classes[middle]))]
    return Conformal(fits[middle].astype(np.float32), tuple(np.bincount(classes[middle], minlength=number).tolist()))
