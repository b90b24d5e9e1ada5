"""Targets: each proves a bundle's variants on its own arithmetic or gives a reason; the bundle keeps the rows."""

from __future__ import annotations

import importlib.util
import json
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny_models
from edgetl_exporters import plugins, targets
from edgetl_exporters.convert import to_onnx
from edgetl_exporters.targets import emulated, ethos, matrix, nvidia, qnn
from edgetl_exporters.targets.job import ProofJob
from pictures import encoded, picture

from edgetl import Bundle, ImageSpec, machine
from edgetl.bundle import proofs, writer
from edgetl.bundle.proofs import Proof
from edgetl.errors import ExportError, RuntimeUnavailable
from edgetl.inputs.photo import preprocess
from edgetl.inputs.photo.source import load
from edgetl.runtimes import open_runtime
from edgetl.types import Embeddings, Pixels

N = 6


@pytest.fixture(scope="module")
def tensors() -> Pixels:
    """Photos whose embeddings by the tiny network are not zero: zeros have no direction."""
    drawn = np.random.default_rng(3).integers(0, 256, (50, tiny_models.SIDE, tiny_models.SIDE, 3), np.uint8)
    return drawn[np.linalg.norm(tiny_models.expected(drawn), axis=1) > 1][:N]


@pytest.fixture(scope="module")
def expected(tensors: Pixels) -> Embeddings:
    return tiny_models.expected(tensors).astype(np.float32)


@pytest.fixture
def tiny(tmp_path: Path) -> Bundle:
    """A bundle of the tiny network: a float and an integer variant."""

    def variant(name: str, files: dict[str, bytes]) -> writer.NewVariant:
        format_, precision = name.split("-")
        return writer.NewVariant(name, format_, precision, files, {"name": name}, None, np.zeros((1, tiny_models.DIM), np.float32))

    return writer.write(
        tmp_path / "tiny.edgetl",
        backbone={"name": "tiny"},
        input=ImageSpec(tiny_models.SIDE, tiny_models.SIDE, tiny_models.SIDE),
        dim=tiny_models.DIM,
        calibration=None,
        self_test_inputs=[encoded(picture(seed=1))],
        self_test_tensors=np.zeros((1, tiny_models.SIDE, tiny_models.SIDE, 3), np.uint8),
        variants=[variant("onnx-fp32", tiny_models.onnx()), variant("tflite-int8", tiny_models.tflite("int8"))],
    )


def test_every_variant_is_proved_on_this_machine_and_the_rows_are_kept(tiny: Bundle, tensors: Pixels, expected: Embeddings) -> None:
    calls: list[tuple[int, int]] = []
    rows = matrix.prove(tiny, tensors, expected, targets=["native"], progress=lambda *done: calls.append(done))
    assert [(row.target, row.variant, row.kind, row.count) for row in rows] == [
        (machine.instruction_set(), name, "measured", N) for name in ("onnx-fp32", "tflite-int8")
    ]
    float_, integer = rows
    assert float_.proved_on.startswith("onnxruntime ")
    assert float_.cosine_min == pytest.approx(1, abs=1e-6)
    assert float_.cosine_mean > integer.cosine_mean > integer.cosine_min > 0.99
    assert calls == [(1, 2), (2, 2)]
    assert Bundle.open(tiny.path).proofs == rows
    assert {row.top1 for row in rows} == {None}


