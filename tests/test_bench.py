"""The bench: its loop on planted clocks, its plan, what it says of a machine, and the whole pipeline in real processes."""

from __future__ import annotations

import dataclasses
import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from edgetl import bench, bundle
from edgetl.bench import charts, child, files, programs
from edgetl.bench.caveats import caveats
from edgetl.bench.configurations import Configuration
from edgetl.bench.gathering import Gathering
from edgetl.bench.job import Answer, Job
from edgetl.bench.loop import Loop, Measured
from edgetl.bench.plan import PHASES, Turn, asked, plan
from edgetl.bench.record import Accuracy, Minute, Round
from edgetl.bench.stand import Options
from edgetl.bench.stop import Stop
from edgetl.cli import main
from edgetl.errors import BenchError, BundleMissing, PhotoError
from edgetl.machine import sensors
from edgetl.runtimes import fake
from edgetl.tables import render
from edgetl.types import Proportion

TINY = bench.Method("tiny", queries=40, seconds=0.2, rounds=2, lessons=1, window=8, warm_up_seconds=0.5, photos=16, resamples=50)
A, B, C = (Configuration(name, 2, None) for name in ("a", "b", "c"))


class Clock:
    """A clock that stands still but for what queries take."""

    def __init__(self, takes: Callable[[int], int]) -> None:
        self.now, self._takes = 0, takes

    def __call__(self) -> int:
        return self.now

    def query(self, number: int) -> None:
        self.now += self._takes(number)


def streamed(takes: Callable[[int], int], **method: Any) -> Measured:
    clock = Clock(takes)
    return Loop(dataclasses.replace(TINY, **{"seconds": 0.0, **method}), clock).stream(clock.query)


