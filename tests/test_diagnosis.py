"""The int8 diagnosis and the adequacy of photos, on a network with planted defects."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_onnx
from edgetl_exporters import report
from edgetl_exporters.pictures import scenes
from edgetl_exporters.quantise import ranges
from edgetl_exporters.variants import adequacy, diagnosis
from onnx import TensorProto, helper, load_from_string

PHOTOS = scenes(60, tiny_onnx.SIDE, tiny_onnx.SIDE, seed=3)


def test_a_healthy_network_has_no_risk() -> None:
    result = diagnosis.diagnose(tiny_onnx.model(tiny_onnx.weights()), PHOTOS)
    assert result.healthy
    assert (result.layers, result.count, result.risks) == (4, diagnosis.PHOTOS, ())
    assert len(report.diagnosis(result)) == 1


def test_a_huge_depthwise_channel_is_named_with_its_ratio() -> None:
    result = diagnosis.diagnose(tiny_onnx.model(tiny_onnx.weights(huge=300)), PHOTOS)
    (risk,) = result.risks
    assert (risk.code, risk.layer, risk.serious, risk.values["depthwise"]) == ("uneven-channels", "depthwise", True, True)
    largest = ranges.read(tiny_onnx.model(tiny_onnx.weights(huge=300))).channels(PHOTOS[:8])["pointwise in"]
    assert risk.value == largest.max() / np.median(largest) > 100
    (line,) = report.diagnosis(result)
    assert f"{risk.value:.0f}" in line
    assert not result.healthy


def test_silent_channels_are_counted_and_alone_are_not_serious() -> None:
    result = diagnosis.diagnose(tiny_onnx.model(tiny_onnx.weights(dead=2)), PHOTOS)
    (risk,) = result.risks
    assert (risk.code, risk.layer, risk.value, risk.serious) == ("silent-channels", "depthwise", 2.0, False)
    assert result.healthy


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
    result = diagnosis.diagnose(model.SerializeToString(), PHOTOS)
    risks = {risk.code: risk for risk in result.risks}
    assert (risks["smooth-activations"].layer, risks["smooth-activations"].values["activation"]) == ("stem", "SiLU")
    largest = ranges.read(model.SerializeToString()).channels(PHOTOS[:8])["depthwise in"].max()
    assert risks["smooth-activations"].value == 255 * 0.2785 / (0.2785 + largest)
    assert risks["gates"].value == 1
    assert len(report.diagnosis(result)) == len(risks) + result.healthy
    assert model.graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8


def test_photos_like_the_others_are_enough_and_the_curve_equals_numpys() -> None:
    model = tiny_onnx.model(tiny_onnx.weights())
    result = adequacy.judge(model, np.concatenate([PHOTOS[:50], PHOTOS[:50]]), PHOTOS[:20])
    assert result.enough
    assert (result.photos, result.others, result.saturated, result.moved) == (100, 20, 0.0, 0.0)
    assert [count for count, _ in result.curve] == [25, 50, 100]
    extremes = ranges.read(model).extremes(PHOTOS[:50])
    place = [extremes.tensors.index(name) for name in ("depthwise in", "pointwise in", "head in", "embedding")]
    widths = [(extremes.high[:count].max(0) - extremes.low[:count].min(0))[place] for count in (25, 50)]
    assert result.curve[0][1] == pytest.approx((widths[0] / widths[1]).mean())
    assert "100" in report.adequacy(result)


def test_photos_darker_than_the_others_are_too_few_with_the_share_outside() -> None:
    model = tiny_onnx.model(tiny_onnx.weights())
    dark = (127 + (PHOTOS[:40].astype(int) - 127) // 8).astype(np.uint8)
    result = adequacy.judge(model, dark, PHOTOS[40:])
    assert not result.enough
    assert result.worst_saturated >= result.saturated > 0.05
    growing = np.concatenate([dark, PHOTOS[:40]])
    assert adequacy.judge(model, growing, PHOTOS[40:]).moved > 0.5
