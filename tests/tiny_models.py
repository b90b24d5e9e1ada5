"""One tiny network in every runtime's own format: embedding = relu(W^T (x / 127.5 - 1)), uint8 [n, 8, 8, 3] in, [n, 5] out."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgetl.types import Array, Pixels

SIDE, DIM = 8, 5
INPUTS = SIDE * SIDE * 3
WEIGHTS = np.random.default_rng(0).normal(0, 1 / np.sqrt(INPUTS), (INPUTS, DIM)).astype(np.float32)

Files = dict[str, bytes]


def expected(batch: Pixels) -> Array:
    """The network by its definition, float64 [n, 5]."""
    return np.maximum((batch.reshape(len(batch), -1) / 127.5 - 1) @ WEIGHTS.astype(np.float64), 0)


def onnx() -> Files:
    from onnx import TensorProto, helper, numpy_helper

    def constant(name: str, values: Array) -> Any:
        return numpy_helper.from_array(values, name)

    constants = [
        constant("scale", np.array(1 / 127.5, np.float32)),
        constant("one", np.array(1, np.float32)),
        constant("flat", np.array([-1, INPUTS])),
        constant("weights", WEIGHTS),
    ]
    nodes = [
        helper.make_node("Cast", ["x"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["real", "scale"], ["scaled"]),
        helper.make_node("Sub", ["scaled", "one"], ["centred"]),
        helper.make_node("Reshape", ["centred", "flat"], ["row"]),
        helper.make_node("MatMul", ["row", "weights"], ["product"]),
        helper.make_node("Relu", ["product"], ["y"]),
    ]
    image = helper.make_tensor_value_info("x", TensorProto.UINT8, ["n", SIDE, SIDE, 3])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", DIM])
    graph = helper.make_graph(nodes, "tiny", [image], [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return {"model.onnx": model.SerializeToString()}


def openvino() -> Files:
    import openvino
    from openvino import opset13 as ops

    image = ops.parameter([-1, SIDE, SIDE, 3], np.uint8)
    centred = ops.subtract(ops.multiply(ops.convert(image, "f32"), np.float32(1 / 127.5)), np.float32(1))
    product = ops.matmul(ops.reshape(centred, np.array([-1, INPUTS]), special_zero=False), WEIGHTS, False, False)
    model = openvino.Model([ops.relu(product)], [image], "tiny")
    with tempfile.TemporaryDirectory() as folder:
        openvino.save_model(model, Path(folder) / "model.xml", compress_to_fp16=False)
        return {name: (Path(folder) / name).read_bytes() for name in ("model.xml", "model.bin")}


def tflite(kind: str) -> Files:
    """`float`: uint8 in, CAST, float arithmetic. `int8` and `uint8`: full-integer, quantised in and out."""
    return {"model.tflite": {"float": _float_tflite, "int8": _int8_tflite, "uint8": _uint8_tflite}[kind]()}


def _float_tflite() -> bytes:
    graph = _Graph()
    image = graph.tensor([1, SIDE, SIDE, 3], "UINT8")
    real = graph.tensor([1, SIDE, SIDE, 3], "FLOAT32")
    row = graph.tensor([1, INPUTS], "FLOAT32")
    # The normalisation is folded into weights and bias, as a converter would.
    weights = graph.tensor([DIM, INPUTS], "FLOAT32", (WEIGHTS.T / 127.5).astype(np.float32))
    bias = graph.tensor([DIM], "FLOAT32", -WEIGHTS.sum(axis=0))
    output = graph.tensor([1, DIM], "FLOAT32")
    graph.operator("CAST", [image], [real], "CastOptions", inDataType="UINT8", outDataType="FLOAT32")
    graph.operator("RESHAPE", [real], [row], "ReshapeOptions", newShape=[1, INPUTS])
    graph.operator("FULLY_CONNECTED", [row, weights, bias], [output], "FullyConnectedOptions", fusedActivationFunction=1)
    return graph.pack(image, output)


def _int8_tflite() -> bytes:
    """int8 x = q / 127.5 + 0.5 / 127.5, so that q = pixel - 128 is the pixel itself in the network's range [-1, 1]."""
    return _integer_tflite("INT8", zero=-128)


