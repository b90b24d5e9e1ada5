"""Trained classifiers for other programs and for phones; needs the workstation's part (`pip install 'edgetl[export]'`)."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetl.bundle.bundle import Bundle, Variant
from edgetl.errors import ExportError, FingerprintMismatch, NotTrained
from edgetl.heads import Head
from edgetl.heads.confidence.rejection import is_reject_class
from edgetl.store import Store

if TYPE_CHECKING:
    from edgetl.inputs.photo.folders import Progress

PROGRAMS = ("frigate",)
"""Programs whose folder layout :func:`deploy_classifier` writes."""


@dataclasses.dataclass(frozen=True)
class DeployedTrainer:
    """A trainer file as it was written.

    Attributes:
        trainer: the file's signatures, sizes and image spec (`edgetl_exporters.trainer.Trainer`).
        state: the file of a store's photos with which an app begins; None if it begins with zeros.
        labels: the classes of that state.
    """

    trainer: Any
    state: str | None
    labels: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class TrainerHead:
    """A head made of what an app has learned.

    Attributes:
        labels: its classes.
        counts: photos per class.
        temperature: of its probabilities.
        fingerprint: sha256 (hex) of the model that computed the embeddings.
    """

    labels: tuple[str, ...]
    counts: tuple[int, ...]
    temperature: float
    fingerprint: str


def workstation(module: str) -> Any:
    """Imports a module of the workstation's part.

    Raises:
        ExportError: it, or a library that it imports, is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ExportError(
            f"this needs the workstation part, which is not installed ({error}); pip install 'edgetl[export]'",
            code="workstation-part-missing", module=module,
        ) from error  # fmt: skip


def deploy_classifier(
    bundle: str | os.PathLike[str],
    store: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    format: str | None = None,
    variant: str | None = None,
    check: str | os.PathLike[str] | None = None,
    program: str | None = None,
    progress: Progress | None = None,
) -> Any:
    """Writes backbone and active head as one ordinary classifier file, which needs no edgetl.

    Args:
        bundle: the bundle that the store was trained with.
        store: the store whose active head to take.
        output: NAME.onnx, NAME.tflite or NAME.xml; with `program` a folder.
        format: `onnx`, `tflite` or `openvino`; None is the format of `variant`, or of the store's own variant.
        variant: whose backbone to take; None is the store's own.
        check: a folder of 50 or more photos that were not used for training; the file is compared with edgetl on them. A variant whose
            embeddings differ from the store's needs it.
        program: one of PROGRAMS, to write the folder that it reads.
        progress: called with (photos done, photos in all).

    Returns:
        An `edgetl_exporters.fused.Fused`: files, labels, proof and check.

    Raises:
        NotTrained: no head is active.
        ExportError: one class only, no such format, or the file cannot be written.
        FingerprintMismatch: the store belongs to another bundle, or to a variant with other embeddings and there is no `check`.
        ParityError: the file gives other answers than edgetl.
    """
    format = "tflite" if program == "frigate" else format
    opened = Bundle.open(bundle)
    with Store.open(store, None, read_only=True) as reader:
        head_id, head = active_head(reader)
        own, chosen = _variants(opened, reader, variant, format, checked=check is not None)
        classes = workstation("edgetl_exporters.fused").Classes(
            head.labels, head.weight, head.bias, head.temperature, head.rooted, head.probabilities,
            f"head {head_id} ({head.kind}) of {Path(store).name}", tuple(_left_out(head)),
        )  # fmt: skip
        with _answers(opened, own, reader, head, check, progress) as answers:
            return workstation("edgetl_exporters.fused").fuse(opened, chosen, classes, Path(output), target=program, answers=answers)


def deploy_trainer(
    bundle: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    store: str | os.PathLike[str] | None = None,
    variant: str | None = None,
    slots: int = 64,
) -> DeployedTrainer:
    """Writes one .tflite file with which an Android or iOS app learns, without Python.

    Args:
        bundle: a bundle with a TFLite variant.
        output: NAME.tflite.
        store: the app begins with the photos of this store; they are written beside the output as NAME.safetensors.
        variant: a TFLite variant; None is the one of the fewest bits, or the store's.
        slots: the most classes that the app may have.

    Raises:
        BundleMissing: no such variant.
        ExportError: more classes than slots, or the file cannot be written.
        FingerprintMismatch: the store belongs to another model.
    """
    exporters = workstation("edgetl_exporters.trainer")
    start, labels, settings = (None, (), {}) if store is None else _start(exporters, Bundle.open(bundle), variant, slots, store)
    trainer = exporters.export_trainer(bundle, output, slots=slots, **{"variant": variant, **settings})
    beside = str(Path(output).with_suffix(".safetensors"))
    if start is not None:
        exporters.state.write(beside, start, labels)
    return DeployedTrainer(trainer, beside if start is not None else None, labels)


def import_trainer(trainer: str | os.PathLike[str], state: str | os.PathLike[str], output: str | os.PathLike[str]) -> TrainerHead:
    """Turns what an app has learned into a head file for :meth:`edgetl.Classifier.import_head`.

    Args:
        trainer: the .tflite file with which the app learned.
        state: safetensors with the four arrays of the state, and metadata `labels`.
        output: the head file.

    Raises:
        ExportError: not a trainer file, not a state of it, or the head file cannot be written.
        HeadError: class names that are not allowed.
    """
    exporters = workstation("edgetl_exporters.trainer")
    description = exporters.read_trainer(trainer)
    arrays, labels = exporters.state.read(state, description["slots"], description["dim"])
    weight, bias = exporters.state.linear(arrays, description["alpha"])
    counts = tuple(map(int, arrays["counts"]))
    temperature = description["temperature"] / sum(counts)
    head = Head("lda", labels, weight, bias, temperature, description["rooted"], counts, description["fingerprint"])
    content = head.to_bytes()
    Head.from_bytes(content, os.fspath(state))  # an app may have chosen names that are not allowed
    try:
        Path(output).write_bytes(content)
    except OSError as error:
        raise ExportError(f"{output} cannot be written: {error.strerror}", code="not-writable", path=os.fspath(output)) from error
    return TrainerHead(labels, counts, temperature, description["fingerprint"])


