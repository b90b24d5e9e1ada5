"""Input faults that a device may have, made on purpose from the self-test images, so that a failed self-test can name the fault."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

import numpy as np

from edgetl.inputs.photo.preprocess import centre_box, tensor
from edgetl.inputs.photo.source import PhotoSource
from edgetl.types import ImageSpec, Pixels

TEXTS: Mapping[str, str] = {
    "bgr": "red and blue are swapped (BGR instead of RGB)",
    "range": "pixel values are scaled to [0, 1]; the model expects [-1, 1]",
    "squash": "the photo is squashed instead of cropped",
    "nearest": "the photo is scaled with nearest instead of {filter}",
    "other": "the photo is scaled with {other} instead of {filter}",
}
"""Fault -> its description for people."""

_HALF = 127.5
_CLEARLY = 0.5
"""A fault is named if the result is at most this share as far from the fault's as from the correct one (docs/evidence/input-faults.md)."""


def corrupt_tensors(tensors: Pixels, mean: float | tuple[float, ...] = _HALF, std: float | tuple[float, ...] = _HALF) -> dict[str, Pixels]:
    """What reaches a model whose input is misread: fault -> uint8 like `tensors`.

    A model that normalises by itself sees x / 255 for a pixel of mean + std * x / 255, which is how the range is emulated.

    Args:
        tensors: uint8 RGB [..., 3].
        mean: what the model subtracts, pixel values.
        std: what it divides by, pixel values.
    """
    unit = np.clip(np.rint(np.asarray(mean) + tensors * (np.asarray(std) / 255)), 0, 255)
    return {"bgr": np.ascontiguousarray(tensors[..., ::-1]), "range": unit.astype(np.uint8)}


def corrupt_photo(photo: PhotoSource, spec: ImageSpec) -> dict[str, Pixels]:
    """What a photo becomes with wrong decoding, scaling or cropping: fault -> uint8 [h, w, 3].

    Raises:
        PhotoError: the photo cannot be used.
    """
    from PIL.Image import Resampling

    image = photo.image().convert("RGB")
    size = (spec.width, spec.height)
    box = centre_box(image.size, size, spec.resize)
    return {
        **corrupt_tensors(tensor(photo, spec)),
        "squash": np.asarray(image.resize(size, Resampling[spec.filter.upper()])),
        "nearest": np.asarray(image.resize(size, Resampling.NEAREST, box=box)),
        "other": tensor(photo, dataclasses.replace(spec, filter=_other(spec))),
    }


def identify(distances: Mapping[str, float], correct: float) -> str | None:
    """The fault that clearly explains a result; None if none does.

    Args:
        distances: of the result from what each fault makes.
        correct: of the result from what it should be, in the same unit.
    """
    fault = min(distances, key=lambda name: distances[name], default=None)
    return fault if fault is not None and fault in TEXTS and distances[fault] < _CLEARLY * correct else None


def describe(fault: str, spec: ImageSpec) -> str:
    """A fault in words, for a model that takes photos by `spec`."""
    return TEXTS[fault].format(filter=spec.filter, other=_other(spec))


def _other(spec: ImageSpec) -> Literal["bicubic", "bilinear"]:
    return "bilinear" if spec.filter == "bicubic" else "bicubic"
