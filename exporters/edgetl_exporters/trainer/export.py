"""Writes the trainer file of a bundle."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path

from edgetl.bundle import bundle as bundles
from edgetl.errors import BundleMissing, ExportError, FingerprintMismatch
from edgetl.types import Fingerprint
from edgetl_exporters.errors import file_error
from edgetl_exporters.files.tflite import pack
from edgetl_exporters.trainer import rule
from edgetl_exporters.trainer.description import Trainer, arguments, describe, operators
from edgetl_exporters.trainer.embedding import embedding

SLOTS = 64
_MOST_SLOTS = 4096


def export_trainer(
    bundle: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    variant: str | None = None,
    slots: int = SLOTS,
    alpha: float = rule.ALPHA,
    temperature: float = rule.TEMPERATURE,
) -> Trainer:
    """Writes a bundle's TFLite model and the head that learns from its embeddings as one .tflite file.

    Args:
        bundle: the bundle.
        output: NAME.tflite.
        variant: one of the bundle's TFLite variants; None is the one of the fewest bits.
        slots: the most classes.
        alpha: the head's regularisation.
        temperature: what its logits are divided by.

    Raises:
        BundleMissing: no such bundle or variant, or none of TFLite.
        ExportError: `wrong-suffix`, `format-differs`, `slots-out-of-range`, `not-an-embedder`, `custom-operator` or `not-writable`.
    """
    if Path(output).suffix != ".tflite":
        message = f"{output}: expected a name that ends in .tflite"
        raise ExportError(message, code="wrong-suffix", path=os.fspath(output), expected=".tflite")
    opened = bundles.Bundle.open(bundle)
    chosen = choose(opened, variant)
    if not 2 <= slots <= _MOST_SLOTS:
        raise ExportError(
            f"{slots} class slots; expected 2 to {_MOST_SLOTS}, e.g. --slots {SLOTS}",
            code="slots-out-of-range", slots=slots, maximum=_MOST_SLOTS,
        )  # fmt: skip
    model = embedding(next(iter(opened.model(chosen).values())), f"{opened.path}: {chosen.name}")
    rooted = opened.levels[-1] if opened.levels else opened.dim
    rule.add_train(model, opened.dim, rooted, slots, alpha)
    rule.add_predict(model, opened.dim, rooted, slots, alpha, temperature)
    trainer = Trainer(
        backbone=opened.backbone["name"],
        variant=chosen.name,
        model=chosen.sha256,
        fingerprint=opened.fingerprint(chosen).digest,
        image=opened.input,
        dim=opened.dim,
        rooted=rooted,
        slots=slots,
        alpha=alpha,
        temperature=temperature,
        operators=operators(model),
        arguments=arguments(model, slots),
        state_size=4 * (slots * (opened.dim + 2) + opened.dim**2),
    )
    describe(model, trainer)
    return dataclasses.replace(trainer, size=_write(Path(output), pack(model)))


def _write(path: Path, content: bytes) -> int:
    """Writes the file; returns its size, bytes."""
    try:
        return path.write_bytes(content)
    except OSError as error:
        raise ExportError(f"{path} cannot be written: {error.strerror}", code="not-writable", path=str(path)) from error


def choose(opened: bundles.Bundle, name: str | None, like: Fingerprint | None = None) -> bundles.Variant:
    """The TFLite variant of this name, or the one of the fewest bits.

    Args:
        opened: the bundle.
        name: the variant's name, or None.
        like: fingerprint of embeddings that the variant's must equal; None for any.

    Raises:
        BundleMissing: no such variant, or none of TFLite.
        ExportError: `format-differs`: a variant of another format.
        FingerprintMismatch: no variant has equal embeddings.
    """
    tflite = [variant for variant in opened.variants.values() if variant.format == "tflite"]
    if not tflite:
        raise BundleMissing(
            f"{opened.path}: no TFLite variant, only {_names(opened.variants.values())}; edgetl export --format tflite",
            code="format-missing", path=str(opened.path), format="tflite", names=list(opened.variants),
        )  # fmt: skip
    if name is not None:
        chosen = opened.variant(name)
        if chosen not in tflite:
            raise file_error(
                opened.path,
                f"{name} is {chosen.format}, and a phone's interpreter runs tflite: {_names(tflite)}",
                code="format-differs", format=chosen.format, names=[variant.name for variant in tflite],
            )  # fmt: skip
        tflite = [chosen]
    alike = [variant for variant in tflite if like is None or opened.equivalent(opened.fingerprint(variant), like)]
    if not alike:
        assert like is not None
        raise FingerprintMismatch(
            f"{opened.path}: the embeddings of {_names(tflite)} differ from the store's {like.family} {like.precision} model; train a "
            f"store with --variant {tflite[0].name}, or let the app begin without photos (omit -s)",
            path=str(opened.path), names=[variant.name for variant in tflite], family=like.family, precision=like.precision,
        )  # fmt: skip
    return min(alike, key=lambda variant: bundles.PRECISIONS.index(variant.precision))


def _names(variants: Iterable[bundles.Variant]) -> str:
    return ", ".join(variant.name for variant in variants)
