"""Percentiles and their intervals against numpy, scipy and simulation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from edgetl.bench.statistics import PROCESSES, Estimate, Pool, least, percentile, ratios, summary
from edgetl.errors import BenchError
from edgetl.stats import above, sign_test, student

SHAPES = ("normal", "lognormal", "bimodal", "ar1", "drifting", "spikes")
samples = st.lists(st.integers(0, 2**60), min_size=1, max_size=60)


def drawn(shape: str, random: np.random.Generator, rounds: int, n: int, between: float) -> NDArray[np.int64]:
    """Latencies [rounds, n] around 1 ms in nanoseconds; processes differ by `between` times a normal deviate."""
    noise = random.standard_normal((rounds, n))
    if shape == "lognormal":
        within = np.exp(0.3 * noise)
    elif shape == "bimodal":
        within = np.where(random.random((rounds, n)) < 0.4, 1.2, 1.0) * (1 + 0.01 * noise)
    elif shape == "ar1":
        state = noise[:, 0]
        within = np.empty_like(noise)
        for i in range(n):
            state = 0.9 * state + math.sqrt(1 - 0.9**2) * noise[:, i] if i else state
            within[:, i] = np.exp(0.05 * state)
    elif shape == "drifting":
        slopes = 0.03 + 0.02 * random.standard_normal((rounds, 1))
        within = (1 + slopes * np.linspace(0, 1, n)) * (1 + 0.01 * noise)
    else:
        within = 1 + 0.01 * noise
    if shape == "spikes":
        within += (random.random((rounds, n)) < 0.03) * random.exponential(1, (rounds, n))
    return (1e6 * within * np.exp(between * random.standard_normal((rounds, 1)))).astype(np.int64)


def coverage(shape: str, rounds: int, n: int, between: float, tries: int) -> list[float]:
    """How often the intervals of p50, and of p90 and p99 where n carries them, hold the percentile of many processes."""
    random = np.random.Generator(np.random.PCG64(7))
    truth = np.percentile(drawn(shape, random, 4000, n, between), [50, 90, 99])
    held: list[list[bool]] = []
    for seed in range(tries):
        summed = summary(drawn(shape, random, rounds, n, between), resamples=400, seed=seed)
        results = [estimate for estimate in (summed.p50, summed.p90, summed.p99) if estimate]
        held.append([estimate.interval[0] <= value <= estimate.interval[1] for estimate, value in zip(results, truth) if estimate.interval])
    return [float(share) for share in np.mean(held, axis=0)]


@given(samples, st.sampled_from([0, 1, 50, 90, 99, 99.9, 100]))
def test_percentiles_are_numpys_and_samples_that_were_taken(values: list[int], q: float) -> None:
    expected = int(np.percentile(np.array(values), q, method="inverted_cdf"))
    assert percentile(values, q) == percentile(np.array(values), q) == Pool([values]).percentile(q) == expected


@given(st.lists(samples, min_size=1, max_size=5), st.integers(0, 9))
def test_a_resample_of_rounds_has_the_percentiles_of_the_rounds_repeated(rounds: list[list[int]], seed: int) -> None:
    count = len(rounds)
    weights = np.random.Generator(np.random.PCG64(seed)).multinomial(count, [1 / count] * count, 20)
    results = Pool(rounds).resampled([50.0, 90.0, 100.0], 20, seed)
    if count > 1:
        repeated = [np.concatenate([np.repeat(np.array(estimate), times) for estimate, times in zip(rounds, row)]) for row in weights]
        expected = [[np.percentile(row, q, method="inverted_cdf") for row in repeated] for q in (50, 90, 100)]
        assert results[0][0].tolist() == np.array(expected).tolist()


def test_cells_of_many_samples_give_what_a_sort_gives() -> None:
    rounds = drawn("spikes", np.random.Generator(np.random.PCG64(1)), 3, 1500, 0.1)
    weights = np.random.Generator(np.random.PCG64(5)).multinomial(3, [1 / 3] * 3, 50)
    expected = [[np.percentile(np.repeat(rounds, row, axis=0), q, method="inverted_cdf") for row in weights] for q in (50, 99)]
    assert Pool(list(rounds)).resampled([50.0, 99.0], 50, 5)[0][0].tolist() == np.array(expected).tolist()


@given(st.lists(samples, min_size=1, max_size=6))
def test_intervals_hold_their_value_and_stay_within_the_samples(rounds: list[list[int]]) -> None:
    summed = summary(rounds, resamples=50)
    assert summed == summary([np.array(estimate) for estimate in rounds], resamples=50)
    results = [estimate.interval for estimate in (summed.p50, summed.p90, summed.p99, summed.max) if estimate]
    assert all((ends is None) == (len(rounds) < PROCESSES) for ends in results)
    for estimate in (summed.p50, summed.p90, summed.p99, summed.max):
        assert (
            estimate is None
            or estimate.interval is None
            or min(map(min, rounds)) <= estimate.interval[0] <= estimate.value <= estimate.interval[1]
        )
    assert summed.max.value == max(map(max, rounds)) == (summed.max.interval or [summed.max.value])[-1]


@pytest.mark.parametrize(("q", "fewest"), [(50, 6), (90, 36), (99, 368)])
def test_a_percentile_takes_as_many_samples_as_the_binomial_says(q: float, fewest: int) -> None:
    assert least(q, 0.95) == fewest
    assert stats.binom.pmf(fewest, fewest, q / 100) <= 0.025 < stats.binom.pmf(fewest - 1, fewest - 1, q / 100)


def test_what_n_cannot_carry_is_not_there() -> None:
    assert summary([[5, 1], [3], [4]]).p50 == Estimate(3, 1, 5)
    assert summary([[7]]).max == summary([[7]]).p50 == Estimate(7, None, None)
    for n, carried in ((35, (False, False)), (36, (True, False)), (367, (True, False)), (368, (True, True))):
        summed = summary([range(n)])
        assert (summed.n, summed.p90 is not None, summed.p99 is not None) == (n, *carried)
    assert summary([[4] * 400] * 3).p99 == Estimate(4, 4, 4)
    with pytest.raises(BenchError) as caught:
        summary([[], ()])
    assert caught.value.code == "no-samples"


@pytest.mark.parametrize("freedom", [0.7, 1, 2, 3.5, 9, 18.3, 1000])
def test_students_t_is_scipys(freedom: float) -> None:
    for probability in (0.6, 0.975, 0.9995, 1 - 1e-7):
        assert student(stats.norm.ppf(probability), freedom) == pytest.approx(stats.t.ppf(probability, freedom), rel=1e-7)
    for t in (0, 0.1, 1, 5, 40):
        assert above(t, freedom) == pytest.approx(stats.t.sf(t, freedom), rel=1e-9)


@pytest.mark.parametrize("split", [(0, 0), (5, 5), (0, 6), (12, 3), (40, 61)])
def test_the_sign_test_is_scipys(split: tuple[int, int]) -> None:
    assert sign_test(*split) == pytest.approx(stats.binomtest(split[0], sum(split)).pvalue if sum(split) else 1)


@pytest.mark.parametrize(("rounds", "n", "between"), [(4, 24, 0.02), (10, 12, 0.02), (3, 24, 0.0), (10, 1, 0.0)])
def test_intervals_of_few_rounds_cover_the_median(rounds: int, n: int, between: float) -> None:
    assert coverage("lognormal", rounds, n, between, 100)[0] >= 0.91


def welch_rejects(rounds: int, between: float, tries: int) -> float:
    random = np.random.Generator(np.random.PCG64(3))
    pools = [[Pool(drawn("normal", random, rounds, 16, between)) for _ in range(2)] for _ in range(tries)]
    results: Sequence[float] = [ratios(*pair, [50.0], resamples=200)[0].p for pair in pools]
    return float(np.mean(np.array(results) <= 0.05))


def test_equal_processes_differ_by_chance_as_often_as_confidence_says() -> None:
    assert welch_rejects(4, 0.02, 100) <= 0.1


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_intervals_cover_the_percentiles_of_many_processes(shape: str) -> None:
    """Processes alike, and processes that differ by 2 %; the tails of the latter are held less often, which the module says."""
    for rounds, n in ((10, 64), (4, 32)):
        alike, differing = (coverage(shape, rounds, n, between, 150) for between in (0.0, 0.02))
        assert alike[0] >= 0.92
        assert alike[1] >= 0.88
        assert differing[0] >= 0.92
        assert differing[1] >= 0.85
