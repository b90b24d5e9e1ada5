"""Frigate's custom classification models: a folder with `model.tflite` and `labelmap.txt`.

What Frigate 0.17 does with them (frigate/data_processing/real_time/custom_classification.py, and load_labels in frigate/util/builtin.py):
it squashes a crop to 224x224 RGB, sets it as it is (uint8) as the input, divides the raw output by its sum, takes the highest, rounds that
score and puts it into JSON. So the output must not be negative, and it must be of an integer type: integers divided by their sum become
Python's own float, while a float32 stays numpy's, which JSON cannot encode. Labels are lines in UTF-8, in the order of the output; `none`
is never published as a name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgetl.bundle.bundle import Variant
from edgetl.errors import ExportError
from edgetl.types import ImageSpec

EXPECTS = (
    "Copy the folder to Frigate's /config/model_cache/NAME and add it to its configuration under classification: custom: NAME. Frigate "
    "squashes its whole crop to the input's size, bilinearly, where edgetl uses the centre: some answers differ, so check the first ones."
)
"""How many answers differ: docs/evidence/fused-classifiers.md."""
_SIDE = 224


def check(variant: Variant, image: ImageSpec) -> None:
    """Checks that Frigate can run a model.

    Raises:
        ExportError: `program-unsupported`: not a TFLite model of 224x224 pixels.
    """
    if variant.format != "tflite":
        raise ExportError(
            f"Frigate runs TFLite classifiers, but {variant.name} is {variant.format}; omit --format, or use --format tflite",
            code="program-unsupported", variant=variant.name, format=variant.format,
        )  # fmt: skip
    if (image.width, image.height) != (_SIDE, _SIDE):
        raise ExportError(
            f"Frigate gives its classifiers {_SIDE}x{_SIDE} pixels, but {variant.name} takes {image.width}x{image.height}; train with a "
            f"backbone of {_SIDE}x{_SIDE}",
            code="program-unsupported", variant=variant.name, size=(image.width, image.height), expected=(_SIDE, _SIDE),
        )  # fmt: skip


def layout(model: Mapping[str, bytes], labels: Sequence[str]) -> dict[str, bytes]:
    """The files of Frigate's folder `/config/model_cache/NAME/`."""
    (content,) = model.values()
    return {"model.tflite": content, "labelmap.txt": "".join(f"{label}\n" for label in labels).encode()}
