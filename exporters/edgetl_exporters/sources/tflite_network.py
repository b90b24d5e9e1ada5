"""A .tflite file from anywhere as a backbone: cut before its last layer, with pixels as its new input."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgetl.types import Array
from edgetl_exporters import metadata
from edgetl_exporters.errors import file_error
from edgetl_exporters.files import tflite
from edgetl_exporters.files.tflite import TfliteGraph

_BEHIND = ("SOFTMAX", "LOG_SOFTMAX", "LOGISTIC", "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "QUANTIZE", "DEQUANTIZE")
"""Operators that may follow a classifier, because they neither add nor mix values."""

_PROBABILITIES = ("SOFTMAX", "LOG_SOFTMAX")
_LINEAR = ("FULLY_CONNECTED", "CONV_2D")
_INTEGERS = ("int8", "uint8", "int16", "int4")
_NEAR = 1.01
"""Largest difference, gray levels, of a quantised input from the pixel for which the pixel itself is used."""


class TfliteNetwork:
    """One file; cut and with pixels as its input, it becomes a backbone.

    Attributes: as of :class:`edgetl_exporters.sources.onnx_network.OnnxNetwork`; `precision` may also be `fp16`.
    """

    def __init__(self, content: bytes, name: str) -> None:
        """Reads a file.

        Raises:
            ExportError: `file-damaged`, `weights-nan`, `several-inputs`, `no-output`, `input-type` or `input-shape`.
        """
        self.name, model = name, tflite.read(content, name)
        self._graph = TfliteGraph(model, 0, name)
        inputs, outputs = self._graph.raw.inputs, self._graph.raw.outputs
        if len(inputs) != 1:
            names = ", ".join(repr(self._graph.name(number)) for number in inputs) or "none"
            raise file_error(
                name,
                f"has {len(inputs)} inputs ({names}), expected one, the photo",
                code="several-inputs", inputs=[self._graph.name(number) for number in inputs],
            )  # fmt: skip
        if not len(outputs):
            raise file_error(name, "has no output, expected an embedding", code="no-output")
        self.input_name, self.stated = self._graph.name(self._input), metadata.of_tflite(model, content)
        numbers = range(len(self._graph.raw.tensors))
        kinds = {self._graph.dtype(number) for number in numbers}
        integers = any(self._graph.dtype(number) in _INTEGERS and self._graph.quantisation(number) for number in numbers)
        self.precision = "int8" if integers else "fp16" if "float16" in kinds else "fp32"
        self.dtype = self._graph.dtype(self._input)
        shape = self._graph.shape(self._input)
        if self.dtype not in ("float32", "uint8", "int8"):
            raise file_error(
                name, f"its input {self.input_name!r} is {self.dtype}, expected float32, uint8 or int8", code="input-type", dtype=self.dtype
            )
        if len(shape) != 4 or shape[0] not in (1, -1) or 3 not in (shape[1], shape[3]):
            raise file_error(
                name,
                f"its input {self.input_name!r} has the shape {list(shape)}, expected [1, h, w, 3] or [1, 3, h, w]",
                code="input-shape", shape=shape,
            )  # fmt: skip
        self.channels_first = shape[3] != 3
        height, width = shape[2:] if self.channels_first else shape[1:3]
        self.size = (max(width, 0), max(height, 0))

    @property
    def output_name(self) -> str:
        """The output's name."""
        return self._graph.name(self._output)

    @property
    def outputs(self) -> list[str]:
        """The names of all outputs."""
        return [self._graph.name(int(number)) for number in self._graph.raw.outputs]

    def dim(self) -> int:
        """The output's last size; 0 if it has none."""
        return int(next(reversed(self._graph.shape(self._output)), 0))

    def probabilities(self) -> bool:
        """Whether the output is a softmax."""
        passed, _ = self._behind(self._output)
        return any(opcode in _PROBABILITIES for opcode in passed)

    def normalisation(self) -> tuple[float, float] | None:
        """Mean and std in pixel values that the input's quantisation implies, if any."""
        return self._graph.normalisation(self._input)

    def last_layer(self) -> str:
        """The input of the last FULLY_CONNECTED or 1x1 CONV_2D, from which a classifier computes its scores.

        Raises:
            ExportError: the file does not end in such a layer.
        """
        layer = self._last()
        if layer is None:
            node = self._behind(self._output)[1]
            operator = "an input" if node is None else self._graph.opcode(node)
            raise file_error(
                self.name,
                f"no classifier to cut: {self.output_name!r} comes from {operator}, expected FULLY_CONNECTED or a CONV_2D of "
                "one pixel; name the embedding with --cut TENSOR", code="classifier-not-found", operator=operator,
            )  # fmt: skip
        return self._graph.name(int(layer.inputs[0]))

    def classifier(self) -> tuple[Array, Array] | None:
        """Weights float32 [c, d] and bias [c] of the last layer, dequantised, if there is one."""
        node = self._last()
        weights = None if node is None else self._graph.values(int(node.inputs[1]))
        if node is None or weights is None:
            return None
        matrix = weights.reshape(len(weights), -1).astype(np.float32)
        bias = self._graph.values(int(node.inputs[2])) if len(node.inputs) > 2 and node.inputs[2] >= 0 else None
        return matrix, np.zeros(len(matrix), np.float32) if bias is None else bias.astype(np.float32).reshape(-1)

    def cut(self, tensor: str) -> None:
        """Makes a tensor the output and drops everything that it does not need.

        Raises:
            ExportError: `tensor-unknown`, with the nearest names, or `tensor-not-computed`.
        """
        number = self._graph.find(tensor)
        if self._graph.maker(number) is None:
            raise file_error(
                self.name,
                f"{tensor!r} is an input or a constant, not computed from the photo; name another with --cut",
                code="tensor-not-computed", tensor=tensor,
            )  # fmt: skip
        self._graph.cut([number])

    def prepared(self, size: tuple[int, int], mean: Sequence[float], std: Sequence[float], bgr: bool) -> bytes:
        """The backbone: RGB pixel values [1, h, w, 3] in (uint8, int8 or float32, as the runtime adapter takes them), [1, d] out.

        Args:
            size: width, height.
            mean: of the red, green and blue pixel values.
            std: of the same.
            bgr: whether the network takes blue first.
        """
        graph = TfliteGraph(copy.deepcopy(self._graph.model), 0, self.name)
        graph.raw.inputs = [_pixels(graph, self._input, size, mean, std, bgr)]
        graph.raw.outputs = [_flat(graph, self._output)]
        graph.model.metadata = []  # it describes the previous input
        graph.sign()
        return tflite.pack(graph.model)

    @property
    def _input(self) -> int:
        return int(self._graph.raw.inputs[0])

    @property
    def _output(self) -> int:
        return int(self._graph.raw.outputs[0])

    def _behind(self, number: int) -> tuple[list[str], Any | None]:
        """The operators behind a tensor that neither add nor mix values, from the tensor backwards, and the operator before them."""
        passed, node = [], self._graph.maker(number)
        while node is not None and self._graph.opcode(node) in _BEHIND:
            passed.append(self._graph.opcode(node))
            node = self._graph.maker(int(node.inputs[0]))
        return passed, node

    def _last(self) -> Any | None:
        """The classifier's operator."""
        node = self._behind(self._output)[1]
        if node is None or self._graph.opcode(node) not in _LINEAR or len(node.inputs) < 2:
            return None
        weights = self._graph.raw.tensors[int(node.inputs[1])]
        one_pixel = self._graph.opcode(node) == "FULLY_CONNECTED" or set(map(int, weights.shape[1:3])) == {1}
        constant = self._graph.values(int(node.inputs[1])) is not None
        return node if one_pixel and constant else None


