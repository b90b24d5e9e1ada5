"""OpenVINO IR: OpenVINO's own ONNX frontend, and NNCF's post-training quantisation."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgetl.types import Pixels
from edgetl_exporters.convert import to_onnx
from edgetl_exporters.quantise.recipes import Recipe
from edgetl_exporters.quiet import quiet


def export(model: bytes, *, compress: bool = False) -> Mapping[str, bytes]:
    """Converts an ONNX model to `model.xml` and `model.bin`.

    Args:
        model: the ONNX model.
        compress: store the weights as float16.
    """
    with quiet():
        return _saved(_read(model), compress)


def quantise(model: bytes, photos: Pixels, recipe: Recipe) -> Mapping[str, bytes]:
    """Quantises with the recipe's quantizer: NNCF, or ONNX Runtime, whose QDQ model OpenVINO reads.

    Args:
        model: the float ONNX model with uint8 input [n, h, w, 3].
        photos: uint8 [n, h, w, 3] that calibrate.
        recipe: its quantizer is used; with ONNX Runtime also ranges, levels and float layers.
    """
    if recipe.settings["quantizer"] == "onnxruntime":
        return export(to_onnx.quantise(model, photos, recipe))
    _disable_telemetry()
    with quiet():
        import nncf
        from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, OverflowFix
        from nncf.quantization.range_estimator import RangeEstimatorParametersSet

        images = nncf.Dataset([np.ascontiguousarray(image[None]) for image in photos])
        quantised = nncf.quantize(
            _read(model),
            images,
            preset=nncf.QuantizationPreset.PERFORMANCE,
            subset_size=len(photos),
            advanced_parameters=AdvancedQuantizationParameters(
                overflow_fix=OverflowFix.DISABLE,
                disable_bias_correction=True,
                activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
            ),
        )
        return _saved(quantised, False)


def _disable_telemetry() -> None:
    """Makes `import openvino_telemetry` fail.

    OpenVINO (at its import) and NNCF (when it quantises) send usage data unless the user opted out; both work without the package that
    sends it.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None is how Python marks a module that must not load


def _read(model: bytes) -> Any:
    _disable_telemetry()
    import openvino

    return openvino.Core().read_model(model)


def _saved(model: Any, compress: bool) -> Mapping[str, bytes]:
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "model.xml"
        openvino.save_model(model, graph, compress_to_fp16=compress)
        return {name: (Path(folder) / name).read_bytes() for name in ("model.xml", "model.bin")}
