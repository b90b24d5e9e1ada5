"""Named recipes: how a format is quantised, and how far its embeddings may be from float."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

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
        levels: the largest integer weight; None if weights stay float.
        ranges: of the integers of activations, one of :data:`edgetl_exporters.quantise.ranges.RANGES`.
        floats: the numbers of the layers that stay in float, in the order they run (see :mod:`edgetl_exporters.quantise.ranges`).
        equalised: whether channels are scaled and biases corrected before it is quantised (:mod:`edgetl_exporters.quantise.equalisation`).
        correction: of the shift that rounded weights give to a layer's mean output: `rounding`
            (:mod:`edgetl_exporters.quantise.rounding`, before the export) or `none`.
        settings: further entries of the manifest.
    """

    name: str
    format: str
    precision: str
    levels: int | None = None
    ranges: str = "minmax"
    floats: tuple[int, ...] = ()
    equalised: bool = False
    correction: str = "rounding"
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def unsigned(self) -> bool:
        """Whether the integer weights are stored as uint8 around 128 instead of as int8 around 0."""
        return bool(self.settings.get("weights") == _UNSIGNED["weights"])

    def stated(self) -> dict[str, Any]:
        """What the manifest states."""
        if self.levels is None:
            return dict(self.settings)
        own = {"ranges": self.ranges, "equalised": self.equalised, "correction": self.correction, "float_layers": len(self.floats)}
        return {**self.settings, **own}


_SIGNED: Mapping[str, Any] = {"weights": "int8 per channel"}
_UNSIGNED: Mapping[str, Any] = {"weights": "uint8 per channel, zero point 128"}
_QDQ: Mapping[str, Any] = {"activations": "uint8", "normalisation": "float", "quantizer": "onnxruntime"}

# A recipe does not depend on the machine that exports. x86 without VNNI adds products of uint8 by int8 in 16 bits, which saturates; the
# runtime adapters avoid that on the device. The same integers stored as uint8 around 128 saturate in no program, but take twice the time
# with VNNI: docs/evidence/int8-instruction-sets.md. Why OpenVINO uses ONNX Runtime's quantiser: docs/evidence/int8-quantisers.md.
_RECIPES = (
    Recipe("onnx-fp32", "onnx", "fp32"),
    Recipe("tflite-fp32", "tflite", "fp32"),
    Recipe("openvino-fp32", "openvino", "fp32"),
    Recipe("openvino-fp16", "openvino", "fp16", settings={"weights": "float16, computed in float32"}),
    Recipe("onnx-u8s8", "onnx", "int8", 127, settings={**_SIGNED, **_QDQ}),
    Recipe("onnx-u8u8", "onnx", "int8", 127, settings={**_UNSIGNED, **_QDQ}),
    Recipe("tflite-full-integer", "tflite", "int8", 127, settings={**_SIGNED, "quantizer": "static_wi8_ai8"}),
    Recipe("openvino-u8s8", "openvino", "int8", 127, settings={**_SIGNED, **_QDQ}),
    Recipe("openvino-u8u8", "openvino", "int8", 127, settings={**_UNSIGNED, **_QDQ}),
)


def signed(stated: Mapping[str, Any]) -> bool:
    """Whether a variant's integer weights are int8, as its recipe in the manifest states it."""
    return bool(stated.get("settings", {}).get("weights") == _SIGNED["weights"])


OFFERED: Mapping[str, tuple[str, ...]] = {
    format_: tuple(dict.fromkeys(row.precision for row in _RECIPES if row.format == format_)) for format_ in FORMATS
}
"""Format -> the precisions in which it can be exported."""


def int8_recipes(format_: str) -> tuple[str, ...]:
    """The names of a format's int8 recipes, after `auto`, which is the first of them."""
    return ("auto", *(recipe.name for recipe in _RECIPES if recipe.format == format_ and recipe.precision == "int8"))


def recipe(format_: str, precision: str, wanted: str = "auto") -> Recipe:
    """The recipe for a variant.

    Args:
        format_: one of :data:`FORMATS`.
        precision: one of :data:`PRECISIONS`.
        wanted: one of :func:`int8_recipes`.

    Raises:
        ExportError: `unknown-format`, `unknown-precision`, `unknown-recipe`, or `not-offered` in this format.
    """
    if format_ not in FORMATS:
        raise ExportError(f"unknown format {format_!r}; expected {', '.join(FORMATS)}", code="unknown-format", given=format_, known=FORMATS)
    if precision not in PRECISIONS:
        message = f"unknown precision {precision!r}; expected {', '.join(PRECISIONS)}"
        raise ExportError(message, code="unknown-precision", given=precision, known=PRECISIONS)
    names = int8_recipes(format_)
    if wanted not in names:
        message = f"{format_} has no int8 recipe {wanted!r}; it has {', '.join(names)}"
        raise ExportError(message, code="unknown-recipe", given=wanted, known=names)
    rows = [row for row in _RECIPES if (row.format, row.precision) == (format_, precision)]
    if not rows:
        offered = OFFERED[format_]
        raise ExportError(
            f"{format_} is not offered in {precision}; it is offered in {', '.join(offered)}",
            code="not-offered", format=format_, precision=precision, offered=offered,
        )  # fmt: skip
    if precision == "int8" and wanted != "auto":
        return next(row for row in rows if row.name == wanted)
    return rows[0]
