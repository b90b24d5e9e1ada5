"""Verdicts on planted pairs of records: changes are found, chance is not, and what may not be compared is an error."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from edgetl.bench import files
from edgetl.bench.judging import compare, junit, machine_speed, screen
from edgetl.bench.judging.circumstances import Difference, MachineLoad, Note
from edgetl.bench.judging.compare import Comparison, MetricChange, Unmet
from edgetl.bench.method import Method
from edgetl.bench.record import Accuracy, Kind, Record, Result, Round, Row, Subject, Unit
from edgetl.cli import main
from edgetl.errors import BenchError, RecordError
from edgetl.machine import sensors
from edgetl.stats import Proportion

MACHINE = {"board": "Desk", "cpu": "Chip 1", "cores": 4, "architecture": "x86_64", "memory_bytes": 8 << 30, "governor": "performance"}
METHOD = Method(resamples=300)
Rounds = Sequence[Sequence[int]]
QUIET = MachineLoad((0.0, 0.0), (1, 1))


def rounds(
    seed: int, *, factor: float = 1.0, count: int = 10, n: int = 64, between: float = 0.01, shape: str = "normal"
) -> list[list[int]]:
    """Latencies around 10 ms in nanoseconds: processes differ by `between`, samples of one by 2 %."""
    random = np.random.Generator(np.random.PCG64(seed))
    within = 1 + 0.02 * random.standard_normal((count, n))
    if shape == "bimodal":
        within += 0.3 * (random.random((count, n)) < 0.2)
    if shape == "drifting":
        within += np.linspace(0, 0.1, n)
    processes = np.exp(between * random.standard_normal((count, 1)))
    return [[int(value) for value in row] for row in 1e7 * factor * processes * within]


def row(samples: Rounds, scenario: str = "embed", stage: str | None = None, kind: Kind = "measured", unit: Unit = "ns") -> Row:
    return Row.of(scenario, stage, samples, METHOD, kind=kind, unit=unit)


def result(*rows: Row, correct: str = "", size: int = 5_000_000, threads: int = 4, digest: str = "d0") -> Result:
    subject = Subject("lite0", "onnx-int8", "int8", "onnx", "onnxruntime 1.23", "cpu", "all of the model", threads, "ab", size, "cd")
    accuracy = Accuracy(Proportion(correct.count("1"), len(correct)), correct, "photos", digest, "") if correct else None
    return Result(subject, accuracy, rows)


def record(*results: Result, **changed: object) -> Record:
    built = Record("2025-01-01T00:00:00Z", "", "0.1.0", MACHINE, {"name": "lite0"}, {"count": 32}, METHOD, None, results, (), (), ())
    return dataclasses.replace(built, **changed)


def changed(before: Rounds, after: Rounds, **how: int) -> MetricChange:
    """The p50 of one scenario."""
    return numbers(compare.compare(record(result(row(before))), record(result(row(after))), **how))["embed", "p50"]


def numbers(comparison: Comparison) -> dict[tuple[str, str], MetricChange]:
    return {(f"{change.scenario} {change.stage or ''}".strip(), change.metric): change for change in comparison.changes}


@pytest.mark.parametrize("shape", ["normal", "bimodal", "drifting"])
def test_five_percent_are_seen_and_nothing_is_seen_in_nothing(shape):
    pairs = [
        (rounds(2 * seed, shape=shape), rounds(2 * seed + 1, shape=shape), rounds(2 * seed + 1, shape=shape, factor=1.05))
        for seed in range(6)
    ]
    slower = [changed(before, after).verdict for before, _, after in pairs]
    faster = [changed(after, before).verdict for before, _, after in pairs]
    assert slower.count("slower") >= 5
    assert faster.count("faster") >= 5
    alike = [changed(before, after).verdict for before, after, _ in pairs]
    assert alike.count("cannot tell") + alike.count("no change") >= 5


def test_one_bad_round_of_ten_neither_makes_nor_hides_a_verdict():
    bad = rounds(1)
    bad[3] = [value * 3 // 2 for value in bad[3]]
    assert changed(rounds(0), bad).verdict in ("cannot tell", "no change")
    worse = [[round(value * 1.07) for value in mine] for mine in bad]
    assert changed(rounds(0), worse).verdict == "slower"


@pytest.mark.parametrize(
    ("factor", "unit", "floor_ns", "verdict", "cause"),
    [
        (1.01, 1, 0, "no change", "inside-margin"),
        (1.028, 1, 0, "cannot tell", "below-margin"),
        (1.05, 1000, 20_000, "no change", "inside-margin"),
        (1.05, 1, 20_000, "slower", "changed"),
        (1.05, 1000, 0, "slower", "changed"),
    ],
)
def test_a_difference_that_does_not_matter_is_no_change_or_has_no_verdict(factor, unit, floor_ns, verdict, cause):
    before, after = rounds(0, between=0, n=256), rounds(1, between=0, n=256, factor=factor)
    shrunk = [[[value // unit + 90_000 // unit for value in taken] for taken in side] for side in (before, after)]
    change = changed(*shrunk, floor_ns=floor_ns)
    assert (change.verdict, change.cause) == (verdict, cause)


@given(st.floats(0.8, 1.25), st.floats(0.0, 0.1), st.floats(0.001, 0.2))
def test_no_change_is_said_where_and_only_where_two_one_sided_tests_would(value: float, error: float, margin: float) -> None:
    """TOST (Schuirmann 1987): equivalence within the margin at half of alpha a side is the interval's being inside of it."""
    half = stats.norm.ppf(0.975) * error
    ratio = compare.statistics.Ratio(value, value * math.exp(-half), value * math.exp(half), 1.0)
    judge = compare._Judge(0, margin, 0.95, ("p50",), False, 10, 0)
    verdict, cause = judge._verdict("ns", 10**7, ratio, 10, QUIET)
    side = abs(math.log(value)) - math.log(1 + margin)
    inside = stats.norm.cdf(side / error) <= 0.025 if error else side <= 0
    assume(abs(side + half) > 1e-9)
    assert (verdict == "no change") == (cause == "inside-margin") == inside


