"""From a bundle to a trainer file, and what it says of itself."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from edgetl import bundle as bundles
from edgetl.errors import BundleMissing, ExportError
from edgetl.types import ImageSpec, to_json
from edgetl_exporters.tflite_file import Graph, pack
from edgetl_exporters.trainer import rule
from edgetl_exporters.trainer.embedding import embedding
from edgetl_exporters.trainer.expression import FREE

FORMAT = "edgetl-trainer-1"
METADATA = "edgetl-trainer"
"""The metadata entry of the .tflite file; its buffer holds the :class:`Trainer` as JSON, with `format`."""
SLOTS = 64
_MOST_SLOTS = 4096
_MEANINGS = {
    "image": "RGB pixels, scaled and cropped as `image` says",
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


def export_trainer(
    bundle: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    variant: str | None = None,
    slots: int = SLOTS,
    alpha: float = rule.ALPHA,
    temperature: float = rule.TEMPERATURE,
) -> Trainer:
    """Writes a bundle's TFLite model together with the head that learns from its embeddings as one .tflite file.

    Args:
        bundle: the bundle.
        output: NAME.tflite.
        variant: one of the bundle's TFLite variants; the one of the fewest bits when not given.
        slots: the most classes.
        alpha: the head's regularisation.
        temperature: what its logits are divided by.

    Raises:
        BundleMissing: no such bundle or variant, or none of TFLite.
        ExportError: a variant of another format, slots out of range, or a model that embeds no single image.
    """
    opened = bundles.Bundle.open(bundle)
    chosen = _variant(opened, variant)
    if not 2 <= slots <= _MOST_SLOTS:
        raise ExportError(f"{slots} class slots; expected 2 to {_MOST_SLOTS}, e.g. --slots {SLOTS}")
    model = embedding(next(iter(opened.model(chosen).values())), f"{opened.path}: {chosen.name}")
    rooted = opened.levels[-1] if opened.levels else opened.dim
    rule.add_train(model, opened.dim, rooted, slots, alpha)
    rule.add_predict(model, opened.dim, rooted, slots, alpha, temperature)
    made = Trainer(
        backbone=opened.backbone["name"],
        variant=chosen.name,
        model=chosen.sha256,
        fingerprint=opened.fingerprint(chosen).digest,
        image=opened.image,
        dim=opened.dim,
        rooted=rooted,
        slots=slots,
        alpha=alpha,
        temperature=temperature,
        operators=_operators(model),
        arguments=_arguments(model, slots),
        state_size=4 * (slots * (opened.dim + 2) + opened.dim**2),
    )
    _describe(model, made)
    content = pack(model)
    try:
        Path(output).write_bytes(content)
    except OSError as error:
        raise ExportError(f"{output} cannot be written: {error.strerror}") from error
    return dataclasses.replace(made, size=len(content))


def _variant(opened: bundles.Bundle, name: str | None) -> bundles.Variant:
    ours = [variant for variant in opened.variants.values() if variant.format == "tflite"]
    if name is not None:
        chosen = opened.variant(name)
        if chosen not in ours:
            raise ExportError(f"{opened.path}: {name} is {chosen.format}; a phone's interpreter runs tflite: {_names(ours)}")
        return chosen
    if not ours:
        raise BundleMissing(f"{opened.path}: no TFLite variant, only {_names(opened.variants.values())}; edgetl export --formats tflite")
    return min(ours, key=lambda variant: bundles.PRECISIONS.index(variant.precision))


def _names(variants: Any) -> str:
    return ", ".join(variant.name for variant in variants) or "it holds none; edgetl export --formats tflite makes one"


def _operators(model: Any) -> tuple[str, ...]:
    """Raises ExportError for what is not built in."""
    graphs = [Graph(model, number) for number in range(len(model.subgraphs))]
    used = sorted({graph.opcode(operator) for graph in graphs for operator in graph.raw.operators})
    if "CUSTOM" in used:
        raise ExportError("the variant uses a custom operator, which an app's interpreter does not have; export its bundle again")
    return tuple(used)


def _arguments(model: Any, slots: int) -> tuple[Argument, ...]:
    made = []
    for signature in model.signatureDefs:
        graph = Graph(model, signature.subgraphIndex)
        for way, entries in (("in", signature.inputs), ("out", signature.outputs)):
            for entry in entries:
                shape = tuple(slots if size == FREE else size for size in graph.shape(entry.tensorIndex))
                made.append(Argument(signature.signatureKey, way, entry.name, graph.dtype(entry.tensorIndex), shape, _MEANINGS[entry.name]))
    return tuple(made)


def _describe(model: Any, made: Trainer) -> None:
    stated = {key: value for key, value in to_json(made).items() if key != "size"}
    buffer = Graph(model).buffer(json.dumps({"format": FORMAT, **stated}, ensure_ascii=False).encode())
    model.metadata.append(schema.MetadataT(METADATA, buffer))
