"""ONNX: torch's dynamo exporter, one file without external data, and ONNX Runtime's static QDQ quantisation."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgetl.types import ImageSpec, Pixels
from edgetl_exporters.graph import Graph
from edgetl_exporters.quiet import quiet

INPUT, OUTPUT = "image", "embedding"
OPSET = 20
_MAX_BATCH = 1024
_FULL_RANGE = 127


def export(graph: Graph, image: ImageSpec) -> bytes:
    """The model with uint8 input [batch, h, w, 3] and float32 output [batch, d], batch free."""
    # A batch of 1 in the example would be taken for a constant.
    example = torch.zeros(2, image.height, image.width, 3, dtype=torch.uint8)
    with quiet(), tempfile.TemporaryDirectory() as folder:
        batch = torch.export.Dim("batch", min=1, max=_MAX_BATCH)
        program = torch.export.export(graph, (example,), dynamic_shapes=({0: batch},))
        made = torch.onnx.export(
            program,
            dynamo=True,
            input_names=[INPUT],
            output_names=[OUTPUT],
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
        path = Path(folder) / "model.onnx"
        made.save(str(path), external_data=False)
        return path.read_bytes()


def quantise(model: bytes, tensors: Pixels, levels: int) -> bytes:
    """Static per-channel QDQ (https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html).

    Args:
        model: the float model.
        tensors: calibration images uint8 [n, h, w, 3].
        levels: the largest integer weight, 127, or 64 to reduce the range.
    """
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with quiet(), tempfile.TemporaryDirectory() as folder:
        before, prepared, after = (Path(folder) / name for name in ("float.onnx", "prepared.onnx", "int8.onnx"))
        before.write_bytes(model)
        quant_pre_process(os.fspath(before), os.fspath(prepared), skip_symbolic_shape=True)
        quantization.quantize_static(
            os.fspath(prepared),
            os.fspath(after),
            _reader(tensors),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            reduce_range=levels < _FULL_RANGE,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod.MinMax,
            nodes_to_exclude=_normalisation(prepared),
        )
        return after.read_bytes()


def _reader(tensors: Pixels) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime is untyped to mypy
        def __init__(self) -> None:
            self._rest = iter(tensors)

        def get_next(self) -> Any:
            image = next(self._rest, None)
            return None if image is None else {INPUT: np.ascontiguousarray(image[None])}

    return Reader()


def _normalisation(path: Path) -> list[str]:
    """The nodes between the pixels and the first convolution: integers there would only round once more."""
    import onnx

    nodes = onnx.load(path, load_external_data=False).graph.node
    first = next(i for i, node in enumerate(nodes) if node.op_type == "Conv")
    return [node.name for node in nodes[:first] if node.op_type != "Transpose"]
