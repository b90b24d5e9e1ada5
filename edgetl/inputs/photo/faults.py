"""The input faults that a device may have, made on purpose from the golden photos, so that a mismatch can be called by its name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

import numpy as np

from edgetl.inputs.photo.preprocess import centre_box, tensor
from edgetl.inputs.photo.source import Source
from edgetl.types import ImageSpec, Pixels

NAMES: Mapping[str, str] = {
    "bgr": "the colours arrive in BGR order",
    "range": "pixel values are scaled to [0, 1] where the model expects [-1, 1]",
    "squash": "the photo is squashed instead of cropped",
    "nearest": "the photo is scaled with nearest instead of {filter}",
    "other": "the photo is scaled with {other} instead of {filter}",
}
"""Fault -> what a person is told."""

_HALF = 127.5
_CLEARLY = 0.5
"""A fault is named where the mismatch lies at most this share of its distance from the right result away from the fault's. With
EfficientNet-Lite0 in LiteRT, ONNX Runtime and OpenVINO, fp32 and int8, the fault that was put in lay at 0.00 to 0.23, every other from 0.8
upwards."""


def of_tensors(tensors: Pixels, mean: float | tuple[float, ...] = _HALF, std: float | tuple[float, ...] = _HALF) -> dict[str, Pixels]:
    """What reaches a model whose input is misread: fault -> uint8 like `tensors`.

    A model that normalises by itself sees x / 255 for a pixel of mean + std * x / 255, which is how the range is emulated.

    Args:
        tensors: uint8 RGB [..., 3].
        mean: what the model subtracts, pixel values.
        std: what it divides by, pixel values.
    """
    unit = np.clip(np.rint(np.asarray(mean) + tensors * (np.asarray(std) / 255)), 0, 255)
    return {"bgr": np.ascontiguousarray(tensors[..., ::-1]), "range": unit.astype(np.uint8)}


def of_photo(photo: Source, spec: ImageSpec) -> dict[str, Pixels]:
    """What a photo becomes where decoding, scaling or cropping is wrong: fault -> uint8 [h, w, 3].

    Raises:
        PhotoError: the photo cannot be used.
    """
    from PIL.Image import Resampling

    image = photo.image().convert("RGB")
    size = (spec.width, spec.height)
    box = centre_box(image.size, size, spec.resize)
    return {
        **of_tensors(tensor(photo, spec)),
        "squash": np.asarray(image.resize(size, Resampling[spec.filter.upper()])),
        "nearest": np.asarray(image.resize(size, Resampling.NEAREST, box=box)),
        "other": tensor(photo, dataclasses.replace(spec, filter=_other(spec))),
    }


def named(distances: Mapping[str, float], right: float, spec: ImageSpec) -> str | None:
    """What a person is told, or None where no fault explains the result clearly.

    Args:
        distances: of the result from what each fault makes.
        right: of the result from what it should be, in the same unit.
        spec: the image spec that was to be followed.
    """
    fault = min(distances, key=lambda name: distances[name], default=None)
    if fault is None or not distances[fault] < _CLEARLY * right:
        return None
    return NAMES[fault].format(filter=spec.filter, other=_other(spec)) if fault in NAMES else None


def _other(spec: ImageSpec) -> Literal["bicubic", "bilinear"]:
    return "bilinear" if spec.filter == "bicubic" else "bicubic"
