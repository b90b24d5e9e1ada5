"""The workstation part of edgetl: exports a pretrained backbone to a bundle of quantised and proved variants."""

from edgetl_exporters.backbones.table import BACKBONES
from edgetl_exporters.export import LEVELS, ExportResult, export
from edgetl_exporters.quantise.recipes import FORMATS, PRECISIONS
from edgetl_exporters.variants.maker import Exported

__all__ = ["BACKBONES", "FORMATS", "LEVELS", "PRECISIONS", "ExportResult", "Exported", "export"]
