"""ONNX: `metadata_props`, pairs of key and value.

Image.* are ONNX's own (https://onnx.ai/onnx/repo-docs/MetadataProps.html); description, author, version, license, task, imgsz and names
are Ultralytics' keys, which Frigate and others read; `model_info ...` are those of OpenVINO's Model API.
"""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Mapping
from typing import Any

from edgetl_exporters.metadata.info import KEY, Info, Stated, model_info, of_edgetl, of_model_info

_PREFIX = "model_info "
_RANGES = {"nominalrange_0_255": (0.0, 1.0), "normalized_0_1": (0.0, 255.0), "normalized_1_1": (127.5, 127.5)}
_ORDERS = {"rgb8": "rgb", "bgr8": "bgr"}


def write(model: bytes, info: Info) -> bytes:
    """The model with its metadata; the graph does not change."""
    import onnx

    proto = onnx.ModelProto.FromString(model)
    image = info.image
    entries = {
        KEY: info.spec(),
        "description": info.description,
        "author": info.author,
        "version": info.version,
        "license": info.license,
        "imgsz": str([image.height, image.width]),
        "task": "classify" if info.labels else "",
        "names": str(dict(enumerate(info.labels))) if info.labels else "",
        "Image.BitmapPixelFormat": "Rgb8",
        "Image.ColorSpaceGamma": "SRGB",
        "Image.NominalPixelRange": "NominalRange_0_255",
        **{_PREFIX + key: value for key, value in model_info(info).items()},
    }
    kept = {entry.key: entry.value for entry in proto.metadata_props}
    del proto.metadata_props[:]
    onnx.helper.set_model_props(proto, {**kept, **{key: value for key, value in entries.items() if value}})
    proto.doc_string = info.description
    proto.graph.input[0].type.denotation = "IMAGE"
    return bytes(proto.SerializeToString(deterministic=True))


def read(model: Any) -> Stated:
    """Reads the metadata of an `onnx.ModelProto`."""
    props = {entry.key: entry.value for entry in model.metadata_props}
    result = of_model_info({key.removeprefix(_PREFIX): value for key, value in props.items() if key.startswith(_PREFIX)})
    result |= _image({key.lower(): value.lower() for key, value in props.items()}) | _ultralytics(props)
    return Stated(**{**result, **of_edgetl(props.get(KEY, ""))})


def _image(props: Mapping[str, str]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    if props.get("image.nominalpixelrange") in _RANGES:
        mean, std = _RANGES[props["image.nominalpixelrange"]]
        result = {"mean": (mean,), "std": (std,)}
    if props.get("image.bitmappixelformat") in _ORDERS:
        result["order"] = _ORDERS[props["image.bitmappixelformat"]]
    return result


def _ultralytics(props: Mapping[str, str]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    with contextlib.suppress(ValueError, SyntaxError, TypeError, AttributeError, MemoryError, RecursionError):
        if size := [int(side) for side in ast.literal_eval(props.get("imgsz", "[]"))]:
            result["size"] = (size[-1], size[0])
    with contextlib.suppress(ValueError, SyntaxError, TypeError, AttributeError, MemoryError, RecursionError):
        if names := ast.literal_eval(props.get("names", "{}")):
            result["labels"] = tuple(str(names[number]) for number in range(len(names)))
    return result
