"""Percentiles with intervals, from samples that come in rounds and are not independent of each other.

Samples of one round come from one process: they share where its memory lies, and drift with temperature and other load. Rounds are
independent of each other, so a percentile's interval is bootstrapped over whole rounds (Davison and Hinkley 1997, section 3.8, strategy 1;
Kalibera and Jones 2013, section 6), and over blocks within them (Künsch 1989; Carlstein 1986: blocks that do not overlap); the wider one
counts. No resample is slower than the slowest round, so above the median the upper end is at least as far from the estimate as the lower
one (the basic bootstrap's reflection, Davison and Hinkley 1997, section 5.2). A bootstrap over few rounds is too narrow, by the ratio of
Student's t to the normal and of the sample's variance to the population's (Hesterberg 2015, section 3.2): its ends, and the standard error
that they are no nearer than, are moved away from the estimate by that factor. Coverage: docs/evidence/bench-statistics.md.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from edgetl.errors import BenchError
from edgetl.stats import above, student

Error = tuple[float, int]
"""A standard error, and the degrees of freedom behind it."""
Values = Sequence[int] | npt.NDArray[np.int64]

PROCESSES = 3
"""Rounds that give an interval, count: two have one degree of freedom, and Student's quantile of that is 12.7."""
_CELLS = 1024
_BLOCKS = 8


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A number and its interval, in the unit of the samples; `low` and `high` are both None if too few processes give no interval."""

    value: int
    low: int | None
    high: int | None

    @property
    def interval(self) -> tuple[int, int] | None:
        """Both ends; None without an interval."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    def overlaps(self, other: Estimate) -> bool:
        """Whether the intervals overlap, or one is missing: then it is unknown which number is smaller."""
        mine, theirs = self.interval, other.interval
        return mine is None or theirs is None or (mine[0] <= theirs[1] and theirs[0] <= mine[1])


@dataclasses.dataclass(frozen=True)
class Summary:
    """All samples of a row; a percentile that n cannot carry is None, and with fewer than 3 rounds none has an interval.

    Attributes:
        n: samples, count.
        p50: the median; with fewer than 6 samples its interval is from the smallest to the largest. No interval begins below the
            smallest sample.
        p90: the 90th percentile; None with fewer than 36 samples.
        p99: the 99th; None with fewer than 368 samples.
        max: the largest sample. Its interval shows how much depends on single rounds; a bootstrap never exceeds the largest sample, so the
            upper end is the value itself, and a longer run can always show a larger one.
    """

    n: int
    p50: Estimate
    p90: Estimate | None
    p99: Estimate | None
    max: Estimate


@dataclasses.dataclass(frozen=True)
class Ratio:
    """One number divided by another.

    Attributes:
        value: after divided by before.
        low: of its interval.
        high: of its interval.
        p: the probability of a ratio as far from 1, in either direction, if nothing had changed.
    """

    value: float
    low: float
    high: float
    p: float


def percentile(samples: Values, q: float) -> int:
    """The nearest-rank percentile (Hyndman and Fan 1996, definition 1): always a sample that was taken.

    Args:
        samples: [n] in any order, n >= 1.
        q: in percent, [0, 100].
    """
    rank = max(1, math.ceil(q * len(samples) / 100)) - 1
    return int(np.partition(np.asarray(samples, np.int64), rank)[rank])


def least(q: float, confidence: float) -> int:
    """The fewest samples that carry the percentile `q` < 100: the largest of them is above it with enough probability.

    All n samples are below the percentile with probability (q / 100)^n; an interval has an upper end only if that is at most
    (1 - confidence) / 2 (Conover 1999, section 3.2).
    """
    return math.ceil(math.log((1 - confidence) / 2) / math.log(q / 100))


