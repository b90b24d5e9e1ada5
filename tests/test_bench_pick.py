"""What to ship: records with planted numbers, and the answer that a person would give."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from edgetl.bench.judging import screen
from edgetl.bench.judging.pick import Budget, Judgement, MachinePick, Named, Pick, PickCandidate
from edgetl.bench.judging.pick import pick as pick_within
from edgetl.bench.method import Method
from edgetl.bench.record import Accuracy, Record, Result, Row, Skipped, Subject
from edgetl.errors import BenchError
from edgetl.stats import Proportion, paired_difference
from edgetl.types import to_json

METHOD = Method("test", rounds=4, resamples=200)
BOARD = {"board": "Board A", "cores": 4, "cpu": "x", "memory_bytes": 4e9}
PHOTOS = 400


def correct(hits: int) -> str:
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
    accuracy = None if hits is None else Accuracy(Proportion(hits, PHOTOS), correct(hits), "flowers", digest, "test")
    return Result(subject, accuracy, tuple(rows))


def record(*results: Result, **changed: object) -> Record:
    plain = Record(
        created="2026-01-01T00:00:00Z", ended="", edgetl="0", machine=BOARD, bundle={}, photos={}, method=METHOD, overhead=None,
        results=results, rounds=(), skipped=(), warnings=(),
    )  # fmt: skip
    return dataclasses.replace(plain, **changed)  # type: ignore[arg-type]  # a test names the fields


FLOAT = result("onnx-fp32", ms=30, hits=364, mb=80, size=14_000_000)
INT8 = result("onnx-int8", ms=10, hits=360, mb=50)
FASTER = result("tflite-int8", ms=8, hits=340, mb=40)


def pick(records: Sequence[Named], **limits: Any) -> Pick:
    return pick_within(records, Budget(**limits))


def only(records: Sequence[Named], **limits: Any) -> MachinePick:
    """The answer for the only machine."""
    (machine,) = pick(records, **limits).machines
    return machine


def judged(candidate: PickCandidate | None) -> list[tuple[str, str]]:
    assert candidate is not None
    return [(judgement.limit, judgement.code) for judgement in candidate.judgements]


def variant(candidate: PickCandidate | None) -> str | None:
    return candidate and candidate.subject.variant


def test_the_fastest_within_every_limit_is_picked_and_the_others_say_what_they_miss() -> None:
    choice = pick([("a.json", record(FLOAT, INT8, FASTER))], p99_ms=20, peak_mb=64, max_loss=1.0)
    (machine,) = choice.machines
    assert (choice.complete, machine.machine, variant(machine.chosen)) == (True, "Board A, 4 cores", "onnx-int8")
    assert machine.chosen is not None
    assert machine.chosen.loss is not None
    assert machine.chosen.loss.points == pytest.approx(1.0)
    codes = {variant(candidate): dict(judged(candidate)) for candidate in machine.candidates}
    assert codes == {
        "onnx-int8": {"p99_ms": "fits", "peak_mb": "fits", "max_loss": "fits"},
        "tflite-int8": {"p99_ms": "fits", "peak_mb": "fits", "max_loss": "over"},
        "onnx-fp32": {"p99_ms": "over", "peak_mb": "over", "max_loss": "fits"},
    }
    peak = next(judgement for judgement in machine.candidates[-1].judgements if judgement.limit == "peak_mb")
    assert peak in (Judgement("peak_mb", 64, 80.0, 80.0, "over", 2), Judgement("peak_mb", 64, 40.0, 40.0, "fits", 2))
    shown = screen.pick_table(choice)
    assert [line.split()[:2] for line in shown.splitlines() if line.startswith("not ")] == [["not", "tflite-int8"], ["not", "onnx-fp32"]]
    json.dumps(to_json(choice))


def test_a_latency_is_judged_by_the_upper_end_of_its_interval() -> None:
    wide = result(ms=10, spread=0.3)
    p50 = wide.rows[0].summary.p50
    assert p50.high is not None
    machine = only([("a", record(wide))], p50_ms=(p50.value + p50.high) / 2e6)
    assert (machine.chosen, machine.candidates[0].fits) == (None, None)
    assert judged(machine.nearest) == [("p50_ms", "interval-over")]
    assert pick([("a", record(wide))], p50_ms=p50.high / 1e6).complete
    assert judged(only([("a", record(wide))], p50_ms=p50.value / 1e6 * 0.99).nearest) == [("p50_ms", "over")]


def test_a_p99_that_n_cannot_carry_fits_nothing_and_has_the_queries_it_takes() -> None:
    few, enough = result(queries=128), result("tflite-int8", ms=12, queries=368)
    assert variant(only([("a", record(few, enough))], p99_ms=20).chosen) == "tflite-int8"
    nearest = only([("a", record(few))], p99_ms=20).nearest
    assert nearest is not None
    assert nearest.judgements == (Judgement("p99_ms", 20, None, None, "too-few-samples", 368),)


def test_if_nothing_fits_the_nearest_has_by_how_much_it_misses() -> None:
    machine = only([("a", record(FLOAT, INT8))], size_mb=2)
    assert (machine.chosen, variant(machine.nearest)) == (None, "onnx-int8")
    assert machine.nearest is not None
    assert machine.nearest.judgements == (Judgement("size_mb", 2, 4.0, 4.0, "over", 1),)
    assert machine.nearest.excess == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("alone", "unknown"),
    [
        (result(hits=None), ("max_loss", "not-measured")),
        (INT8, ("max_loss", "no-reference")),
        (result(digest="photos 2"), ("max_loss", "no-reference")),
        (result(mb=None), ("peak_mb", "not-measured")),
    ],
)
def test_what_is_not_in_the_record_cannot_be_told(alone: Result, unknown: tuple[str, str]) -> None:
    others = [] if alone is INT8 else [FLOAT]
    machine = only([("a", record(alone, *others))], peak_mb=64, max_loss=5)
    (candidate,) = (candidate for candidate in machine.candidates if candidate.subject == alone.subject)
    assert candidate.fits is None
    assert unknown in judged(candidate)


def test_rows_that_were_not_measured_are_left_out() -> None:
    emulated = result(ms=1, kind="emulated")
    skipped = Skipped("x", "not installed"), Skipped("y: embed", "another scenario")
    machine = only([("a", record(FLOAT, emulated, skipped=skipped))])
    assert [variant(candidate) for candidate in machine.candidates] == ["onnx-fp32"]
    assert [entry.what for entry in machine.left_out] == ["a: onnx-int8 cpu 1 thread", "a: x"]
    nothing = only([("a", record(emulated))])
    assert (nothing.chosen, nothing.nearest, nothing.candidates) == (None, None, ())


def test_every_machine_has_its_own_answer_and_may_use_the_reference_of_another() -> None:
    here, there = record(FLOAT, INT8), record(result("tflite-int8", ms=40), machine={**BOARD, "board": "Board B"})
    machines = pick([("a", here), ("b", there), ("again", here)], max_loss=1).machines
    assert [machine.machine for machine in machines] == ["Board A, 4 cores", "Board B, 4 cores"]
    assert [machine.records for machine in machines] == [("a",), ("b",)], "a record that is given twice counts once"
    assert [variant(machine.chosen) for machine in machines] == ["onnx-int8", "tflite-int8"]


def test_partial_records_warnings_and_notes_of_rows_are_notes() -> None:
    shaky = result(note="it rained")
    machine = only([("a", record(shaky, ended="interrupted after 3 of 4 processes", warnings=("it throttled",)))])
    assert [what for what, _ in machine.notes] == ["a", "a", "a: onnx-int8 cpu 1 thread"]
    assert [note for _, note in machine.notes][1:] == ["it throttled", "it rained"]


def test_what_is_tied_with_the_fastest_is_listed() -> None:
    rival = result("tflite-int8", ms=10.001)
    machine = only([("a", record(INT8, rival))], size_mb=9)
    assert (variant(machine.chosen), [variant(candidate) for candidate in machine.tied]) == ("onnx-int8", ["tflite-int8"])
    shown = screen.pick_table(pick([("a", record(INT8, rival, FLOAT))]))
    assert [line.split()[:2] for line in shown.splitlines()[3:6]] == [["1", "onnx-int8"], ["2", "≈"], ["3", "onnx-fp32"]]


def few(milliseconds: Sequence[float], variant: str = "onnx-int8", n: int = 400) -> Result:
    """A process for each median."""
    samples = [[int(1e6 * value * (1 + 0.01 * (k % 7 - 3))) for k in range(n)] for value in milliseconds]
    return dataclasses.replace(result(variant), rows=(Row.of("predict-file", None, samples, METHOD),))


def test_one_or_two_processes_are_never_picked_over_three() -> None:
    three = few([12, 12.1, 12.2], "tflite-int8")
    for lone in (few([9]), few([9, 9.1])):
        machine = only([("a", record(lone, three))])
        assert variant(machine.chosen) == "tflite-int8"
        assert [candidate.p50.interval is None for candidate in machine.candidates] == [False, True]
        limited = only([("a", record(lone))], p50_ms=20)
        assert (limited.candidates[0].fits, judged(limited.nearest)) == (None, [("p50_ms", "no-interval")])
        assert variant(only([("a", record(lone))]).chosen) == "onnx-int8"


def code_of(records: Sequence[Named], **limits: Any) -> tuple[str, object]:
    with pytest.raises(BenchError) as caught:
        pick(records, **limits)
    return caught.value.code, caught.value.values.get("available")


def test_memory_can_be_picked_by_and_has_no_limit_of_time() -> None:
    assert variant(only([("a", record(FLOAT, INT8, FASTER))], scenario="memory", max_loss=2.0).chosen) == "onnx-int8"
    assert code_of([("a", record(FLOAT))], scenario="memory", p99_ms=20)[0] == "limit-of-time"


def test_records_without_the_scenario_are_an_error_with_what_they_have() -> None:
    assert code_of([("a", record(INT8))], scenario="embed") == ("scenario-missing", ["predict-file", "memory"])
    assert code_of([("a", record())], scenario="embed") == ("scenario-missing", [])
    assert code_of([]) == ("no-records", None)


def test_a_machine_without_a_description_is_picked_for_too() -> None:
    machine = only([("a", record(INT8, machine={}))])
    assert (machine.machine, variant(machine.chosen)) == ("an unnamed machine", "onnx-int8")


def test_the_paired_interval_is_newcombes_and_covers_the_true_difference():
    both, first, second, neither = 36, 12, 2, 0
    left = "1" * both + "1" * first + "0" * second + "0" * neither
    right = "1" * both + "0" * first + "1" * second + "0" * neither
    assert paired_difference(left, right) == pytest.approx((0.0569, 0.3404), abs=5e-5)  # Newcombe 1998, table II
    random, n, covered = np.random.default_rng(0), 200, 0
    for _ in range(400):
        drawn = random.choice(4, n, p=[0.80, 0.06, 0.03, 0.11])
        low, high = paired_difference("".join("1100"[i] for i in drawn), "".join("1010"[i] for i in drawn))
        covered += low <= 0.03 <= high
    assert covered / 400 >= 0.93
