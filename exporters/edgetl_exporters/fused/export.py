"""Writes a fused classifier: one file for any program, or the folder that a target reads."""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path

from edgetl.bundle.bundle import Bundle, File, Variant
from edgetl.errors import ExportError
from edgetl.types import ImageSpec
from edgetl_exporters import metadata
from edgetl_exporters.errors import file_error
from edgetl_exporters.fused import frigate, onnx_head, openvino_head, tflite_head
from edgetl_exporters.fused.check import Answers, Check, compare
from edgetl_exporters.fused.classes import Classes
from edgetl_exporters.fused.proof import Agreement, prove
from edgetl_exporters.quantise import recipes

FORMATS: Mapping[str, str] = {"onnx": ".onnx", "tflite": ".tflite", "openvino": ".xml"}
"""Format -> suffix of the file. OpenVINO's weights are in a second file beside it."""
TARGETS = ("frigate",)


@dataclasses.dataclass(frozen=True)
class Fused:
    """A fused classifier that was written.

    Attributes:
        path: the file to open, or the target's folder.
        format: `onnx`, `tflite` or `openvino`.
        variant: the backbone's variant.
        target: the program whose layout it has; None for one ordinary file.
        files: all that were written.
        labels: class names, in the order of the output.
        added: size beyond the backbone alone, bytes.
        expects: how a program must prepare a photo and open the file, in sentences.
        left_out: what edgetl does and this file cannot, in sentences.
        agreement: the proof.
        check: the comparison with edgetl on photos, if there was one.
    """

    path: str
    format: str
    variant: str
    target: str | None
    files: tuple[File, ...]
    labels: tuple[str, ...]
    added: int
    expects: tuple[str, ...]
    left_out: tuple[str, ...]
    agreement: Agreement
    check: Check | None


def fuse(
    bundle: Bundle, variant: Variant, head: Classes, output: Path, *, target: str | None = None, answers: Answers | None = None
) -> Fused:
    """Appends a head to a variant of a bundle, proves the result and writes it as a whole or not at all.

    Args:
        bundle: where the backbone is from.
        variant: one of its models; the caller makes sure that the head was trained on its embeddings, or passes `answers`.
        head: the head.
        output: the file, with a suffix of :data:`FORMATS`, or with a target a folder; it must not exist.
        target: `frigate`, or None.
        answers: of edgetl, with which the file is compared on photos; None skips the comparison.

    Raises:
        ExportError: `target-exists`, `wrong-suffix`, `dim-differs`, `program-unsupported`, `too-few-photos` or `not-writable`.
        ParityError: the fused file computes other probabilities than the head, or too often another class than edgetl.
        PhotoError: the folder to compare on cannot be read.
        RuntimeUnavailable: the variant's runtime is not installed.
    """
    _check(bundle, variant, head, output, target)
    expects = _expects(bundle.input, variant, target)
    sentences = (f"{bundle.backbone['name']} ({variant.name}) with {head.about}.", *expects, *head.left_out)
    info = metadata.Info(str(bundle.backbone["name"]), " ".join(sentences), bundle.input, head.labels)
    model = metadata.write(variant.format, _appended(variant.format, bundle.model(variant), head, target), info)
    agreement = prove(bundle, variant, head, model)
    check = compare(bundle, variant, model, answers) if answers else None
    if target == "frigate":
        written = frigate.layout(model, head.labels)
    else:
        written = {output.with_suffix(Path(name).suffix).name: content for name, content in model.items()}
    _write(written, output if target else output.parent)
    return Fused(
        str(output), variant.format, variant.name, target,
        tuple(File(name, len(content), hashlib.sha256(content).hexdigest()) for name, content in written.items()),
        head.labels, sum(map(len, model.values())) - variant.size, expects, head.left_out, agreement, check,
    )  # fmt: skip


def _appended(format_: str, files: Mapping[str, bytes], head: Classes, target: str | None) -> dict[str, bytes]:
    if format_ == "tflite":
        return tflite_head.append(files, head, integers=target == "frigate")
    return onnx_head.append(files, head) if format_ == "onnx" else openvino_head.append(files, head)


_SIGNED = {
    "onnx": "open it with session.x64quantprecision=1, or its products saturate; a bundle of --onnx-recipe onnx-u8u8 needs no setting.",
    "openvino": "compile it with LP_TRANSFORMS_MODE=NO, or its products saturate; a bundle of --openvino-recipe openvino-u8u8 needs no "
    "setting.",
}
"""How a program must open a model with int8 weights: docs/evidence/int8-instruction-sets.md."""


def _expects(image: ImageSpec, variant: Variant, target: str | None) -> tuple[str, ...]:
    photo = (
        f"Input: uint8 RGB [n, {image.height}, {image.width}, 3], values 0 to 255; the normalisation is inside.",
        f"The head was trained on photos scaled to a short side of {image.resize} pixels ({image.filter}, antialiased) and cropped to the "
        "centre; a program that squashes the whole photo to the input's size may get other answers.",
    )
    by_format = {"openvino": (openvino_head.EXPECTS,), "tflite": (tflite_head.EXPECTS,)}
    signed = (f"On x86 without VNNI {_SIGNED[variant.format]}",) if variant.format in _SIGNED and recipes.signed(variant.recipe) else ()
    return (*photo, *by_format.get(variant.format, ()), *signed, *((frigate.EXPECTS,) if target == "frigate" else ()))


def _check(bundle: Bundle, variant: Variant, head: Classes, output: Path, target: str | None) -> None:
    if variant.format not in FORMATS:
        raise ExportError(
            f"{variant.name}: a classifier file has the format {', '.join(FORMATS)}, not {variant.format}",
            code="unknown-format", given=variant.format, known=list(FORMATS),
        )  # fmt: skip
    if head.dim != bundle.dim:
        raise file_error(
            bundle.path,
            f"its embeddings have {bundle.dim} values, the head reads {head.dim}; give the head's own bundle",
            code="dim-differs", dim=bundle.dim, head_dim=head.dim,
        )  # fmt: skip
    if target is None and output.suffix != FORMATS[variant.format]:
        suffix = FORMATS[variant.format]
        raise file_error(output, f"a classifier in the format {variant.format} ends in {suffix}", code="wrong-suffix", expected=suffix)
    beside = [output] if target else [output, output.with_suffix(".bin")][: len(variant.files)]
    taken = next((path for path in beside if path.exists()), None)
    if taken is not None:
        raise ExportError(f"{taken} already exists; choose another name with -o, or remove it", code="target-exists", path=str(taken))
    if target == "frigate":
        frigate.check(variant, bundle.input)


def _write(files: Mapping[str, bytes], folder: Path) -> None:
    """Writes all files or none, so that no program opens half of one."""
    new = not folder.exists()
    try:
        folder.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".edgetl-", dir=folder) as draft:
            for name, content in files.items():
                (Path(draft) / name).write_bytes(content)
            for name in reversed(list(files)):  # a graph is written after its weights
                (Path(draft) / name).replace(folder / name)
    except OSError as error:
        if new and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        raise ExportError(f"{folder} cannot be written: {error.strerror}", code="not-writable", path=str(folder)) from error
