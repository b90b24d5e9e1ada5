"""Providers and delegates: the requested one computes, and what it leaves to others is counted or an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
from hypothesis import given
from hypothesis import strategies as st
from pictures import encoded, picture
from raising import raises

from edgetl import Bundle, ImageSpec
from edgetl.bundle import writer
from edgetl.embedding.embedder import Embedder
from edgetl.errors import RuntimeUnavailable
from edgetl.inputs.photo.preprocess import tensor
from edgetl.inputs.photo.source import PhotoSource
from edgetl.runtimes import FAMILIES, litert, onnxruntime, open_runtime, providers

BATCH = np.random.default_rng(1).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle with one variant of each library."""
    photo, spec = encoded(picture(seed=9)), ImageSpec(8, 8, 9)
    tensors = tensor(PhotoSource("self-test image", photo), spec)[None]
    variants = []
    for name, case in {"openvino-fp32": "openvino", "onnx-fp32": "onnxruntime", "tflite-fp32": "litert float"}.items():
        family, files, _ = tiny_models.ALL[case]
        embeddings = open_runtime(family, files(), 1).embed(tensors)
        variants.append(writer.NewVariant(name, name.split("-")[0], "fp32", files(), {"name": "tiny"}, None, embeddings))
    return writer.write(
        tmp_path_factory.mktemp("tiny") / "tiny.edgetl", backbone={"name": "tiny"}, input=spec, dim=tiny_models.DIM, calibration=None,
        self_test_inputs=[photo], self_test_tensors=tensors, variants=variants,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _no_preference(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("EDGETL_RUNTIME", providers.VARIABLE):
        monkeypatch.delenv(variable, raising=False)


def test_the_table_knows_every_family_and_every_execution_provider() -> None:
    assert set(providers.PROVIDERS) == set(FAMILIES)
    assert providers.PROVIDERS["onnxruntime"] == tuple(onnxruntime.EXECUTION)


@pytest.mark.parametrize("kind", ["float", "int8", "uint8"])
def test_xnnpack_and_the_kernels_built_in_compute_the_same_model(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    results = {}
    for name in providers.PROVIDERS["litert"]:
        monkeypatch.setenv(providers.VARIABLE, name)
        runtime = open_runtime("litert", tiny_models.tflite(kind), 1)
        assert runtime.provider == name
        results[name] = runtime.embed(BATCH)
    np.testing.assert_allclose(results["builtin"], results["xnnpack"], atol=1e-5 if kind == "float" else 4 / 255 + 1e-6)
    np.testing.assert_allclose(results["builtin"], tiny_models.expected(BATCH), atol=0.03)


def test_a_model_that_a_delegate_shares_is_marked_mixed() -> None:
    """XNNPACK casts no integers to floats, and computes the other two operators of this model."""
    assert open_runtime("litert", tiny_models.tflite("float"), 1).placement == "mixed 2/3 operators"
    assert open_runtime("litert", tiny_models.tflite("int8"), 1).placement == providers.ALL
    graph = tiny_models._Graph()
    pixels, embedding = graph.tensor([1, 8, 8, 3], "UINT8"), graph.tensor([1, 8, 8, 3], "FLOAT32")
    graph.operator("CAST", [pixels], [embedding], "CastOptions", inDataType="UINT8", outDataType="FLOAT32")
    left = {"cast.tflite": graph.pack(pixels, embedding)}
    runtime = open_runtime("litert", left, 1)
    assert (runtime.provider, runtime.placement) == ("builtin", providers.ALL)
    with raises(RuntimeUnavailable, "provider-missing", provider="xnnpack"):
        litert.Model(left, 1, "xnnpack")


def test_a_real_model_that_xnnpack_shares_is_counted_by_the_operators_of_its_file(data: Path) -> None:
    from ai_edge_litert import schema_py_generated as schema

    for path in (data / "coral").glob("*.tflite"):
        content = path.read_bytes()
        operators = schema.Model.GetRootAsModel(content, 0).Subgraphs(0).OperatorsLength()
        placement = open_runtime("litert", {"model.tflite": content}).placement
        assert placement.startswith("mixed ")
        assert placement.endswith(f"/{operators} operators")


@given(st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, 30), min_size=1, max_size=3)), min_size=1, max_size=12), st.data())
def test_the_operators_of_a_delegate_are_counted_by_construction(drawn: list[tuple[bool, list[int]]], data: st.DataObject) -> None:
    """Operator i makes tensor i + 1 of tensors that are there; each run of taken neighbours is a delegate of its own, as TFLite has it."""
    operators: list[dict[str, Any]] = []
    for number, (_, wanted) in enumerate(drawn):
        inputs = {number, *(drawn_input % (number + 1) for drawn_input in wanted)}  # the one before it, so that none is idle
        operators.append({"op_name": "ADD", "inputs": np.array(sorted(inputs)), "outputs": np.array([number + 1])})
    nodes = list(operators)
    start = 0
    while start < len(drawn):
        end = start
        while end < len(drawn) and drawn[end][0]:
            end += 1
        if end > start:
            inside = {number + 1 for number in range(start, end)}
            used = {int(tensor) for operator in operators[start:end] for tensor in operator["inputs"]}
            asked = {int(tensor) for operator in operators[end:] for tensor in operator["inputs"]} | {len(drawn)}
            nodes.append({"op_name": "DELEGATE", "inputs": np.array(sorted(used - inside)), "outputs": np.array(sorted(inside & asked))})
        start = max(end, start + 1)
    assert litert.delegated(nodes) == (sum(taken for taken, _ in drawn), len(drawn))


