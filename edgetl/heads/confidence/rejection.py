"""When a photo is like nothing that was taught: a score, and the threshold below which there is no label.

All scores come from one Gaussian model with a shared covariance (see :mod:`edgetl.heads.algorithms.lda`), whatever algorithm names the
classes:

- `mahalanobis`: the relative Mahalanobis distance (Ren et al. 2021, eq. 4): how much nearer the photo is to its nearest class than to
  everything trained and, where there is one, the background (:mod:`edgetl.heads.background`). The quadratic terms of the two distances
  differ by a form of rank c, plus one for each background photo used, so that it costs so many rows more than LDA.
- `probability`: the highest softmax probability at the temperature that fits held-out logits (Hendrycks and Gimpel 2017).
- `margin`: the best logit minus the second.
- `distance`: how near the nearest class mean is.

Unknown things of the kind that was taught, which `mahalanobis` knows best, can only be rejected where that was measured to work. Things
of another kind are far from all that was taught. With flowers, sign digits or magnetic tiles taught (5 / 10 / 20 / 100 photos per class, 3
draws) and photos of the other two or of solar cells shown, REACH refused all of them in 30 of the 36 cases and 89 to 99 % in the others;
`mahalanobis` alone let up to all of them through. It costs one known photo in a hundred (2 % of flowers at 5 per class) and is always on,
but where a background is in the scatter, which does the same (docs/evidence/rejection.md).

Classes named `none`, `background` or `unknown` are what the person calls nothing. The head learns them like any other class, but a photo
that is most like one of them gets no label.
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
Point = Literal["strict", "balanced", "lenient"]
POINTS: tuple[Point, ...] = ("strict", "balanced", "lenient")
"""The operating points a person chooses from: `strict` accepts few unknown photos, `lenient` refuses few known ones."""
COVERAGE: Mapping[Point, float] = {"strict": 0.85, "balanced": 0.95, "lenient": 0.99}
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
        weight: float32 [k, d], of power-normalised embeddings: a row per class for the score, a row for each of b background photos, then
            each class's mean; for `distance` the first and the last are the same c rows, and k = c, otherwise k = 2 c + b.
        bias: float32 [k].
        offset: float32 [c + b]; zero but for `mahalanobis`.
        form: float32 [c + b, c + b]; zero but for `mahalanobis`.
        threshold: a photo whose score is lower is like nothing trained.
        reach: so is one whose `distance` score is lower than this, whatever its other score.
        limits: the threshold at each of POINTS; None in heads made before there was a choice.
    """

    score: Score
    weight: Embeddings
    bias: Embeddings
    offset: Embeddings
    form: Embeddings
    threshold: float
    reach: float
    limits: tuple[float, float, float] | None = None

    @property
    def classes(self) -> int:
        """How many classes it tells from the unknown."""
        return len(self.weight) - len(self.offset) or len(self.offset)

    def measure(self, x: Embeddings) -> float:
        """The score of one power-normalised embedding, float32 [d]; -inf where it is out of reach."""
        values, number = self.weight.dot(x) + self.bias, self.classes
        if float(values[-number:].max()) < self.reach:
            return -math.inf
        best = float(values[:number].max())
        if self.score == "mahalanobis":
            along = values[: len(self.offset)] + self.offset
            return 2 * best - float(along.dot(self.form.dot(along)))
        values = values[:number]
        if self.score == "probability":
            return 1 / float(np.exp(values - best).sum())
        if self.score == "margin":
            return best - float(np.partition(values, -2)[-2])
        return best

    def limit(self, point: Point | None = None) -> float:
        """The threshold at an operating point; None is the one that was trained for.

        Raises:
            HeadError: an unknown point, or a head that has only one.
        """
        if point is None:
            return self.threshold
        if point not in POINTS:
            raise HeadError(f"operating point {point!r} is unknown; choose one of {', '.join(POINTS)}")
        if self.limits is None:
            raise HeadError(f"this head has one operating point and not {point!r}: an older edgetl trained it; train again")
        return self.limits[POINTS.index(point)]

    def reason(self, x: Embeddings, point: Point | None = None) -> str:
        """Why one power-normalised embedding, float32 [d], is like nothing trained; empty where it is not.

        Raises:
            HeadError: as :meth:`limit`.
        """
        value, limit = self.measure(x), self.limit(point)
        if value >= limit:
            return ""
        if value == -math.inf:
            return f"it looks like nothing taught: it is further from every class than {REACH:.0%} of the photos taught"
        return f"it looks like nothing taught: its {self.score} score is {value:.3g}, and the limit is {limit:.3g}"


def is_nothing(label: str) -> bool:
    """Whether a class of this name stands for nothing at all."""
    return label.casefold() in NOTHING
