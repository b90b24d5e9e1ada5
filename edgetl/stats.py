"""Proportions and means with their intervals, accuracy per class, and Student's t."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

_TWO_SIDED = 1.959963984540054
"""The two-sided normal deviate of 95 %."""


def per_class_accuracy(
    outcomes: Sequence[tuple[str, str]], bursts: Sequence[int] | None = None
) -> tuple[Proportion, dict[str, Proportion]]:
    """Accuracy of (true, predicted) pairs, overall and per true class.

    Args:
        outcomes: (true, predicted) per photo.
        bursts: the near-duplicate group of each photo. Frames of one group are not independent evidence: with groups, n counts those that
            have photos of the class, and a group is correct if more than half of its photos of that class are. None counts photos.
    """
    cells = range(len(outcomes)) if bursts is None else bursts
    photos = Counter((truth, cell) for (truth, _), cell in zip(outcomes, cells, strict=True))
    hits = Counter((truth, cell) for (truth, predicted), cell in zip(outcomes, cells) if truth == predicted)
    n = Counter(truth for truth, _ in photos)
    correct = Counter(cell[0] for cell, count in hits.items() if 2 * count > photos[cell])
    return Proportion(correct.total(), len(photos)), {label: Proportion(correct[label], n[label]) for label in sorted(n)}


def student(normal: float, freedom: float) -> float:
    """Student's t with as much above it as the normal deviate `normal` > 0 has, for `freedom` > 0 degrees of freedom."""
    tail, t = math.erfc(normal / math.sqrt(2)) / 2, normal
    scale = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - math.log(freedom * math.pi) / 2
    # Newton's method: the tail is convex and the normal's is lighter, so it comes from the left and never overshoots.
    for _ in range(100):
        step = (above(t, freedom) - tail) / math.exp(scale - (freedom + 1) / 2 * math.log1p(t * t / freedom))
        t += step
        if abs(step) <= 1e-12 * t:
            break
    return t


def above(t: float, freedom: float) -> float:
    """The probability that Student's t is above `t` >= 0: an incomplete beta function (DLMF 8.17.2, 8.17.4 and the fraction 8.17.22)."""
    x, a, b = freedom / (freedom + t * t), freedom / 2, 0.5
    y = t * t / (freedom + t * t)
    if x < (a + 1) / (a + b + 2):
        return _beta(x, y, a, b) / 2
    return (1 - _beta(y, x, b, a)) / 2


def _beta(x: float, y: float, a: float, b: float) -> float:
    """The regularised incomplete beta function at `x`, where `y` is 1 - x, by Lentz's method (Press et al. 2007, section 6.4)."""
    if not x:
        return 0.0
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(y)) / a
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    fraction = d
    for m in range(1, 1000):
        before = fraction
        for term in (m * (b - m) / ((a + 2 * m - 1) * (a + 2 * m)), -(a + m) * (a + b + m) / ((a + 2 * m) * (a + 2 * m + 1))):
            c, d = 1 + term * x / c, 1 / (1 + term * x * d)
            fraction *= c * d
        if abs(fraction - before) <= 1e-15 * fraction:
            break
    return front * fraction


@dataclasses.dataclass(frozen=True)
class Mean:
    """A mean with its 95 % interval.

    Attributes:
        value: the mean.
        interval: its 95 % interval.
        n: values, count.
    """

    value: float
    interval: tuple[float, float]
    n: int

    @classmethod
    def estimate(cls, values: npt.NDArray[np.floating]) -> Mean:
        """The mean of `values`, float [n], n at least 2, with the normal approximation, which dozens of values need."""
        value, half = float(values.mean()), _TWO_SIDED * float(values.std(ddof=1)) / len(values) ** 0.5
        return cls(value, (value - half, value + half), len(values))

    @classmethod
    def estimate_shares(cls, shares: npt.NDArray[np.floating]) -> Mean:
        """The mean of a few shares in [0, 1], e.g. one per class, with Student's t; the interval of fewer than 3 is [0, 1]."""
        n, value = len(shares), float(np.mean(shares))
        if n < 3:
            return cls(value, (0.0, 1.0), n)
        half = student(_TWO_SIDED, n - 1) * float(np.std(shares, ddof=1)) / math.sqrt(n)
        return cls(value, (max(0.0, value - half), min(1.0, value + half)), n)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:.2f} [{low:.2f}, {high:.2f}] n={self.n}"


@dataclasses.dataclass(frozen=True)
class Proportion:
    """A count of successes with its 95 % Wilson score interval (Wilson 1927; Brown, Cai and DasGupta 2001, eq. 4).

    Attributes:
        hits: successes, count.
        n: trials, count.
    """

    hits: int
    n: int

    @property
    def value(self) -> float:
        """Hits over n, in [0, 1]; NaN without trials."""
        return self.hits / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % Wilson score interval, each end in [0, 1]; (0, 1) without trials."""
        if not self.n:
            return 0.0, 1.0
        z = _TWO_SIDED
        p, n = self.value, self.n
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return max(0.0, centre - half), min(1.0, centre + half)

    def extra_json(self) -> dict[str, Any]:
        """The derived numbers that belong beside the counts in JSON."""
        return {"value": None if not self.n else self.value, "interval": list(self.interval)}

    def __str__(self) -> str:
        if not self.n:
            return "no sample"
        low, high = self.interval
        return f"{100 * self.value:.1f} % [{100 * low:.1f}, {100 * high:.1f}] n={self.n}"


def sign_test(won: int, lost: int) -> float:
    """The two-sided probability of a split as uneven, if either side were as likely: McNemar's exact test of paired answers."""
    n = won + lost
    return min(1.0, float(2 * sum(math.comb(n, k) for k in range(min(won, lost) + 1)) / 2**n))


def paired_difference(left: str, right: str) -> tuple[float, float]:
    """The 95 % interval of the share correct in `left` less that in `right`, which are about the same photos (`1` correct, `0` wrong).

    Newcombe (1998), Improved confidence intervals for the difference between binomial proportions based on paired data, method 10: the
    squared distances to the ends of both Wilson intervals, less what the correlation of the pairs takes off.
    """
    n = len(left)
    both = sum(a == b == "1" for a, b in zip(left, right))
    p, q = Proportion(left.count("1"), n), Proportion(right.count("1"), n)
    first, second = p.hits - both, q.hits - both
    neither = n - both - first - second
    margins = p.hits * (n - p.hits) * q.hits * (n - q.hits)
    excess = both * neither - first * second
    phi = (max(excess - n / 2, 0) if excess > 0 else excess) / math.sqrt(margins) if margins else 0.0
    (p_low, p_high), (q_low, q_high) = p.interval, q.interval

    def distance(a: float, b: float) -> float:
        return math.sqrt(max(0.0, a * a - 2 * phi * a * b + b * b))

    theta = p.value - q.value
    return theta - distance(p.value - p_low, q_high - q.value), theta + distance(p_high - p.value, q.value - q_low)
