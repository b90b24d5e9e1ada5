"""Metadata in model files as their ecosystems read them, and what files of others say about their input."""

from __future__ import annotations

from collections.abc import Mapping

from edgetl_exporters.metadata.info import Info, Stated
from edgetl_exporters.metadata.onnx_props import read as of_onnx
from edgetl_exporters.metadata.onnx_props import write as onnx
from edgetl_exporters.metadata.rt_info import read as of_openvino
from edgetl_exporters.metadata.rt_info import write as openvino
from edgetl_exporters.metadata.tflite_tables import read as of_tflite
from edgetl_exporters.metadata.tflite_tables import write as tflite

__all__ = ["Info", "Stated", "of_onnx", "of_openvino", "of_tflite", "onnx", "openvino", "tflite", "write"]


def write(format_: str, files: Mapping[str, bytes], info: Info) -> Mapping[str, bytes]:
    """A variant's files, the one to open first, with metadata; formats that have none stay what they are."""
    if format_ == "openvino":
        return openvino(files, info)
    writer = {"onnx": onnx, "tflite": tflite}.get(format_)
    return files if writer is None else {name: writer(content, info) for name, content in files.items()}