def test_the_warm_up_ends_with_the_first_window_whose_median_is_within_three_percent_of_the_one_before() -> None:
    medians = [1000, 600, 500, 516, 513, 100]
    measured = streamed(lambda number: medians[min(number // 8, 5)])
    assert (measured.warm_up, measured.steady) == (5 * 8, True)  # 516 is 3.2 % above 500, 513 is 0.6 % below 516
    assert list(measured.samples[None]) == [100] * 20


def test_a_warm_up_that_never_gets_steady_ends_at_its_bound_and_says_so() -> None:
    measured = streamed(lambda number: int(1000 * 1.01**number), warm_up_seconds=1e-3)
    assert measured.steady is False
    assert sum(int(1000 * 1.01**number) for number in range(measured.warm_up)) >= 1e6
    assert sum(int(1000 * 1.01**number) for number in range(measured.warm_up - 1)) < 1e6


def test_a_clock_too_coarse_to_see_a_query_is_steady() -> None:
    assert streamed(lambda number: 0).steady is True


@pytest.mark.parametrize(("takes", "n"), [(1_000_000, 20), (1_000, 10_000)])
def test_a_round_takes_its_share_of_the_queries_and_of_the_seconds_whichever_is_more(takes: int, n: int) -> None:
    assert len(streamed(lambda number: takes, seconds=0.02).samples[None]) == n


def test_a_round_keeps_at_most_so_many_samples_and_says_that_it_ended_early() -> None:
    measured = streamed(lambda number: 1_000, seconds=0.02, most=500)
    assert len(measured.samples[None]) == 500
    assert measured.note == "a round keeps at most 500 samples: it ended before its time"


def test_stages_are_timed_in_queries_of_their_own() -> None:
    clock = Clock(lambda number: 100 + number % 2)

    def staged(number: int) -> dict[str, int]:
        clock.query(number)
        return {"first": 60, "second": 40}

    measured = Loop(dataclasses.replace(TINY, seconds=0.0), clock).stream(clock.query, staged)
    assert {stage: list(taken) for stage, taken in measured.samples.items()} == {None: [100] * 20, "first": [60] * 20, "second": [40] * 20}


def test_a_monotonic_clock_that_goes_back_is_believed_in_nothing() -> None:
    with pytest.raises(BenchError, match="the monotonic clock went back by 7 ns within a query: nothing that was timed can be believed"):
        streamed(lambda number: -7 if number == 30 else 100)


def test_each_round_runs_every_configuration_once_in_an_order_of_its_own_that_a_seed_repeats() -> None:
    turns = plan([A, B, C], ("backbone", "cold", "memory", "energy"), dataclasses.replace(TINY, rounds=10), ["accuracy"])
    latencies = [turn for turn in turns if turn.task == "latency"]
    orders = [tuple(turn.configuration for turn in latencies if turn.number == number) for number in range(10)]
    assert [turn.number for turn in latencies] == [number for number in range(10) for _ in range(3)]
    assert all(set(order) == {A, B, C} for order in orders)
    assert len(set(orders)) > 3
    assert [sum(turn.task == task for turn in turns) for task in ("cold", "memory", "accuracy", "energy")] == [30, 6, 3, 3]
    again = plan([A, B, C], ("backbone",), dataclasses.replace(TINY, rounds=10, seed=1))
    assert [turn.configuration for turn in again] != [turn.configuration for turn in latencies]
    assert plan([A, B, C], ("backbone",), TINY) == plan([A, B, C], ("backbone",), TINY)


def test_what_is_measured_only_once_is_in_the_first_round() -> None:
    once = {name for name, one in bench.SCENARIOS.items() if one.once}
    turns = plan([A], tuple(bench.SCENARIOS), TINY)
    assert [once & set(turn.scenarios) for turn in turns] == [once, set()]


def test_a_scenario_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(BenchError, match=r"no scenario predict-fle; there are backbone, .*, energy"):
        asked(["backbone", "predict-fle"])
    assert set(PHASES) < set(asked(None))


SUBJECT = bench.Subject("fake", "a", "fp32", "fake", "fake 1", "cpu", "all of the model", 2, "ab", 1_500_000, "cd")


def answer(*samples: int, **more: Any) -> Answer:
    return Answer(SUBJECT, {"embed": Measured({None: samples}, warm_up=8, steady=True, facts={"asked": 2.0})}, **more)


def test_samples_stay_apart_by_process_and_counts_add_up() -> None:
    gathering = Gathering(TINY)
    for number, one in enumerate((answer(5, 6), answer(7))):
        gathering.take(Turn(number, A, "latency"), one)
    (result,) = gathering.results()
    (row,) = result.rows
    assert (row.samples, row.n, row.facts, row.warm_up, row.steady) == (((5, 6), (7,)), 3, {"asked": 4.0}, 16, 2)


def test_a_row_that_is_slower_at_the_end_of_every_round_says_so() -> None:
    def note(*rounds: list[int]) -> str:
        gathering = Gathering(TINY)
        for number, samples in enumerate(rounds):
            gathering.take(Turn(number, A, "latency"), answer(*samples))
        return gathering.results()[0].rows[0].note

    heats, cools, steady = [100] * 20 + [140] * 10, [150] * 10 + [100] * 20, [100, 102] * 15
    assert note(heats, heats) == (
        "not steady while it was measured: the last quarter of every round took 1.40 to 1.40 times as long as its first (medians)"
    )
    assert "took 0.67 to 0.67 times" in note(cools, cools)
    assert note(heats, steady) == note(heats, cools) == note(steady, steady) == note(heats) == ""


def test_what_was_measured_before_a_process_died_counts_and_its_task_is_not_asked_again() -> None:
    gathering = Gathering(TINY)
    gathering.take(Turn(0, A, "latency"), answer(5, refused=("BenchError", "killed"), complete=False))
    gathering.take(Turn(0, B, "latency"), Answer(refused=("BundleError", "broken")))
    assert [gathering.refused(Turn(1, *one)) for one in ((A, "latency"), (A, "cold"), (B, "cold"), (C, "cold"))] == [
        True,
        False,
        True,
        False,
    ]
    assert [(one.what, one.reason) for one in gathering.skipped()] == [("a 2 threads: latency", "killed"), ("b 2 threads", "broken")]
    assert gathering.results()[0].row("embed") is not None


def reading(seconds: float, *, busy: int = 0, steal: int = 0, wall: float = 0.0, asleep: float = 0.0, bits: int = 0) -> dict[str, Any]:
    """A sensor reading with one idle core behind it, at so many seconds."""
    now = int(seconds * 1e9)
    total = int(seconds * 100)
    cpu = {"user": busy, "system": 0, "idle": total - busy - steal, "iowait": 0, "steal": steal}
    return {
        **sensors.reading(Path("/nowhere")), "monotonic_ns": now, "boottime_ns": now + int(asleep * 1e9), "cpu": cpu, "own_seconds": 0.0,
        "wall_ns": now + int((asleep + wall) * 1e9),
    }  # fmt: skip


def rounds(*edges: dict[str, Any]) -> list[Round]:
    return [Round(number, "a cpu 2 threads", 0.0, edges[2 * number], edges[2 * number + 1]) for number in range(len(edges) // 2)]


def test_a_quiet_machine_has_no_caveats() -> None:
    assert caveats([], rounds(reading(1), reading(2), reading(3), reading(4)), 4) == ()


def test_load_and_clocks_are_said_with_numbers() -> None:
    early, late = {"busy": 30, "steal": 5, "wall": 3600}, {"busy": 40, "steal": 5, "wall": 3600}
    edges = reading(1), reading(2, **early), reading(3, **late), reading(4, **late, asleep=9)
    assert caveats([], rounds(*edges), 4) == (
        "round 0 of a cpu 2 threads: the wall clock jumped ahead by 3600.0 s",
        "round 1 of a cpu 2 threads: the machine was suspended for 9.0 s",
        "other processes used 15.0 % (at most 30.0 %, in round 0 of a cpu 2 threads; n=2 processes) of all cores' time",
        "the hypervisor gave 2.5 % (at most 5.0 %, in round 0 of a cpu 2 threads; n=2 processes) of all cores' time to other guests",
    )


def test_a_machine_that_gets_slower_over_the_rounds_is_said_to() -> None:
    def result(*medians: int) -> bench.Result:
        return bench.Result(SUBJECT, None, (bench.Row.of("embed", None, [[one] * 9 for one in medians], TINY),))

    (said,) = caveats([result(100, 101, 99, 100, 130, 131, 129, 130)], [], 4)
    assert said.startswith("the last 4 rounds took 1.30 times as long as the first 4, over all rows: it became slower")
    assert caveats([result(100, 130, 99, 131, 100, 129, 101, 130)], [], 4) == ()
    assert caveats([result(100, 101, 99, 102, 103, 104, 103, 104)], [], 4) == ()


def test_more_threads_than_cores_are_allowed_and_said() -> None:
    assert caveats([bench.Result(SUBJECT, None, ())], [], 1) == (
        "a cpu 2 threads: more threads than this run has cores (1): they wait for each other",
    )


def test_a_table_shows_every_number_with_its_n_and_no_percentile_that_n_cannot_carry() -> None:
    row = bench.Row.of(
        "predict-file", None, [[1_000_000 + 1000 * k for k in range(40)]], TINY, steady=0, facts={"dropped": 3.0, "missed": 4.0}
    )
    minutes = tuple(Minute(number, 10, (number + 1) * 1_000_000, None, None, None, None) for number in range(3))
    more = bench.Row.of("sustained", None, [[5_000_000]], TINY, kind="emulated", minutes=minutes, note="long " * 20)
    memory = bench.Row.of("memory", "peak RSS", [[81_000_000], [82_000_000]], TINY, unit="B")
    accuracy = Accuracy(Proportion(87, 100), "1" * 100, "photos", "", "")
    result = bench.Result(SUBJECT, accuracy, (row, more, memory))
    other = dataclasses.replace(result, subject=dataclasses.replace(SUBJECT, variant="b"))
    skipped = (bench.Skipped("c 2 threads", "it is broken"),)
    made = bench.Record("", "interrupted", "", {}, {}, {}, TINY, row.summary, (result, other), (), skipped, ("it was hot",))
    lines = bench.table(made).splitlines()
    assert [line.split()[:4] for line in lines[2:4]] == [[name, "cpu", "2", "threads"] for name in "ab"]
    assert "a cpu 2 threads, fake 1, all of the model on cpu, 1.5 MB, top-1 87.0 % [79.0, 92.2] n=100" in lines
    (shown,) = {line for line in lines if line.startswith("predict-file")}
    assert shown.split("  ")[-1] == "steady in 0 of 1 rounds; dropped 3, missed 4"
    assert "1.019 [" in shown
    assert "n too small" in shown
    assert " 40 " in shown
    assert any(line.startswith("[1] EMULATED; minute 0: p50 1.000 ms (n=10), minute 2: p50 3.000 ms (n=10); long long") for line in lines)
    assert "  peak RSS" in lines[lines.index(shown) + 2]
    assert lines[-4:] == [
        "the harness adds 1019.0 µs to a query (p50; n=40)",
        "not measured: c 2 threads: it is broken",
        "beware: it was hot",
        "partial: interrupted",
    ]
    assert max(map(len, lines)) <= 140


def job(folder: Path, *scenarios: str) -> Job:
    return Job("latency", "none", "a", 1, None, scenarios, (), (), None, TINY, Options(), str(folder))


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("kill -KILL $$", r"its process was killed by SIGKILL \(the kernel kills the largest process when memory runs out .* in embed"),
        (
            "echo embed; kill -ILL $$",
            r"killed by SIGILL \(its library uses an instruction that this processor does not have.* in predict-file",
        ),
        ("kill -TERM $$", r"killed by SIGTERM \(it said nothing\) in embed"),
        ("echo no such module >&2; exit 3", r"ended with exit code 3 \(no such module\) in embed"),
    ],
)
def test_a_process_that_dies_is_named_with_how_where_and_what_to_do(
    program: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(programs.PYTHON, f"sh -c '{program}'")
    made = child.run(job(tmp_path, "embed", "predict-file"), tmp_path / "0", lambda step: None, Stop())
    assert made.refused is not None
    assert re.search(words, made.refused[1]), made.refused


def photo() -> bytes:
    encoded = io.BytesIO()
    charts.draw(7, 7).save(encoded, "JPEG")
    return encoded.getvalue()


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> bundle.Bundle:
    """Two variants that work, one that its runtime refuses, one that computes something else, and one whose runtime can be hidden."""
    folder = tmp_path_factory.mktemp("bundles")
    made = fake.write_bundle(str(folder / "good"), photo())
    good = made.variant("fake-fp32")
    golden, model = made.golden(good), made.model(good)
    new = [
        bundle.NewVariant(name, family, "fp32", content, {"name": "fake"}, None, golden.embeddings)
        for name, family, content in (
            ("fake-fp32", "fake", model),
            ("slow-fp32", "fake", {"model.json": fake.model(latency={"shape": "constant", "ms": 4.0})}),
            ("broken-fp32", "fake", {"model.json": b"no JSON"}),
            ("wrong-fp32", "fake", {"model.json": fake.model(seed=1)}),
            ("openvino-fp32", "openvino", {"model.xml": b"", "model.bin": b""}),
        )
    ]
    return bundle.write(
        folder / "five.edgetl", backbone=made.backbone, image=made.image, dim=made.dim, calibration=None, golden_photos=golden.photos,
        golden_tensors=golden.tensors, variants=new,
    )  # fmt: skip


@pytest.fixture(scope="module")
def blocked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that makes `import openvino` fail, as where it is not installed."""
    folder = tmp_path_factory.mktemp("blocked")
    (folder / "openvino.py").write_text("raise ImportError('No module named openvino')")
    return folder


@pytest.fixture(scope="module")
def progress() -> list[tuple[int, int]]:
    return []


@pytest.fixture(scope="module")
def record(opened: bundle.Bundle, blocked: Path, progress: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory) -> bench.Record:
    folder = tmp_path_factory.mktemp("labelled")
    for kind in range(2):
        charts.write(folder / f"class {kind}", kind, 6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(blocked))
        patch.setenv("TMPDIR", str(folder.parent))
        return bench.run(
            opened.path, threads=[1], method=TINY, scenarios=["backbone", "predict-file", "add-a-class", "memory"],
            labelled=folder, progress=lambda done, total: progress.append((done, total)),
        )  # fmt: skip


@pytest.mark.slow
def test_every_scenario_of_every_variant_that_works_is_measured_in_every_round(record: bench.Record) -> None:
    assert {result.subject.name for result in record.results} == {"fake-fp32 cpu 1 thread", "slow-fp32 cpu 1 thread"}
    for result in record.results:
        wholes = {row.scenario: len(row.samples) for row in result.rows if row.stage is None}
        assert [wholes[name] for name in ("backbone", "predict-file", "add-a-class", "memory")] == [TINY.rounds] * 4
        assert {row.kind for row in result.rows} == {"measured"}
        assert result.accuracy is not None
        assert result.accuracy.top1.n > 0
    assert [record.results[k].subject.threads for k in range(2)] == [1, 1]
    assert record.ended == ""
    assert record.overhead is not None


@pytest.mark.slow
def test_configurations_take_turns(record: bench.Record) -> None:
    turns = [(one.number, one.configuration) for one in record.rounds if one.task == "latency" and "-fp32" in one.configuration]
    working = [(number, name) for number, name in turns if name.startswith(("fake", "slow"))]
    assert sorted(working) == [(number, f"{name}-fp32 1 thread") for number in range(TINY.rounds) for name in ("fake", "slow")]
    assert [number for number, _ in working] == [0, 0, 1, 1]
    started = [one.seconds for one in record.rounds]
    assert started == sorted(started)


@pytest.mark.slow
def test_a_variant_that_takes_longer_is_seen_to(record: bench.Record) -> None:
    fast, slow = (next(one for one in record.results if one.subject.variant == name).row("backbone") for name in ("fake-fp32", "slow-fp32"))
    assert fast is not None
    assert slow is not None
    assert min(min(taken) for taken in slow.samples) >= 4_000_000
    assert fast.p50.value < 2_000_000 < 4_000_000 <= slow.p50.value


@pytest.mark.slow
def test_variants_that_do_not_work_here_are_listed_once_with_their_reasons(record: bench.Record) -> None:
    reasons = {one.what: one.reason for one in record.skipped}
    assert set(reasons) == {f"{name}-fp32 1 thread" for name in ("broken", "wrong", "openvino")}
    assert "cannot open the model here" in reasons["broken-fp32 1 thread"]
    assert "golden" in reasons["wrong-fp32 1 thread"]
    assert "pip install 'edgetl[openvino]'" in reasons["openvino-fp32 1 thread"]
    shown = bench.table(record).splitlines()
    assert all(f"not measured: {what}: {reason}" in shown for what, reason in reasons.items())


@pytest.mark.slow
def test_a_record_of_a_run_comes_back_from_its_file_as_it_was(record: bench.Record, opened: bundle.Bundle, tmp_path: Path) -> None:
    bench.write(record, tmp_path / "bench.json")
    assert bench.read(tmp_path / "bench.json") == record
    assert record.bundle["name"] == "five.edgetl"
    assert record.machine["cores"] >= 1
    assert record.machine["builds"].keys() == {"fake"}
    assert {one.subject.fingerprint for one in record.results} >= {opened.fingerprint(opened.variant("fake-fp32")).digest}


@pytest.mark.slow
def test_progress_grows_to_its_end_with_every_scenario(record: bench.Record, progress: list[tuple[int, int]]) -> None:
    done, total = [one for one, _ in progress], {all_of_it for _, all_of_it in progress}
    assert done == sorted(done)
    assert total == {5 * (2 * 3 + 2 + 1)}
    assert done[-1] == total.pop()


@pytest.mark.slow
def test_the_photos_of_the_person_are_rotated_over(opened: bundle.Bundle, tmp_path: Path) -> None:
    with pytest.raises(BundleMissing, match="no variant 'onnx-int8'"):
        bench.run(opened.path, variants=["onnx-int8"])
    with pytest.raises(PhotoError, match="no such folder"):
        bench.run(opened.path, photos=tmp_path / "none", method=TINY)
    with pytest.raises(PhotoError, match="no such folder"):
        bench.run(opened.path, labelled=tmp_path / "none", method=TINY)
    charts.write(tmp_path, kind=3, count=40)
    made = bench.run(opened.path, photos=tmp_path, variants=["broken-fp32"], scenarios=["backbone"], method=TINY)
    assert made.photos["asked"] == f"14 of {tmp_path.name}"
    assert made.warnings[0].startswith("the queries rotate over 14 photos only")
    assert [one.what.split()[0] for one in made.skipped] == ["broken-fp32"]


@pytest.mark.slow
def test_a_process_that_the_kernel_kills_leaves_what_it_had_measured(opened: bundle.Bundle) -> None:
    """As the kernel does where memory runs out: in the middle of the second scenario."""

    def kill(done: int, total: int) -> None:
        if done == 1:
            for task in Path("/proc/self/task").iterdir():
                for one in (task / "children").read_text().split():
                    if b"worker" in Path(f"/proc/{one}/cmdline").read_bytes():
                        os.kill(int(one), signal.SIGKILL)

    made = bench.run(opened.path, variants=["fake-fp32"], scenarios=["backbone", "predict-file"], method=TINY, progress=kill)
    (skipped,) = made.skipped
    assert "latency" in skipped.what
    assert re.search(r"was killed by SIGKILL \(the kernel kills the largest process.* in predict-file", skipped.reason)
    assert [row.scenario for _, row in made.rows()] == ["backbone"]
    assert made.ended == ""


CLI = "import sys; from edgetl.cli import main; main()"


def started(opened: bundle.Bundle, folder: Path) -> subprocess.Popen[str]:
    """A bench on the command line, with a folder of its own for temporary files."""
    (folder / "tmp").mkdir(parents=True)
    command = [sys.executable, "-c", CLI, "bench", str(opened.path), "--quick", "-o", str(folder / "bench.json")]
    only = ["--variant", "fake-fp32", "--scenario", "backbone", "--scenario", "embed"]
    variables = {**os.environ, "TMPDIR": str(folder / "tmp")}
    return subprocess.Popen([*command, *only], env=variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def workers(folder: Path) -> list[str]:
    """The processes that work below a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"bench" in (said := (process / "cmdline").read_bytes()) and os.fsencode(folder / "tmp") in said:
                found.append(process.name)
        except OSError:
            continue
    return found


def wait_for(what: Callable[[], object], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it never came to pass"
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_bench_and_keeps_what_was_measured(number: signal.Signals, opened: bundle.Bundle, tmp_path: Path) -> None:
    process = started(opened, tmp_path)
    wait_for(lambda: list(tmp_path.glob("tmp/*/0/answer.json")))
    process.send_signal(number)
    process.send_signal(number)  # who is impatient loses nothing
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 1, errors
    assert workers(tmp_path) == []
    assert list((tmp_path / "tmp").iterdir()) == []
    made = bench.read(tmp_path / "bench.json")
    assert made.ended == f"interrupted by {number.name} in process 1 of 4"
    assert [row.scenario for _, row in made.rows()] == ["backbone"]
    assert f"partial: {made.ended}" in output.splitlines()
    assert "measuring 1 configuration (fake-fp32 " in errors


@pytest.mark.slow
def test_a_signal_at_any_moment_leaves_no_process_and_no_file(opened: bundle.Bundle, tmp_path: Path) -> None:
    begun = {moment: started(opened, tmp_path / f"{moment}") for moment in (0.6, 1.0, 1.4)}
    for moment, process in begun.items():
        time.sleep(0.4)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        assert process.returncode in (1, -signal.SIGTERM)  # before the bench begins it ends like any program
        assert workers(tmp_path / f"{moment}") == []
        assert list((tmp_path / f"{moment}" / "tmp").iterdir()) == []


@pytest.mark.slow
def test_a_worker_ends_with_its_parent(opened: bundle.Bundle, tmp_path: Path) -> None:
    process = started(opened, tmp_path)
    wait_for(lambda: workers(tmp_path))
    process.kill()
    process.communicate()
    wait_for(lambda: not workers(tmp_path), seconds=5)
    assert list((tmp_path / "tmp").iterdir()) == []


ONE_CORE = """
import os, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from edgetl import bench
from edgetl.cli.benching import _counts
assert _counts("all") == [1]
method = bench.Method("tiny", queries=8, seconds=0.1, rounds=1, window=4, warm_up_seconds=0.2, resamples=20)
record = bench.run(sys.argv[1], variants=["fake-fp32"], threads=[2], scenarios=["backbone"], method=method)
assert [result.subject.threads for result in record.results] == [2], record.skipped
assert record.machine["cores"] == 1
print(record.warnings[0])
"""


@pytest.mark.slow
def test_one_core_is_enough_and_more_threads_than_cores_are_said(opened: bundle.Bundle) -> None:
    done = subprocess.run([sys.executable, "-c", ONE_CORE, str(opened.path)], capture_output=True, text=True)
    assert done.stdout == "fake-fp32 cpu 2 threads: more threads than this run has cores (1): they wait for each other\n", done.stderr


def invoked(*arguments: str, **variables: str) -> Any:
    return CliRunner().invoke(main, ["bench", *arguments], env=variables)


def test_the_command_explains_itself() -> None:
    assert invoked("-h").exit_code == invoked("run", "-h").exit_code == 0
    assert all("--labelled" in invoked(*words, "-h").output for words in ((), ("run",)))
    assert "compare " in invoked("-h").output
    assert invoked("--quick", EDGETL_BUNDLE="").exit_code == 2


def test_a_record_that_could_not_be_written_is_refused_before_anything_is_measured(opened: bundle.Bundle, tmp_path: Path) -> None:
    done = invoked(str(opened.path), "-o", str(tmp_path))
    assert done.exit_code == 1
    assert "is no file that a record could replace" in done.output


@pytest.mark.slow
def test_where_nothing_can_be_measured_the_reasons_are_said_and_the_command_fails(opened: bundle.Bundle, tmp_path: Path) -> None:
    arguments = "--quick", "--variant", "broken-fp32", "--scenario", "backbone"
    printed = invoked(*arguments, "--json", EDGETL_BUNDLE=str(opened.path))
    (tmp_path / "printed.json").write_text(printed.stdout)
    assert [one.what.split()[0] for one in files.read(tmp_path / "printed.json").skipped] == ["broken-fp32"]
    done = invoked(*arguments, EDGETL_BUNDLE=str(opened.path))
    assert printed.exit_code == done.exit_code == 1
    assert "not measured: broken-fp32 " in done.output
    assert "refused: nothing could be measured; the reasons are above" in done.output


FAILING = """
import resource, shutil, sys
from pathlib import Path
from edgetl import bench
from edgetl.cli import main

measure, target = bench.run, Path(sys.argv.pop())

def run(*given, **more):
    record = measure(*given, **more)
    if target.name == "full.json":
        resource.setrlimit(resource.RLIMIT_FSIZE, (2048, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    else:
        target.parent.rmdir()
        target.parent.touch()
    return record

bench.run = run
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "words"), [("full.json", "File too large"), ("gone.json", "File exists")])
def test_a_record_that_cannot_be_written_at_the_end_is_not_lost(name: str, words: str, opened: bundle.Bundle, tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    target = tmp_path / "records" / name
    command = [
        sys.executable,
        "-c",
        FAILING,
        "bench",
        str(opened.path),
        "--quick",
        "--variant",
        "broken-fp32",
        "-o",
        str(target),
        str(target),
    ]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "TMPDIR": str(tmp_path / "tmp")})
    assert done.returncode == 1
    assert f"{name}: the record cannot be written ({words}); give -o a folder with room that is yours\nthe record is " in done.stderr
    (where,) = (line.removeprefix("the record is ") for line in done.stderr.splitlines() if line.startswith("the record is "))
    if name == "full.json":
        assert where == "on standard output instead"
        (tmp_path / "saved.json").write_text(done.stdout)
    else:
        Path(where.removeprefix("in ").removesuffix(" instead")).rename(tmp_path / "saved.json")
    assert [one.what.split()[0] for one in files.read(tmp_path / "saved.json").skipped] == ["broken-fp32", "energy"]


def test_charts_are_the_same_every_time_and_no_two_are_alike(tmp_path: Path) -> None:
    again = [[path.read_bytes() for kind in range(3) for path in charts.write(tmp_path / name, kind, 4)] for name in ("a", "b")]
    assert again[0] == again[1]
    assert len(set(again[0])) == 12


def test_a_table_puts_numbers_to_the_right_and_knows_how_wide_characters_are() -> None:
    assert render(("class", "ms", "note"), [("茶壺", "1.50", "a b"), ("mug", None, ""), ("x", "12.25", "-")]).splitlines() == [
        "class     ms  note",
        "-----  -----  ----",
        "茶壺    1.50  a b",
        "mug        -",
        "x      12.25  -",
    ]
