"""Samples as they would have been at one speed of the machine: an analysis of covariance.

If the machine itself was slower during a process (:func:`edgetl.bench.measuring.loop.machine_speed`), its samples are slower too, by as
much or, on an accelerator with a clock of its own, not at all. How much is a slope, common to both records, of the logarithm of each
process's median on the logarithm of its machine speed, about the means of its record (Fisher 1932, section 49.1; Cochran 1957, equation
2). A machine speed has an error of its own, which would flatten the slope; that of every other sample is therefore the instrument of the
ones between (Fuller 1987, section 1.4). The part of the records' difference that the slope explains is taken out, and the slope's own error
stays in the interval.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgetl.bench.record import Row
from edgetl.bench.statistics import Error, Values, percentile

_UNIFORM = math.sqrt(1 / 12)
"""The error of a slope that is only known to lie between 0 and 1."""


@dataclasses.dataclass(frozen=True)
class Adjusted:
    """Two records' samples at the mean machine speed of the first.

    Attributes:
        before: of the first record, one array per process.
        after: of the second.
        factor: what was taken out of after divided by before.
        error: of the factor's logarithm.
    """

    before: Sequence[Values]
    after: Sequence[Values]
    factor: float
    error: Error


def at_one_speed(before: Row, after: Row, wholes: tuple[Row | None, Row | None]) -> Adjusted | None:
    """Takes the machine's speed out of both rows' samples.

    Args:
        before: of the first record; of times.
        after: of the second.
        wholes: the rows that have the machine speed of these samples' processes.

    Returns:
        None if the machine speed was not taken, or fewer than two processes a record do not show its effect.
    """
    rows = before, after
    if any(
        whole is None or len(whole.machine_speed) != len(row.samples) or len(row.samples) < 2 for row, whole in zip(rows, wholes)
    ):  # fmt: skip
        return None
    measured = [whole.machine_speed for whole in wholes if whole is not None]
    times, speeds = [_logarithms(row.samples) for row in rows], [_logarithms(speed) for speed in measured]
    halves = [[_logarithms([taken[half::2] or taken for taken in speed]) for speed in measured] for half in (0, 1)]
    y, x, odd, even = (np.concatenate([side - side.mean() for side in sides]) for sides in (times, speeds, *halves))
    freedom = len(x) - 3
    spread = float(odd @ even)
    slope, error = 0.5, _UNIFORM
    if spread > 0:
        fitted = float((odd + even) @ y) / 2 / spread
        known = math.sqrt(float(((y - fitted * x) ** 2).sum()) / freedom / spread)
        if known < error:
            slope, error = min(1.0, max(0.0, fitted)), known
    change = float(speeds[1].mean() - speeds[0].mean())
    common = speeds[0].mean()
    adjusted = [
        [
            np.rint(np.asarray(taken, np.float64) * math.exp(slope * (common - log))).astype(np.int64)
            for taken, log in zip(row.samples, logs)
        ]
        for row, logs in zip(rows, speeds)
    ]
    return Adjusted(adjusted[0], adjusted[1], math.exp(slope * change), (abs(change) * error, freedom))


def _logarithms(rounds: Sequence[Values]) -> npt.NDArray[np.float64]:
    return np.log([max(1, percentile(taken, 50)) for taken in rounds])