def _pixels(graph: TfliteGraph, network: int, size: tuple[int, int], mean: Sequence[float], std: Sequence[float], bgr: bool) -> int:
    """Adds the operators that turn pixels into the network's own input; returns the tensor that takes the pixels."""
    dtype, channels_first = graph.dtype(network), graph.shape(network)[3] != 3
    width, height = size
    own = graph.raw.tensors[network]
    own.shape, own.shapeSignature = [1, 3, height, width] if channels_first else [1, height, width, 3], None
    own.name = "network/image"
    shape, front = [1, height, width, 3], network
    count = 0

    def before(opcode: str, source: int, more: Sequence[int] = (), options: str = "", version: int = 1, **values: Any) -> int:
        nonlocal front, count
        graph.operator(opcode, [source, *more], [front], options, version=version, first=True, **values)
        front, count = source, count + 1
        return source

    def tensor(kind: str) -> int:
        quantisation = graph.quantisation(network)
        scaled = (
            {}
            if kind == "float32" or quantisation is None
            else {"scale": quantisation[0].tolist(), "zero": quantisation[1].astype(int).tolist()}
        )
        return graph.tensor(f"pixels/{count}", shape, kind, **scaled)

    if channels_first:
        before("TRANSPOSE", tensor(dtype), [graph.constant("pixels/nchw", np.array([0, 3, 1, 2], np.int32))], "TransposeOptions")
    if bgr:
        order = graph.constant("pixels/bgr", np.array([2, 1, 0], np.int32))
        before("GATHER", tensor(dtype), [order], "GatherOptions", 2 if dtype == "int8" else 1, axis=3)
    if dtype == "float32":
        _normalise(graph, before, tensor, mean, std)
    elif (quantisation := graph.quantisation(network)) is not None:
        scale, zero = quantisation[0][0], quantisation[1][0]
        middle = 128 if dtype == "int8" else 0
        stored = (np.array([[0.0], [255.0]]) - mean) / (np.asarray(std) * scale) + zero + middle
        if np.abs(stored - [[0.0], [255.0]]).max() > _NEAR:
            before("QUANTIZE", tensor("float32"), (), "QuantizeOptions")
            _normalise(graph, before, tensor, mean, std)
        elif dtype == "int8" and (scale, zero) != (1.0, -128):
            # The same real values with another zero point: uint8 pixels become int8 without arithmetic.
            pixels = graph.tensor("pixels/uint8", shape, "uint8", scale=float(scale), zero=int(zero) + 128)
            before("QUANTIZE", pixels, (), "QuantizeOptions", 2)
    graph.raw.tensors[front].name = "image"
    return front


