"""Metadata of every format: those that edgetl writes into its files, and those that it reads from other files."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from edgetl.types import ColorOrder, ImageSpec, to_json

KEY = "edgetl"
"""The key of edgetl's own JSON in every format, for resize, crop and filter, which have no key in any ecosystem."""

Floats = tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Info:
    """The metadata of a file whose input is uint8 RGB pixels in [0, 255], with the normalisation inside.

    Attributes:
        name: of the model.
        description: a sentence for people.
        image: how photos become its input.
        labels: the classes in the order of its output; empty for an embedding.
        author: who made it.
        version: of the model.
        license: of the model.
    """

    name: str
    description: str
    image: ImageSpec
    labels: tuple[str, ...] = ()
    author: str = "edgetl"
    version: str = ""
    license: str = ""

    def spec(self, mean: float = 0.0, std: float = 1.0) -> str:
        """The image spec as canonical JSON, with the normalisation that the input's quantisation inverts."""
        return json.dumps({"image": to_json(self.image), "mean": [mean], "std": [std], "order": "rgb"}, sort_keys=True)


@dataclasses.dataclass(frozen=True)
class Stated:
    """The metadata that a file states; absent ones are None or empty.

    Attributes:
        name: of the model.
        labels: the classes in the order of its output.
        image: the whole image spec; only edgetl writes one.
        size: of the input: width, height, pixels.
        mean: subtracted from pixel values in [0, 255]: one number, or one per channel in the order of the input's channels.
        std: they are then divided by it.
        order: of the input's channels.
    """

    name: str = ""
    labels: tuple[str, ...] = ()
    image: ImageSpec | None = None
    size: tuple[int, int] | None = None
    mean: Floats | None = None
    std: Floats | None = None
    order: ColorOrder | None = None


def of_edgetl(text: str) -> dict[str, Any]:
    """Reads the JSON of :meth:`Info.spec` as fields of :class:`Stated`; empty if it is something else."""
    with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError, AttributeError):
        stated = json.loads(text)
        image = ImageSpec(**stated["image"])
        mean, std = (tuple(float(value) for value in stated[name]) for name in ("mean", "std"))
        if stated["order"] in ("rgb", "bgr"):
            return {"image": image, "size": (image.width, image.height), "mean": mean, "std": std, "order": stated["order"]}
    return {}


def model_info(info: Info) -> dict[str, str]:
    """The keys of OpenVINO's Model API, in an IR below `rt_info/model_info` and in an ONNX file as `model_info KEY`.

    (https://openvinotoolkit.github.io/model_api/latest/guides/model-configuration.html) Its lists are separated by white space, so
    white space in a label becomes underscores.
    """
    entries = {
        "model_name": info.name,
        "model_type": "Classification" if info.labels else "",
        "labels": " ".join("_".join(label.split()) for label in info.labels),
        "layout": "image:NHWC",
        "mean_values": "0 0 0",
        "scale_values": "1 1 1",
        "resize_type": "crop" if info.image.width == info.image.height == info.image.resize else "",
        "input_dtype": "u8",
        # The Model API gives frames as OpenCV reads them, in BGR.
        "reverse_input_channels": "True" if info.labels else "",
    }
    return {key: value for key, value in entries.items() if value}


def of_model_info(stated: Mapping[str, str]) -> dict[str, Any]:
    """Reads the Model API's keys as fields of :class:`Stated`."""
    result: dict[str, Any] = {"name": stated.get("model_name", ""), "labels": tuple(stated.get("labels", "").split())}
    with contextlib.suppress(ValueError):
        result["mean"] = _floats(stated.get("mean_values", ""))
    with contextlib.suppress(ValueError):
        result["std"] = _floats(stated.get("scale_values", ""))
    # The Model API and DL Streamer start from BGR frames: reversing gives RGB. Without reversing the order is unknown.
    if stated.get("reverse_input_channels", "").lower() in ("true", "yes"):
        result["order"] = "rgb"
    return {key: value for key, value in result.items() if value}


def _floats(text: str) -> Floats:
    return tuple(float(word) for word in text.replace(",", " ").strip("[]() ").split())
