"""Writes bundles, and adds proofs to one: all of it or nothing, so that an interrupted export leaves what was there."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from edgetl import durable
from edgetl.bundle import background as backgrounds
from edgetl.bundle import container
from edgetl.bundle.bundle import FORMAT, MANIFEST, SELF_TEST, VERSION, Bundle, File, Manifest, Variant, manifest_digest, read_manifest
from edgetl.bundle.proofs import UNPROVED, Parity, Proof
from edgetl.errors import BundleError
from edgetl.types import Embeddings, ImageSpec, Pixels, to_json


@dataclasses.dataclass(frozen=True)
class NewVariant:
    """A variant to be written.

    Attributes:
        name: e.g. `onnx-int8`.
        format: `tflite`, `onnx`, `openvino` or `fake`.
        precision: `fp32`, `fp16` or `int8`.
        files: file name -> content; the one to open first.
        recipe: JSON-able: how it was converted.
        parity: its distance to the float embedding.
        self_test: float32 [k, d], this variant's own embeddings of the self-test tensors.
        faults: input fault -> float32 [k, d], its embeddings of those tensors with that fault.
        background: float32 [n, d], its embeddings of unrelated photos; None leaves it out.
    """

    name: str
    format: str
    precision: str
    files: Mapping[str, bytes]
    recipe: Mapping[str, Any]
    parity: Parity | None
    self_test: Embeddings
    faults: Mapping[str, Embeddings] = dataclasses.field(default_factory=dict)
    background: Embeddings | None = None


def check_target(path: str | os.PathLike[str]) -> None:
    """Raises now what :func:`write` would raise at the end of a long export.

    Raises:
        BundleError: something that is not a bundle is there (`target-exists`), or its folder cannot be made or written
            (`target-not-writable`).
    """
    import tempfile

    target = Path(path)
    if target.exists() and not _replaceable(target):
        message = f"{target}: already exists and is not a bundle. Choose another name with -o."
        raise BundleError(message, code="target-exists", path=str(target))
    try:
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent):
            pass
    except OSError as error:
        message = f"{target}: cannot be written there ({error.strerror}). Choose another place with -o."
        raise BundleError(message, code="target-not-writable", path=str(target), reason=error.strerror) from error


def write(
    path: str | os.PathLike[str],
    *,
    backbone: Mapping[str, Any],
    input: ImageSpec,
    dim: int,
    calibration: Mapping[str, Any] | None,
    self_test_inputs: Sequence[bytes],
    self_test_tensors: Pixels,
    variants: Sequence[NewVariant],
    levels: Sequence[int] = (),
) -> Bundle:
    """Writes a bundle, all of it or nothing, and opens it.

    Args:
        path: a folder, or a name that ends in `.edgetl` for one file. An existing bundle is replaced.
        backbone: JSON-able: name, source, weights.
        input: how photos become the model's input.
        dim: the embedding's length d.
        calibration: JSON-able: the calibration photos' hash, count and seed.
        self_test_inputs: k encoded JPEG or PNG images.
        self_test_tensors: uint8 [k, h, w, 3].
        variants: at least one.
        levels: the lengths of the pooled stages that the embedding is made of, earliest first; empty for the last stage alone.

    Raises:
        BundleError: no variant, or two of one name (`variants-not-distinct`); or as :func:`check_target`.
    """
    import shutil  # here, because a camera that imports edgetl seldom writes a bundle
    import tempfile

    target = Path(path)
    names = [variant.name for variant in variants]
    if not names or len(set(names)) != len(names):
        message = f"{target}: a bundle needs at least one variant, each with its own name"
        raise BundleError(message, code="variants-not-distinct", path=str(target), variants=names)
    check_target(target)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
        folder = Path(scratch) / "bundle"
        manifest = Manifest(
            created_by=f"edgetl {metadata.version('edgetl')}",
            backbone=backbone,
            input=input,
            dim=dim,
            levels=tuple(levels),
            calibration=calibration,
            self_test=tuple(_put_self_test(folder, self_test_inputs, self_test_tensors, variants)),
            variants=tuple(_put_variant(folder, variant) for variant in variants),
            proofs=(),
        )
        (folder / MANIFEST).write_bytes(_manifest(manifest))
        whole = container.pack(folder, Path(scratch) / "zip") if target.suffix == ".edgetl" else folder
        durable.sync_tree(whole)
        if target.is_dir():
            shutil.rmtree(target)
        elif whole.is_dir():
            target.unlink(missing_ok=True)
        whole.replace(target)
    durable.sync(target.parent)
    return Bundle.open(target)


def add_proofs(path: str | os.PathLike[str], proofs: Sequence[Proof]) -> Bundle:
    """Adds rows to the proofs of an existing bundle, or replaces those of the same target and variant, all of it or nothing.

    Models, self-test images and fingerprints stay what they are. A proved row stays true of the same model file: an absent or failed
    row never replaces it.

    Args:
        path: the bundle, a folder or a zip.
        proofs: of its variants.

    Raises:
        BundleMissing: nothing is there, or a variant is not in it.
        BundleError: not a bundle, or it cannot be written (`target-not-writable`).
    """
    opened = Bundle.open(path)
    for proof in proofs:
        opened.variant(proof.variant)
    rows = {(proof.target, proof.variant): proof for proof in opened.proofs}
    for proof in proofs:
        key = proof.target, proof.variant
        if proof.kind not in UNPROVED or key not in rows or rows[key].kind in UNPROVED:
            rows[key] = proof
    content = _manifest(dataclasses.replace(read_manifest(opened.path), proofs=tuple(rows.values())))
    try:
        _replace_manifest(opened.path, content)
    except OSError as error:
        message = f"{opened.path}: {MANIFEST} cannot be written ({error})"
        raise BundleError(message, code="target-not-writable", path=str(opened.path), reason=str(error)) from error
    return Bundle.open(path)


def copy_proofs(path: str | os.PathLike[str], source: str | os.PathLike[str]) -> tuple[Proof, ...]:
    """Adds the proofs that another copy of a bundle got on another machine: those of variants with the same model files.

    Args:
        path: the bundle that gets them.
        source: the other copy.

    Returns:
        The proofs that were added.

    Raises:
        BundleError: no proof of the other bundle is about a model of this one (`nothing-to-copy`), or as :func:`add_proofs`.
    """
    mine, theirs = Bundle.open(path).variants, Bundle.open(source)
    same = {name for name, variant in theirs.variants.items() if name in mine and mine[name].sha256 == variant.sha256}
    proofs = tuple(proof for proof in theirs.proofs if proof.variant in same)
    if not proofs:
        message = f"{source}: no proofs of the models in {path}. Prove a copy of it with: edgetl export --matrix"
        raise BundleError(message, code="nothing-to-copy", path=os.fspath(path), source=os.fspath(source))
    add_proofs(path, proofs)
    return proofs


def _manifest(manifest: Manifest) -> bytes:
    """The file's content: JSON with its own sha256."""
    content = {"format": FORMAT, "version": VERSION, **to_json(manifest), "sha256": manifest_digest(manifest)}
    return json.dumps(content, indent=1).encode()