def summary(rounds: Sequence[Values], *, confidence: float = 0.95, resamples: int = 1000, seed: int = 0) -> Summary:
    """Sums up samples that were taken in rounds.

    Args:
        rounds: one sequence per process, in the order in which they were taken; integers in any unit.
        confidence: of the intervals.
        resamples: of the bootstrap, count.
        seed: of the bootstrap.

    Raises:
        BenchError: there is no sample.
    """
    pool = Pool(rounds)
    qs = [*(q for q in (50.0, 90.0, 99.0) if pool.n >= least(q, confidence)), 100.0]
    estimates = dict(zip(qs, pool.estimates(qs, confidence, resamples, seed)))
    smallest = pool.percentile(0)
    if 50.0 not in estimates:
        estimates[50.0] = Estimate(pool.percentile(50), smallest, pool.percentile(100))
    for q, estimate in estimates.items():
        low, high = estimate.interval or (0, 0)
        bounded = pool.rounds >= PROCESSES
        estimates[q] = Estimate(estimate.value, max(low, smallest) if bounded else None, high if bounded else None)
    return Summary(pool.n, estimates[50.0], estimates.get(90.0), estimates.get(99.0), estimates[100.0])


def ratios(
    before: Pool, after: Pool, qs: Sequence[float], *, common: Error = (0.0, 1),
    confidence: float = 0.95, resamples: int = 1000, seed: int = 0,
) -> list[Ratio]:  # fmt: skip
    """Percentiles of `after` divided by those of `before`, with Welch's interval (1947) of the difference of their logarithms.

    The median's error is bootstrapped alone, so that one bad round of ten does not hide a change of all. Above the median few rounds may
    hold all the samples that matter, and the bootstrap is overconfident: there the rounds' own percentiles must agree, and the wider
    interval and the larger p count. `common` is an error of the difference of logarithms that is in neither pool. Percentiles below 1 count
    as 1.
    """
    normal = NormalDist().inv_cdf((1 + confidence) / 2)
    results = []
    for q, mine, theirs in zip(qs, before.errors(qs, resamples, seed), after.errors(qs, resamples, seed)):
        change = math.log(max(1, after.percentile(q)) / max(1, before.percentile(q)))
        tests = [_welch(change, (mine, theirs, common), normal)]
        if q > 50 and min(before.rounds, after.rounds) > 1:
            (left, mine), (right, theirs) = before.level(q), after.level(q)
            tests.append(_welch(right - left, (mine, theirs, common), normal))
        lows, highs, ps = zip(*tests)
        results.append(Ratio(math.exp(change), math.exp(min(lows)), math.exp(max(highs)), max(ps)))
    return results


def _welch(change: float, errors: Sequence[Error], normal: float) -> tuple[float, float, float]:
    """The interval's ends and the p of a difference."""
    error = math.hypot(*(size for size, _ in errors))
    if not error:
        return change, change, float(not change)
    freedom = error**4 / math.fsum(size**4 / degrees for size, degrees in errors)
    half = student(normal, freedom) * error
    return change - half, change + half, 2 * above(abs(change) / error, freedom)