@pytest.mark.parametrize("name", [name for name in onnxruntime.EXECUTION if name != "cpu"])
def test_an_execution_provider_that_is_not_built_in_is_an_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = onnxruntime.EXECUTION[name][0]
    if wanted in onnxruntime.library().get_available_providers():
        pytest.skip(f"this onnxruntime has {wanted}: this is about one without it")
    monkeypatch.setenv(providers.VARIABLE, name)
    with raises(RuntimeUnavailable, "provider-missing", provider=name):
        open_runtime("onnxruntime", tiny_models.onnx(), 1)


@pytest.mark.parametrize("name", ["gpu", "npu"])
def test_a_missing_openvino_device_is_an_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import openvino

    if any(device.startswith(name.upper()) for device in openvino.Core().available_devices):
        pytest.skip(f"this machine has an {name.upper()}: this is about one without it")
    monkeypatch.setenv(providers.VARIABLE, name)
    with raises(RuntimeUnavailable, "provider-missing", provider=name):
        open_runtime("openvino", tiny_models.openvino(), 1)


def test_openvino_uses_the_requested_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(providers.VARIABLE, "cpu")
    runtime = open_runtime("openvino", tiny_models.openvino(), 1)
    assert (runtime.provider, runtime.placement) == ("cpu", providers.ALL)


@pytest.mark.parametrize(
    ("family", "name", "families"),
    [
        ("litert", "cuda", ["onnxruntime"]),
        ("openvino", "builtin", ["litert"]),
        ("fake", "xnnpack", ["litert", "onnxruntime"]),
        ("onnxruntime", "vulkan", []),
    ],
)
def test_a_provider_of_another_runtime_is_an_error_and_not_ignored(family: str, name: str, families: list[str], monkeypatch) -> None:
    monkeypatch.setenv(providers.VARIABLE, name)
    with raises(RuntimeUnavailable, "provider-unknown", provider=name, runtime=family, families=families):
        open_runtime(family, {"model": b""}, 1)


@pytest.mark.parametrize(("name", "variant"), [("xnnpack", "tflite-fp32"), ("builtin", "tflite-fp32"), ("cpu", "onnx-fp32")])
def test_a_provider_chooses_the_runtime_that_has_it(tiny: Bundle, monkeypatch: pytest.MonkeyPatch, name: str, variant: str) -> None:
    monkeypatch.setenv(providers.VARIABLE, name)
    embedder = Embedder.open(tiny)
    assert (embedder.variant.name, embedder.runtime.provider) == (variant, name)


def test_a_provider_that_cannot_be_had_is_an_error_at_open(tiny: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(providers.VARIABLE, "vulkan")
    with raises(RuntimeUnavailable, "provider-unknown", provider="vulkan", families=[]):
        Embedder.open(tiny)
    monkeypatch.setenv(providers.VARIABLE, "builtin")
    with raises(RuntimeUnavailable, "provider-unknown", provider="builtin", runtime="onnxruntime"):
        Embedder.open(tiny, variant="onnx-fp32")
    monkeypatch.setenv("EDGETL_RUNTIME", "openvino")
    with raises(RuntimeUnavailable, "provider-unknown", provider="builtin", runtime="openvino"):
        Embedder.open(tiny)
