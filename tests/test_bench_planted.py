"""Latencies that are planted in the fake runtime are found by the bench: exactly on a planted clock, at least on the real one.

Other work on the machine makes a query longer and never shorter, so real processes are only asserted to be as slow as was planted.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import encoded, picture

from edgetl import bench
from edgetl.bench.judging.compare import compare
from edgetl.bench.measuring import loop
from edgetl.bench.measuring.child import JobAnswer
from edgetl.bench.measuring.gathering import Gathering
from edgetl.bench.measuring.loop import Loop
from edgetl.bench.measuring.plan import Configuration, Turn
from edgetl.runtimes import fake, planted
from edgetl.runtimes.planted import Planted

MS = 1_000_000
TICK = 2_000
"""What every reading of the planted clock takes, ns."""
METHOD = bench.Method("tiny", queries=120, seconds=0.6, rounds=3, window=16, warm_up_seconds=0.3, photos=16, resamples=200)
SUBJECT = bench.Subject("fake", "fake-fp32", "fp32", "fake", "fake 1", "cpu", "all of the model", 1, "ab", 1, "cd")
LATENCIES: dict[str, dict[str, Any]] = {
    "constant": {"shape": "constant", "ms": 2.0},
    "again": {"shape": "constant", "ms": 2.02},
    "slower": {"shape": "constant", "ms": 2.2},
    "bimodal": {"shape": "bimodal", "ms": 0.5, "share": 0.3, "factor": 5.0, "seed": 3},
    "drifting": {"shape": "drifting", "ms": 0.2, "rate": 0.05},
    "throttling": {"shape": "throttling", "ms": 0.5, "after": 70, "factor": 4.0},
}
TENSOR = np.zeros((1, 32, 32, 3), np.uint8)


class Clock:
    """Time passes only while it is read."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        self.now += TICK
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    result = Clock()
    monkeypatch.setattr(planted, "perf_counter_ns", result)
    monkeypatch.setattr(fake, "perf_counter_ns", result)
    monkeypatch.setattr(loop, "_work", lambda: None)
    return result


def record(name: str, clock: Clock) -> bench.Record:
    """The rounds of one latency, in this process."""
    gathering = Gathering(METHOD)
    for number in range(METHOD.rounds):
        model = fake.Model({"model.json": fake.model(latency=LATENCIES[name])}, 1)
        measured = Loop(METHOD, clock).stream(lambda query, embed=model.embed: embed(TENSOR))
        gathering.take(Turn(number, Configuration("fake-fp32", 1, None), "latency"), JobAnswer(SUBJECT, {"backbone": measured}))
    return bench.Record("", "", "", {}, {}, {}, METHOD, None, gathering.results(), (), (), ())


def row(name: str, clock: Clock) -> bench.Row:
    ((_, measured),) = record(name, clock).rows()
    return measured


@pytest.mark.parametrize(
    ("latency", "words"),
    [({"shape": "sawtooth", "ms": 1}, "no shape 'sawtooth'; there are constant"), ({"ms": 1}, "shape")],
)
def test_a_latency_that_cannot_be_planted_is_refused(latency: dict[str, Any], words: str) -> None:
    with pytest.raises((ValueError, KeyError), match=words):
        Planted(latency)


def test_a_constant_is_the_median_and_inside_its_narrow_interval(clock: Clock) -> None:
    measured = row("constant", clock)
    assert measured.p50.interval is not None
    assert 2 * MS <= measured.p50.interval[0] <= measured.p50.value <= measured.p50.interval[1] <= 2 * MS + 3 * TICK
    assert (measured.note, measured.steady) == ("", METHOD.rounds)


def test_every_round_takes_its_share_of_queries_and_seconds(clock: Clock) -> None:
    for name in ("constant", "bimodal"):
        measured = row(name, clock)
        assert len(measured.samples) == METHOD.rounds
        for taken in measured.samples:
            assert len(taken) >= METHOD.queries / METHOD.rounds
            assert sum(taken) >= 0.9 * METHOD.seconds / METHOD.rounds * 1e9


def test_both_modes_are_in_the_percentiles_and_their_share_in_the_samples(clock: Clock) -> None:
    measured = row("bimodal", clock)
    assert measured.summary.p90 is not None
    assert measured.p50.value == pytest.approx(0.5 * MS, abs=3 * TICK)
    assert measured.summary.p90.value == pytest.approx(2.5 * MS, abs=3 * TICK)
    slow = sum(sample >= 2.5 * MS for taken in measured.samples for sample in taken) / measured.n
    assert 0.25 < slow < 0.35


@pytest.mark.parametrize("name", ["drifting", "throttling"])
def test_a_row_that_becomes_slower_within_every_round_has_a_note(clock: Clock, name: str) -> None:
    measured = row(name, clock)
    assert all(float(ratio) > 1.2 for ratio in re.findall(r"\d\.\d\d", measured.note))
    assert measured.note
    assert name == "throttling" or (measured.steady is not None and measured.steady < METHOD.rounds)
    assert all(taken[-1] > 1.2 * taken[0] for taken in measured.samples)


def test_one_percent_is_no_change_and_ten_percent_are_slower(clock: Clock) -> None:
    before = record("constant", clock)
    for name, verdict in (("again", "no change"), ("slower", "slower")):
        (change,) = (change for change in compare(before, record(name, clock), floor_ns=0).changes if change.metric == "p50")
        assert change.verdict == verdict, change


@pytest.mark.slow
def test_real_processes_take_at_least_as_long_as_was_planted(tmp_path: Path) -> None:
    some = {name: LATENCIES[name] for name in ("constant", "bimodal", "drifting")}
    opened = fake.write_bundle(str(tmp_path / "planted.edgetl"), encoded(picture(seed=9)), latencies=some)
    method = dataclasses.replace(METHOD, queries=60, seconds=0.0)
    result = bench.run(opened.path, threads=[1], scenarios=["backbone"], method=method)
    rows = {result.subject.variant: item for result, item in result.rows()}
    assert {name: (len(item.samples), min(map(len, item.samples)) >= 20) for name, item in rows.items()} == dict.fromkeys(some, (3, True))
    assert min(map(min, rows["constant"].samples)) >= 2 * MS
    assert sum(sample >= 2.5 * MS for taken in rows["bimodal"].samples for sample in taken) >= 0.15 * rows["bimodal"].n
    for taken in rows["drifting"].samples:
        assert all(sample >= 0.2 * MS * (1 + 0.05 * query) for query, sample in enumerate(taken))