def test_a_record_beside_itself_passes_by_evidence() -> None:
    mine = record(result(row(rounds(0, n=256), "embed"), row(rounds(1, n=256), "predict-file")))
    comparison = compare.compare(mine, mine, margin=0.05, require=0.05)
    assert {change.verdict for change in comparison.changes if change.headline} == {"no change"}
    assert (comparison.unmet, compare.judgeable(comparison), compare.regressed(comparison)) == ((), True, False)
    assert comparison.notes == (Note("same-record"),)


def at_speed(samples: Rounds, *, machine: float = 1.0, follows: float = 1.0, drift: float = 0.03, seed: int = 9) -> Record:
    """A record whose machine is slower by `machine` and by a `drift` from process to process, which times follow to the power `follows`."""
    by = machine * np.exp(drift * np.random.Generator(np.random.PCG64(seed)).standard_normal(len(samples)))
    built = row([[round(value * factor**follows) for value in mine] for mine, factor in zip(samples, by)])
    return record(result(dataclasses.replace(built, machine_speed=tuple((round(300_000 * factor),) * 5 for factor in by))))


def test_the_machines_own_slowdown_is_no_change_and_hides_none() -> None:
    before, alike = at_speed(rounds(0), drift=0.01), at_speed(rounds(1), machine=1.05, drift=0.01, seed=8)
    assert changed(*(mine.results[0].rows[0].samples for mine in (before, alike))).verdict == "slower"
    comparison = numbers(compare.compare(before, alike))["embed", "p50"]
    assert comparison.verdict in ("cannot tell", "no change")
    assert comparison.machine_speed == pytest.approx(1.05, abs=0.02)
    comparison = numbers(compare.compare(before, at_speed(rounds(1, factor=1.05), machine=0.95)))["embed", "p50"]
    assert (comparison.verdict, comparison.before > comparison.after * 0.99) == ("slower", True)


def test_times_that_do_not_follow_the_machine_are_compared_as_they_are() -> None:
    """As an accelerator's with a clock of its own."""
    before, after = (at_speed(rounds(seed, factor=by), follows=0, seed=seed) for seed, by in ((0, 1.0), (1, 1.05)))
    comparison = numbers(compare.compare(before, after))["embed", "p50"]
    assert comparison.verdict == "slower"
    assert comparison.machine_speed == pytest.approx(1, abs=0.01)


