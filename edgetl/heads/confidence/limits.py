"""Below which score a photo gets no label, at each operating point, from scores of known photos and of a background."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist

import numpy as np

from edgetl.heads.confidence.rejection import COVERAGE, POINTS, OperatingPoint
from edgetl.stats import student
from edgetl.types import Array

UNRELATED: Mapping[OperatingPoint, float] = {"strict": 0.01, "balanced": 0.05, "lenient": 0.2}
"""The share of the background that may get a label at each operating point: docs/evidence/rejection.md."""
FLOOR: Mapping[OperatingPoint, float] = {"strict": 0.8, "balanced": 0.9, "lenient": 0.95}
"""The coverage that rejecting the background may not cost: docs/evidence/rejection.md."""
FEW_FLOOR: Mapping[OperatingPoint, float] = {"strict": 0.5, "balanced": 0.65, "lenient": 0.8}
"""The same for fewer than FEW photos a class: docs/evidence/rejection.md."""
FEW = 8
LOWEST = float(np.finfo(np.float64).min)
"""The threshold that every photo within reach exceeds."""
_PRIOR, _SPREAD = 8, 0.5
"""The spread of the scores counts as if _PRIOR more had _SPREAD of the background's: docs/evidence/rejection.md."""


def pick_threshold(known: Array, coverage: float) -> float:
    """The k-th lowest of n scores, k = (1 - coverage)(n + 1): a new known photo is below it with a chance of at most k / (n + 1).

    With too few scores it is the lowest, for which that chance is 1 / (n + 1).
    """
    return max(float(np.sort(known)[max(1, _place(len(known), coverage)) - 1]), LOWEST)


def set_limits_beside(far: Array, known: Array, few: bool) -> tuple[float, ...]:
    """The threshold at each of POINTS with a background: it accepts COVERAGE of the known photos.

    With too few scores for :func:`pick_threshold` it comes from the tail of Student's t. The variance is shrunk towards the background's,
    so that three similar photos do not reject the fourth. If more than UNRELATED of the background would get a label, the threshold is
    raised until they do not, down to a coverage of FLOOR or, with few photos, FEW_FLOOR.

    Args:
        far: scores of photos of the background, [j >= 1].
        known: scores of known photos, each from a model without its near-duplicates, [m].
        few: whether the classes have fewer than FEW photos.
    """
    far, finite, n = np.sort(far)[::-1], known[np.isfinite(known)], len(known)
    if not len(finite):
        return tuple(max(_beyond(far, point), LOWEST) for point in POINTS)
    freedom, spread = len(finite) - 1 + _PRIOR, far[np.isfinite(far)].std() if np.isfinite(far).any() else 0.0
    variance = (np.square(finite - finite.mean()).sum() + _PRIOR * (_SPREAD * spread) ** 2) / freedom
    scale = math.sqrt(variance * (1 + 1 / len(finite)))

    def limit_at(coverage: float) -> float:
        if n >= FEW and _place(n, coverage) > 1:
            return pick_threshold(known, coverage)
        normal = NormalDist().inv_cdf(coverage)
        return float(finite.mean() - (student(normal, freedom) * scale if normal > 0 else 0.0))

    floors = FEW_FLOOR if few else FLOOR
    limits = [max(limit_at(COVERAGE[point]), min(_beyond(far, point), limit_at(floors[point]))) for point in POINTS]
    return tuple(float(limit) for limit in np.minimum.accumulate(limits))


def _place(n: int, coverage: float) -> int:
    """How many of n + 1 scores may be at or below the threshold."""
    return int((1 - coverage) * (n + 1) + 1e-9)


def _beyond(far: Array, point: OperatingPoint) -> float:
    """The threshold that no more than UNRELATED of the background reach; `far` is sorted, the highest first."""
    return float(np.nextafter(far[int(UNRELATED[point] * len(far))], np.inf))
