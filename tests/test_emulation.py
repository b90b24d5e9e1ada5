"""`tools/emulate` runs the device suite on emulated boards: Cortex-A72 and 32-bit Arm under QEMU, and natively a board of 2023."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import tiny_models
from pictures import encoded, picture

from edgetl import ImageSpec
from edgetl.bundle import bundle as bundles
from edgetl.bundle import writer
from edgetl.inputs.photo.preprocess import tensor
from edgetl.inputs.photo.source import PhotoSource
from edgetl.runtimes import open_runtime

ROOT = Path(__file__).parent.parent
UNREACHABLE = 3
"""Exit code of tools/emulate if a download cannot be reached, and only then."""
TESTS = 3
"""Tests of the suite for each variant."""
SELF_TEST = re.compile(r"^(\S+) on (.+), (emulated|measured): cosine to the export ([\d. ]+) \(n=(\d+) images\)", re.MULTILINE)


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of tools/."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    return importlib.import_module(name)


def emulate(target: str, *words: str, bundle: Path | None = None) -> subprocess.CompletedProcess[str]:
    # A temporary folder of its own for the suite's lock: these tests may run twice at a time.
    variables = {**os.environ, **({"EDGETL_BUNDLE": str(bundle), "TMPDIR": str(bundle.parent)} if bundle else {})}
    command = [sys.executable, str(ROOT / "tools" / "emulate"), target, *words]
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=900, cwd=ROOT)


def built(target: str) -> str:
    """Builds the environment, once for all tests and runs."""
    done = emulate(target)
    if done.returncode == UNREACHABLE:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    return target


def suite(target: str, bundle: Path, choice: str) -> subprocess.CompletedProcess[str]:
    """Runs a choice (`-k`) of the device suite, which must pass."""
    done = emulate(built(target), "--", "pytest", "-p", "no:cacheprovider", "device_tests", "-k", choice, bundle=bundle)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def outcome(printed: str) -> tuple[int, dict[str, tuple[str, str, float]]]:
    """How many tests passed, and per variant its library, the kind, and its least cosine on the self-test images."""
    passed = re.search(r"(\d+) passed", printed)
    assert passed is not None
    ran = {name: (library, kind, min(map(float, values.split()))) for name, library, kind, values, _ in SELF_TEST.findall(printed)}
    return int(passed.group(1)), ran


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny network in all formats, with an embedding that is wide enough to distinguish colours and shapes."""
    spec, dim = ImageSpec(8, 8, 9), 64
    photos = [encoded(picture(seed=seed)) for seed in (9, 10)]
    tensors = np.stack([tensor(PhotoSource("test", photo), spec) for photo in photos])
    formats = {family: name for name, family in bundles.FAMILIES.items()}
    variants = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_models, "DIM", dim)
        weights = np.random.default_rng(0).normal(0, 1 / np.sqrt(tiny_models.INPUTS), (tiny_models.INPUTS, dim))
        patch.setattr(tiny_models, "WEIGHTS", weights.astype(np.float32))
        for name, (family, make, _) in tiny_models.ALL.items():
            files = make()
            expected = open_runtime(family, files).embed(tensors)
            precision = "int8" if "int8" in name else "fp32"
            variants.append(writer.NewVariant(name.replace(" ", "-"), formats[family], precision, files, {"name": "tiny"}, None, expected))
    written = writer.write(
        tmp_path_factory.mktemp("tiny") / "tiny.edgetl",
        backbone={"name": "tiny", "source": "tests", "weights": {"source": "seed 0", "sha256": "0" * 64, "random": True}},
        input=spec,
        dim=dim,
        calibration=None,
        self_test_inputs=photos,
        self_test_tensors=tensors,
        variants=variants,
    )
    return written.path


