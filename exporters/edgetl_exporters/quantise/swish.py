"""Replaces hard-swish and hard-sigmoid that are written as additions and products by HardSigmoid.

Exporters write `x * relu6(x + 3) / 6` in several orders. Quantised as they are, every step is rounded to 8 bits; as one operator they can
be recognised, scaled per channel (:mod:`edgetl_exporters.quantise.equalisation`) and fused by a runtime.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgetl.types import Array

_NEAR = 1e-3


def recognise(model: bytes) -> bytes:
    """The model with `clip(x + 3, 0, 6) / 6` as HardSigmoid, and `x` times that as a product of both.

    Args:
        model: an ONNX model whose constants are initialisers.
    """
    import onnx

    parsed = onnx.load_from_string(model)
    graph = parsed.graph
    reader = _Reader(graph)
    nodes: list[Any] = []
    for node in graph.node:
        swished, gated = reader.swish(node), reader.gate(node.output[0]) if node.output else None
        if swished is not None:
            inner = f"{node.output[0]}/gate"
            nodes += [_hard_sigmoid(swished, inner), onnx.helper.make_node("Mul", [swished, inner], list(node.output), name=node.name)]
        elif gated is not None:
            nodes.append(_hard_sigmoid(gated, node.output[0]))
        else:
            nodes.append(node)
    kept = _needed(nodes, {output.name for output in graph.output})
    del graph.node[:]
    graph.node.extend(kept)
    return bytes(parsed.SerializeToString())


def _hard_sigmoid(source: str, output: str) -> Any:
    import onnx

    return onnx.helper.make_node("HardSigmoid", [source], [output], name=f"{output}/HardSigmoid", alpha=1 / 6, beta=0.5)


def _needed(nodes: list[Any], wanted: set[str]) -> list[Any]:
    """The nodes that an output depends on, in their order."""
    kept = []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            kept.append(node)
    return kept[::-1]


class _Reader:
    """Finds from what a tensor is computed."""

    def __init__(self, graph: Any) -> None:
        from onnx import numpy_helper

        self._constants: dict[str, Array] = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self._makers = {name: node for node in graph.node for name in node.output}

    def swish(self, node: Any) -> str | None:
        """The x of a product that is hard-swish of x, else None."""
        if node.op_type != "Mul":
            return None
        for left, right in (tuple(node.input), tuple(node.input)[::-1]):
            source = self.gate(left)
            if source is not None and source == right:
                return source
            source = self._shifted(left)
            if source is not None and self._sixth(right) == source:
                return source
        return None

    def gate(self, tensor: str) -> str | None:
        """The x of which a tensor is the hard sigmoid, else None."""
        shifted = self._sixth(tensor)
        return None if shifted is None else self._shifted(shifted)

    def _shifted(self, tensor: str) -> str | None:
        """The x of clip(x + 3, 0, 6)."""
        node = self._makers.get(tensor)
        if node is None or node.op_type != "Clip" or len(node.input) < 3:
            return None
        if self._number(node.input[1]) != 0 or not _near(self._number(node.input[2]), 6):
            return None
        return self._operand(node.input[0], "Add", 3)

    def _sixth(self, tensor: str) -> str | None:
        """The x of x / 6."""
        return self._operand(tensor, "Mul", 1 / 6) or self._operand(tensor, "Div", 6)

    def _operand(self, tensor: str, kind: str, number: float) -> str | None:
        """The other operand of an operator of this kind with this number that computes a tensor, if any."""
        node = self._makers.get(tensor)
        if node is None or node.op_type != kind:
            return None
        left, right = node.input
        if _near(self._number(right), number):
            return str(left)
        return str(right) if kind != "Div" and _near(self._number(left), number) else None

    def _number(self, name: str) -> float | None:
        value = self._constants.get(name)
        return float(value.reshape(-1)[0]) if value is not None and value.size == 1 and value.dtype == np.float32 else None


def _near(value: float | None, number: float) -> bool:
    return value is not None and abs(value - number) <= _NEAR * number
