"""TFLite: the head as built-in operators behind the embedding, and uint8 pixels in front of it.

The head always computes in float32, on the dequantised embedding that it was trained on, so the answers are the same. All operators except
DEQUANTIZE have version 1, so that tflite-runtime 2.14 runs them too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgetl.types import Array
from edgetl_exporters.files import tflite
from edgetl_exporters.fused.classes import INPUT, OUTPUT, Classes

EXPECTS = "The head's few operators compute in float32, on the CPU if an accelerator computes the backbone in integers."
_TINY = 1e-30
"""Least argument of the square root: x / sqrt(|x|) is the signed root, and zero stays zero. (SIGN is newer than most runtimes.)"""
_STEPS = 2.0**24
"""Resolution of a float32 in [0, 1], as an integer."""
_DEQUANTIZE = {"uint8": 1, "int8": 2, "int16": 3, "float16": 3}
"""Input type -> the operator's version (tensorflow/lite/tools/versioning/op_version.cc)."""


def append(files: Mapping[str, bytes], head: Classes, *, integers: bool = False) -> dict[str, bytes]:
    """The model with uint8 [1, h, w, 3] in and the output `probabilities` [1, c] instead of its embedding.

    Args:
        files: the model's one file.
        head: the head.
        integers: the output is int32 q with p = q / 2^24, instead of float32 p.
    """
    ((name, content),) = files.items()
    model = tflite.read(content, name)
    nodes = _Nodes(tflite.TfliteGraph(model, file=name))
    nodes.take_pixels()
    row = nodes.add("L2_NORMALIZATION", [_powers(nodes, nodes.embedding(), head)], head.dim, "L2NormOptions")
    classes = len(head.labels)
    logits = nodes.add("FULLY_CONNECTED", [row, *map(nodes.constant, head.layer())], classes, "FullyConnectedOptions")
    probabilities = nodes.add("SOFTMAX", [logits], classes, "SoftmaxOptions", beta=1.0)
    if integers:
        probabilities = nodes.integers(nodes.add("MUL", [probabilities, nodes.scalar(_STEPS)], classes, "MulOptions"), classes)
    nodes.finish(probabilities)
    return {name: tflite.pack(model)}


def _powers(nodes: _Nodes, embedding: int, head: Classes) -> int:
    if head.rooted == head.dim:
        return _roots(nodes, embedding, head.dim)
    before, size = head.dim - head.rooted, head.rooted
    first, last = nodes.slice(embedding, 0, before), nodes.slice(embedding, before, size)
    roots = nodes.add("L2_NORMALIZATION", [_roots(nodes, last, size)], size, "L2NormOptions")
    squares = nodes.add("MUL", [last, last], size, "MulOptions")
    total = nodes.add("SUM", [squares, nodes.constant(np.array([1], np.int32))], 1, "ReducerOptions", keepDims=True)
    scaled = nodes.add("MUL", [roots, nodes.add("SQRT", [total], 1)], size, "MulOptions")
    return nodes.add("CONCATENATION", [first, scaled], head.dim, "ConcatenationOptions", axis=1)


def _roots(nodes: _Nodes, values: int, size: int) -> int:
    sizes = nodes.add("MAXIMUM", [nodes.add("ABS", [values], size, "AbsOptions"), nodes.scalar(_TINY)], size, "MaximumMinimumOptions")
    return nodes.add("DIV", [values, nodes.add("SQRT", [sizes], size)], size, "DivOptions")


class _Nodes:
    """Adds operators on rows [1, size] behind a graph."""

    def __init__(self, graph: tflite.TfliteGraph) -> None:
        self._graph = graph

    def take_pixels(self) -> None:
        """Makes uint8 pixels the input: most programs that run classifiers have nothing else, and MediaPipe does not take int8."""
        graph = self._graph
        source = int(graph.raw.inputs[0])
        kind = graph.dtype(source)
        if kind == "uint8":
            return
        integer = kind == "int8"
        image = graph.tensor(INPUT, [int(size) for size in graph.raw.tensors[source].shape], "uint8", scale=1.0 if integer else ())
        if integer:
            graph.operator("QUANTIZE", [image], [source], "QuantizeOptions", first=True)
        else:
            ends = {"inDataType": graph.raw.tensors[image].type, "outDataType": graph.raw.tensors[source].type}
            graph.operator("CAST", [image], [source], "CastOptions", first=True, **ends)
        graph.raw.inputs = [image]

    def embedding(self) -> int:
        """The embedding in float32."""
        output = int(self._graph.raw.outputs[0])
        kind = self._graph.dtype(output)
        if kind == "float32":
            return output
        return self.add("DEQUANTIZE", [output], self._graph.shape(output)[-1], "DequantizeOptions", version=_DEQUANTIZE[kind])

    def add(self, opcode: str, inputs: list[int], size: int, options: str = "", **values: Any) -> int:
        """Adds an operator; returns the float32 tensor [1, size] that it makes."""
        output = self._graph.tensor(f"head/{opcode.lower()}", [1, size], "float32")
        self._graph.operator(opcode, inputs, [output], options, **values)
        return output

    def slice(self, values: int, start: int, size: int) -> int:
        """`size` columns from `start` on."""
        limits = [self.constant(np.array(limit, np.int32)) for limit in ((0, start), (1, size))]
        return self.add("SLICE", [values, *limits], size, "SliceOptions")

    def integers(self, values: int, size: int) -> int:
        """Whole numbers as int32, marked as steps of 1 / 2^24."""
        output = self._graph.tensor(OUTPUT, [1, size], "int32", scale=1 / _STEPS)
        ends = {"inDataType": self._graph.raw.tensors[values].type, "outDataType": self._graph.raw.tensors[output].type}
        self._graph.operator("CAST", [values], [output], "CastOptions", **ends)
        return output

    def constant(self, values: Array) -> int:
        """Adds an array."""
        return self._graph.constant("head/constant", values)

    def scalar(self, value: float) -> int:
        """Adds a number."""
        return self.constant(np.array([value], np.float32))

    def finish(self, output: int) -> None:
        """Makes this tensor the only output."""
        self._graph.raw.tensors[output].name = OUTPUT
        self._graph.raw.outputs = [output]
        self._graph.sign(INPUT, OUTPUT)
