"""Sets of classes that hold the right one with a stated confidence (Vovk et al. 2005; Sadinle et al. 2019), class by class.

How ill a class fits a photo is one minus its probability. The photos taught were scored like this for their own class by heads that never
saw their burst, so that none has to be set aside. A new photo's set holds every class for which it fits no worse than the
ceil((n + 1) * confidence)-th best of that class's n scores, and always the most probable class.

What is guaranteed: this is the jackknife, with one quantile per class (Mondrian) and the head of all photos for the new one. Were that head
the same without one burst, every class would be in its own photos' sets with the stated confidence, whatever their distribution, as long
as new photos are like the bursts taught. It is nearly the same, not quite, and then no bound holds for every distribution and algorithm
(Barber et al. 2021). Jackknife+ and CV+ keep at least 2 * confidence - 1 (Romano et al. 2020), but need all n heads at each prediction.
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
    """The scores of the photos taught, by class.

    Attributes:
        scores: how ill each burst's own class fits it, ascending within each class, float32 [n], in [0, 1]; 1 where nothing was left of it.
        sizes: bursts of each class, which follow one another in `scores`.
    """

    scores: Embeddings
    sizes: tuple[int, ...]

    def holds(self, probabilities: Array, labels: Sequence[str], confidence: float) -> Array:
        """Which classes are in the set, bool [c], for probabilities float32 [c].

        Raises:
            HeadError: a confidence that is no share, or that a class has too few photos for; it says which and how many more.
        """
        if not 0 < confidence < 1:
            raise HeadError(f"confidence {confidence} is not between 0 and 1")
        ranks = [math.ceil((size + 1) * confidence - 1e-9) for size in self.sizes]
        few = [(label, size) for label, size, rank in zip(labels, self.sizes, ranks) if rank > size]
        if few:
            needed = math.ceil(confidence / (1 - confidence) - 1e-9)
            short = ", ".join(f"{needed - size} more of {label!r} (it has {size})" for label, size in few[:5])
            others = f" and of {len(few) - 5} other classes" if len(few) > 5 else ""
            raise HeadError(
                f"no set at {confidence:.0%}: every class needs {needed} photos (a burst counts once); add {short}{others}, or ask for less"
            )
        limits = self.scores[np.cumsum((0, *self.sizes[:-1])) + np.array(ranks) - 1]
        inside: Array = 1 - probabilities <= limits
        inside[probabilities.argmax()] = True
        return inside


def conformal(held: Array, classes: Array, bursts: Array, temperature: float) -> Conformal:
    """The scores of photos left out.

    Args:
        held: logits of each photo from a head without its burst, float64 [m, c]; -inf for a class of which nothing was left.
        classes: class of each, int [m].
        bursts: burst of each, int [m]; its photos of one class give one score, their (lower) median.
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
