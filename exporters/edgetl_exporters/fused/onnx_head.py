"""ONNX: the head as nodes behind the embedding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgetl.types import Array
from edgetl_exporters.fused.classes import OUTPUT, Classes

_AXES_ARE_AN_INPUT = 18
"""The opset from which ReduceL2 takes its axes as an input (https://onnx.ai/onnx/operators/onnx__ReduceL2.html)."""


def append(files: Mapping[str, bytes], head: Classes) -> dict[str, bytes]:
    """The model with the output `probabilities` float32 [n, c] instead of its embedding; the input does not change.

    Args:
        files: the model's one file.
        head: the head.
    """
    import onnx

    ((name, content),) = files.items()
    model = onnx.load_from_string(content)
    nodes = _Nodes(model)
    (embedding,) = model.graph.output
    batch = embedding.type.tensor_type.shape.dim[0]
    real = embedding.name
    if embedding.type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
        real = nodes.add("Cast", real, to=onnx.TensorProto.FLOAT)
    rows = nodes.add("LpNormalization", _powers(nodes, real, head), axis=1, p=2)
    weight, bias = head.layer()
    logits = nodes.add("Gemm", rows, nodes.constant("weight", weight), nodes.constant("bias", bias), transB=1)
    nodes.add("Softmax", logits, output=OUTPUT, axis=1)
    probabilities = onnx.helper.make_tensor_value_info(OUTPUT, onnx.TensorProto.FLOAT, ["batch", len(head.labels)])
    probabilities.type.tensor_type.shape.dim[0].CopyFrom(batch)
    del model.graph.output[:]
    model.graph.output.append(probabilities)
    onnx.checker.check_model(model)
    return {name: model.SerializeToString()}


def _powers(nodes: _Nodes, embedding: str, head: Classes) -> str:
    if head.rooted == head.dim:
        return _roots(nodes, embedding)
    first, last = (nodes.slice(embedding, *ends) for ends in ((0, head.dim - head.rooted), (head.dim - head.rooted, head.dim)))
    roots = nodes.add("LpNormalization", _roots(nodes, last), axis=1, p=2)
    return nodes.add("Concat", first, nodes.add("Mul", roots, nodes.length(last)), axis=1)


def _roots(nodes: _Nodes, values: str) -> str:
    return nodes.add("Mul", nodes.add("Sign", values), nodes.add("Sqrt", nodes.add("Abs", values)))


class _Nodes:
    """Adds nodes behind a graph, with unique names."""

    def __init__(self, model: Any) -> None:
        self._graph = model.graph
        self._opset = next(opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx"))

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: int) -> str:
        """Adds a node and returns the name of its output."""
        import onnx

        result = output or f"head/{kind}_{len(self._graph.node)}"
        self._graph.node.append(onnx.helper.make_node(kind, list(inputs), [result], name=result, **attributes))
        return result

    def constant(self, name: str, values: Array) -> str:
        """Adds an array and returns its name."""
        from onnx import numpy_helper

        result = f"head/{name}_{len(self._graph.initializer)}"
        self._graph.initializer.append(numpy_helper.from_array(values, result))
        return result

    def slice(self, values: str, start: int, end: int) -> str:
        """Columns from `start` to `end` of [n, d]."""
        limits = (self.constant(name, np.array([number], np.int64)) for name, number in (("from", start), ("to", end), ("axis", 1)))
        return self.add("Slice", values, *limits)

    def length(self, values: str) -> str:
        """The L2 norm of each row, [n, 1]."""
        if self._opset < _AXES_ARE_AN_INPUT:
            import onnx

            result = f"head/ReduceL2_{len(self._graph.node)}"
            self._graph.node.append(onnx.helper.make_node("ReduceL2", [values], [result], name=result, axes=[1], keepdims=1))
            return result
        return self.add("ReduceL2", values, self.constant("axes", np.array([1], np.int64)), keepdims=1)
