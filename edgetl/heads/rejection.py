"""When a photo is like nothing that was taught: a score, and the threshold below which there is no label.

All scores come from one Gaussian model with a shared covariance (see :mod:`edgetl.heads.lda`), whatever algorithm names the classes:

- `mahalanobis`: the relative Mahalanobis distance (Ren et al. 2021, eq. 4): how much nearer the photo is to its nearest class than to
  everything taught. The quadratic terms of the two distances differ by a form of rank c, so that it costs c x c numbers more than LDA.
- `probability`: the highest softmax probability at the temperature that fits held-out logits (Hendrycks and Gimpel 2017).
- `margin`: the best logit minus the second.
- `distance`: how near the nearest class mean is.

Unknown things of the kind that was taught, which `mahalanobis` knows best, can only be rejected where that was measured to work. Things
of another kind are far from all that was taught. With flowers, sign digits or magnetic tiles taught (5 / 10 / 20 / 100 photos per class, 3
draws) and photos of the other two or of solar cells shown, REACH refused all of them in 30 of the 36 cases and 89 to 99 % in the others;
`mahalanobis` alone let up to all of them through. It costs one known photo in a hundred (2 % of flowers at 5 per class) and is always on.

Classes named `none`, `background` or `unknown` are what the person calls nothing. The head learns them like any other class, but a photo
that is most like one of them gets no label.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import numpy as np

from edgetl.types import Embeddings

Score = Literal["mahalanobis", "probability", "margin", "distance"]
SCORES: tuple[Score, ...] = ("mahalanobis", "probability", "margin", "distance")
COVERAGE = 0.95
"""The share of known photos that the threshold accepts."""
REACH = 0.99
"""The share of known photos that are within reach."""
NOTHING = frozenset({"none", "background", "unknown"})
"""Names of reject classes, in any case."""


@dataclasses.dataclass(frozen=True, eq=False)
class Rejection:
    """What a head needs to see that a photo is like nothing taught.

    Attributes:
        score: which score; the higher, the more like something taught.
        weight: float32 [k, d], of power-normalised embeddings: a row per class for the score, then each class's mean; for `distance` these
            are the same c rows, and k = c, otherwise k = 2 c.
        bias: float32 [k].
        offset: float32 [c]; zero but for `mahalanobis`.
        form: float32 [c, c]; zero but for `mahalanobis`.
        threshold: a photo whose score is lower is like nothing taught.
        reach: so is one whose `distance` score is lower than this, whatever its other score.
    """

    score: Score
    weight: Embeddings
    bias: Embeddings
    offset: Embeddings
    form: Embeddings
    threshold: float
    reach: float

    def measure(self, x: Embeddings) -> float:
        """The score of one power-normalised embedding, float32 [d]; -inf where it is out of reach."""
        values, number = self.weight.dot(x) + self.bias, len(self.offset)
        if float(values[-number:].max()) < self.reach:
            return -math.inf
        values = values[:number]
        best = float(values.max())
        if self.score == "mahalanobis":
            along = values + self.offset
            return 2 * best - float(along.dot(self.form.dot(along)))
        if self.score == "probability":
            return 1 / float(np.exp(values - best).sum())
        if self.score == "margin":
            return best - float(np.partition(values, -2)[-2])
        return best

    def reason(self, x: Embeddings) -> str:
        """Why one power-normalised embedding, float32 [d], is like nothing taught; empty where it is not."""
        value = self.measure(x)
        if value >= self.threshold:
            return ""
        if value == -math.inf:
            return f"it looks like nothing taught: it is further from every class than {REACH:.0%} of the photos taught"
        shown = f"its {self.score} score is {value:.3g}, and {COVERAGE:.0%} of the photos taught reach {self.threshold:.3g}"
        return f"it looks like nothing taught: {shown}"


def is_nothing(label: str) -> bool:
    """Whether a class of this name stands for nothing at all."""
    return label.casefold() in NOTHING
