"""When a photo shows an unknown object: a score, and the threshold below which the photo gets no label.

All scores come from one Gaussian model with a shared covariance (:mod:`edgetl.heads.algorithms.lda`), whatever the head's algorithm:

- `mahalanobis`: the relative Mahalanobis distance (Ren et al. 2021, eq. 4): how much nearer the photo is to its nearest class than to the
  training set as a whole and, if there is one, the background (:mod:`edgetl.heads.background`). The quadratic terms of the two distances
  differ by a form of rank c, plus one for each background photo used.
- `probability`: the highest softmax probability at the temperature fitted to held-out logits (Hendrycks and Gimpel 2017).
- `margin`: the best logit minus the second.
- `distance`: how near the nearest class mean is.

Photos outside the reach, further from every class mean than REACH of the known photos, are rejected by any score. Only with a background in
the scatter is there no reach, because the score then does the same (docs/evidence/rejection.md).

Classes named `none`, `background` or `unknown` are reject classes: trained like any other class, but a photo most like one of them gets no
label.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Literal

import numpy as np

from edgetl.errors import HeadError
from edgetl.types import Embeddings

Score = Literal["mahalanobis", "probability", "margin", "distance"]
SCORES: tuple[Score, ...] = ("mahalanobis", "probability", "margin", "distance")
OperatingPoint = Literal["strict", "balanced", "lenient"]
POINTS: tuple[OperatingPoint, ...] = ("strict", "balanced", "lenient")
"""The operating points: `strict` accepts few unknown photos, `lenient` rejects few known ones."""
COVERAGE: Mapping[OperatingPoint, float] = {"strict": 0.85, "balanced": 0.95, "lenient": 0.99}
"""The share of known photos that the threshold accepts."""
REACH = 0.99
"""The share of known photos within reach."""
REJECT_CLASSES = frozenset({"none", "background", "unknown"})
"""Names of reject classes, in any case."""


RejectedCode = Literal["unknown-object", "reject-class"]


@dataclasses.dataclass(frozen=True)
class Rejected:
    """Why a photo gets no label.

    Attributes:
        code: `unknown-object`: a score is below its limit; `reject-class`: the most probable class is a reject class.
        score: the score; empty for a reject class.
        value: of that score; None for a reject class.
        limit: the lowest value that gets a label; None for a reject class.
    """

    code: RejectedCode
    score: str = ""
    value: float | None = None
    limit: float | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Rejection:
    """The parameters with which a head rejects unknown objects.

    Attributes:
        score: which score; the higher, the more like a trained class.
        weight: float32 [k, d], of power-normalised embeddings: a row per class for the score, a row for each of b background photos, then
            each class's mean; for `distance` the first and the last are the same c rows, and k = c, otherwise k = 2 c + b.
        bias: float32 [k].
        offset: float32 [c + b]; zero but for `mahalanobis`.
        form: float32 [c + b, c + b]; zero but for `mahalanobis`.
        threshold: a photo with a lower score gets no label.
        reach: so does one with a lower `distance` score, whatever its other score.
        limits: the threshold at each of POINTS.
    """

    score: Score
    weight: Embeddings
    bias: Embeddings
    offset: Embeddings
    form: Embeddings
    threshold: float
    reach: float
    limits: tuple[float, float, float]

    @property
    def classes(self) -> int:
        """How many classes it tells from unknown objects."""
        return len(self.weight) - len(self.offset) or len(self.offset)

    def measure(self, x: Embeddings) -> float:
        """The score of one power-normalised embedding, float32 [d]; -inf outside the reach."""
        value, nearest = self._measure(x)
        return value if nearest >= self.reach else -math.inf

    def limit(self, point: OperatingPoint | None = None) -> float:
        """The threshold at an operating point; None is the one that was trained for.

        Raises:
            HeadError: an unknown operating point.
        """
        if point is None:
            return self.threshold
        if point not in POINTS:
            raise HeadError(
                f"operating point {point!r} is unknown; choose one of {', '.join(POINTS)}", code="unknown-operating-point", point=point
            )
        return self.limits[POINTS.index(point)]

    def reject(self, x: Embeddings, point: OperatingPoint | None = None) -> Rejected | None:
        """Why one power-normalised embedding, float32 [d], shows an unknown object; None if it gets a label.

        Raises:
            HeadError: as :meth:`limit`.
        """
        limit = self.limit(point)
        value, nearest = self._measure(x)
        if nearest < self.reach:
            return Rejected("unknown-object", "distance", nearest, self.reach)
        return None if value >= limit else Rejected("unknown-object", self.score, value, limit)

    def _measure(self, x: Embeddings) -> tuple[float, float]:
        """The score, and the `distance` score, of one power-normalised embedding, float32 [d]."""
        values, number = self.weight.dot(x) + self.bias, self.classes
        nearest, best = float(values[-number:].max()), float(values[:number].max())
        if self.score == "mahalanobis":
            along = values[: len(self.offset)] + self.offset
            return 2 * best - float(along.dot(self.form.dot(along))), nearest
        values = values[:number]
        if self.score == "probability":
            return 1 / float(np.exp(values - best).sum()), nearest
        if self.score == "margin":
            return best - float(np.partition(values, -2)[-2]), nearest
        return best, nearest


def is_reject_class(label: str) -> bool:
    """Whether a class of this name is a reject class."""
    return label.casefold() in REJECT_CLASSES