def test_an_uncertain_machine_speed_is_taken_out_whole() -> None:
    """Least squares would take out half: its own error flattens a slope."""
    taken = []
    for seed in range(20):
        random = np.random.Generator(np.random.PCG64(seed))
        latencies = rounds(seed, count=40, between=0)
        sides = [at_speed(latencies, machine=by, drift=0.015, seed=seed).results[0].rows[0] for by in (1.0, 1.1)]
        paces = [tuple(tuple((mine * random.normal(1, 0.05, 20)).astype(int).tolist()) for mine, *_ in row.machine_speed) for row in sides]
        rows = [dataclasses.replace(row, machine_speed=pace) for row, pace in zip(sides, paces)]
        comparison = machine_speed.at_one_speed(*rows, (rows[0], rows[1]))
        assert comparison is not None
        taken.append(math.log(comparison.factor))
    assert math.exp(np.median(taken)) == pytest.approx(1.1, abs=0.015)


def test_another_machine_is_compared_at_its_own_speed() -> None:
    before, after = at_speed(rounds(0)), dataclasses.replace(at_speed(rounds(1), machine=2.0), machine={**MACHINE, "cpu": "Chip 2"})
    comparison = numbers(compare.compare(before, after, other_machine=True))["embed", "p50"]
    assert (comparison.verdict, comparison.machine_speed) == ("slower", None)
    assert comparison.ratio is not None
    assert comparison.ratio.value == pytest.approx(2, rel=0.1)


def test_the_effect_of_another_speed_is_unknown_from_processes_at_one_speed() -> None:
    before, after = at_speed(rounds(0, factor=1.05), drift=0), at_speed(rounds(1), machine=1.2, drift=0)
    assert numbers(compare.compare(before, after))["embed", "p50"].verdict == "cannot tell"
    assert numbers(compare.compare(before, at_speed(rounds(1), machine=1.001, drift=0)))["embed", "p50"].verdict == "faster"


@given(st.lists(st.tuples(st.integers(900, 1100), st.integers(900, 1100), st.booleans()), min_size=6, max_size=20))
def test_the_slope_on_the_machines_speed_is_that_of_least_squares(processes: list[tuple[int, int, bool]]) -> None:
    sides = [[(time * 1000, pace * 1000) for time, pace, after in processes if after == side] for side in (False, True)]
    assume(all(len(side) > 1 for side in sides))
    rows = [dataclasses.replace(row([[time] for time, _ in side]), machine_speed=tuple((pace,) for _, pace in side)) for side in sides]
    comparison = machine_speed.at_one_speed(*rows, (rows[0], rows[1]))
    assert comparison is not None
    y, x = (np.log([mine[column] for side in sides for mine in side]) for column in (0, 1))
    groups = np.repeat(np.eye(2), [len(side) for side in sides], axis=0)
    means = [x[groups[:, side] > 0].mean() for side in (0, 1)]
    assume(min(np.ptp(x[groups[:, side] > 0]) for side in (0, 1)) > 0)
    design = np.column_stack([x, groups])
    (slope, *_), (squares,), _, _ = np.linalg.lstsq(design, y, rcond=None)
    error = math.sqrt(squares / (len(y) - 3) * np.linalg.inv(design.T @ design)[0, 0])
    held, error = (min(1, max(0, slope)), error) if error < 12**-0.5 else (0.5, 12**-0.5)  # nothing known: uniform from 0 to 1
    assert np.log(comparison.factor) == pytest.approx(held * (means[1] - means[0]), abs=1e-9)
    assert comparison.error[0] == pytest.approx(abs(means[1] - means[0]) * error, rel=1e-6, abs=1e-12)
    assert np.concatenate(comparison.after) == pytest.approx(np.exp(y + held * (means[0] - x))[groups[:, 1] > 0], abs=1)


def beside(mine: Record, share: float) -> Record:
    """The record, while others had a share of all cores' time and the hypervisor gave away a tenth of that."""
    idle = {**sensors.reading(), "monotonic_ns": 0, "own_seconds": 0.0, "cpu": {"user": 0, "system": 0, "idle": 0, "iowait": 0, "steal": 0}}
    taken, steal = round(3600 * share), round(400 * share)
    cpu = {"user": taken, "system": 0, "idle": 4000 - taken - steal, "iowait": 0, "steal": steal}
    busy = {**idle, "monotonic_ns": 10**10, "cpu": cpu}
    return dataclasses.replace(mine, rounds=(Round(0, "onnx-int8 4 threads", 0.0, idle, busy),))


