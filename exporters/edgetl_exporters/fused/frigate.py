"""Frigate's custom classification models: a folder with `model.tflite` and `labelmap.txt`.

What Frigate 0.17 does with them (frigate/data_processing/real_time/custom_classification.py, and load_labels in frigate/util/builtin.py):
it squashes a crop to 224x224 RGB, sets it as it is (uint8) as the input, divides the raw output by its sum, takes the highest, rounds that
score and puts it into JSON. So the output may not be negative, and it must be of an integer type: integers divided by their sum become
Python's own float, while a float32 stays numpy's, which JSON refuses. Labels are lines in UTF-8, in the order of the output; `none` is
never published as a name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgetl.bundle.bundle import Variant
from edgetl.errors import ExportError
from edgetl.types import ImageSpec

EXPECTS = (
    "Copy the folder to Frigate's /config/model_cache/NAME and name it in its configuration under classification: custom: NAME. Frigate "
    "squashes all of what it cuts out to the input's size, bilinearly, where edgetl shows the centre: some answers differ, watch the first."
)
"""200 square photos of flowers, EfficientNet-Lite0 int8 taught with 125: as Frigate resizes, 163 answers are edgetl's own; right are 127,
edgetl's 116."""
_SIDE = 224


def check(variant: Variant, image: ImageSpec) -> None:
    """Refuses a model that Frigate cannot feed.

    Raises:
        ExportError: not a TFLite model of 224x224 pixels.
    """
    if variant.format != "tflite":
        raise ExportError(f"Frigate runs TFLite classifiers, and {variant.name} is none; leave --format out, or give --format tflite")
    if (image.width, image.height) != (_SIDE, _SIDE):
        raise ExportError(
            f"Frigate gives its classifiers {_SIDE}x{_SIDE} pixels, and {variant.name} takes {image.width}x{image.height}; teach with a "
            f"backbone of {_SIDE}x{_SIDE}"
        )


def layout(model: Mapping[str, bytes], labels: Sequence[str]) -> dict[str, bytes]:
    """The files of Frigate's folder `/config/model_cache/NAME/`."""
    (content,) = model.values()
    return {"model.tflite": content, "labelmap.txt": "".join(f"{label}\n" for label in labels).encode()}
