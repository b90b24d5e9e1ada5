"""What a trainer file is and says of itself."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from edgetl.errors import ExportError
from edgetl.types import ImageSpec, to_json
from edgetl_exporters.files.tflite import TfliteGraph, read
from edgetl_exporters.trainer.expression import FREE

FORMAT = "edgetl-trainer-1"
METADATA = "edgetl-trainer"
"""The metadata entry of the .tflite file; its buffer holds the :class:`Trainer` as JSON, with `format`."""
_MEANINGS = {
    "image": "the photo: RGB, 0 to 255",
    "embedding": "what `embed` gave",
    "target": "1 at the photo's class, 0 elsewhere; -1 forgets a photo learnt before",
    "counts": "state: photos per class",
    "sums": "state: their summed embeddings",
    "squares": "state: the class means' lengths",
    "within": "state: how photos of one class differ",
    "logits": "-1e30 where a class has no photo",
    "probabilities": "0 where a class has no photo",
}


@dataclasses.dataclass(frozen=True)
class Argument:
    """An input or output of a signature.

    Attributes:
        signature: `embed`, `train` or `predict`.
        way: `in` or `out`.
        name: its name in the signature.
        dtype: `uint8` or `float32`.
        shape: its sizes; a class dimension is `slots`, and the interpreter may resize it to fewer.
        meaning: what it holds.
    """

    signature: str
    way: str
    name: str
    dtype: str
    shape: tuple[int, ...]
    meaning: str


@dataclasses.dataclass(frozen=True)
class Trainer:
    """A trainer file.

    Attributes:
        backbone: the network.
        variant: the bundle's variant that is inside.
        model: its sha256 (hex).
        fingerprint: digest of its embeddings' fingerprint, which an edgetl store or head of the same variant bears.
        image: how photos become its input.
        dim: values of an embedding.
        rooted: of how many of its last values the head reads roots.
        slots: the most classes.
        alpha: the head's regularisation, see :mod:`edgetl_exporters.trainer.rule`.
        temperature: what its logits are divided by, likewise.
        operators: the builtin operators inside, by name.
        arguments: what the signatures take and give.
        state_size: the state's bytes, all slots together.
        size: the file's bytes; 0 in the file itself.
    """

    backbone: str
    variant: str
    model: str
    fingerprint: str
    image: ImageSpec
    dim: int
    rooted: int
    slots: int
    alpha: float
    temperature: float
    operators: tuple[str, ...]
    arguments: tuple[Argument, ...]
    state_size: int
    size: int = 0


def operators(model: Any) -> tuple[str, ...]:
    """The names of the operators in all graphs of a model.

    Raises:
        ExportError: one of them is not built in.
    """
    graphs = [TfliteGraph(model, number) for number in range(len(model.subgraphs))]
    used = sorted({graph.opcode(operator) for graph in graphs for operator in graph.raw.operators})
    if "CUSTOM" in used:
        raise ExportError("the variant uses a custom operator, which an app's interpreter does not have; export its bundle again")
    return tuple(used)


def arguments(model: Any, slots: int) -> tuple[Argument, ...]:
    """What the signatures of a model take and give."""
    made = []
    for signature in model.signatureDefs:
        graph = TfliteGraph(model, signature.subgraphIndex)
        for way, entries in (("in", signature.inputs), ("out", signature.outputs)):
            for entry in entries:
                shape = tuple(slots if size == FREE else size for size in graph.shape(entry.tensorIndex))
                made.append(Argument(signature.signatureKey, way, entry.name, graph.dtype(entry.tensorIndex), shape, _MEANINGS[entry.name]))
    return tuple(made)


def describe(model: Any, made: Trainer) -> None:
    """Writes what a trainer says of itself into its model."""
    stated = {key: value for key, value in to_json(made).items() if key != "size"}
    buffer = TfliteGraph(model).buffer(json.dumps({"format": FORMAT, **stated}, ensure_ascii=False).encode())
    model.metadata.append(schema.MetadataT(METADATA, buffer))


def read_trainer(path: str | os.PathLike[str]) -> Mapping[str, Any]:
    """What a trainer file says of itself: the fields of :class:`Trainer`.

    Raises:
        ExportError: it cannot be read, or is no trainer file.
    """
    try:
        model = read(Path(path).read_bytes(), os.fspath(path))
    except OSError as error:
        raise ExportError(f"{path} cannot be read: {error.strerror}") from error
    for entry in model.metadata:
        with contextlib.suppress(ValueError, TypeError, AttributeError):  # a stranger's entry of this name
            stated: Mapping[str, Any] = json.loads(bytes(model.buffers[entry.buffer].data)) if entry.name == METADATA.encode() else {}
            if stated.get("format") == FORMAT:
                return stated
    raise ExportError(f"{path}: no trainer file (no {FORMAT!r} in its metadata); edgetl deploy trainer makes one")
