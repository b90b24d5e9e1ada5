"""The bench through its whole pipeline, in real processes: what it measures, how it ends, and what it says when it cannot."""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
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

from edgetl import bench
from edgetl.bench import files
from edgetl.bench.measuring import photos as charts
from edgetl.bench.measuring import runner
from edgetl.bench.measuring.photos import BenchPhotos
from edgetl.bundle import bundle, writer
from edgetl.cli import main
from edgetl.cli.bench import _Duration, _method, _missing
from edgetl.errors import BenchError, BundleMissing, PhotoError
from edgetl.runtimes import fake

TINY = bench.Method("tiny", queries=40, seconds=0.2, rounds=2, trainings=1, window=8, warm_up_seconds=0.5, photos=16, resamples=50)


def photo() -> bytes:
    encoded = io.BytesIO()
    charts.draw(7, 7).save(encoded, "JPEG")
    return encoded.getvalue()


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> bundle.Bundle:
    """Two variants that work, one that its runtime cannot open, one that computes something else, and one whose runtime can be hidden."""
    folder = tmp_path_factory.mktemp("bundles")
    outcome = fake.write_bundle(str(folder / "good"), photo())
    good = outcome.variant("fake-fp32")
    golden, model = outcome.self_test(good), outcome.model(good)
    new = [
        writer.NewVariant(name, family, "fp32", content, {"name": "fake"}, None, golden.embeddings)
        for name, family, content in (
            ("fake-fp32", "fake", model),
            ("slow-fp32", "fake", {"model.json": fake.model(latency={"shape": "constant", "ms": 4.0})}),
            ("broken-fp32", "fake", {"model.json": b"no JSON"}),
            ("wrong-fp32", "fake", {"model.json": fake.model(seed=1)}),
            ("openvino-fp32", "openvino", {"model.xml": b"", "model.bin": b""}),
        )
    ]
    return writer.write(
        folder / "five.edgetl", backbone=outcome.backbone, input=outcome.input, dim=outcome.dim, calibration=None,
        self_test_inputs=golden.inputs, self_test_tensors=golden.tensors, variants=new,
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
        assert [wholes[name] for name in ("backbone", "predict-file", "add-a-class")] == [TINY.rounds] * 3
        assert wholes["memory"] == 4
        assert {row.kind for row in result.rows} == {"measured"}
        assert result.accuracy is not None
        assert result.accuracy.top1.n > 0
    assert [record.results[k].subject.threads for k in range(2)] == [1, 1]
    assert record.ended == ""
    assert record.overhead is not None


@pytest.mark.slow
def test_configurations_take_turns(record: bench.Record) -> None:
    turns = [(item.number, item.configuration) for item in record.rounds if item.task == "latency" and "-fp32" in item.configuration]
    working = [(number, name) for number, name in turns if name.startswith(("fake", "slow"))]
    assert sorted(working) == [(number, f"{name}-fp32 1 thread") for number in range(TINY.rounds) for name in ("fake", "slow")]
    assert [number for number, _ in working] == [0, 0, 1, 1]
    started = [item.seconds for item in record.rounds]
    assert started == sorted(started)


@pytest.mark.slow
def test_a_variant_that_takes_longer_is_seen_to(record: bench.Record) -> None:
    results = {result.subject.variant: result for result in record.results}
    fast, slow = (results[name].row("backbone") for name in ("fake-fp32", "slow-fp32"))
    assert fast is not None
    assert slow is not None
    assert min(min(taken) for taken in slow.samples) >= 4_000_000
    assert fast.p50.value < slow.p50.value


@pytest.mark.slow
def test_variants_that_do_not_work_here_are_listed_once_with_their_reasons(record: bench.Record) -> None:
    reasons = {item.what: item.reason for item in record.skipped}
    assert set(reasons) == {f"{name}-fp32 1 thread" for name in ("broken", "wrong", "openvino")}
    assert "pip install 'edgetl[openvino]'" in reasons["openvino-fp32 1 thread"]
    shown = " ".join(bench.table(record).split())
    assert all(" ".join(f"not measured: {what}: {reason}".split()) in shown for what, reason in reasons.items())


@pytest.mark.slow
def test_a_record_of_a_run_comes_back_from_its_file_as_it_was(record: bench.Record, opened: bundle.Bundle, tmp_path: Path) -> None:
    bench.write(record, tmp_path / "bench.json")
    assert bench.read(tmp_path / "bench.json") == record
    assert record.bundle["name"] == "five.edgetl"
    assert record.machine["cores"] >= 1
    assert record.machine["builds"].keys() == {"fake"}
    assert {item.subject.fingerprint for item in record.results} >= {opened.fingerprint(opened.variant("fake-fp32")).digest}


@pytest.mark.slow
def test_progress_grows_to_its_end_with_every_scenario(record: bench.Record, progress: list[tuple[int, int]]) -> None:
    done, total = [item for item, _ in progress], {all_of_it for _, all_of_it in progress}
    assert done == sorted(done)
    assert total == {5 * (2 * 3 + 4 + 1)}  # variants x (rounds x scenarios + memory + accuracy)
    assert done[-1] == total.pop()


@pytest.mark.slow
def test_the_photos_of_the_person_are_rotated_over(opened: bundle.Bundle, tmp_path: Path) -> None:
    with pytest.raises(BundleMissing):
        bench.run(opened.path, variants=["onnx-int8"])
    for folder in ({"photos": tmp_path / "none"}, {"labelled": tmp_path / "none"}):
        with pytest.raises(PhotoError):
            bench.run(opened.path, method=TINY, **folder)
    with pytest.raises(BenchError) as caught:
        bench.run(opened.path, providers=["cdua"], method=TINY)
    assert (caught.value.code, caught.value.values["provider"]) == ("provider-unknown", "cdua")
    charts.write(tmp_path, kind=3, count=15)
    outcome = bench.run(opened.path, photos=tmp_path, variants=["broken-fp32"], scenarios=["backbone"], method=TINY)
    assert outcome.photos["queries"] == f"15 of {tmp_path.name}"
    assert re.findall(r"\d+", outcome.warnings[0]) == ["15", "16"]
    assert [item.what.split()[0] for item in outcome.skipped] == ["broken-fp32"]


@pytest.mark.parametrize(("count", "asked"), [(5, 5), (16, 16), (17, 16), (40, 16)])
def test_the_queries_rotate_over_photos_spread_over_all(count: int, asked: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charts, "write", lambda folder, kind, count: [])
    for number in range(count):
        (tmp_path / f"{number:02}.jpg").write_bytes(photo() if not number else (tmp_path / "00.jpg").read_bytes())
    files = BenchPhotos.make(tmp_path, TINY, tmp_path).files
    numbers = [int(Path(item).stem) for item in files]
    assert (len(numbers), numbers[0]) == (asked, 0)
    assert {after - before for before, after in itertools.pairwise([*numbers, count])} <= {count // asked, -(-count // asked)}


@pytest.mark.slow
def test_a_process_that_the_kernel_kills_leaves_what_it_had_measured(opened: bundle.Bundle) -> None:
    """As the kernel does where memory runs out: in the middle of the second scenario."""

    def kill(done: int, total: int) -> None:
        if done == 1:
            for task in Path("/proc/self/task").iterdir():
                for item in (task / "children").read_text("utf-8").split():
                    if b"worker" in Path(f"/proc/{item}/cmdline").read_bytes():
                        os.kill(int(item), signal.SIGKILL)

    outcome = bench.run(opened.path, variants=["fake-fp32"], scenarios=["backbone", "predict-file"], method=TINY, progress=kill)
    (skipped,) = outcome.skipped
    assert "latency" in skipped.what
    assert re.search(r"SIGKILL .* in predict-file", skipped.reason)
    assert [row.scenario for _, row in outcome.rows()] == ["backbone"]
    assert outcome.ended == ""


# A shell starts what it puts into the background with SIGINT ignored, and so would be what this suite starts there.
CLI = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from edgetl.cli import main; main()"


def started(opened: bundle.Bundle, folder: Path) -> subprocess.Popen[str]:
    """A bench on the command line, with a folder of its own for temporary files."""
    (folder / "tmp").mkdir(parents=True)
    command = [sys.executable, "-c", CLI, "bench", "-m", str(opened.path), "--quick", "-o", str(folder / "bench.json")]
    only = ["--variant", "fake-fp32", "--scenario", "backbone", "--scenario", "embed"]
    variables = {**os.environ, "TMPDIR": str(folder / "tmp")}
    return subprocess.Popen([*command, *only], env=variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def workers(folder: Path) -> list[str]:
    """The processes that work below a folder."""
    numbers = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"bench" in (text := (process / "cmdline").read_bytes()) and os.fsencode(folder / "tmp") in text:
                numbers.append(process.name)
        except OSError:
            continue
    return numbers


def wait_for(what: Callable[[], object], seconds: float = 300.0) -> None:
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
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 1, errors
    assert workers(tmp_path) == []
    assert list((tmp_path / "tmp").iterdir()) == []
    outcome = bench.read(tmp_path / "bench.json")
    assert outcome.ended == f"interrupted by {number.name} in process 1 of 4"
    assert [row.scenario for _, row in outcome.rows()] == ["backbone"]
    assert f"partial: {outcome.ended}" in output.splitlines()
    assert "fake-fp32 " in errors


@pytest.mark.slow
def test_a_signal_at_any_moment_leaves_no_process_and_no_file(opened: bundle.Bundle, tmp_path: Path) -> None:
    begun = {moment: started(opened, tmp_path / f"{moment}") for moment in (0.6, 1.0, 1.4)}
    for moment, process in begun.items():
        time.sleep(0.4)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=300)
        assert process.returncode in (1, -signal.SIGTERM)  # before the bench begins it ends like any program
        assert workers(tmp_path / f"{moment}") == []
        assert list((tmp_path / f"{moment}" / "tmp").iterdir()) == []


@pytest.mark.slow
def test_a_worker_ends_with_its_parent(opened: bundle.Bundle, tmp_path: Path) -> None:
    process = started(opened, tmp_path)
    wait_for(lambda: workers(tmp_path))
    process.kill()
    process.communicate()
    wait_for(lambda: not workers(tmp_path))
    assert list((tmp_path / "tmp").iterdir()) == []


ONE_CORE = """
import os, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from edgetl import bench
from edgetl.cli.bench import _counts
assert _counts("all") == [1]
method = bench.Method("tiny", queries=8, seconds=0.1, rounds=1, window=4, warm_up_seconds=0.2, resamples=20)
record = bench.run(sys.argv[1], variants=["fake-fp32"], threads=[2], scenarios=["backbone"], method=method)
assert [result.subject.threads for result in record.results] == [2], record.skipped
assert record.machine["cores"] == 1
print(record.warnings[0])
"""


@pytest.mark.slow
def test_one_core_is_enough_and_more_threads_than_cores_are_a_warning(opened: bundle.Bundle) -> None:
    done = subprocess.run([sys.executable, "-c", ONE_CORE, str(opened.path)], capture_output=True, text=True)
    assert done.stdout.startswith("fake-fp32 cpu 2 threads: "), done.stderr


def invoked(*arguments: str, **variables: str) -> Any:
    return CliRunner().invoke(main, ["bench", *arguments], env=variables)


def test_the_command_explains_itself() -> None:
    assert invoked("-h").exit_code == invoked("run", "-h").exit_code == 0
    assert all("--labelled" in invoked(*words, "-h").output for words in ((), ("run",)))
    assert "compare " in invoked("-h").output
    assert invoked("--quick", EDGETL_BUNDLE="").exit_code == 2


def code_of(*arguments: str) -> str:
    """The code of the error that a command ends with."""
    done = invoked(*arguments, "--json")
    assert done.exit_code == 1
    code: str = json.loads(done.stdout)["error"]["code"]
    return code


def test_a_record_that_could_not_be_written_is_an_error_before_measuring(opened: bundle.Bundle, tmp_path: Path) -> None:
    bundle_option = ("-m", str(opened.path))
    assert code_of(*bundle_option, "-o", str(tmp_path)) == code_of(*bundle_option, "-o", "") == "not-a-file"
    assert code_of(*bundle_option, "-o", str(tmp_path / "results" / "bench.json")) == "folder-missing"
    assert not (tmp_path / "results").exists()


def test_what_could_never_be_measured_is_an_error_before_measuring(opened: bundle.Bundle) -> None:
    assert invoked("-m", str(opened.path), "--seed", "-1").exit_code == 2
    assert code_of("-m", str(opened.path), "--scenario", "no-such") == "scenario-unknown"


def test_energy_without_a_meter_is_an_error_alone_and_skipped_beside_others(opened: bundle.Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(spec: str | None = None) -> None:
        raise BenchError("no energy meter", code="no-meter")

    monkeypatch.setattr(runner, "open_meter", none)
    assert code_of("-m", str(opened.path), "--scenario", "energy") == "no-meter"
    names, skipped = runner._names(["backbone", "energy"], None)
    assert (names, [item.what for item in skipped]) == (("backbone",), ["energy"])
    with pytest.raises(BenchError):
        runner._names(["backbone"], "no such meter")


def test_the_method_can_be_set_option_by_option_and_a_budget_is_a_time(opened: bundle.Bundle) -> None:
    custom = _method(True, {"queries": 500, "seconds": None, "rounds": 3, "budget": None})
    assert (custom.name, custom.queries, custom.seconds, custom.rounds) == ("custom", 500, bench.QUICK.seconds, 3)
    assert _method(False, {"queries": None}) == bench.FULL
    assert _method(False, {"budget": 300.0}) == dataclasses.replace(bench.QUICK, name="custom", budget=300.0)
    assert [str(_Duration().convert(text, None, None)) for text in ("90s", "5m", "2min", "1h", "0.5m")] == [
        "90s", "300s", "120s", "3600s", "30s",
    ]  # fmt: skip
    for wrong in ("5", "m", "-5m", "0s", "5 d"):
        assert invoked("-m", str(opened.path), "--budget", wrong).exit_code == 2
    assert code_of("-m", str(opened.path), "--budget", "5m", "--scenario", "memory") == "budget-without-scenario"


def test_a_requested_variant_or_provider_without_a_row_is_missing() -> None:
    cpu = bench.Subject("fake", "onnx-int8", "int8", "onnxruntime", "ort 1", "cpu", "all of the model", 1, "ab", 1, "cd")
    row = bench.Row.of("backbone", None, [[1, 2]], TINY)
    outcome = bench.Record("", "", "", {}, {}, {}, TINY, None, (bench.Result(cpu, None, (row,)),), (), (), ())
    assert _missing(outcome, ["onnx-int8", "cpu", "backbone"]) == _missing(outcome, []) == []
    assert _missing(outcome, ["backbone", "energy", "cold"]) == ["energy", "cold"]
    warm = dataclasses.replace(row, scenario="warm-load")
    assert _missing(dataclasses.replace(outcome, results=(bench.Result(cpu, None, (warm,)),)), ["cold"]) == []
    assert _missing(outcome, ["onnx-int8", "cuda", "cpu", "tensorrt"]) == ["cuda", "tensorrt"]
    assert _missing(dataclasses.replace(outcome, results=()), []) == ["the bundle"]


@pytest.mark.slow
def test_if_nothing_can_be_measured_the_command_fails_with_the_reasons(opened: bundle.Bundle, tmp_path: Path) -> None:
    arguments = "--quick", "--variant", "broken-fp32", "--scenario", "backbone"
    printed = invoked(*arguments, "--json", EDGETL_BUNDLE=str(opened.path))
    (tmp_path / "printed.json").write_text(printed.stdout)
    assert [item.what.split()[0] for item in files.read(tmp_path / "printed.json").skipped] == ["broken-fp32"]
    done = invoked(*arguments, EDGETL_BUNDLE=str(opened.path))
    assert printed.exit_code == done.exit_code == 1
    assert "not measured: broken-fp32 " in done.output
    assert done.output.count("error: ") == 1


FAILING = """
import resource, shutil, sys
from pathlib import Path
from edgetl import bench
from edgetl.cli import main

measure, target = bench.run, Path(sys.argv.pop())

def run(*arguments, **more):
    record = measure(*arguments, **more)
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
@pytest.mark.parametrize("name", ["full.json", "gone.json"])
def test_a_record_that_cannot_be_written_at_the_end_is_not_lost(name: str, opened: bundle.Bundle, tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    target = tmp_path / "records" / name
    target.parent.mkdir()
    command = [
        sys.executable,
        "-c",
        FAILING,
        "bench",
        "-m",
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
    (tmp_path / "saved.json").write_text(done.stdout)
    assert [item.what.split()[0] for item in files.read(tmp_path / "saved.json").skipped] == ["broken-fp32", "energy"]
