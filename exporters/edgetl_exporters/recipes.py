"""Named recipes: how a format is quantised, for which instruction sets, and how far its embeddings may move."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from edgetl import machine
from edgetl.errors import ExportError

FORMATS = ("onnx", "tflite", "openvino")
PRECISIONS = ("fp32", "fp16", "int8")
FP32_BOUND = 0.9999
FP16_BOUND = 0.999


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One way to make a variant.

    Attributes:
        name: as the manifest states it.
        format: `onnx`, `tflite` or `openvino`.
        precision: `fp32`, `fp16` or `int8`.
        suits: the instruction sets it keeps its accuracy on, in words.
        levels: the largest integer weight; None where weights stay float.
        settings: what the converter is told.
    """

    name: str
    format: str
    precision: str
    suits: str
    levels: int | None = None
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)


_QDQ: Mapping[str, Any] = {"per_channel": True, "activations": "uint8", "weights": "int8", "calibration": "minmax", "float": "Cast, Sub"}
_ROUNDED: Mapping[str, Any] = {"weights_rounded_with_bias_correction": True}

# U8S8 products are added in pairs in 16 bits on x86 without VNNI; with 7-bit weights 2 * 255 * 64 = 32640 still fits.
_RECIPES = (
    Recipe("onnx-fp32", "onnx", "fp32", "every machine"),
    Recipe("tflite-fp32", "tflite", "fp32", "every machine"),
    Recipe("openvino-fp32", "openvino", "fp32", "every machine"),
    Recipe("openvino-fp16", "openvino", "fp16", "every machine", settings={"weights": "float16, computed in float32"}),
    Recipe("onnx-u8s8", "onnx", "int8", "x86 with VNNI, Arm", 127, {**_QDQ, **_ROUNDED, "reduce_range": False}),
    Recipe("onnx-u8s7", "onnx", "int8", "every machine; needed on x86 without VNNI", 64, {**_QDQ, **_ROUNDED, "reduce_range": True}),
    Recipe("tflite-full-integer", "tflite", "int8", "every machine", 127, {**_ROUNDED, "quantizer": "static_wi8_ai8"}),
    Recipe("openvino-nncf", "openvino", "int8", "every machine", 127, {**_ROUNDED, "preset": "mixed", "fast_bias_correction": True}),
)
ONNX_RECIPES = ("auto", *(recipe.name for recipe in _RECIPES if recipe.format == "onnx" and recipe.precision == "int8"))


def recipe(format_: str, precision: str, onnx_recipe: str = "auto") -> Recipe:
    """The recipe for a variant.

    Args:
        format_: one of :data:`FORMATS`.
        precision: one of :data:`PRECISIONS`.
        onnx_recipe: one of :data:`ONNX_RECIPES`; `auto` suits the machine this runs on.

    Raises:
        ExportError: an unknown word, or a precision the format does not offer.
    """
    for word, known in ((format_, FORMATS), (precision, PRECISIONS), (onnx_recipe, ONNX_RECIPES)):
        if word not in known:
            raise ExportError(f"unknown {word!r}; known are {', '.join(known)}")
    found = [made for made in _RECIPES if (made.format, made.precision) == (format_, precision)]
    if not found:
        offered = ", ".join(dict.fromkeys(made.precision for made in _RECIPES if made.format == format_))
        raise ExportError(f"{format_} is not offered in {precision}; offered are {offered} (fp16 exists for openvino)")
    if len(found) == 1:
        return found[0]
    wanted = onnx_recipe if onnx_recipe != "auto" else ("onnx-u8s7" if machine.saturates_u8s8() else "onnx-u8s8")
    return next(made for made in found if made.name == wanted)
