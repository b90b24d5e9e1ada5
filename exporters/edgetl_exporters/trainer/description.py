"""The description of a trainer file, which is stored inside it."""

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
from edgetl_exporters.errors import file_error
from edgetl_exporters.files.tflite import TfliteGraph, read
from edgetl_exporters.trainer.expression import FREE

FORMAT = "edgetl-trainer-1"
METADATA = "edgetl-trainer"
"""The metadata entry of the .tflite file; its buffer holds the :class:`Trainer` as JSON, with `format`."""
_MEANINGS = {
    "image": "the photo: RGB, 0 to 255",
    "embedding": "the result of `embed`",
    "target": "1 at the photo's class, 0 elsewhere; -1 forgets a photo learned before",
    "counts": "state: photos per class",
    "sums": "state: their summed embeddings",
    "squares": "state: the class means' lengths",
    "within": "state: the scatter within classes",
    "logits": "-1e30 for a class without photos",
    "probabilities": "0 for a class without photos",
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
        meaning: its content, in words.
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
        variant: the bundle's variant inside.
        model: its sha256 (hex).
        fingerprint: digest of its embeddings' fingerprint, the same as that of an edgetl store or head of the variant.
        image: how photos become its input.
        dim: values of an embedding.
        rooted: of how many of its last values the head takes roots.
        slots: the most classes.
        alpha: the head's regularisation, see :mod:`edgetl_exporters.trainer.rule`.
        temperature: what its logits are divided by, likewise.
        operators: the builtin operators inside, by name.
        arguments: inputs and outputs of the signatures.
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
        ExportError: `custom-operator`.
    """
    graphs = [TfliteGraph(model, number) for number in range(len(model.subgraphs))]
    used = sorted({graph.opcode(operator) for graph in graphs for operator in graph.raw.operators})
    if "CUSTOM" in used:
        raise ExportError(
            "the variant uses a custom operator, which an app's interpreter does not have; export its bundle again", code="custom-operator"
        )
    return tuple(used)


def arguments(model: Any, slots: int) -> tuple[Argument, ...]:
    """Inputs and outputs of the signatures of a model."""
    result = []
    for signature in model.signatureDefs:
        graph = TfliteGraph(model, signature.subgraphIndex)
        for way, entries in (("in", signature.inputs), ("out", signature.outputs)):
            for entry in entries:
                shape = tuple(slots if size == FREE else size for size in graph.shape(entry.tensorIndex))
                result.append(
                    Argument(signature.signatureKey, way, entry.name, graph.dtype(entry.tensorIndex), shape, _MEANINGS[entry.name])
                )
    return tuple(result)


def describe(model: Any, trainer: Trainer) -> None:
    """Stores the description of a trainer in its model."""
    stated = {key: value for key, value in to_json(trainer).items() if key != "size"}
    buffer = TfliteGraph(model).buffer(json.dumps({"format": FORMAT, **stated}, ensure_ascii=False).encode())
    model.metadata.append(schema.MetadataT(METADATA, buffer))


def read_trainer(path: str | os.PathLike[str]) -> Mapping[str, Any]:
    """Reads the description of a trainer file: the fields of :class:`Trainer`.

    Raises:
        ExportError: `file-unreadable`, or `not-a-trainer`.
    """
    try:
        model = read(Path(path).read_bytes(), os.fspath(path))
    except OSError as error:
        raise ExportError(f"{path} cannot be read: {error.strerror}", code="file-unreadable", path=os.fspath(path)) from error
    for entry in model.metadata:
        with contextlib.suppress(ValueError, TypeError, AttributeError):  # another program's entry of this name
            stated: Mapping[str, Any] = json.loads(bytes(model.buffers[entry.buffer].data)) if entry.name == METADATA.encode() else {}
            if stated.get("format") == FORMAT:
                return stated
    raise file_error(path, f"not a trainer file (no {FORMAT!r} in its metadata). Make one: edgetl deploy trainer", code="not-a-trainer")