def test_while_others_work_a_small_difference_may_be_theirs_and_a_large_one_is_told():
    before, little, much = (record(result(row(rounds(seed, factor=by)))) for seed, by in ((0, 1.0), (1, 1.01), (1, 1.06)))
    assert numbers(compare.compare(before, little, margin=0.005))["embed", "p50"].verdict == "slower"
    comparison = numbers(compare.compare(beside(before, 0.28), beside(little, 0.28), margin=0.005))["embed", "p50"]
    assert (comparison.verdict, comparison.cause) == ("cannot tell", "load")
    load = compare.compare(beside(before, 0.28), beside(little, 0.28)).load["onnx-int8 cpu 4 threads"]
    assert load.others == pytest.approx((0.28, 0.28), abs=0.001)
    assert numbers(compare.compare(beside(before, 0.28), beside(much, 0.28)))["embed", "p50"].verdict == "slower"


@pytest.mark.parametrize(("shares", "busy"), [((0.0, 0.04), False), ((0.02, 0.09), True), ((0.29, 0.28), False), ((0.32, 0.31), True)])
def test_a_busy_machine_is_not_judged_and_no_build_passes_or_fails_by_it(shares: tuple[float, float], busy: bool) -> None:
    memory = row([[50_000_000 + 1000 * i] for i in range(8)], "memory", unit="B")
    before, after = record(result(row(rounds(0)), memory)), record(result(row(rounds(1, factor=1.5)), memory))
    comparison = compare.compare(beside(before, shares[0]), beside(after, shares[1]))
    change = numbers(comparison)["embed", "p50"]
    assert (change.verdict, change.cause == "machine-busy") == (("cannot tell", True) if busy else ("slower", False))
    assert (compare.regressed(comparison), compare.judgeable(comparison)) == (not busy, not busy)
    assert numbers(comparison)["memory", "p50"].verdict == "no change", "memory does not depend on the load"
    assert compare.unjudged(comparison) == ([change] if busy else [])


def test_one_process_cannot_tell_and_constant_latencies_can():
    for count in (1, 2):
        lone = compare.compare(record(result(row(rounds(0, count=count)))), record(result(row(rounds(1, count=count, factor=2)))))
        assert numbers(lone)["embed", "p50"].cause == "few-processes"
        assert not compare.judgeable(lone)
    constant = changed([[1_000_000] * 20] * 4, [[1_100_000] * 20] * 4)
    assert (constant.verdict, constant.ratio.low, constant.ratio.p) == ("slower", pytest.approx(1.1), 0)
    assert changed([[1_000_000] * 20] * 4, [[1_000_000] * 20] * 4).verdict == "no change"


def test_memory_size_and_accuracy_have_verdicts_of_their_own():
    right, wrong = "1" * 90 + "0" * 10, "1" * 78 + "0" * 22
    memory = row([[50_000_000 + 1000 * i] for i in range(8)], "memory", unit="B")
    more = row([[60_000_000 + 1000 * i] for i in range(8)], "memory", unit="B")
    comparison = numbers(compare.compare(record(result(memory, correct=right)), record(result(more, correct=wrong, size=4_000_000))))
    assert {key: change.verdict for key, change in comparison.items()} == {
        ("accuracy", "top-1"): "worse", ("model", "size"): "smaller", ("memory", "p50"): "larger",
    }  # fmt: skip
    top1 = comparison["accuracy", "top-1"]
    assert top1.ratio.p == pytest.approx(stats.binomtest(0, 12).pvalue)
    assert top1.ratio.low < 78 / 90 < top1.ratio.high < 1
    other = compare.compare(record(result(memory, correct=right)), record(result(memory, correct=wrong, digest="d1")))
    assert numbers(other)["accuracy", "top-1"].cause == "other-photos"
    assert top1.flipped == (0, 12)
    assert numbers(compare.compare(record(result(memory)), record(result(memory)), margin=0))["model", "size"].verdict == "same"


