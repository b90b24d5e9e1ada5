"""The doctor and the adequacy of photos, on a network with planted pathologies."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_onnx
from edgetl_exporters.pictures import scenes
from edgetl_exporters.quantise import ranges
from edgetl_exporters.variants import adequacy, diagnosis
from onnx import TensorProto, helper, load_from_string

PHOTOS = scenes(60, tiny_onnx.SIDE, tiny_onnx.SIDE, seed=3)


def test_a_healthy_network_is_called_healthy() -> None:
    found = diagnosis.diagnose(tiny_onnx.model(tiny_onnx.weights()), PHOTOS)
    assert found.healthy
    assert (found.layers, found.count, found.findings) == (4, diagnosis.PHOTOS, ())
    assert found.lines() == ["nothing in its 4 layers speaks against int8 (looked at with 8 photos)"]


def test_a_huge_depthwise_channel_is_named_with_its_ratio() -> None:
    found = diagnosis.diagnose(tiny_onnx.model(tiny_onnx.weights(huge=300)), PHOTOS)
    (finding,) = found.findings
    assert (finding.cause, finding.layer, finding.serious) == ("uneven channels", "depthwise", True)
    largest = ranges.read(tiny_onnx.model(tiny_onnx.weights(huge=300))).channels(PHOTOS[:8])["pointwise in"]
    assert finding.value == largest.max() / np.median(largest) > 100
    assert f"depthwise layer depthwise: its largest channel reaches {finding.value:.0f} times as far" in finding.sentence
    assert not found.healthy


def test_dead_channels_are_counted_where_they_are_and_alone_do_not_speak_against_int8() -> None:
    found = diagnosis.diagnose(tiny_onnx.model(tiny_onnx.weights(dead=2)), PHOTOS)
    (finding,) = found.findings
    assert (finding.cause, finding.layer, finding.value, finding.serious) == ("silent channels", "depthwise", 2.0, False)
    assert found.healthy


def test_silu_and_a_gate_are_seen_in_the_graph() -> None:
    model = load_from_string(tiny_onnx.model(tiny_onnx.weights()))
    nodes = {node.name: node for node in model.graph.node}
    relu = nodes["stem relu"]
    silu = [
        helper.make_node("Sigmoid", [relu.input[0]], ["gate"], "sigmoid"),
        helper.make_node("Mul", [relu.input[0], "gate"], list(relu.output), "silu"),
    ]
    place = list(model.graph.node).index(relu)
    model.graph.node.remove(relu)
    for node in reversed(silu):
        model.graph.node.insert(place, node)
    # A pooled map goes into the last layer, as in squeeze-and-excitation.
    pool = helper.make_node("ReduceMean", ["head in", "places"], ["squeezed"], "squeeze", keepdims=1)
    model.graph.node.insert(list(model.graph.node).index(nodes["head"]), pool)
    nodes["head"].input[0] = "squeezed"
    found = {finding.cause: finding for finding in diagnosis.diagnose(model.SerializeToString(), PHOTOS).findings}
    assert found["smooth activations"].layer == "stem"
    largest = ranges.read(model.SerializeToString()).channels(PHOTOS[:8])["depthwise in"].max()
    assert found["smooth activations"].value == 255 * 0.2785 / (0.2785 + largest)
    assert found["gates"].value == 1
    assert model.graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8


def test_photos_like_the_others_are_enough_and_the_curve_is_what_numpy_finds() -> None:
    model = tiny_onnx.model(tiny_onnx.weights())
    found = adequacy.judge(model, np.concatenate([PHOTOS[:50], PHOTOS[:50]]), PHOTOS[:20])
    assert found.enough
    assert (found.photos, found.others, found.saturated, found.moved) == (100, 20, 0.0, 0.0)
    assert [count for count, _ in found.curve] == [25, 50, 100]
    extremes = ranges.read(model).extremes(PHOTOS[:50])
    place = [extremes.tensors.index(name) for name in ("depthwise in", "pointwise in", "head in", "embedding")]
    widths = [(extremes.high[:count].max(0) - extremes.low[:count].min(0))[place] for count in (25, 50)]
    assert found.curve[0][1] == pytest.approx((widths[0] / widths[1]).mean())
    assert str(found).startswith("100 calibration photos are enough: ")


def test_photos_darker_than_the_others_are_too_few_and_what_lies_outside_is_counted() -> None:
    model = tiny_onnx.model(tiny_onnx.weights())
    dark = (127 + (PHOTOS[:40].astype(int) - 127) // 8).astype(np.uint8)
    found = adequacy.judge(model, dark, PHOTOS[40:])
    assert not found.enough
    assert found.worst_saturated >= found.saturated > 0.05
    assert "give more, and more different ones" in str(found)
    growing = np.concatenate([dark, PHOTOS[:40]])
    assert adequacy.judge(model, growing, PHOTOS[40:]).moved > 0.5
