"""OpenVINO IR: OpenVINO's own ONNX frontend, and NNCF's post-training quantisation."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgetl.types import Pixels
from edgetl_exporters.quiet import quiet
from edgetl_exporters.recipes import Recipe


def export(model: bytes, *, compress: bool = False) -> Mapping[str, bytes]:
    """Converts an ONNX model to `model.xml` and `model.bin`.

    Args:
        model: the ONNX model.
        compress: store the weights as float16.
    """
    with quiet():
        return _saved(_read(model), compress)


def quantise(model: bytes, tensors: Pixels, recipe: Recipe) -> Mapping[str, bytes]:
    """NNCF's post-training quantisation, without its own bias correction: the weights come rounded and corrected.

    Args:
        model: the float ONNX model.
        tensors: calibration images uint8 [n, h, w, 3].
        recipe: an int8 recipe of this format.
    """
    # Without a consent file NNCF sends usage data when it quantises; this variable, read at its import, is its switch.
    os.environ.setdefault("NNCF_CI", "1")
    with quiet():
        import nncf
        from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, OverflowFix
        from nncf.quantization.range_estimator import RangeEstimatorParametersSet

        images = nncf.Dataset([np.ascontiguousarray(image[None]) for image in tensors])
        made = nncf.quantize(
            _read(model),
            images,
            preset=nncf.QuantizationPreset(recipe.settings["preset"]),
            subset_size=len(tensors),
            advanced_parameters=AdvancedQuantizationParameters(
                overflow_fix=OverflowFix(recipe.settings["overflow_fix"]),
                disable_bias_correction=True,
                activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
            ),
        )
        return _saved(made, False)


def _read(model: bytes) -> Any:
    # Not openvino.convert_model: it is this frontend plus usage statistics over the network.
    import openvino

    return openvino.Core().read_model(model)


def _saved(model: Any, compress: bool) -> Mapping[str, bytes]:
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "model.xml"
        openvino.save_model(model, graph, compress_to_fp16=compress)
        return {name: (Path(folder) / name).read_bytes() for name in ("model.xml", "model.bin")}