def test_a_build_fails_by_headline_numbers_that_hold_among_all_of_them():
    before = record(result(row(rounds(0)), row(rounds(2), stage="backbone")))
    stage = record(result(row(rounds(1)), row(rounds(3, factor=1.2), stage="backbone")))
    whole = record(result(row(rounds(1, factor=1.2)), row(rounds(3), stage="backbone")))
    assert numbers(compare.compare(before, stage))["embed backbone", "p50"].verdict == "slower"
    assert not compare.regressed(compare.compare(before, stage))
    assert compare.regressed(compare.compare(before, whole))
    assert not compare.regressed(compare.compare(whole, before))
    ratio = compare.statistics.Ratio(1.1, 1.01, 1.2, 0.03)
    faint = MetricChange("c", "embed", None, "p50", "ns", 1, 2, (9, 9), (9, 9), ratio, "slower", "changed", headline=True)
    assert [mine.holds for mine in compare._holm([faint], 0.05)] == [True]
    assert [mine.holds for mine in compare._holm([faint] * 2, 0.05)] == [False] * 2


def code_of(before: Record, after: Record, **how: object) -> tuple[str, dict[str, object]]:
    with pytest.raises(RecordError) as caught:
        compare.compare(before, after, **how)  # type: ignore[arg-type]  # passed on
    return caught.value.code, caught.value.values


@pytest.mark.parametrize("name", ["board", "cpu", "cores", "architecture", "memory_bytes", "emulated", "governor"])
def test_another_machine_is_an_error_unless_allowed(name):
    mine, other = record(result(row(rounds(0)))), record(result(row(rounds(1))), machine={**MACHINE, name: 7})
    code, values = code_of(mine, other)
    assert code == "other-machine"
    assert [entry.partition(":")[0] for entry in values["differences"]] == [name]
    assert compare.compare(mine, other, other_machine=True).machines == tuple(values["differences"])


def test_records_without_a_common_configuration_are_an_error_with_what_they_have():
    code, values = code_of(record(result(threads=4)), record(result(threads=1)))
    assert (code, values) == (
        "no-common-configuration", {"before": ["onnx-int8 cpu 4 threads"], "after": ["onnx-int8 cpu 1 thread"]},
    )  # fmt: skip


def test_what_is_not_measured_is_not_judged_and_differences_are_listed():
    cpu = dict.fromkeys(("user", "system", "idle", "iowait", "steal"), 0)
    start = {**sensors.reading(), "monotonic_ns": 0, "own_seconds": 0.0, "cpu": cpu, "load_average": [0.5, 0.4, 0.3]}
    end = {**start, "monotonic_ns": 10**9, "cpu": {**cpu, "idle": 300, "steal": 100}}
    memory = row([[50], [51]], "memory", unit="B")
    rows = row(rounds(0), kind="emulated"), row(rounds(2), "predict-file"), row(rounds(4), "predict-file", "head")
    mine = record(result(memory, *rows, correct="1"))
    other = record(
        result(memory, row(rounds(1)), row(rounds(3), "head-swap")),
        ended="interrupted after round 3", warnings=("the machine was loaded",), method=dataclasses.replace(METHOD, queries=128),
        rounds=(Round(0, "onnx-int8 4 threads", 0.0, start, end), Round(0, "onnx-int8 1 thread", 0.0, end, end)),
    )  # fmt: skip
    comparison = compare.compare(mine, other)
    assert {change.scenario for change in comparison.changes} == {"model", "memory"}
    assert comparison.load == {"onnx-int8 cpu 4 threads": MachineLoad((None, 0.25), (0, 1))}
    assert set(comparison.notes) == {
        Note("partial", "after", detail="interrupted after round 3"), Note("warning", "after", detail="the machine was loaded"),
        Note("only-in-one", "before", "onnx-int8 cpu 4 threads predict-file, top-1"),
        Note("only-in-one", "after", "onnx-int8 cpu 4 threads head-swap"),
        Note("not-judged", "", "onnx-int8 cpu 4 threads embed", "emulated and measured"),
    }  # fmt: skip
    assert Difference("method", "queries", 1024, 128) in comparison.differences
    lines = screen.around(comparison)
    assert len(lines) == 1 + len(comparison.differences) + len(comparison.notes)
    assert set(lines) <= set(screen.comparison_table(comparison).splitlines())


def test_records_without_a_number_that_may_fail_a_build_are_an_error():
    emulated = record(result(row(rounds(0), kind="emulated"), row(rounds(1), "backbone", kind="emulated")))
    code, values = code_of(emulated, emulated)
    assert (code, [note["detail"] for note in values["notes"]]) == ("nothing-in-common", ["emulated"])
    quick = record(result(row(rounds(0, count=4, n=32))))
    code, values = code_of(quick, quick, fail_on=("p99",))
    assert (code, [note["code"] for note in values["notes"]]) == ("nothing-in-common", ["percentile-missing"])


