"""What a configuration loses against float: points of top-1, compared photo by photo."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

from edgetl.bench.record import Accuracy, Result
from edgetl.stats import Proportion


@dataclasses.dataclass(frozen=True)
class Loss:
    """How many points of top-1 fewer than the float reference on the same photos.

    Attributes:
        points: of 100; negative where it is better.
        low: of its 95 % interval.
        high: likewise.
        n: photos.
        against: the reference's configuration.
    """

    points: float
    low: float
    high: float
    n: int
    against: str

    def __str__(self) -> str:
        return f"{self.points:.2f} points [{self.low:.2f}, {self.high:.2f}] against {self.against}, n={self.n}"


def references(results: Iterable[Result]) -> dict[tuple[str, str], Result]:
    """(backbone, digest of the photos asked) -> the most accurate fp32 configuration."""
    found: dict[tuple[str, str], Result] = {}
    for one in results:
        if one.accuracy is None or one.subject.precision != "fp32":
            continue
        best = found.setdefault((one.subject.backbone, one.accuracy.digest), one)
        if best.accuracy is None or one.accuracy.top1.hits > best.accuracy.top1.hits:
            found[one.subject.backbone, one.accuracy.digest] = one
    return found


def loss(accuracy: Accuracy, reference: Result) -> Loss:
    """The loss of a configuration whose accuracy is `accuracy`; both were asked the same photos."""
    assert reference.accuracy is not None, "a reference has an accuracy"
    if accuracy is reference.accuracy:
        return Loss(0.0, 0.0, 0.0, accuracy.top1.n, "itself, the reference")
    theirs = reference.accuracy.right
    low, high = difference(theirs, accuracy.right)
    points = (theirs.count("1") - accuracy.right.count("1")) / len(theirs)
    return Loss(100 * points, 100 * low, 100 * high, len(theirs), reference.subject.name)


def difference(one: str, other: str) -> tuple[float, float]:
    """The 95 % interval of the share right in `one` less that in `other`, which are about the same photos (`1` right, `0` wrong).

    Newcombe (1998), Improved confidence intervals for the difference between binomial proportions based on paired data, method 10: the
    squared distances to the ends of both Wilson intervals, less what the correlation of the pairs takes off.
    """
    n = len(one)
    both = sum(a == b == "1" for a, b in zip(one, other))
    p, q = Proportion(one.count("1"), n), Proportion(other.count("1"), n)
    first, second = p.hits - both, q.hits - both
    neither = n - both - first - second
    margins = p.hits * (n - p.hits) * q.hits * (n - q.hits)
    excess = both * neither - first * second
    phi = (max(excess - n / 2, 0) if excess > 0 else excess) / math.sqrt(margins) if margins else 0.0
    (p_low, p_high), (q_low, q_high) = p.interval, q.interval

    def away(a: float, b: float) -> float:
        return math.sqrt(max(0.0, a * a - 2 * phi * a * b + b * b))

    theta = p.value - q.value
    return theta - away(p.value - p_low, q_high - q.value), theta + away(p_high - p.value, q.value - q_low)
