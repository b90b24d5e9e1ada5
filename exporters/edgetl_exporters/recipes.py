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
        ranges: what the integers of activations span, one of :data:`edgetl_exporters.network.RANGES`.
        floats: the numbers of the layers that stay in float, in the order they run (see :mod:`edgetl_exporters.network`).
        correction: who undoes the shift that rounding weights gives to a layer's mean output: `rounding`
            (:mod:`edgetl_exporters.rounding`, before the export) or `nncf` (the accurate algorithm, while it quantises).
        settings: what else the manifest states.
    """

    name: str
    format: str
    precision: str
    suits: str
    levels: int | None = None
    ranges: str = "minmax"
    floats: tuple[int, ...] = ()
    correction: str = "rounding"
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def stated(self) -> dict[str, Any]:
        """What the manifest states."""
        if self.levels is None:
            return dict(self.settings)
        return {**self.settings, "ranges": self.ranges, "correction": self.correction, "float_layers": len(self.floats)}


_WEIGHTS: Mapping[str, Any] = {"weights": "int8 per channel"}
_QDQ: Mapping[str, Any] = {**_WEIGHTS, "activations": "uint8", "normalisation": "float", "quantizer": "onnxruntime"}
_SAFE = "every machine; needed on x86 without VNNI"

# x86 without VNNI multiplies uint8 by int8 and adds pairs in 16 bits, which saturates; with 7-bit weights 2 * 255 * 64 = 32640 fits.
# Measured on EfficientNet-Lite0 in OpenVINO with oneDNN held to AVX2: mean cosine 0.897 with 8 bits, 0.962 with NNCF's default of
# 7 bits in the first layer only. NNCF's 7 bits everywhere lie on a grid that no rounded weight keeps, and its columns of depthwise
# kernels have scales of their own: 0.977 to 0.988 on three sets of photos, against 0.984 to 0.991 with ONNX Runtime's 7 bits.
#
# With 8 bits too OpenVINO runs what ONNX Runtime's quantiser made better than what NNCF makes of the same rounded weights: on an x86 with
# VNNI, one thread, fastest of 150 runs in turns, 31 photos: EfficientNet-Lite0 3.5 instead of 5.2 ms, mean cosine 0.9974 instead of 0.9945;
# Lite2 8.6 instead of 12.3 ms, 0.9958 instead of 0.9931.
_RECIPES = (
    Recipe("onnx-fp32", "onnx", "fp32", "every machine"),
    Recipe("tflite-fp32", "tflite", "fp32", "every machine"),
    Recipe("openvino-fp32", "openvino", "fp32", "every machine"),
    Recipe("openvino-fp16", "openvino", "fp16", "every machine", settings={"weights": "float16, computed in float32"}),
    Recipe("onnx-u8s8", "onnx", "int8", "x86 with VNNI, Arm", 127, settings=_QDQ),
    Recipe("onnx-u8s7", "onnx", "int8", _SAFE, 64, settings=_QDQ),
    Recipe("tflite-full-integer", "tflite", "int8", "every machine", 127, settings={**_WEIGHTS, "quantizer": "static_wi8_ai8"}),
    Recipe("openvino-u8s8", "openvino", "int8", "x86 with VNNI, Arm", 127, settings=_QDQ),
    Recipe("openvino-nncf", "openvino", "int8", "x86 with VNNI, Arm", 127, settings={**_WEIGHTS, "quantizer": "nncf"}),
    Recipe("openvino-u8s7", "openvino", "int8", _SAFE, 64, settings=_QDQ),
)


OFFERED: Mapping[str, tuple[str, ...]] = {
    format_: tuple(dict.fromkeys(made.precision for made in _RECIPES if made.format == format_)) for format_ in FORMATS
}
"""Format -> the precisions it is offered in."""


def _int8(format_: str) -> tuple[str, ...]:
    return ("auto", *(recipe.name for recipe in _RECIPES if recipe.format == format_ and recipe.precision == "int8"))


ONNX_RECIPES = _int8("onnx")
OPENVINO_RECIPES = _int8("openvino")


def recipe(format_: str, precision: str, wanted: str = "auto") -> Recipe:
    """The recipe for a variant.

    Args:
        format_: one of :data:`FORMATS`.
        precision: one of :data:`PRECISIONS`.
        wanted: the name of an int8 recipe of this format; `auto` suits the machine this runs on.

    Raises:
        ExportError: an unknown word, or a precision the format does not offer.
    """
    for word, known in ((format_, FORMATS), (precision, PRECISIONS)):
        if word not in known:
            raise ExportError(f"unknown {word!r}; known are {', '.join(known)}")
    if wanted not in _int8(format_):
        raise ExportError(f"{format_} has no int8 recipe {wanted!r}; it has {', '.join(_int8(format_))}")
    found = [made for made in _RECIPES if (made.format, made.precision) == (format_, precision)]
    if not found:
        raise ExportError(f"{format_} is not offered in {precision}; it is offered in {', '.join(OFFERED[format_])}")
    if precision == "int8" and wanted != "auto":
        return next(made for made in found if made.name == wanted)
    # Where there are several, the last is the one that cannot saturate.
    return found[-1] if machine.saturates_u8s8() else found[0]