class Pool:
    """Samples of several rounds, sorted once, of which percentiles can be resampled.

    Attributes:
        n: samples, count.
        rounds: those with samples, count.
    """

    def __init__(self, rounds: Sequence[Values]) -> None:
        """Sorts them.

        Raises:
            BenchError: there is no sample.
        """
        arrays = [np.asarray(process, np.int64) for process in rounds if len(process)]
        if not arrays:
            raise BenchError("no sample to sum up: every round is empty", code="no-samples")
        sizes = [len(array) for array in arrays]
        whole = np.concatenate(arrays)
        order = np.argsort(whole, kind="stable")
        self.n, self.rounds = len(whole), len(arrays)
        self._sorted = whole[order]
        self._round = np.repeat(np.arange(self.rounds), sizes)[order]
        # Longer blocks hold more of the correlation, more blocks show more of the variation: the square root balances them.
        self._blocks = [min(_BLOCKS, math.isqrt(size)) for size in sizes]
        starts = np.cumsum([0, *self._blocks[:-1]])
        blocks = [start + np.arange(size) * count // size for start, count, size in zip(starts, self._blocks, sizes)]
        self._block = np.concatenate(blocks)[order]

    def percentile(self, q: float) -> int:
        """The nearest-rank percentile of all samples."""
        return int(self._sorted[max(1, math.ceil(q * self.n / 100)) - 1])

    def estimates(self, qs: Sequence[float], confidence: float, resamples: int, seed: int) -> list[Estimate]:
        """Percentiles with their intervals."""
        values = [self.percentile(q) for q in qs]
        normal = NormalDist().inv_cdf((1 + confidence) / 2)
        tails = (1 - confidence) / 2, (1 + confidence) / 2
        down = up = np.zeros(len(qs))
        for drawn, freedom, groups in self.resampled(qs, resamples, seed):
            away = (drawn - np.array(values, np.int64)[:, None]).astype(np.float64)
            few = student(normal, freedom) * math.sqrt(groups / freedom)
            left, right = np.quantile(away, tails, axis=1) / normal
            right = np.where(np.array(qs) > 50, np.maximum(right, -left), right)
            error = away.std(axis=1)
            down, up = np.maximum(down, few * np.maximum(-left, error)), np.maximum(up, few * np.maximum(right, error))
        # A resample has no sample above the largest.
        return [
            Estimate(value, value - math.ceil(below), value + (math.ceil(over) if q < 100 else 0))
            for q, value, below, over in zip(qs, values, down, up)
        ]

    def errors(self, qs: Sequence[float], resamples: int, seed: int) -> list[Error]:
        """Of each percentile's logarithm: the larger one of rounds and blocks."""
        drawings = self.resampled(qs, resamples, seed)
        errors = [np.log(np.maximum(1, drawn)).std(axis=1) * math.sqrt(groups / freedom) for drawn, freedom, groups in drawings]
        return [(float(error), drawings[0][1]) for error in np.max(errors, axis=0)] if drawings else [(0.0, 1)] * len(qs)

    def level(self, q: float) -> tuple[float, Error]:
        """The mean over rounds, at least 2, of the logarithm of each one's percentile, and its error."""
        logs = [math.log(max(1, percentile(self._sorted[self._round == number], q))) for number in range(self.rounds)]
        return float(np.mean(logs)), (float(np.std(logs, ddof=1)) / math.sqrt(self.rounds), self.rounds - 1)

    def resampled(self, qs: Sequence[float], resamples: int, seed: int) -> list[tuple[npt.NDArray[np.int64], int, int]]:
        """Percentiles [q, resamples] of bootstrap resamples, degrees of freedom and groups: of rounds, then of blocks within rounds."""
        random = np.random.Generator(np.random.PCG64(seed))
        drawings = []
        if self.rounds > 1:
            weights = random.multinomial(self.rounds, np.full(self.rounds, 1 / self.rounds), resamples)
            drawings.append((self._weighted(self._round, weights, qs), self.rounds - 1, self.rounds))
        blocks = sum(self._blocks)
        if blocks > self.rounds:
            parts = [random.multinomial(count, np.full(count, 1 / count), resamples) for count in self._blocks]
            drawings.append((self._weighted(self._block, np.concatenate(parts, axis=1), qs), blocks - self.rounds, blocks))
        return drawings

    def _weighted(self, owner: npt.NDArray[np.int64], weights: npt.NDArray[np.int64], qs: Sequence[float]) -> npt.NDArray[np.int64]:
        """Percentiles [q, resamples] where a sample counts `weights` [resamples, owners] times: counted by cells, then within one."""
        step, owners = math.ceil(self.n / _CELLS), weights.shape[1]
        cells = math.ceil(self.n / step)
        counts = np.bincount(np.arange(self.n) // step * owners + owner, minlength=cells * owners).reshape(cells, owners)
        # Counts are below 2^24, so float32 holds them and their sums.
        reached = np.cumsum(counts, axis=0).astype(np.float32) @ weights.T.astype(np.float32)
        columns = np.arange(len(weights))
        result = np.empty((len(qs), len(weights)), np.int64)
        for i, q in enumerate(qs):
            need = q * reached[-1].astype(np.float64) / 100
            cell = (reached < need).sum(axis=0)
            before = np.where(cell > 0, reached[cell - 1, columns], 0)
            within = np.minimum(cell[:, None] * step + np.arange(step), self.n - 1)
            arrived = before[:, None] + np.cumsum(weights[columns[:, None], owner[within]], axis=1)
            result[i] = self._sorted[within[columns, (arrived >= need[:, None]).argmax(axis=1)]]
        return result
