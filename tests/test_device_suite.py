"""The conformance suite of device_tests/ passes here on every variant of the real bundle, and fails where it must."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pictures import encoded, picture

from edgetl.bundle import bundle as bundles
from edgetl.bundle import writer
from edgetl.runtimes import fake

SUITE = Path(__file__).parent.parent / "device_tests"
TESTS = 3
"""Of each variant."""


def command(suite: Path = SUITE) -> list[str]:
    return [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(suite)]


def run(bundle: Path | None, tmp: Path, *options: str, suite: Path = SUITE, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs the suite with a temporary folder of its own, where its lock lies: other tests run it too."""
    (tmp / "lock").mkdir(exist_ok=True)
    ours = {**os.environ, **({"EDGETL_BUNDLE": str(bundle)} if bundle else {}), "TMPDIR": str(tmp / "lock"), **variables}
    return subprocess.run([*command(suite), *options], env=ours, capture_output=True, text=True, cwd=suite.parent)


def passed(done: subprocess.CompletedProcess[str]) -> int:
    match = re.search(r"(\d+) passed", done.stdout)
    return int(match.group(1)) if match else 0


@pytest.mark.slow
def test_every_variant_of_the_real_bundle_passes_the_device_suite(lite0: Path, tmp_path: Path):
    done = run(lite0, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert passed(done) == TESTS * 6, done.stdout
    assert "skipped" not in done.stdout
    assert len(re.findall(r"export (1\.0000|0\.99)", done.stdout)) == 6, done.stdout


@pytest.mark.slow
def test_it_prints_the_machine_and_compares_with_its_own_reference(bundle: Path, tmp_path: Path):
    suite = tmp_path / "device_tests"  # alone, as it is copied to a board, with no pyproject.toml around it
    shutil.copytree(SUITE, suite, ignore=shutil.ignore_patterns("reference", "__pycache__"))
    first = run(bundle, tmp_path, "--write-reference", suite=suite)
    assert (first.returncode, passed(first)) == (0, TESTS), first.stdout + first.stderr
    for printed in ("board: ", "target: ", "measured", "python 3.", "numpy ", "no reference"):
        assert printed in first.stdout, printed
    written = list((suite / "reference").iterdir())
    assert len(written) == 1
    assert written[0].stat().st_size < 4096
    again = run(bundle, tmp_path, suite=suite)
    assert again.returncode == 0
    assert re.search(r"1\.0000 to the reference .*fake 1.* 0\.999", again.stdout)
    # A board whose numbers moved: the record's first values are others.
    text = written[0].read_text("utf-8")
    written[0].write_text(re.sub(r'("int8": ")[^"]{24}', r"\1" + "gX+B" * 6, text))
    moved = run(bundle, tmp_path, suite=suite)
    assert moved.returncode == 1
    assert "1 failed, 2 passed" in moved.stdout


@pytest.mark.slow
def test_every_one_of_its_tests_fails_on_a_wrong_self_test(bundle: Path, tmp_path: Path):
    right = bundles.Bundle.open(bundle)
    variant = right.variant("fake-fp32")
    test = right.self_test(variant)
    other = fake.Model({"model.json": fake.model(size=32, seed=1)}, 1).embed(test.tensors)
    writer.write(
        tmp_path / "wrong.edgetl",
        backbone=right.backbone,
        input=right.input,
        dim=right.dim,
        calibration=None,
        self_test_inputs=test.inputs,
        self_test_tensors=test.tensors,
        variants=[writer.NewVariant("fake-fp32", "fake", "fp32", right.model(variant), variant.recipe, None, other)],
    )
    done = run(tmp_path / "wrong.edgetl", tmp_path)
    assert done.returncode == 1
    assert f"{TESTS} failed" in done.stdout
    assert passed(done) == 0
    assert "SelfTestFailed" in done.stdout


@pytest.mark.slow
def test_a_board_on_which_nothing_runs_does_not_pass(tmp_path: Path):
    photo = encoded(picture(seed=9))
    opened = fake.write_bundle(str(tmp_path / "none.edgetl"), photo)
    variant, test = opened.variant("fake-fp32"), opened.self_test(opened.variant("fake-fp32"))
    writer.write(
        opened.path,
        backbone=opened.backbone,
        input=opened.input,
        dim=opened.dim,
        calibration=None,
        self_test_inputs=test.inputs,
        self_test_tensors=test.tensors,
        variants=[writer.NewVariant("onnx-fp32", "onnx", "fp32", {"model.onnx": b"no model"}, variant.recipe, None, test.embeddings)],
    )
    done = run(opened.path, tmp_path)
    assert done.returncode == 1
    assert "skipped" in done.stdout
    assert "onnxruntime" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("named", "printed"), [("", "EDGETL_BUNDLE"), (__file__, __file__)])
def test_without_a_bundle_it_prints_an_error_and_no_traceback(named: str, printed: str, tmp_path: Path):
    done = run(None, tmp_path, EDGETL_BUNDLE=named)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert printed in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.slow
def test_a_second_run_on_one_board_is_an_error(bundle: Path, tmp_path: Path):
    (tmp_path / "lock").mkdir()
    ours = {**os.environ, "EDGETL_BUNDLE": str(bundle), "TMPDIR": str(tmp_path / "lock")}
    with subprocess.Popen([*command(), "-s", "-v"], env=ours, stdout=subprocess.PIPE, text=True, cwd=SUITE.parent) as first:
        assert first.stdout is not None
        while "collecting" not in (line := first.stdout.readline()):  # it holds the lock before it looks for tests
            assert line
        first.send_signal(signal.SIGSTOP)  # or it might be done before the second one starts
        second = run(bundle, tmp_path)
        first.send_signal(signal.SIGCONT)
        first.communicate()
    assert second.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"process {first.pid} since" in second.stderr
    assert first.returncode == 0
    assert run(bundle, tmp_path).returncode == 0
    (lock,) = (tmp_path / "lock").glob("*.lock")
    lock.unlink()
    lock.mkdir()
    blocked = run(bundle, tmp_path)
    assert blocked.returncode == pytest.ExitCode.USAGE_ERROR
    assert str(lock) in blocked.stderr
    assert "Is a directory" in blocked.stderr