def test_top1_counts_the_answers_of_the_networks_own_classifier(tiny: Bundle, tensors: Pixels, expected: Embeddings) -> None:
    random = np.random.default_rng(5)
    weights, bias = random.normal(size=(4, tiny_models.DIM)).astype(np.float32), random.normal(size=4).astype(np.float32)
    embeddings = expected + random.normal(scale=0.3, size=expected.shape).astype(np.float32)
    truth = random.integers(0, 4, N)
    proof = ProofJob(tiny, tensors, expected, (weights, bias), truth).proof("board", "onnx-fp32", "chip 1", "measured", embeddings)
    named = [max(range(4), key=lambda c: float(weights[c] @ row + bias[c])) for row in embeddings]
    float_ = [max(range(4), key=lambda c: float(weights[c] @ row + bias[c])) for row in expected]
    assert (proof.top1.hits, proof.top1.n) == (sum(a == b for a, b in zip(named, truth)), N)
    assert proof.details["class_agreement"]["hits"] == sum(a == b for a, b in zip(named, float_))
    assert proof.details["float_top1"]["hits"] == sum(a == b for a, b in zip(float_, truth))
    cosines = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(embeddings, expected)]
    assert (proof.cosine_mean, proof.cosine_min) == pytest.approx((np.mean(cosines), np.min(cosines)), abs=1e-6)
    # A classifier that reads the last stage reads the end of an embedding of several.
    both = np.concatenate([np.ones((N, 3), np.float32), embeddings], axis=1)
    deep = ProofJob(tiny, tensors, np.concatenate([expected[:, :3], expected], axis=1), (weights, bias), truth)
    assert deep.proof("board", "onnx-fp32", "chip 1", "measured", both).top1 == proof.top1


def test_without_a_float_network_a_row_has_top1_and_no_cosine(tiny: Bundle, tensors: Pixels, expected: Embeddings) -> None:
    (row, _) = matrix.prove(tiny, tensors, None, targets=["native"])
    assert (row.kind, row.count, row.cosine_mean, row.cosine_min, row.top1) == ("measured", N, None, None, None)
    classifier = np.eye(tiny_models.DIM, dtype=np.float32), np.zeros(tiny_models.DIM, np.float32)
    (row, _) = matrix.prove(tiny, tensors, None, targets=["native"], classifier=classifier, truth=expected.argmax(1).tolist())
    assert row.top1.value == 1


def test_an_emulator_takes_a_few_photos_evenly_spread(tiny: Bundle, tensors: Pixels, expected: Embeddings) -> None:
    few = ProofJob(tiny, tensors, expected, None, np.arange(N), few=3).sample()
    assert few.truth.tolist() == [0, 2, 5]
    assert (few.tensors == tensors[[0, 2, 5]]).all()
    assert len(ProofJob(tiny, tensors, expected, few=100).sample().tensors) == N