def active_head(store: Store) -> tuple[int, Head]:
    """The id of the active head, and the head.

    Raises:
        NotTrained: no head is active.
        ExportError: it has one class: a classifier file cannot reject, so it would give that class to everything.
    """
    active = store.active()
    if active is None:
        raise NotTrained(f"{store.path}: no head is active. Train one: edgetl train -s {store.path}", path=str(store.path))
    head = Head.from_bytes(store.head_bytes(active.id), f"{store.path}: head {active.id}")
    if len(head.labels) == 1:
        raise ExportError(
            f"{store.path}: head {active.id} has one class, {head.labels[0]!r}, and a classifier file without rejection would give it to "
            "every photo. Add a second class, or one named 'background', and train again.",
            code="one-class", path=str(store.path), head_id=active.id, label=head.labels[0],
        )  # fmt: skip
    return active.id, head


def _variants(bundle: Bundle, store: Store, name: str | None, format: str | None, *, checked: bool) -> tuple[Variant, Variant]:
    """The store's own variant; and the one to take: itself, else one proved equal to it, else, if checked, one of the same precision."""
    named = [bundle.variant(name)] if name else list(bundle.variants.values())
    possible = [variant for variant in named if format in (None, variant.format)]
    if not possible:
        names = ", ".join(variant.name for variant in named)
        raise ExportError(
            f"{bundle.path}: none of {names} has the format {format}",
            code="format-missing",
            path=str(bundle.path),
            format=format,
            names=names,
        )
    theirs = store.fingerprint
    own = next((variant for variant in bundle.variants.values() if bundle.fingerprint(variant) == theirs), None)
    if own is None:
        differences = theirs.differences(bundle.fingerprint(possible[0]))
        raise FingerprintMismatch(
            f"{store.path} was not trained with {bundle.path}. Give the store's own bundle. Store != bundle:\n  "
            + "\n  ".join(differences),
            code="other-bundle", store=str(store.path), bundle=str(bundle.path), differences=differences,
        )  # fmt: skip

    def rank(variant: Variant) -> tuple[bool, bool, bool]:
        equal = bundle.equivalent(bundle.fingerprint(variant), theirs)
        return variant.name != own.name, not equal, variant.precision != own.precision

    chosen = min(possible, key=rank)
    if not checked and not bundle.equivalent(bundle.fingerprint(chosen), theirs):
        raise FingerprintMismatch(
            f"{store.path} was trained with {own.name}; the embeddings of {chosen.name} differ slightly. Deploy {own.name}, train a store "
            f"with --variant {chosen.name}, or pass --check FOLDER with photos that were not used for training.",
            code="other-variant", store=str(store.path), own=own.name, variant=chosen.name,
        )  # fmt: skip
    return own, chosen


@contextlib.contextmanager
def _answers(
    bundle: Bundle, own: Variant, store: Store, head: Head, folder: str | os.PathLike[str] | None, progress: Progress | None
) -> Iterator[Any]:
    """The answers of edgetl with the store's own variant; None without a folder to check on."""
    if folder is None:
        yield None
        return
    from edgetl.embedding.embedder import Embedder

    with contextlib.closing(Embedder.open(bundle, variant=own.name)) as embedder:
        yield workstation("edgetl_exporters.fused").Answers(
            own.name, Path(folder), lambda pixels: head.probabilities(embedder.infer(pixels)),
            lambda digest: store.find(digest) is not None, progress or (lambda done, total: None),
        )  # fmt: skip


def _left_out(head: Head) -> list[str]:
    """What the head does and one output of probabilities cannot, in sentences for the file's metadata."""
    sentences = []
    if head.rejection is not None:
        sentences.append("Not in this file: edgetl's rejection of unknown objects; every photo gets one of the classes.")
    if head.conformal is not None:
        sentences.append("Not in this file: edgetl's conformal prediction sets (--confidence).")
    rejects = [label for label in head.labels if is_reject_class(label)]
    if rejects:
        sentences.append(f"Ordinary classes here, for which edgetl gives no label: {', '.join(rejects)}.")
    return sentences


def _start(
    exporters: Any, bundle: Bundle, variant: str | None, slots: int, store: str | os.PathLike[str]
) -> tuple[Any, tuple[str, ...], dict[str, Any]]:
    """The store's photos as a state, its classes, and the settings that leave-one-out chose for them."""
    from edgetl.heads import open_set
    from edgetl.session.workspace import Session

    with Store.open(store, None, read_only=True) as reader:
        chosen = exporters.choose(bundle, variant, reader.fingerprint)
        fit = Session(reader).inputs()[0].fit("lda")
        head, view = open_set.calibrate(fit)[0], fit.whole.view
    if len(head.labels) > slots:
        raise ExportError(
            f"{store}: {len(head.labels)} classes do not fit into {slots} slots; pass --slots {2 * len(head.labels)}",
            code="too-many-classes", path=os.fspath(store), classes=len(head.labels), slots=slots,
        )  # fmt: skip
    settings = {"variant": chosen.name, "alpha": fit.alpha, "temperature": head.temperature * len(view.classes)}
    return exporters.state.of_photos(view.x, view.classes, slots, fit.alpha), head.labels, settings