@pytest.mark.slow
def test_all_three_runtimes_pass_the_suite_on_a_cortex_a72(tiny: Path):
    passed, ran = outcome(suite("aarch64", tiny, "not uint8").stdout)
    assert passed == TESTS * 4
    assert {library.split()[0] for library, _, _ in ran.values()} == {"ai-edge-litert", "onnxruntime", "openvino"}
    assert {kind for _, kind, _ in ran.values()} == {"emulated"}
    assert all(cosine >= 0.9999 for _, _, cosine in ran.values()), ran


@pytest.mark.slow
def test_the_int8_variants_of_a_real_backbone_conform_on_a_cortex_a72(lite0: Path):
    # A photo takes 10 s under QEMU where OpenVINO computes integers in float: the self-test alone, as of ONNX Runtime.
    done = suite("aarch64", lite0, "tflite-int8 or (self_test and (onnx-int8 or openvino-int8))")
    passed, ran = outcome(done.stdout)
    assert passed == TESTS + 2
    assert set(ran) == {"onnx-int8", "tflite-int8", "openvino-int8"}
    assert all(cosine >= 0.999 for _, _, cosine in ran.values()), ran


@pytest.mark.slow
@pytest.mark.skipif(
    sys.version_info >= (3, 12) and not (shutil.which("python3.11") or shutil.which("python3.10")),
    reason="tflite-runtime's wheels end at Python 3.11, and there is no python3.11 or python3.10 here",
)
def test_a_board_with_tflite_runtime_and_numpy_1_passes_and_lists_what_it_lacks(lite0: Path):
    done = suite("old", lite0, "int8")
    passed, ran = outcome(done.stdout)
    assert {name: library for name, (library, _, _) in ran.items()} == {"tflite-int8": "tflite-runtime 2.14.0"}
    assert passed == TESTS
    for variant in ("onnx-int8", "openvino-int8"):
        assert re.search(rf"{variant}: 3 tests skipped", done.stdout)


@pytest.mark.slow
def test_ready_json_is_enough_for_another_program():
    built("aarch64")
    cache = Path(os.environ.get("EDGETL_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgetl")
    ready = json.loads((cache / "aarch64" / "ready.json").read_text("utf-8"))
    assert ready["cpus"][0] == "cortex-a72"
    env = {name: value.replace("{cpu}", "cortex-a76") for name, value in ready["env"].items()}
    ask = "import os, platform; print(platform.machine(), platform.python_version(), 'asimddp' in open('/proc/cpuinfo').read())"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {ask!r}], check=True)"  # a child is emulated too
    done = subprocess.run([*ready["command"], "-c", parent], env={**os.environ, **env}, capture_output=True, text=True)
    assert done.stdout.split() == ["aarch64", ready["python"], "True"], done.stderr


@pytest.mark.slow
def test_a_crash_under_emulation_is_reported_with_its_signal():
    done = emulate(built("aarch64"), "--", "python", "-c", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert done.returncode == 128 + 11
    assert "cortex-a72" in done.stderr
    assert "SIGSEGV" in done.stderr


def test_a_wrong_hash_a_missing_file_and_no_network_are_different_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    debian = load("debian", monkeypatch)
    (tmp_path / "package.deb").write_bytes(b"changed on its way")
    with pytest.raises(debian.Damaged, match="SHA256"):
        debian.checked((tmp_path / "package.deb").as_uri(), "00" * 32)
    with pytest.raises(debian.Damaged, match=r"absent\.deb"):
        debian.checked((tmp_path / "absent.deb").as_uri(), "00" * 32)
    monkeypatch.setattr(debian, "MIRRORS", (tmp_path.as_uri(),))
    with pytest.raises(debian.Unreachable, match=r"deb\.debian\.org"):
        debian.Index("trixie", "amd64")


def test_a_machine_without_qemu_packages_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    sysroot = load("sysroot", monkeypatch)
    monkeypatch.setenv("EDGETL_CACHE", str(tmp_path))
    monkeypatch.setattr(sysroot.platform, "machine", lambda: "mips64")
    with pytest.raises(sysroot.Failed, match="mips64"):
        sysroot.ready("aarch64")
    assert not list((tmp_path / "aarch64").glob("partial-*"))
