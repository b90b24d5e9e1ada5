"""Workstation side of edgetl: a pretrained backbone becomes a bundle of exported, quantised and proved variants."""

from edgetl_exporters.backbones.table import BACKBONES
from edgetl_exporters.export import LEVELS, ExportResult, export
from edgetl_exporters.quantise.recipes import FORMATS, ONNX_RECIPES, OPENVINO_RECIPES, PRECISIONS
from edgetl_exporters.variants.maker import Exported

__all__ = ["BACKBONES", "FORMATS", "LEVELS", "ONNX_RECIPES", "OPENVINO_RECIPES", "PRECISIONS", "ExportResult", "Exported", "export"]