def test_a_target_that_is_not_here_is_a_row_with_its_reason(
    tiny: Bundle, tensors: Pixels, expected: Embeddings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EDGETL_CACHE", str(tmp_path / "empty"))
    rows = matrix.prove(tiny, tensors, expected, targets=["armv7", "native"])
    absent, *measured = rows
    assert (absent.target, absent.variant, absent.kind, absent.count) == ("armv7 cortex-a7", "tflite-int8", "absent", 0)
    assert "tools/emulate armv7" in absent.reason
    assert str(tmp_path) not in absent.reason
    assert [row.kind for row in measured] == ["measured", "measured"]
    shown = proofs.table(rows)
    assert absent.reason in shown
    assert "measured" in shown.splitlines()[2]


def test_unknown_targets_and_classes_and_no_photo_are_errors(tiny: Bundle, tensors: Pixels, expected: Embeddings) -> None:
    with pytest.raises(ExportError) as error:
        matrix.prove(tiny, tensors, expected, targets=["native", "npu"])
    known = ["native", "aarch64", "armv7", "avx2", "qnn", "ethos", "nvidia"]
    assert (error.value.code, error.value.values) == ("unknown-target", {"given": "npu", "known": known})
    with pytest.raises(ExportError) as error:
        matrix.prove(tiny, tensors[:0], expected[:0])
    assert error.value.code == "photos-missing"
    classifier = np.eye(tiny_models.DIM, dtype=np.float32), np.zeros(tiny_models.DIM, np.float32)
    with pytest.raises(ExportError) as error:
        matrix.prove(tiny, tensors, expected, classifier=classifier, truth=[1] * (N - 1) + [1000])
    assert (error.value.code, error.value.values) == ("unknown-class", {"lowest": 1, "highest": 1000, "classes": tiny_models.DIM})


def board(cache: Path, *command: str) -> emulated.Emulated:
    """An environment as tools/emulate builds it, with another Python."""
    (cache / "board").mkdir(parents=True)
    ready = {"command": command, "env": {"BOARD_CPU": "{cpu}"}, "cpus": ["cortex-a72"], "qemu": "10.0", "python": "3.11.2"}
    (cache / "board" / "ready.json").write_text(json.dumps(ready))
    return emulated.Emulated("board", ("cortex-a72",), ("litert", "onnxruntime"))


def test_another_python_embeds_as_this_one(
    tiny: Bundle, tensors: Pixels, expected: Embeddings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EDGETL_CACHE", str(tmp_path))
    there = board(tmp_path, sys.executable)
    ((target, variant),) = there.cells(tiny)
    proof = there.prove(ProofJob(tiny, tensors, expected), target, variant)
    here = matrix.prove(tiny, tensors, expected, targets=["native"])[1]
    assert (proof.target, proof.kind, proof.count) == ("board cortex-a72", "emulated", N)
    assert (proof.cosine_mean, proof.cosine_min) == (here.cosine_mean, here.cosine_min)
    assert proof.proved_on == f"{here.proved_on} under qemu 10.0"


@pytest.mark.parametrize(
    ("program", "code", "values"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "child-failed", {"status": -signal.SIGSEGV}),
        ("import sys; sys.exit('no such processor')", "child-failed", {"status": 1, "output": "no such processor"}),
    ],
)
def test_an_emulator_that_crashes_or_fails_is_an_error(
    tiny: Bundle, tensors: Pixels, expected: Embeddings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str, code: str,
    values: dict[str, object],
) -> None:  # fmt: skip
    monkeypatch.setenv("EDGETL_CACHE", str(tmp_path))
    there = board(tmp_path, sys.executable, "-S", "-c", program)
    with pytest.raises(ExportError) as error:
        there.prove(ProofJob(tiny, tensors, expected), "board cortex-a72", "tflite-int8")
    assert error.value.code == code
    assert error.value.values | values == error.value.values


def test_an_emulator_without_the_runtime_is_unavailable_with_its_reason(
    tiny: Bundle, tensors: Pixels, expected: Embeddings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EDGETL_CACHE", str(tmp_path))
    program = "import os, pathlib, sys; pathlib.Path(sys.argv[-1], 'unavailable.txt').write_text(os.environ['BOARD_CPU'])"
    there = board(tmp_path, sys.executable, "-S", "-c", program)
    with pytest.raises(RuntimeUnavailable, match=r"^cortex-a72$"):
        there.prove(ProofJob(tiny, tensors, expected), "board cortex-a72", "tflite-int8")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Installs a distribution as pip would leave it: a module and its entry points."""
    names: list[str] = []

    def install(name: str, entry: str, module: str) -> None:
        site = tmp_path / name
        info = site / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (site / f"{name}.py").write_text(module)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{plugins.GROUP}]\n{entry}\n")
        monkeypatch.syspath_prepend(str(site))
        names.append(name)

    yield install
    for name in names:
        sys.modules.pop(name, None)


MY_NPU = '''
from edgetl.bundle.proofs import Proof

class Npu:
    """An NPU that reads every photo as its mean colour."""

    def cells(self, bundle):
        return [("my npu", name) for name in bundle.variants]

    def prove(self, job, target, variant):
        if variant == "tflite-int8":
            return 1 / 0
        means = job.tensors.mean(axis=(1, 2, 3))
        return job.proof(target, variant, "my-npu 1.0", "emulated", means[:, None] * job.expected, {"summary": "one colour is enough"})
'''


def test_another_distribution_adds_a_target(tiny: Bundle, tensors: Pixels, expected: Embeddings, installed: Callable[..., None]) -> None:
    installed("my_npu", "mynpu = my_npu:Npu", MY_NPU)
    assert "mynpu" in targets.known()
    proved, broken = matrix.prove(tiny, tensors, expected, targets=["mynpu"])
    assert (proved.target, proved.kind, proved.count, round(proved.cosine_mean, 6)) == ("my npu", "emulated", N, 1)
    assert (broken.kind, broken.reason) == ("failed", "ZeroDivisionError: division by zero")
    assert broken.reason in proofs.table([proved, broken])
    assert proved.details["summary"] in proofs.table([proved, broken])
    assert Bundle.open(tiny.path).proofs == (proved, broken)


def test_a_plugin_that_takes_a_name_or_does_not_work_is_an_error(installed: Callable[..., None]) -> None:
    installed("my_npu", "native = my_npu:Npu", MY_NPU)
    with pytest.raises(ExportError) as error:
        targets.known()
    assert (error.value.code, error.value.values) == ("target-name-taken", {"names": ["native"]})
    installed("no_npu", "no = no_npu:thing", "thing = object()")
    with pytest.raises(ExportError) as error:
        targets.known()
    assert (error.value.code, error.value.values["distribution"]) == ("plugin-unusable", "no_npu")
    installed("bad_npu", "bad = bad_npu:Npu", "import a_module_that_is_not_there")
    with pytest.raises(ExportError) as error:
        targets.known()
    assert (error.value.code, error.value.values["entry_point"], error.value.values["distribution"]) == (
        "plugin-unusable", "bad", "bad_npu",
    )  # fmt: skip
    assert error.value.values["reason"].startswith("ModuleNotFoundError")


def test_an_accelerator_that_is_not_here_is_an_error(tiny: Bundle, tensors: Pixels, expected: Embeddings, monkeypatch) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("onnxruntime-gpu is installed: this is about machines without it")
    job = ProofJob(tiny, tensors, expected)
    for target, variant in nvidia.Nvidia().cells(tiny):
        with pytest.raises(RuntimeUnavailable, match="onnxruntime-gpu"):
            nvidia.Nvidia().prove(job, target, variant)
    for provider, named in (("cuda", "CUDAExecutionProvider"), ("gpu", "cpu, cuda, tensorrt")):
        monkeypatch.setenv("EDGETL_PROVIDER", provider)
        with pytest.raises(RuntimeUnavailable, match=named):
            open_runtime("onnxruntime", tiny_models.onnx())


@pytest.mark.parametrize("moved", [False, True])
def test_pixels_that_are_dequantised_instead_of_cast_become_the_same_bits(tensors: Pixels, moved: bool) -> None:
    import onnx

    (model,) = tiny_models.onnx().values()
    if moved:
        parsed = onnx.load_from_string(model)
        parsed.graph.node.insert(0, onnx.helper.make_node("Transpose", ["x"], ["turned"], perm=[0, 2, 1, 3]))
        parsed.graph.node[1].input[0] = "turned"
        model = parsed.SerializeToString()
    changed = to_onnx.with_dequantised_pixels(model)
    assert [node.op_type for node in onnx.load_from_string(changed).graph.node].count("DequantizeLinear") == 1
    assert "Cast" not in {node.op_type for node in onnx.load_from_string(changed).graph.node}
    before, after = (open_runtime("onnxruntime", {"model.onnx": content}) for content in (model, changed))
    for batch in (tensors, *tensors[:, None]):
        np.testing.assert_array_equal(before.embed(batch), after.embed(batch))
    assert to_onnx.with_dequantised_pixels(changed) == changed


def test_each_npu_is_offered_what_it_can_take(tiny: Bundle) -> None:
    assert ethos.Ethos().cells(tiny) == [(npu, "tflite-int8") for npu in ethos.NPUS]
    assert qnn.Qnn().cells(tiny) == []
    assert nvidia.Nvidia().cells(tiny) == [("nvidia cuda", "onnx-fp32"), ("nvidia tensorrt", "onnx-fp32")]


@pytest.fixture(scope="session")
def real(lite0: Path, cell_photos: list[Path]) -> ProofJob:
    """EfficientNet-Lite0 with photos that calibrated nothing."""
    bundle = Bundle.open(lite0)
    tensors = np.stack([preprocess.tensor(load(photo), bundle.input) for photo in cell_photos[5::300]])
    float_ = bundle.variant("onnx-fp32")
    runtime = open_runtime(float_.family, bundle.model(float_))
    return ProofJob(bundle, tensors, np.concatenate([runtime.embed(tensor[None]) for tensor in tensors]), few=2)


def installed_version(name: str) -> None:
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed: pip install 'edgetl[qnn,ethos]'")


@pytest.mark.slow
@pytest.mark.parametrize("generation", ["v68", "v79"])
def test_a_qualcomm_npu_computes_the_integer_model_within_its_bound(real: ProofJob, generation: str) -> None:
    installed_version("onnxruntime_qnn")
    target, variant = next(cell for cell in qnn.Qnn().cells(real.bundle) if generation in cell[0])
    row = qnn.Qnn().prove(real, target, variant)
    assert (row.kind, row.count) == ("emulated", 2)
    assert row.cosine_mean > 0.98
    assert row.details["cosine_to_cpu"] > 0.98
    assert row.details["context_bytes"] > 3e6
    # What does not fit is computed by the CPU, and named.
    assert row.details["nodes_on_npu"] + len(row.details["on_cpu"]) == row.details["nodes"] > 200
    assert row.details["whole_on_npu"] == (not row.details["on_cpu"])
    assert row.details["whole_on_npu"] or generation == "v68"


@pytest.mark.slow
def test_an_emulated_raspberry_pi_computes_the_integer_model_within_its_bound(real: ProofJob) -> None:
    if not (emulated.cache() / "aarch64" / "ready.json").exists():
        pytest.skip("the emulated board is not built: tools/emulate aarch64")
    row = targets.known()["aarch64"].prove(real, "aarch64 cortex-a72", "tflite-int8")
    assert (row.kind, row.count) == ("emulated", 2)
    assert "ai-edge-litert" in row.proved_on
    assert "under qemu" in row.proved_on
    assert row.cosine_mean > 0.98


@pytest.mark.slow
def test_vela_puts_the_whole_network_on_every_ethos_u(real: ProofJob) -> None:
    installed_version("ethosu")
    rows = matrix.prove(real.bundle, real.tensors, real.expected, targets=["ethos"])
    assert [row.target for row in rows] == list(ethos.NPUS)
    for row in rows:
        assert (row.kind, row.count, row.cosine_mean, row.top1) == ("estimated", 0, None, None)
        assert row.details["cpu_operators"] == {}
        # 16 blocks and the head: 33 convolutions, 16 depthwise ones, and the mean, which is one more.
        assert row.details["npu_operators"]["Conv2D"] == 33
        assert row.details["npu_operators"]["DepthwiseConv2D"] == 17
        assert 0.3e6 < row.details["sram_bytes"] < 2e6
        assert row.details["inference_seconds"] == pytest.approx(row.details["cycles"] / row.details["clock_hz"], rel=0.01)
    macs = 384e6  # of EfficientNet-Lite0; Vela cannot promise more per cycle than the NPU has
    for row in rows:
        assert row.details["cycles"] * int(row.target.rpartition("-")[2]) > macs


@pytest.mark.slow
def test_vela_counts_operators_on_the_cpu_and_rejects_a_broken_file(real: ProofJob) -> None:
    installed_version("ethosu")
    (float_,) = real.bundle.model(real.bundle.variant("tflite-fp32")).values()
    details = ethos.compile_for("ethos-u65-256", float_)
    assert details["npu_operators"] == {}
    assert sum(details["cpu_operators"].values()) > 50
    with pytest.raises(ExportError) as error:
        ethos.compile_for("ethos-u55-128", float_[: len(float_) // 2])
    assert (error.value.code, error.value.values) == ("vela-failed", {"npu": "ethos-u55-128"})


@pytest.mark.slow
def test_the_table_of_a_bundle_is_stored_and_shown(real: ProofJob) -> None:
    rows = matrix.prove(real.bundle, real.tensors, real.expected, targets=["native"])
    assert all(row.cosine_mean > 0.98 for row in rows)
    kept = {(row.target, row.variant) for row in Bundle.open(real.bundle.path).proofs}
    assert {(row.target, row.variant) for row in rows} <= kept
    assert Bundle.open(real.bundle.path).verify() > 6


def test_a_proof_names_its_photos() -> None:
    row = ("board", "onnx-int8", "chip 1", "measured")
    with pytest.raises(ValueError, match="numbers without photos"):
        Proof(*row, 0, 0.99, 0.98, None, {})
