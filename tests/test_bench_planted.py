"""Latencies that are planted in the fake runtime are found by the whole pipeline, in real processes on the real clock.

What is asserted holds on a busy machine too: other work makes a query longer, never shorter.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from pictures import encoded, picture

from edgetl import bench
from edgetl.bench.judging.compare import compare
from edgetl.bench.measuring.configurations import Configuration
from edgetl.bench.measuring.gathering import Gathering
from edgetl.bench.measuring.job import Answer
from edgetl.bench.measuring.loop import Loop
from edgetl.bench.measuring.plan import Turn
from edgetl.runtimes import fake
from edgetl.runtimes.planted import Planted

MS = 1_000_000
METHOD = bench.Method("tiny", queries=120, seconds=0.6, rounds=3, window=16, warm_up_seconds=0.3, photos=16, resamples=200)
SUBJECT = bench.Subject("fake", "fake-fp32", "fp32", "fake", "fake 1", "cpu", "all of the model", 1, "ab", 1, "cd")
LATENCIES = {
    "constant": {"shape": "constant", "ms": 2.0},
    "again": {"shape": "constant", "ms": 2.0},
    "slower": {"shape": "constant", "ms": 2.2},
    "bimodal": {"shape": "bimodal", "ms": 0.5, "share": 0.3, "factor": 5.0, "seed": 3},
    "drifting": {"shape": "drifting", "ms": 0.2, "rate": 0.05},
}


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> bench.Record:
    folder = tmp_path_factory.mktemp("planted")
    opened = fake.write_bundle(str(folder / "planted.edgetl"), encoded(picture(seed=9)), latencies=LATENCIES)
    return bench.run(opened.path, threads=[1], scenarios=["backbone"], method=METHOD)


def one(record: bench.Record, variant: str, name: str = "fake-fp32") -> bench.Record:
    """What was measured of one variant, under a name by which it can be compared with another."""
    (result,) = (result for result in record.results if result.subject.variant == variant)
    return dataclasses.replace(record, results=(dataclasses.replace(result, subject=dataclasses.replace(result.subject, variant=name)),))


def row(record: bench.Record, variant: str) -> bench.Row:
    ((_, found),) = one(record, variant).rows()
    return found


@pytest.mark.parametrize(
    ("latency", "words"),
    [({"shape": "sawtooth", "ms": 1}, "no shape 'sawtooth'; there are constant"), ({"ms": 1}, "shape")],
)
def test_a_latency_that_cannot_be_planted_is_refused(latency: dict[str, Any], words: str) -> None:
    with pytest.raises((ValueError, KeyError), match=words):
        Planted(latency)


def test_throttling_is_in_the_samples_in_their_order_and_the_row_says_so() -> None:
    """In this process, whose queries can be counted: the second half of each round is slow."""
    method = bench.Method(queries=100, seconds=0.0, rounds=2, window=4, steady=1e9, resamples=20)
    gathering, configuration = Gathering(method), Configuration("fake-fp32", 1, None)
    tensor = np.zeros((1, 32, 32, 3), np.uint8)
    for number in range(2):
        model = fake.Model({"model.json": fake.model(latency={"shape": "throttling", "ms": 0.5, "after": 33, "factor": 4.0})}, 1)
        measured = Loop(method).stream(lambda query, embed=model.embed: embed(tensor))
        gathering.take(Turn(number, configuration, "latency"), Answer(SUBJECT, {"backbone": measured}))
    (found,) = gathering.results()[0].rows
    for taken in found.samples:
        assert min(taken[:25]) < 2 * MS <= min(taken[25:])
    assert found.note.startswith("not steady while it was measured: the last quarter of every round took ")


@pytest.mark.slow
def test_a_constant_is_the_median_and_inside_its_interval(record: bench.Record) -> None:
    found = row(record, "constant")
    assert min(map(min, found.samples)) >= 2 * MS
    assert found.p50.low <= found.p50.value < 2.2 * MS
    assert found.p50.high - found.p50.low < MS
    assert found.note == ""


@pytest.mark.slow
def test_every_round_is_measured_for_its_share_of_queries_and_seconds(record: bench.Record) -> None:
    for _, found in record.rows():
        assert len(found.samples) == METHOD.rounds
        assert min(map(len, found.samples)) >= METHOD.queries / METHOD.rounds
        assert min(map(sum, found.samples)) >= 0.8 * METHOD.seconds / METHOD.rounds * 1e9


@pytest.mark.slow
def test_both_modes_are_in_the_percentiles_and_their_share_in_the_samples(record: bench.Record) -> None:
    found = row(record, "bimodal")
    assert found.summary.p90 is not None
    assert 0.5 * MS <= found.p50.value < 1 * MS
    assert 2.5 * MS <= found.summary.p90.value < 4 * MS
    slow = sum(sample >= 2.5 * MS for taken in found.samples for sample in taken) / found.n
    assert 0.2 < slow < 0.4


@pytest.mark.slow
def test_a_drift_is_no_steady_warm_up_and_the_row_says_so(record: bench.Record) -> None:
    found = row(record, "drifting")
    assert found.steady is not None
    assert found.steady < METHOD.rounds
    assert found.note.startswith("not steady while it was measured: the last quarter of every round took ")
    for taken in found.samples:
        least = [0.2 * MS * (1 + 0.05 * (101 + METHOD.window + query)) for query in range(len(taken))]
        assert all(sample >= planted for sample, planted in zip(taken, least))


@pytest.mark.slow
def test_the_same_twice_is_not_told_apart_and_ten_percent_more_is_slower(record: bench.Record) -> None:
    same, slower = (compare(one(record, "constant"), one(record, name)) for name in ("again", "slower"))
    for comparison, verdict in ((same, "cannot tell"), (slower, "slower")):
        (change,) = (change for change in comparison.changes if change.metric == "p50")
        assert change.verdict == verdict, change