def _uint8_tflite() -> bytes:
    return _integer_tflite("UINT8", zero=0)


def _integer_tflite(dtype: str, zero: int) -> bytes:
    graph = _Graph()
    image = graph.tensor([1, SIDE, SIDE, 3], dtype, scale=1.0, zero=zero)
    row = graph.tensor([1, INPUTS], dtype, scale=1.0, zero=zero)
    folded = WEIGHTS.T / 127.5
    scale = float(np.abs(folded).max() / 127)
    middle = 0 if dtype == "INT8" else 128
    steps = np.rint(folded / scale) + middle
    weights = graph.tensor([DIM, INPUTS], dtype, steps.astype(dtype.lower()), scale=scale, zero=middle)
    bias = graph.tensor([DIM], "INT32", np.rint(-WEIGHTS.sum(axis=0) / scale).astype(np.int32), scale=scale)
    output = graph.tensor([1, DIM], dtype, scale=4 / 255, zero=zero)
    graph.operator("RESHAPE", [image], [row], "ReshapeOptions", newShape=[1, INPUTS])
    graph.operator("FULLY_CONNECTED", [row, weights, bias], [output], "FullyConnectedOptions", fusedActivationFunction=1)
    return graph.pack(image, output)


class _Graph:
    """A TFLite flatbuffer by its schema: no converter is needed for three operators."""

    def __init__(self) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._schema = schema
        self._model = schema.ModelT()
        self._model.version, self._model.operatorCodes, self._model.buffers = 3, [], [schema.BufferT()]
        self._graph = schema.SubGraphT()
        self._graph.tensors, self._graph.operators = [], []

    def tensor(self, shape: list[int], dtype: str, values: Array | None = None, *, scale: float = 0.0, zero: int = 0) -> int:
        tensor = self._schema.TensorT()
        tensor.shape, tensor.type, tensor.buffer = shape, getattr(self._schema.TensorType, dtype), 0
        tensor.name = f"t{len(self._graph.tensors)}"
        if values is not None:
            buffer = self._schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
            tensor.buffer = len(self._model.buffers)
            self._model.buffers.append(buffer)
        if scale:
            tensor.quantization = self._schema.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = [scale], [zero]
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def operator(self, name: str, inputs: list[int], outputs: list[int], options: str, **values: Any) -> None:
        code = self._schema.OperatorCodeT()
        code.builtinCode = getattr(self._schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode = code.builtinCode
        code.version = 4 if name == "FULLY_CONNECTED" else 1
        self._model.operatorCodes.append(code)
        operator = self._schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = len(self._model.operatorCodes) - 1, inputs, outputs
        operator.builtinOptionsType = getattr(self._schema.BuiltinOptions, options)
        operator.builtinOptions = getattr(self._schema, f"{options}T")()
        for key, value in values.items():
            setattr(operator.builtinOptions, key, getattr(self._schema.TensorType, value) if isinstance(value, str) else value)
        self._graph.operators.append(operator)

    def pack(self, image: int, output: int) -> bytes:
        import flatbuffers

        self._graph.inputs, self._graph.outputs = [image], [output]
        self._model.subgraphs = [self._graph]
        builder = flatbuffers.Builder(4096)
        builder.Finish(self._model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


ALL: dict[str, tuple[str, Callable[[], Files], float]] = {
    "litert float": ("litert", lambda: tflite("float"), 1e-4),
    "litert int8": ("litert", lambda: tflite("int8"), 0.03),
    "litert uint8": ("litert", lambda: tflite("uint8"), 0.03),
    "onnxruntime": ("onnxruntime", onnx, 1e-4),
    "openvino": ("openvino", openvino, 1e-4),
}
"""Name -> runtime family, its files, and how far one value may be from :func:`expected` (int8: a quantisation step is 4 / 255)."""
