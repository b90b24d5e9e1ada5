"""A small convolutional ONNX network written by hand, healthy or with a planted defect: uint8 [n, 16, 16, 3] in, float32 [n, 12] out."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgetl.types import Array

SIDE, WIDTH, DIM = 16, 8, 12
LAYERS = ("stem", "depthwise", "pointwise", "head")


def weights(*, huge: float = 1.0, dead: int = 0) -> dict[str, Array]:
    """The four layers' weights: Gaussian, but one channel of `depthwise` is `huge` times as large, and `dead` channels are near zero.

    `pointwise`, which reads that channel, divides by the same factor, so the float network does not depend on `huge`.
    """
    random = np.random.default_rng(0)
    layers = {
        "stem": random.normal(0, 1 / 300, (WIDTH, 3, 3, 3)),
        "depthwise": random.normal(0, 1 / 3, (WIDTH, 1, 3, 3)),
        "pointwise": random.normal(0, 1, (WIDTH, WIDTH, 1, 1)),
        "head": random.normal(0, 1, (DIM, WIDTH, 1, 1)),
    }
    layers["depthwise"][3] = np.abs(layers["depthwise"][3]) * huge  # so that the ReLU passes it
    layers["pointwise"][:, 3] /= huge
    layers["depthwise"][:dead] *= 1e-9
    return {name: weight.astype(np.float32) for name, weight in layers.items()}


def model(layers: dict[str, Array]) -> bytes:
    """The network of these weights."""
    from onnx import TensorProto, helper, numpy_helper

    constants = [numpy_helper.from_array(weight, f"{name}.weight") for name, weight in layers.items()]
    constants += [
        numpy_helper.from_array(np.array(127, np.float32), "mean"),
        numpy_helper.from_array(np.array([2, 3]), "places"),
        numpy_helper.from_array(np.array([0, -1]), "flat"),
    ]
    nodes = [
        helper.make_node("Cast", ["image"], ["real"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Sub", ["real", "mean"], ["centred"], "sub"),
        helper.make_node("Transpose", ["centred"], ["stem in"], "transpose", perm=[0, 3, 1, 2]),
    ]
    names = list(layers)
    for name, after in zip(names, [*names[1:], None]):
        kernel = layers[name].shape[2]
        settings: dict[str, Any] = {"pads": [kernel // 2] * 4, "group": WIDTH if name == "depthwise" else 1}
        nodes.append(helper.make_node("Conv", [f"{name} in", f"{name}.weight"], [f"{name} out"], name, **settings))
        if after:
            nodes.append(helper.make_node("Relu", [f"{name} out"], [f"{after} in"], f"{name} relu"))
    nodes.append(helper.make_node("ReduceMean", [f"{names[-1]} out", "places"], ["pooled"], "pool", keepdims=1))
    nodes.append(helper.make_node("Reshape", ["pooled", "flat"], ["embedding"], "flatten"))
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", SIDE, SIDE, 3])
    embedding = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", len(layers[names[-1]])])
    graph = helper.make_graph(nodes, "tiny", [image], [embedding], constants)
    return bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9).SerializeToString())
