"""Writes metadata into model files as their ecosystems read them, and reads those of other programs' files."""

from __future__ import annotations

from collections.abc import Mapping

from edgetl_exporters.metadata.info import Info, Stated
from edgetl_exporters.metadata.onnx_props import read as of_onnx
from edgetl_exporters.metadata.onnx_props import write as onnx
from edgetl_exporters.metadata.rt_info import write as openvino
from edgetl_exporters.metadata.tflite_tables import read as of_tflite
from edgetl_exporters.metadata.tflite_tables import write as tflite

__all__ = ["Info", "Stated", "of_onnx", "of_tflite", "onnx", "openvino", "tflite", "write"]


def write(format_: str, files: Mapping[str, bytes], info: Info) -> Mapping[str, bytes]:
    """A variant's files with metadata, the one to open first; formats without metadata do not change."""
    if format_ == "openvino":
        return openvino(files, info)
    writer = {"onnx": onnx, "tflite": tflite}.get(format_)
    return files if writer is None else {name: writer(content, info) for name, content in files.items()}
