"""Equalisation: channels are scaled without changing the function, and rounding loses less."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import tiny_onnx
import torch
from edgetl_exporters import pictures, report
from edgetl_exporters.convert.onnx_to_torch import OnnxModule
from edgetl_exporters.pictures import scenes
from edgetl_exporters.quantise import calibration, equalisation, ranges, swish
from edgetl_exporters.sources.file_source import FileSource
from edgetl_exporters.sources.options import FileOptions
from edgetl_exporters.variants.maker import Maker
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from edgetl.errors import ExportError
from edgetl.inputs.photo import preprocess
from edgetl.inputs.photo.source import load
from edgetl.types import Array

PHOTOS = scenes(30, tiny_onnx.SIDE, tiny_onnx.SIDE, seed=3)
SWISHES = {
    "half and shift": [
        ("Mul", ["x", "sixth"], "a"),
        ("Add", ["x", "three"], "b"),
        ("Clip", ["b", "zero", "six"], "c"),
        ("Mul", ["a", "c"], "y"),
    ],
    "gate first": [("Add", ["three", "x"], "b"), ("Clip", ["b", "zero", "six"], "c"), ("Div", ["c", "six"], "d"), ("Mul", ["x", "d"], "y")],
    "operator": [("HardSwish", ["x"], "y")],
}


def run(model: bytes, photos: Array = PHOTOS) -> Array:
    opened = ranges.session(model)
    return np.concatenate([opened.run(None, {opened.get_inputs()[0].name: photo[None]})[0] for photo in photos])


def swished(written: str, *, shift: float = 3.0) -> bytes:
    """The tiny network with a hard-swish behind `stem`, written out in one of several orders."""
    network = onnx.load_from_string(tiny_onnx.model(tiny_onnx.weights()))
    graph = network.graph
    numbers = {"three": shift, "zero": 0.0, "six": 6.0, "sixth": 1 / 6}
    graph.initializer.extend(numpy_helper.from_array(np.float32(value), name) for name, value in numbers.items())
    names = {"x": "stem out", "y": "depthwise in"}
    nodes = [
        helper.make_node(kind, [names.get(name, name) for name in read], [names.get(output, output)], output)
        for kind, read, output in SWISHES[written]
    ]
    kept = [new for node in graph.node for new in (nodes if node.name == "stem relu" else [node])]
    kept = [type(node).FromString(node.SerializeToString()) for node in kept]
    del graph.node[:]
    graph.node.extend(kept)
    return bytes(network.SerializeToString())


@pytest.mark.parametrize("written", SWISHES)
def test_hard_swish_is_recognised_in_every_order_and_its_channels_are_scaled(written: str) -> None:
    model = swished(written)
    kinds = [node.op_type for node in onnx.load_from_string(swish.recognise(ranges.read(model).model)).graph.node]
    assert (kinds.count("HardSigmoid"), kinds.count("Clip")) == (1, 0)
    equalised = equalisation.equalise(model, PHOTOS)
    assert [layer.nodes[0].endswith(".line") for layer in ranges.read(equalised).layers] == [False, True, False, False, False]
    np.testing.assert_allclose(run(equalised), run(model), rtol=1e-3, atol=1e-5)


def test_a_function_that_is_not_hard_swish_does_not_change() -> None:
    model = swished("half and shift", shift=2.5)
    assert "HardSigmoid" not in {node.op_type for node in onnx.load_from_string(swish.recognise(model)).graph.node}


@settings(max_examples=10, deadline=None)
@given(factors=st.lists(st.floats(0.02, 50), min_size=tiny_onnx.WIDTH, max_size=tiny_onnx.WIDTH))
def test_a_planted_imbalance_is_repaired_without_changing_the_function(factors: list[float]) -> None:
    weights = tiny_onnx.weights()
    scale = np.array(factors, np.float32)
    weights["stem"] *= scale[:, None, None, None]
    weights["depthwise"] /= scale[:, None, None, None]
    model = tiny_onnx.model(weights)
    equalised = equalisation.equalise(model, PHOTOS)
    np.testing.assert_allclose(run(equalised), run(model), rtol=1e-3, atol=1e-5)
    spans = [reach(each)["depthwise in"] for each in (model, equalised)]
    before, after = (span.max() / np.median(span) for span in spans)
    assert after <= max(1.3, before)


def reach(model: bytes) -> dict[str, Array]:
    """Tensor -> the largest value of each channel."""
    float_ = ranges.read(model)
    names = float_.maps()
    runs = [np.asarray(part) for part in zip(*float_.statistics(names, PHOTOS))]
    return {name: runs[4 * i + 1].max(0) for i, name in enumerate(names)}


def test_statistics_equal_numpys() -> None:
    model = tiny_onnx.model(tiny_onnx.weights())
    float_ = ranges.read(model)
    values = next(float_.statistics(["depthwise out"], PHOTOS[:1]))
    shown = onnx.load_from_string(float_.model)
    del shown.graph.output[:]
    shown.graph.output.append(helper.make_empty_tensor_value_info("depthwise out"))
    (expected,) = ranges.session(shown.SerializeToString()).run(None, float_.feed(PHOTOS[0]))
    by_channel = expected[0].reshape(tiny_onnx.WIDTH, -1)
    for value, oracle in zip(values, (by_channel.min(1), by_channel.max(1), by_channel.mean(1), (by_channel**2).mean(1))):
        np.testing.assert_allclose(value, oracle, rtol=1e-4, atol=1e-6)


def test_rounded_weights_lie_on_their_grid_and_the_mean_output_stays() -> None:
    weight = np.random.default_rng(1).normal(0, 1 / 100, (tiny_onnx.WIDTH, 3, 1, 1)).astype(np.float32)
    weight[2] = 0
    float_ = tiny_onnx.model({"stem": weight})
    result = equalisation.correct(float_, PHOTOS[: equalisation.PHOTOS], 15)
    rows = next(numpy_helper.to_array(t) for t in onnx.load_from_string(result).graph.initializer if t.name == "stem.weight").reshape(-1, 3)
    steps = rows / np.maximum(np.abs(rows).max(1, keepdims=True), 1e-12) * 15
    np.testing.assert_allclose(steps, steps.round(), atol=1e-3)
    moved = (run(result) - run(float_))[: equalisation.PHOTOS]
    assert np.abs(moved).max() > 1e-3
    np.testing.assert_allclose(moved.mean(0), 0, atol=1e-5)


def test_a_silent_channels_step_is_large_enough_for_its_bias() -> None:
    weight = np.random.default_rng(1).normal(0, 1 / 100, (tiny_onnx.WIDTH, 3, 1, 1)).astype(np.float32)
    weight[4] = 1e-12
    model = onnx.load_from_string(tiny_onnx.model({"stem": weight}))
    model.graph.initializer.append(numpy_helper.from_array(np.full(tiny_onnx.WIDTH, 5, np.float32), "bias"))
    next(node for node in model.graph.node if node.op_type == "Conv").input.append("bias")
    float_ = model.SerializeToString()
    result = equalisation.correct(float_, PHOTOS)
    rows = next(numpy_helper.to_array(t) for t in onnx.load_from_string(result).graph.initializer if t.name == "stem.weight").reshape(-1, 3)
    assert 5 / (np.abs(rows[4]).max() / 127 * 1.0) < 2**31, "pixels have a step of about 1"
    np.testing.assert_allclose(run(result)[:, 4], run(float_)[:, 4], atol=1e-2)


@pytest.mark.slow
def test_the_torch_module_of_a_network_equals_onnxruntime() -> None:
    for model in (swished("gate first"), swished("operator"), equalisation.equalise(swished("gate first"), PHOTOS)):
        module = OnnxModule(model, "tiny.onnx").eval()
        with torch.inference_mode():
            equalised = module(torch.from_numpy(PHOTOS.astype(np.float32))).numpy()
        np.testing.assert_allclose(equalised, run(model), rtol=1e-3, atol=1e-4)
    unknown = onnx.load_from_string(swished("operator"))
    next(node for node in unknown.graph.node if node.op_type == "Relu").op_type = "Softplus"
    with pytest.raises(ExportError) as error:
        OnnxModule(unknown.SerializeToString(), "tiny.onnx")
    assert (error.value.code, error.value.values) == ("operator-unknown", {"path": "tiny.onnx", "operators": ["Softplus"]})


FILES = {
    "mobilenet_v2_float_logits.onnx": ({"cut": "auto", "mean": (127.5,), "std": (127.5,)}, 0.985),
    "mobilenet_v3_coco_224.onnx": ({"mean": (0.0,), "std": (1.0,)}, 0.97),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_int8_of_a_real_network_stays_near_with_two_layers_in_float_at_most(name: str, data: Path) -> None:
    options, least = FILES[name]
    source = FileSource(data / "weights" / name, FileOptions(**options))
    photos_used = calibration.collect(data / "imagenet-sample", source.image)
    model = ranges.read(source.network(source.recipe("onnx", "int8"))).model  # type: ignore[arg-type]
    equalised = equalisation.equalise(model, photos_used.tensors)
    np.testing.assert_allclose(run(equalised, photos_used.held_back[:4]), run(model, photos_used.held_back[:4]), rtol=0.05, atol=0.05)
    self_test = np.stack([preprocess.tensor(load(chart), source.image) for chart in pictures.charts()])
    maker = Maker(source, photos_used, self_test, 0)
    for format_ in ("onnx", "openvino", "tflite"):
        _, row = maker.make(source.recipe(format_, "int8"))
        assert row.parity is not None
        assert row.search is not None
        assert row.parity.cosine_mean >= least, (format_, report.search_table(row.search))
        assert len(row.search.floats) <= 2, report.search_table(row.search)
