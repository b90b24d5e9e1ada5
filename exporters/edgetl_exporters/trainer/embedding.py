"""A bundle's own model as the signature `embed`: photo, uint8 [1, h, w, 3], to embedding, float32 [1, d]."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgetl_exporters.errors import file_error
from edgetl_exporters.files.tflite import TfliteGraph, prune, read, sign

_PIXELS = {"float32": "CAST", "int8": "QUANTIZE", "uint8": ""}


def embedding(content: bytes, name: str) -> Any:
    """The model with its first graph as the only signature.

    The work of a runtime adapter is done inside: a float model's pixels are cast, a full-integer model's are shifted to its zero point, and
    its output is dequantised. The operators between are the bundle's own, so the bundle's parity holds for the embeddings.

    Raises:
        ExportError: `not-an-embedder`: not one image in and one embedding out.
    """
    model = read(content, name)
    graph = TfliteGraph(model, file=name)
    inputs, outputs = list(map(int, graph.raw.inputs)), list(map(int, graph.raw.outputs))
    if (
        len(inputs) != 1
        or len(outputs) != 1
        or graph.dtype(inputs[0]) not in _PIXELS
        or graph.dtype(outputs[0]) not in ("float32", "int8", "uint8")
    ):
        ends = [[f"{graph.dtype(i)} {list(graph.shape(i))}" for i in numbers] for numbers in (inputs, outputs)]
        raise file_error(
            name,
            f"expected one image in and one embedding out, of float32, int8 or uint8; it has {' and '.join(map(', '.join, ends))}",
            code="not-an-embedder", inputs=ends[0], outputs=ends[1],
        )  # fmt: skip
    photo, result = _from_pixels(graph, inputs[0]), _to_float(graph, outputs[0])
    graph.raw.inputs, graph.raw.outputs = [photo], [result]
    sign(model, {"image": photo}, {"embedding": result}, "embed", alone=True)
    prune(model)
    return model


def _from_pixels(graph: TfliteGraph, image: int) -> int:
    opcode = _PIXELS[graph.dtype(image)]
    if not opcode:
        return image
    scale = 1.0 if opcode == "QUANTIZE" else ()
    photo = graph.tensor("embed/image", graph.shape(image), np.uint8, scale=scale)
    graph.operator(opcode, [photo], [image], f"{opcode.capitalize()}Options", first=True)
    return photo


def _to_float(graph: TfliteGraph, output: int) -> int:
    if graph.dtype(output) == "float32":
        return output
    result = graph.tensor("embed/embedding", graph.shape(output), np.float32)
    graph.operator("DEQUANTIZE", [output], [result], "DequantizeOptions", version=2)
    return result
