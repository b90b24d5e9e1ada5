"""What samples would have been at one pace of the machine: an analysis of covariance.

Processes of one record whose machine was slower by itself (:mod:`edgetl.bench.measuring.pace`) are slower too, by as much or, on an
accelerator with a clock of its own, not at all. How much is a slope, common to both records, of the logarithm of each process's median on
the logarithm of its pace, about the means of its record (Fisher 1932, section 49.1; Cochran 1957, equation 2). A pace is not free of error
itself, which would flatten the slope; that of every other sample is therefore the instrument of the ones between (Fuller 1987, section
1.4). What the slope says of the records' difference in pace is taken out of it, and what the slope's own error leaves open stays in its
interval.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgetl.bench.record import Row
from edgetl.bench.statistics import Error, Samples, percentile

_UNIFORM = math.sqrt(1 / 12)
"""Of a slope of which is only known that nothing is slowed by more than its clock, nor made faster."""


@dataclasses.dataclass(frozen=True)
class Paced:
    """Two records' samples at the mean pace of the first.

    Attributes:
        before: of the first record, one array per process.
        after: of the second.
        factor: what was taken out of after divided by before.
        error: of the factor's logarithm.
    """

    before: Sequence[Samples]
    after: Sequence[Samples]
    factor: float
    error: Error


def at_one_pace(before: Row, after: Row, paced: tuple[Row | None, Row | None]) -> Paced | None:
    """Takes the machine's pace out of both rows' samples.

    Args:
        before: of the first record; of times.
        after: of the second.
        paced: the rows that have the pace of these samples' processes.

    Returns:
        None where the pace was not taken, or fewer than two processes a record do not show what it does.
    """
    rows = before, after
    if any(pace is None or len(pace.pace) != len(row.samples) or len(row.samples) < 2 for row, pace in zip(rows, paced)):
        return None
    times = [_logarithms(row.samples) for row in rows]
    paces = [_logarithms(row.pace) for row in paced if row is not None]
    halves = [[_logarithms([one[half::2] or one for one in row.pace]) for row in paced if row is not None] for half in (0, 1)]
    y, x, odd, even = (np.concatenate([one - one.mean() for one in each]) for each in (times, paces, *halves))
    freedom = len(x) - 3
    spread = float(odd @ even)
    slope, error = 0.5, _UNIFORM
    if spread > 0:
        fitted = float((odd + even) @ y) / 2 / spread
        known = math.sqrt(float(((y - fitted * x) ** 2).sum()) / freedom / spread)
        if known < error:
            slope, error = min(1.0, max(0.0, fitted)), known
    change = float(paces[1].mean() - paces[0].mean())
    common = paces[0].mean()
    taken = [
        [np.rint(np.asarray(one, np.float64) * math.exp(slope * (common - pace))).astype(np.int64) for one, pace in zip(row.samples, logs)]
        for row, logs in zip(rows, paces)
    ]
    return Paced(taken[0], taken[1], math.exp(slope * change), (abs(change) * error, freedom))


def _logarithms(rounds: Sequence[Samples]) -> npt.NDArray[np.float64]:
    return np.log([max(1, percentile(one, 50)) for one in rounds])
