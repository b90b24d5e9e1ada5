"""Metadata in model files as their ecosystems read them, and what files of others say about their input."""

from edgetl_exporters.metadata.info import Info, Stated
from edgetl_exporters.metadata.onnx_props import read as of_onnx
from edgetl_exporters.metadata.onnx_props import write as onnx
from edgetl_exporters.metadata.rt_info import read as of_openvino
from edgetl_exporters.metadata.rt_info import write as openvino
from edgetl_exporters.metadata.tflite_tables import read as of_tflite
from edgetl_exporters.metadata.tflite_tables import write as tflite

__all__ = ["Info", "Stated", "of_onnx", "of_openvino", "of_tflite", "onnx", "openvino", "tflite"]
