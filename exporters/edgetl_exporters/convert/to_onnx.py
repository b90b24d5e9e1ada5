"""ONNX: torch's dynamo exporter, one file without external data, and ONNX Runtime's static QDQ quantisation."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Collection
from pathlib import Path

import numpy as np
import torch

from edgetl.types import ImageSpec, Pixels
from edgetl_exporters.backbones.graph import Graph
from edgetl_exporters.quantise import ranges
from edgetl_exporters.quantise.ranges import PhotoKey
from edgetl_exporters.quantise.recipes import Recipe
from edgetl_exporters.quiet import quiet

INPUT, OUTPUT = "image", "embedding"
OPSET = 20
_MAX_BATCH = 1024
_HALF = 128
"""The zero point of weights that are stored as uint8."""
_MOVES = ("Transpose", "Reshape", "Identity")
"""Operators that do not change pixel values."""


def export(graph: Graph, image: ImageSpec) -> bytes:
    """The model with uint8 input [batch, h, w, 3] and float32 output [batch, d], batch free."""
    # With a batch of 1 in the example, the batch would become a constant.
    example = torch.zeros(2, image.height, image.width, 3, dtype=torch.uint8)
    with quiet(), tempfile.TemporaryDirectory() as folder:
        batch = torch.export.Dim("batch", min=1, max=_MAX_BATCH)
        program = torch.export.export(graph, (example,), dynamic_shapes=({0: batch},))
        converted = torch.onnx.export(
            program,
            dynamo=True,
            input_names=[INPUT],
            output_names=[OUTPUT],
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
        path = Path(folder) / "model.onnx"
        converted.save(str(path), external_data=False)
        return path.read_bytes()


def quantise(model: bytes, photos: Pixels, recipe: Recipe) -> bytes:
    """Static per-channel QDQ (https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html).

    Args:
        model: the float model with uint8 input [n, h, w, 3].
        photos: uint8 [n, h, w, 3] that calibrate.
        recipe: its ranges, float layers and type of weights are used.
    """
    quantised = _quantised(model, PhotoKey(photos), recipe.ranges, recipe.floats)
    return with_unsigned_weights(quantised) if recipe.unsigned else quantised


@functools.lru_cache(16)  # OpenVINO reads the same file
def _quantised(model: bytes, photos: PhotoKey, kind: str, floats: tuple[int, ...]) -> bytes:
    from onnxruntime import quantization
    from onnxruntime.quantization.calibrate import TensorData, TensorsData, save_tensors_data

    float_ = ranges.read(model)
    measured_ranges = float_.ranges(photos.pixels, kind)
    kept = [node for i in floats for node in float_.layers[i].nodes]
    minmax = quantization.CalibrationMethod.MinMax
    with quiet(), tempfile.TemporaryDirectory() as folder:
        before, measured, after = (Path(folder) / name for name in ("float.onnx", "ranges.json", "int8.onnx"))
        before.write_bytes(float_.model)
        data = {name: TensorData(lowest=np.float32(low), highest=np.float32(high)) for name, (low, high) in measured_ranges.items()}
        save_tensors_data(TensorsData(minmax, data), measured)
        quantization.quantize_static(
            os.fspath(before),
            os.fspath(after),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=minmax,
            calibration_cache_path=measured,
            # Integers between the pixels and the first layer would only add rounding.
            nodes_to_exclude=[*float_.normalisation(), *kept],
        )
        return with_dequantised_pixels(with_float_readers(after.read_bytes(), kept))


def with_float_readers(model: bytes, kept: Collection[str]) -> bytes:
    """Lets every float node of a QDQ model read the float output of another float node.

    ONNX Runtime's quantiser rounds a tensor for all its readers if one of them computes with integers, e.g. a sum behind a layer.

    Args:
        model: the QDQ model.
        kept: the names of the nodes that stay in float.
    """
    import onnx

    parsed = onnx.load_from_string(model)
    nodes = parsed.graph.node
    makers = {name: node for node in nodes for name in node.output}
    for node in (node for node in nodes if node.name in kept):
        for i, name in enumerate(node.input):
            pair = makers.get(name)
            rounded = makers.get(pair.input[0]) if pair is not None and pair.op_type == "DequantizeLinear" else None
            before = makers.get(rounded.input[0]) if rounded is not None and rounded.op_type == "QuantizeLinear" else None
            if rounded is not None and before is not None and before.name in kept:
                node.input[i] = rounded.input[0]
    return bytes(parsed.SerializeToString())


def with_unsigned_weights(model: bytes) -> bytes:
    """Stores the int8 weights of a QDQ model as uint8: 128 is added to weights and zero points, so their values stay the same.

    Products of uint8 by uint8 do not saturate on any machine: docs/evidence/int8-instruction-sets.md.
    """
    import onnx
    from onnx import TensorProto, numpy_helper

    parsed = onnx.load_from_string(model)
    constants = {tensor.name: tensor for tensor in parsed.graph.initializer}
    read = {name for node in parsed.graph.node if node.op_type == "DequantizeLinear" for name in (node.input[0], *node.input[2:])}
    for tensor in (constants[name] for name in sorted(read & constants.keys())):
        if tensor.data_type == TensorProto.INT8:
            shifted = numpy_helper.to_array(tensor).astype(np.int16) + _HALF
            tensor.CopyFrom(numpy_helper.from_array(shifted.astype(np.uint8), tensor.name))
    return bytes(parsed.SerializeToString())


def with_dequantised_pixels(model: bytes) -> bytes:
    """Replaces the cast of pixels to float by a DequantizeLinear with scale 1 and zero point 0.

    Every runtime computes the same bits from both, except Qualcomm's emulator, whose Cast is wrong: docs/evidence/torch-export.md.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    parsed = onnx.load_from_string(model)
    graph = parsed.graph
    if graph.input[0].type.tensor_type.elem_type != TensorProto.UINT8:
        return model
    pixels = {graph.input[0].name}
    for node in graph.node:
        if node.op_type in _MOVES and pixels & set(node.input):
            pixels |= set(node.output)
        elif node.op_type == "Cast" and pixels & set(node.input) and helper.get_node_attr_value(node, "to") == TensorProto.FLOAT:
            scale, zero = numpy_helper.from_array(np.float32(1), "pixels_scale"), numpy_helper.from_array(np.uint8(0), "pixels_zero_point")
            graph.initializer.extend([scale, zero])
            node.CopyFrom(helper.make_node("DequantizeLinear", [node.input[0], scale.name, zero.name], node.output, name=node.name))
            return bytes(parsed.SerializeToString())
    return model
