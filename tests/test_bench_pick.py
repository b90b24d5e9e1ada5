"""What to ship: records with planted numbers, and the answer that a person would give."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetl.bench.judging.loss import difference
from edgetl.bench.judging.pick import pick, table
from edgetl.bench.method import Method
from edgetl.bench.record import Accuracy, Record, Result, Row, Skipped, Subject
from edgetl.errors import BenchError
from edgetl.stats import Proportion
from edgetl.types import to_json

METHOD = Method("test", rounds=4, resamples=200)
BOARD = {"board": "Board A", "cores": 4, "cpu": "x", "memory_bytes": 4e9}
PHOTOS = 400


def right(hits: int) -> str:
    return "1" * hits + "0" * (PHOTOS - hits)


def result(
    variant: str = "onnx-int8", *, ms: float = 10, queries: int = 1024, hits: int | None = 360, mb: float | None = 50,
    size: int = 4_000_000, threads: int = 1,
    kind: str = "measured", digest: str = "photos 1", spread: float = 0.01, **row: object,
) -> Result:  # fmt: skip
    """A configuration whose latency is about `ms`, lognormal."""
    random = np.random.default_rng(1)
    samples = [(1e6 * ms * np.exp(spread * random.standard_normal(queries // 4))).astype(int).tolist() for _ in range(4)]
    rows = [Row.of("predict-file", None, samples, METHOD, kind=kind, **row)]  # type: ignore[arg-type]  # a str stands for its literal
    if mb is not None:
        rows.append(Row.of("memory", None, [[int(mb * 1e6)] * 2], METHOD, unit="B", kind=kind))  # type: ignore[arg-type]  # likewise
    precision = variant.rpartition("-")[2]
    subject = Subject("lite0", variant, precision, "fake", "fake 1", "cpu", "all of the model", threads, variant, size, "")
    accuracy = None if hits is None else Accuracy(Proportion(hits, PHOTOS), right(hits), "flowers", digest, "test")
    return Result(subject, accuracy, tuple(rows))


def record(*results: Result, **changed: object) -> Record:
    made = Record(
        created="2026-01-01T00:00:00Z", ended="", edgetl="0", machine=BOARD, bundle={}, photos={}, method=METHOD, overhead=None,
        results=results, rounds=(), skipped=(), warnings=(),
    )  # fmt: skip
    return dataclasses.replace(made, **changed)  # type: ignore[arg-type]  # a test names the fields


FLOAT = result("onnx-fp32", ms=30, hits=364, mb=80, size=14_000_000)
INT8 = result("onnx-int8", ms=10, hits=360, mb=50)
FASTER = result("tflite-int8", ms=8, hits=340, mb=40)


def test_the_fastest_within_every_limit_is_shipped_and_the_others_say_what_they_miss():
    choice = pick([("a.json", record(FLOAT, INT8, FASTER))], p99_ms=20, peak_mb=64, max_loss=1.0)
    (answer,) = choice.answers
    assert choice.found
    assert answer.chosen is not None
    assert answer.chosen.subject.variant == "onnx-int8"
    assert answer.chosen.loss is not None
    assert answer.chosen.loss.points == pytest.approx(1.0)
    assert "on Board A, 4 cores: ship onnx-int8 cpu 1 thread" in answer.sentence
    said = table(choice)
    assert "not onnx-fp32 cpu 1 thread: p99 30." in said
    assert "peak 80.0 MB, n=2: 16.00 over 64" in said
    assert "not tflite-int8 cpu 1 thread: loss 6.00 points [" in said
    assert "n=400: 5.00 over 1" in said
    json.dumps(to_json(choice))


def test_a_latency_is_judged_by_the_upper_end_of_its_interval():
    wide = result(ms=10, spread=0.3)
    p50 = wide.rows[0].summary.p50
    between = (p50.value + p50.high) / 2e6
    (answer,) = pick([("a", record(wide))], p50_ms=between).answers
    assert answer.chosen is None
    assert answer.candidates[0].fits is None
    assert f"cannot be told to be at most {between:g} ms" in answer.sentence
    assert pick([("a", record(wide))], p50_ms=p50.high / 1e6).found
    assert not pick([("a", record(wide))], p50_ms=p50.value / 1e6 * 0.99).found


def test_a_p99_that_n_cannot_carry_fits_nothing_and_says_how_many_queries_it_takes():
    few, enough = result(queries=128), result("tflite-int8", ms=12, queries=368)
    (answer,) = pick([("a", record(few, enough))], p99_ms=20).answers
    assert answer.chosen is not None
    assert answer.chosen.subject.variant == "tflite-int8"
    (answer,) = pick([("a", record(few))], p99_ms=20).answers
    assert answer.sentence.endswith("nothing fits as far as can be told; nearest is onnx-int8 cpu 1 thread: "
                                    "p99 cannot be told from n=128: it takes 368 queries; measure longer, without --quick")  # fmt: skip


def test_where_nothing_fits_the_nearest_says_by_how_much_it_misses():
    choice = pick([("a", record(FLOAT, INT8))], size_mb=2)
    assert not choice.found
    assert choice.answers[0].sentence.endswith("nothing fits; nearest is onnx-int8 cpu 1 thread: size 4.0 MB: 2.00 over 2")


@pytest.mark.parametrize(
    ("only", "reason"),
    [
        (result(hits=None), "it has no accuracy: edgetl bench BUNDLE --labelled FOLDER"),
        (INT8, "no fp32 configuration of lite0 was asked the same photos"),
        (result(digest="photos 2"), "no fp32 configuration of lite0 was asked the same photos"),
        (result(mb=None), "its peak memory was not measured: edgetl bench BUNDLE --scenario memory"),
    ],
)
def test_what_is_not_in_the_record_cannot_be_told_and_names_the_command(only: Result, reason: str):
    others = [] if only is INT8 else [FLOAT]
    (answer,) = pick([("a", record(only, *others))], peak_mb=64, max_loss=5).answers
    (candidate,) = (one for one in answer.candidates if one.subject == only.subject)
    assert candidate.fits is None
    assert reason in candidate.missed


def test_rows_that_were_not_measured_are_left_out_and_never_on_the_front():
    emulated, estimated = result(ms=1, kind="emulated"), result("tflite-int8", ms=0.1, kind="estimated")
    skipped = Skipped("x", "not installed"), Skipped("y: embed", "another scenario")
    (answer,) = pick([("a", record(FLOAT, emulated, estimated, skipped=skipped))]).answers
    assert [one.subject.variant for one in answer.candidates] == ["onnx-fp32"]
    assert [(one.what, one.reason) for one in answer.left_out] == [
        ("a: onnx-int8 cpu 1 thread", "its predict-file is emulated"),
        ("a: tflite-int8 cpu 1 thread", "its predict-file is estimated"),
        ("a: x", "not installed"),
    ]
    (answer,) = pick([("a", record(emulated))]).answers
    assert answer.chosen is None
    assert "nothing to choose from: no measured predict-file" in answer.sentence


def test_every_machine_has_its_own_answer_and_may_borrow_the_float_accuracy_of_another():
    here, there = record(FLOAT, INT8), record(result("tflite-int8", ms=40), machine={**BOARD, "board": "Board B"})
    choice = pick([("a", here), ("b", there), ("again", here)], max_loss=1)
    assert [answer.machine for answer in choice.answers] == ["Board A, 4 cores", "Board B, 4 cores"]
    assert [answer.records for answer in choice.answers] == [("a", "again"), ("b",)]
    assert [one.n for one in choice.answers[0].candidates] == [1024, 1024], "a record that is given twice counts once"
    assert [answer.chosen and answer.chosen.subject.variant for answer in choice.answers] == ["onnx-int8", "tflite-int8"]
    assert "ship onnx-int8 cpu 1 thread: " in choice.answers[0].sentence


def test_what_a_reader_must_know_of_a_record_is_said():
    shaky = result(steady=3, note="it rained")
    said = table(pick([("a", record(shaky, ended="interrupted after 3 of 4 processes", warnings=("it throttled",)))]))
    for note in ("a is partial: interrupted after 3 of 4", "a: it throttled", "was not steady when 1 of 4 rounds", "it rained"):
        assert note in said


def test_what_is_tied_with_the_fastest_is_named():
    rival = result("tflite-int8", ms=10.001)
    (answer,) = pick([("a", record(INT8, rival))], size_mb=9).answers
    assert "ship onnx-int8 cpu 1 thread: predict-file: the fastest that fits: p50 9.996 [" in answer.sentence
    assert answer.sentence.endswith("; tied with tflite-int8 cpu 1 thread: which is faster cannot be told")
    said = table(pick([("a", record(INT8, rival, FLOAT))]))
    assert [line.split()[:2] for line in said.splitlines()[3:6]] == [["1", "onnx-int8"], ["2", "≈"], ["3", "onnx-fp32"]]


def few(milliseconds: Sequence[float], variant: str = "onnx-int8", n: int = 400, **changed: object) -> Result:
    """A process for each median."""
    samples = [[int(1e6 * value * (1 + 0.01 * (k % 7 - 3))) for k in range(n)] for value in milliseconds]
    return dataclasses.replace(result(variant, **changed), rows=(Row.of("predict-file", None, samples, METHOD),))  # type: ignore[arg-type]


def test_one_or_two_processes_are_never_picked_over_three():
    three = few([12, 12.1, 12.2], "tflite-int8")
    for lone in (few([9]), few([9, 9.1])):
        (answer,) = pick([("a", record(lone, three))]).answers
        assert answer.chosen is not None
        assert answer.chosen.subject.variant == "tflite-int8"
        assert [one.p50.interval is None for one in answer.candidates] == [False, True]
        (answer,) = pick([("a", record(lone))], p50_ms=20).answers
        assert answer.candidates[0].fits is None
        assert "fewer than 3 processes give no interval" in answer.sentence
        (answer,) = pick([("a", record(lone))]).answers
        assert "(no interval)" in answer.sentence


def test_records_of_one_configuration_are_pooled_and_rank_by_p50():
    first, second, rival = few([9.0, 9.1]), few([9.2, 9.3]), few([8.8, 8.7, 30], "tflite-int8")
    a, b = record(first, rival), record(second, created="2026-01-02T00:00:00Z")
    (answer,) = pick([("a", a), ("b", b)]).answers
    assert [(one.subject.variant, one.record, one.n) for one in answer.candidates] == [
        ("tflite-int8", "a", 1200), ("onnx-int8", "a, b", 1600),
    ]  # fmt: skip
    together = Row.of("predict-file", None, [*first.rows[0].samples, *second.rows[0].samples], METHOD)
    assert answer.candidates[1].p50 == together.p50
    for changed in ({"edgetl": "1"}, {"photos": {"asked": "others"}}):
        (answer,) = pick([("a", record(first)), ("b", record(second, **changed))]).answers
        assert [one.n for one in answer.candidates] == [800, 800], "another edgetl and other photos stay apart"


def test_memory_can_be_picked_by_and_a_limit_of_time_cannot_limit_it():
    (answer,) = pick([("a", record(FLOAT, INT8, FASTER))], scenario="memory", max_loss=2.0).answers
    assert answer.sentence.startswith("on Board A, 4 cores: ship onnx-int8 cpu 1 thread: memory: the least that fits: p50 50.000 (no int")
    with pytest.raises(BenchError, match="memory is not a time: leave out --p50-ms and --p99-ms"):
        pick([("a", record(FLOAT))], scenario="memory", p99_ms=20)


def test_records_without_the_scenario_are_refused_with_what_they_hold():
    with pytest.raises(BenchError, match=r"no record holds embed, only predict-file, memory; .* by another one: --scenario predict-file"):
        pick([("a", record(INT8))], scenario="embed")
    with pytest.raises(BenchError, match="no record holds embed, nor any other that was measured; measure it: edgetl"):
        pick([("a", record())], scenario="embed")
    with pytest.raises(BenchError, match="no record to choose from"):
        pick([])


def test_a_machine_that_says_nothing_of_itself_is_unnamed():
    (answer,) = pick([("a", record(INT8, machine={}))]).answers
    assert answer.sentence.startswith("on an unnamed machine: ship onnx-int8")


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(350, 364), st.integers(40, 42), st.integers(1, 3)), min_size=1, max_size=6))
def test_the_front_is_what_a_search_over_all_pairs_leaves(costs: Sequence[tuple[int, int, int, int]]):
    results = [FLOAT]
    for threads, (ms, hits, mb, size) in enumerate(costs, 2):
        row = dataclasses.replace(INT8.rows[0], summary=dataclasses.replace(INT8.rows[0].summary, p50=SUMMARIES[ms]))
        memory = dataclasses.replace(INT8.rows[1], summary=dataclasses.replace(INT8.rows[1].summary, max=SUMMARIES[mb]))
        accuracy = Accuracy(Proportion(hits, PHOTOS), right(hits), "flowers", "photos 1", "test")
        results.append(Result(dataclasses.replace(INT8.subject, threads=threads, size=size), accuracy, (row, memory)))
    (answer,) = pick([("a", record(*results))]).answers
    front = {one.subject.threads for one in answer.candidates if one.front and one.subject.precision == "int8"}
    points = {threads: (ms, -hits, mb, size) for threads, (ms, hits, mb, size) in enumerate(costs, 2)}
    beaten = {
        one for one, other in itertools.permutations(points, 2)
        if points[one] != points[other] and np.all(np.array(points[other]) <= points[one])
    }  # fmt: skip
    assert front == set(points) - beaten


SUMMARIES = {value: dataclasses.replace(INT8.rows[0].summary.p50, value=value) for value in (1, 2, 3, 40, 41, 42)}


def test_the_paired_interval_is_newcombes_and_covers_the_true_difference():
    both, first, second, neither = 36, 12, 2, 0
    one = "1" * both + "1" * first + "0" * second + "0" * neither
    other = "1" * both + "0" * first + "1" * second + "0" * neither
    assert difference(one, other) == pytest.approx((0.0569, 0.3404), abs=5e-5)  # Newcombe 1998, table II
    random, n, covered = np.random.default_rng(0), 200, 0
    for _ in range(400):
        drawn = random.choice(4, n, p=[0.80, 0.06, 0.03, 0.11])
        low, high = difference("".join("1100"[i] for i in drawn), "".join("1010"[i] for i in drawn))
        covered += low <= 0.03 <= high
    assert covered / 400 >= 0.93