def test_a_tail_fails_a_build_on_request_only():
    tail = rounds(1, n=128)
    slow = [[value * 3 if i % 10 == 0 else value for i, value in enumerate(mine)] for mine in tail]
    before, after = record(result(row(tail), row(rounds(4, n=32), "add"))), record(result(row(slow), row(rounds(5, n=32), "add")))
    unasked, asked = compare.compare(before, after), compare.compare(before, after, fail_on=("p99", "p50"))
    assert numbers(unasked)["embed", "p50"].verdict in ("cannot tell", "no change")
    assert not compare.regressed(unasked)
    assert numbers(unasked)["embed", "p99"].verdict == "slower"
    assert compare.regressed(asked)
    assert asked.fail_on == ("p50", "p99")
    (note,) = asked.notes
    assert (note.code, re.findall(r"\d+", note.detail)) == ("percentile-missing", ["320", "320", "368"])
    assert [(change.scenario, change.metric) for change in asked.headline] == [("embed", "p50"), ("embed", "p99"), ("add", "p50")]
    assert [(change.scenario, change.metric) for change in asked.changes if change.regressed] == [("embed", "p99")]
    assert screen.comparison_table(asked).splitlines()[-1].endswith(" embed p99.")


def test_a_limit_that_is_not_finite_is_a_usage_error(tmp_path: Path):
    for command in (["compare", "a", "b", "--margin", "nan"], ["pick", "a", "--p99-ms", "inf"]):
        ran = CliRunner().invoke(main, ["bench", *command])
        assert ran.exit_code == 2


def test_junit_has_one_case_per_scenario_and_fails_where_the_exit_code_does(tmp_path: Path):
    before = record(result(row(rounds(0)), row(rounds(2), "predict-file"), row(rounds(4), "embed", "decode")))
    after = record(result(row(rounds(1, factor=1.2)), row(rounds(3), "predict-file"), row(rounds(5), "embed", "decode")))
    comparison = compare.compare(before, after, names=("a\x07.json", "b<&>.json"))
    junit.write(comparison, tmp_path / "junit.xml")
    (suite,) = ElementTree.parse(tmp_path / "junit.xml").getroot()
    cases = {case.get("name"): case for case in suite.findall("testcase")}
    assert list(cases) == ["model", "embed", "predict-file"]
    assert (suite.get("name"), suite.get("tests"), suite.get("failures")) == ("a?.json -> b<&>.json", "3", "1")
    assert [name for name, case in cases.items() if case.find("failure") is not None] == ["embed"]
    assert "9.945 ms -> 11.96 ms, ratio 1.203 [" in cases["embed"].find("failure").get("message")
    assert cases["embed"].findtext("system-out").count("decode p50") == 1
    for target, code in (("a new folder/ü.xml", "folder-missing"), ("junit.xml/x.xml", "not-writable")):
        with pytest.raises(BenchError) as caught:
            junit.write(comparison, tmp_path / target)
        assert caught.value.code == code


def compared(tmp_path: Path, before: Record | str, after: Record | str, *options: str) -> tuple[int, dict[str, str | None], str]:
    """The command's exit code, its JUnit file as case -> failure or error with its type, and what it printed."""
    for name, mine in (("a.json", before), ("b.json", after)):
        if isinstance(mine, Record):
            files.write(mine, tmp_path / name)
        else:
            (tmp_path / name).write_text(mine)
    xml = tmp_path / "junit.xml"
    xml.unlink(missing_ok=True)
    ran = CliRunner().invoke(main, ["bench", "compare", f"{tmp_path}/a.json", f"{tmp_path}/b.json", "--junit", str(xml), *options])
    (suite,) = ElementTree.parse(xml).getroot()
    cases = {case.get("name") or "": case.find("failure") if case.find("error") is None else case.find("error") for case in suite}
    kinds = {name: None if case is None else f"{case.tag} {case.get('type')}" for name, case in cases.items() if name}
    return ran.exit_code, kinds, ran.output