def _put_self_test(folder: Path, inputs: Sequence[bytes], tensors: Pixels, variants: Sequence[NewVariant]) -> list[File]:
    """The self-test images, and their tensors and embeddings as :mod:`edgetl.bundle.bundle` lists them."""
    files = [_put(folder, f"self-test/{i}.jpg", content) for i, content in enumerate(inputs)]
    arrays: dict[str, Any] = {}
    for variant in variants:
        arrays[variant.name] = variant.self_test
        arrays.update({f"{variant.name}/{fault}": embeddings for fault, embeddings in variant.faults.items()})
    arrays = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()}
    return [*files, _put(folder, SELF_TEST, safetensors.numpy.save({"tensors": tensors, **arrays}))]


def _put_variant(folder: Path, variant: NewVariant) -> Variant:
    background = None
    if variant.background is not None:
        background = _put(folder, f"background/{variant.name}.safetensors", backgrounds.pack(variant.background))
    files = tuple(_put(folder, f"{variant.name}/{name}", content) for name, content in variant.files.items())
    return Variant(variant.name, variant.format, variant.precision, files, variant.recipe, variant.parity, background)


def _put(folder: Path, name: str, content: bytes) -> File:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return File(name, len(content), hashlib.sha256(content).hexdigest())


def _replace_manifest(target: Path, manifest: bytes) -> None:
    """Replaces a bundle's manifest; every other member is copied byte for byte, in the same order."""
    import tempfile
    import zipfile

    home = target if target.is_dir() else target.parent
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=home) as scratch:
        draft = Path(scratch) / "draft"
        if target.is_dir():
            durable.write(target / MANIFEST, manifest, mode=0o644)
            return
        with zipfile.ZipFile(target) as before, zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as after:
            for member in before.infolist():
                after.writestr(member, manifest if member.filename == MANIFEST else before.read(member))
        durable.sync(draft)
        draft.replace(target)
    durable.sync(home)


def _replaceable(target: Path) -> bool:
    """Whether it is empty or a bundle; a zip or a folder with some manifest.json may be anybody's."""
    if not (any(target.iterdir()) if target.is_dir() else target.stat().st_size):
        return True
    try:
        manifest = json.loads(container.read(target, MANIFEST))
    except (BundleError, ValueError, RecursionError):
        return False
    return isinstance(manifest, dict) and manifest.get("format") == FORMAT
