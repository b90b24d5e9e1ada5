"""When a photo is like nothing that was taught: a score, and the threshold below which there is no label.

All scores come from one Gaussian model with a shared covariance (see :mod:`edgetl.heads.lda`), whatever algorithm names the classes:

- `mahalanobis`: the relative Mahalanobis distance (Ren et al. 2021, eq. 4): how much nearer the photo is to its nearest class than to
  everything taught. The quadratic terms of the two distances differ by a form of rank c, so that it costs c x c numbers more than LDA.
- `probability`: the highest softmax probability at the temperature that fits held-out logits (Hendrycks and Gimpel 2017).
- `margin`: the best logit minus the second.
- `distance`: how near the nearest class mean is.

Classes named `none`, `background` or `unknown` are what the person calls nothing. The head learns them like any other class, but a photo
that is most like one of them gets no label.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np

from edgetl.types import Embeddings

Score = Literal["mahalanobis", "probability", "margin", "distance"]
SCORES: tuple[Score, ...] = ("mahalanobis", "probability", "margin", "distance")
COVERAGE = 0.95
"""The share of known photos that the threshold accepts."""
NOTHING = frozenset({"none", "background", "unknown"})
"""Names of reject classes, in any case."""


@dataclasses.dataclass(frozen=True, eq=False)
class Rejection:
    """What a head needs to see that a photo is like nothing taught.

    Attributes:
        score: which score; the higher, the more like something taught.
        weight: float32 [c, d], of L2-normalised embeddings.
        bias: float32 [c].
        offset: float32 [c]; zero but for `mahalanobis`.
        form: float32 [c, c]; zero but for `mahalanobis`.
        threshold: a photo whose score is lower is like nothing taught.
    """

    score: Score
    weight: Embeddings
    bias: Embeddings
    offset: Embeddings
    form: Embeddings
    threshold: float

    def measure(self, x: Embeddings) -> float:
        """The score of one L2-normalised embedding, float32 [d]."""
        values = self.weight.dot(x) + self.bias
        best = float(values.max())
        if self.score == "mahalanobis":
            along = values + self.offset
            return 2 * best - float(along.dot(self.form.dot(along)))
        if self.score == "probability":
            return 1 / float(np.exp(values - best).sum())
        if self.score == "margin":
            return best - float(np.partition(values, -2)[-2])
        return best


def is_nothing(label: str) -> bool:
    """Whether a class of this name stands for nothing at all."""
    return label.casefold() in NOTHING