def test_exit_codes_are_0_no_regression_1_a_regression_3_cannot_tell(tmp_path: Path) -> None:
    mine, slow, memory = record(result(row(rounds(0)))), record(result(row(rounds(1, factor=1.2)))), result(row([[5], [6], [7]], "memory"))
    other = dataclasses.replace(mine, machine={**MACHINE, "cpu": "Chip 2"})
    assert compared(tmp_path, mine, mine)[:2] == (0, {"model": None, "embed": None})
    assert compared(tmp_path, mine, slow)[:2] == (1, {"model": None, "embed": "failure slower"})
    assert compared(tmp_path, mine, beside(slow, 0.5))[:2] == (3, {"model": None, "embed": "error machine-busy"})
    for before, after, words in (
        (mine, other, "other-machine"), (mine, record(memory), "nothing-in-common"), (mine, "[]", "record-malformed"),
    ):  # fmt: skip
        code, cases, output = compared(tmp_path, before, after)
        assert (code, cases) == (3, {"records": f"error {words}"})
        assert output.startswith("error: ")


def test_too_few_processes_are_an_error_in_junit(tmp_path: Path) -> None:
    mine = record(result(row(rounds(0, count=2)), row(rounds(2, count=2), "predict-file")))
    code, cases, _ = compared(tmp_path, mine, mine)
    assert code == 3
    assert {cases["embed"], cases["predict-file"]} == {"error few-processes"}


def test_a_missing_folder_for_junit_is_not_the_exit_code_of_a_regression(tmp_path: Path) -> None:
    files.write(record(result(row(rounds(0)))), tmp_path / "a.json")
    ran = CliRunner().invoke(main, ["bench", "compare", *[f"{tmp_path}/a.json"] * 2, "--junit", f"{tmp_path}/missing/junit.xml"])
    assert (ran.exit_code, ran.output.count("error: ")) == (3, 1)


def test_what_is_required_and_missing_or_known_too_coarsely_ends_with_3(tmp_path: Path) -> None:
    many = record(result(row(rounds(0)), row(rounds(2), "predict-file"), correct="11"), result(row(rounds(4)), threads=1))
    few = record(result(row(rounds(1))))
    assert compared(tmp_path, many, few)[0] == 0
    code, cases, output = compared(tmp_path, many, few, "--require", "20")
    assert (code, cases) == (3, {
        "model": None, "embed": None, "predict-file": "error missing", "accuracy": "error missing", "every scenario": "error missing",
    })  # fmt: skip
    assert [line.partition(":")[0] for line in output.splitlines()].count("required") == 3
    unmet = compare.compare(many, few, require=0.2).unmet
    assert Unmet("onnx-int8 cpu 1 thread", "every scenario", "missing") in unmet
    assert compared(tmp_path, few, many, "--require", "20")[0] == 0, "what only AFTER has is not required"
    code, cases, output = compared(tmp_path, few, few, "--require", "0.1")
    assert (code, cases["embed"]) == (3, "error too-wide")
    (missed,) = compare.compare(few, few, require=0.001).unmet
    assert missed.change is not None
    assert missed.change.width > 0.001
    mine = record(result(row(rounds(0, count=2)), row(rounds(2), "add")))
    assert compared(tmp_path, mine, mine)[0] == 0, "some number was judged"
    assert compared(tmp_path, mine, mine, "--require", "50")[1]["embed"] == "error not-judged"
    single = record(result(row(rounds(0, n=256)), row(rounds(2, count=1), "sustained")))
    assert compared(tmp_path, single, single, "--require", "20")[0] == 0, "one process measures it by design"


@pytest.mark.slow
def test_verdicts_of_whole_records_come_as_often_as_promised():
    """Records of 20 scenarios whose processes differ by 1 %: a build without a change fails in at most 1 of 20."""
    false, fails, missed, tries = 0, 0, 0, 40
    for seed in range(tries):
        mine, same, slow = (
            record(result(*(row(rounds(seed * 1000 + 20 * k + i, n=32, factor=factor), f"s{i}") for i in range(20))))
            for k, factor in ((0, 1.0), (1, 1.0), (2, 1.05))
        )
        quiet, loud = compare.compare(mine, same), compare.compare(mine, slow)
        false += sum(change.verdict in ("slower", "faster") for change in quiet.changes if change.metric == "p50")
        fails += compare.regressed(quiet)
        missed += sum(change.verdict != "slower" for change in loud.changes if change.metric == "p50")
        assert compare.regressed(loud)
    assert false <= 20 * tries / 20
    assert missed <= 20 * tries / 10
    assert fails <= tries / 20
