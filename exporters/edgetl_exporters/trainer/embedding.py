"""A bundle's own model as the signature `embed`: photo, uint8 [1, h, w, 3], to embedding, float32 [1, d]."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgetl.errors import ExportError
from edgetl_exporters.files.tflite import TfliteGraph, prune, read, sign

_PIXELS = {"float32": "CAST", "int8": "QUANTIZE", "uint8": ""}


def embedding(content: bytes, name: str) -> Any:
    """The model with its first graph as the only signature.

    What a runtime adapter does on the device is done inside: a float model's pixels are cast, a full-integer model's are moved to its
    zero point, and its output is dequantised. The operators between are the bundle's own, so that embeddings are what the bundle's parity
    was proved for.

    Raises:
        ExportError: not a model with one image as input and one embedding as output.
    """
    model = read(content, name)
    graph = TfliteGraph(model, file=name)
    given, made = list(map(int, graph.raw.inputs)), list(map(int, graph.raw.outputs))
    if (
        len(given) != 1
        or len(made) != 1
        or graph.dtype(given[0]) not in _PIXELS
        or graph.dtype(made[0]) not in ("float32", "int8", "uint8")
    ):
        said = " and ".join(", ".join(f"{graph.dtype(i)} {list(graph.shape(i))}" for i in numbers) for numbers in (given, made))
        raise ExportError(f"{name}: expected one image in and one embedding out, of float32, int8 or uint8; it has {said}")
    photo, result = _from_pixels(graph, given[0]), _to_float(graph, made[0])
    graph.raw.inputs, graph.raw.outputs = [photo], [result]
    sign(model, {"image": photo}, {"embedding": result}, "embed", alone=True)
    prune(model)
    return model


def _from_pixels(graph: TfliteGraph, given: int) -> int:
    opcode = _PIXELS[graph.dtype(given)]
    if not opcode:
        return given
    scale = 1.0 if opcode == "QUANTIZE" else ()
    photo = graph.tensor("embed/image", graph.shape(given), np.uint8, scale=scale)
    graph.operator(opcode, [photo], [given], f"{opcode.capitalize()}Options", first=True)
    return photo


def _to_float(graph: TfliteGraph, made: int) -> int:
    if graph.dtype(made) == "float32":
        return made
    result = graph.tensor("embed/embedding", graph.shape(made), np.float32)
    graph.operator("DEQUANTIZE", [made], [result], "DequantizeOptions", version=2)
    return result
