"""Below which score a photo gets no label, at each operating point, from scores of known photos and of a background."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from statistics import NormalDist

import numpy as np

from edgetl.evaluation import student
from edgetl.heads.rejection import COVERAGE, POINTS, Point
from edgetl.types import Array, Proportion

UNRELATED: Mapping[Point, float] = {"strict": 0.01, "balanced": 0.05, "lenient": 0.2}
"""The share of the background that may get a label at each operating point: docs/evidence/rejection.md."""
FLOOR: Mapping[Point, float] = {"strict": 0.8, "balanced": 0.9, "lenient": 0.95}
"""The coverage that rejecting the background may not cost: docs/evidence/rejection.md."""
TIMID_FLOOR, TIMID = 0.5, 8
"""The same for several classes with fewer than TIMID photos each: docs/evidence/rejection.md."""
LOWEST = float(np.finfo(np.float64).min)
"""The threshold that every photo in reach exceeds."""
_FEW_FLOOR: Mapping[Point, float] = {"strict": 0.5, "balanced": 0.65, "lenient": 0.8}
"""The same for one class with fewer than TIMID photos: docs/evidence/rejection.md."""
_PRIOR, _SPREAD = 8, 0.5
"""The spread of one class's scores counts as if _PRIOR more had _SPREAD of the background's: docs/evidence/rejection.md."""


def threshold(known: Array, coverage: float) -> float:
    """The k-th lowest of n scores, k = (1 - coverage)(n + 1): a new known photo is below it with a chance of at most k / (n + 1).

    With too few scores it is the lowest, for which that is 1 / (n + 1).
    """
    return max(float(np.sort(known)[max(1, _place(len(known), coverage)) - 1]), LOWEST)


def limits_of_several(known: Array, far: Array, few: bool) -> tuple[float, ...]:
    """The threshold at each of POINTS, which accepts COVERAGE of the known photos.

    Where more than UNRELATED of the background would get a label then, it is raised until they do not, as far as the upper end of the
    coverage's interval stays at FLOOR; with few photos at TIMID_FLOOR, because leaving one of few out makes its score read low.

    Args:
        known: scores of known photos, each from a model without its burst, [m].
        far: scores of photos of the background, [j].
        few: whether the classes have few photos.
    """
    known, far = np.sort(known), np.sort(far)[::-1]
    limits = []
    for point in POINTS:
        limit = threshold(known, COVERAGE[point]) if len(known) else LOWEST
        if len(far):
            floor = TIMID_FLOOR if few else FLOOR[point]
            lost = bisect_right(range(len(known)), -floor, key=lambda k: -Proportion(len(known) - k, len(known)).interval[1]) - 1
            most = known[max(lost, 0)] if len(known) else np.inf
            limit = max(limit, min(_beyond(far, point), float(most)))
        limits.append(limit)
    return tuple(limits)


def limits_of_one_class(known: Array, far: Array) -> tuple[float, ...]:
    """The same for a single class, whose scores have one mean, and which may have few: then from the tail of Student's t.

    The variance is shrunk towards the background's, so that three photos that happen to be alike do not reject the fourth. Where too many
    of the background would get a label, the threshold is raised as far as a coverage of FLOOR, or of _FEW_FLOOR.

    Args:
        known: scores of known photos, each from a model without its burst, finite, [m].
        far: scores of photos of the background, finite, [j >= 1].
    """
    if not len(known):
        return limits_of_several(known, far, few=True)
    known, far, n = np.sort(known), np.sort(far)[::-1], len(known)
    freedom = n - 1 + _PRIOR
    variance = (np.square(known - known.mean()).sum() + _PRIOR * _SPREAD**2 * far.var()) / freedom
    spread = math.sqrt(variance * (1 + 1 / n))

    def limit_at(coverage: float) -> float:
        if n >= TIMID and (k := _place(n, coverage)) > 1:
            return float(known[k - 1])
        normal = NormalDist().inv_cdf(coverage)
        return float(known.mean() - (student(normal, freedom) * spread if normal > 0 else 0.0))

    floors = FLOOR if n >= TIMID else _FEW_FLOOR
    limits = [max(limit_at(COVERAGE[point]), min(_beyond(far, point), limit_at(floors[point]))) for point in POINTS]
    return tuple(float(limit) for limit in np.minimum.accumulate(limits))


def _place(n: int, coverage: float) -> int:
    """How many of n + 1 scores may be at or below the threshold."""
    return int((1 - coverage) * (n + 1) + 1e-9)


def _beyond(far: Array, point: Point) -> float:
    """The threshold that no more than UNRELATED of the background reach; `far` is sorted, the highest first."""
    return float(np.nextafter(far[int(UNRELATED[point] * len(far))], np.inf))