def _normalise(graph: TfliteGraph, before: Any, tensor: Any, mean: Sequence[float], std: Sequence[float]) -> None:
    """Adds (pixel - mean) / std in float32, from its end to its beginning, without the operators that change nothing."""
    if any(value != 1 for value in std):
        before("MUL", tensor("float32"), [graph.constant("pixels/scale", (1 / np.asarray(std)).astype(np.float32))], "MulOptions")
    if any(mean):
        before("SUB", tensor("float32"), [graph.constant("pixels/mean", np.asarray(mean, np.float32))], "SubOptions")


def _flat(graph: TfliteGraph, number: int) -> int:
    """The output as [1, d]; [1, 1, 1, d] and [1, d, 1, 1] are reshaped."""
    shape = [abs(size) for size in graph.shape(number)]
    dim = max(shape, default=0)
    if len(shape) < 2 or np.prod(shape) != dim:
        raise file_error(
            graph.file,
            f"the embedding {graph.name(number)!r} has the shape {shape} (rank {len(shape)}), expected [1, d]: "
            "cut behind the pooling with --cut TENSOR", code="embedding-shape", shape=shape,
        )  # fmt: skip
    if len(shape) == 2:
        return number
    quantisation = graph.quantisation(number)
    scaled = {} if quantisation is None else {"scale": quantisation[0].tolist(), "zero": quantisation[1].astype(int).tolist()}
    flat = graph.tensor("embedding", [1, dim], graph.dtype(number), **scaled)
    graph.operator(
        "RESHAPE", [number, graph.constant("embedding/shape", np.array([1, dim], np.int32))], [flat], "ReshapeOptions", newShape=[1, dim]
    )
    return flat
