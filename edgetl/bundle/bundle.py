"""The bundle: one frozen backbone in several formats, with everything needed to check that it computes the same on this machine.

A folder, or the same folder as one stored (uncompressed) zip named `NAME.edgetl`::

    manifest.json                    backbone, input spec, calibration, variants (files, recipe, parity) and proofs
                                     (:class:`edgetl.bundle.proofs.Proof`); its `sha256` is that of the rest as canonical JSON
    VARIANT/model.*                  the model; OpenVINO's weights lie beside its graph
    self-test/N.jpg                  k self-test images, encoded
    self-test/arrays.safetensors     `tensors` uint8 [k, h, w, 3], what preprocessing makes of them; `VARIANT` float32 [k, d], what the
                                     variant makes of those; `VARIANT/FAULT` float32 [k, d], the same with an input fault
                                     (:mod:`edgetl.inputs.photo.faults`)
    background/VARIANT.safetensors   optional: embeddings of unrelated photos (:mod:`edgetl.bundle.background`)

Every file is read through its sha256. :mod:`edgetl.bundle.writer` writes bundles.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import safetensors.numpy

from edgetl.bundle import background, container
from edgetl.bundle.proofs import Parity, Proof
from edgetl.decoding import decode
from edgetl.errors import BundleError, BundleMissing
from edgetl.types import Embeddings, Fingerprint, ImageSpec, Pixels, digest, to_json

FORMAT = "edgetl-bundle"
VERSION = 1
MANIFEST = "manifest.json"
SELF_TEST = "self-test/arrays.safetensors"
FAMILIES: Mapping[str, str] = {"tflite": "litert", "onnx": "onnxruntime", "openvino": "openvino", "fake": "fake"}
"""Model format -> the runtime family that executes it."""

PRECISIONS = ("int8", "fp16", "fp32")
"""The precisions of weights, in the order in which a device prefers them."""

_MOST = 32 * 2**20
"""Of a manifest, bytes."""
EQUAL_COSINE = 0.9999
"""Two variants whose worst photo is at least this close to the float embedding may share a store."""


@dataclasses.dataclass(frozen=True)
class File:
    """A file of the bundle: its path inside, its size in bytes and its sha256 (hex)."""

    path: str
    size: int
    sha256: str

    def __post_init__(self) -> None:
        """Rejects a path outside the bundle: the manifest may come from a stranger.

        Raises:
            ValueError: naming the path.
        """
        pure = PurePosixPath(self.path)
        if pure.is_absolute() or ".." in pure.parts or str(pure) != self.path or not pure.name or "\0" in self.path:
            raise ValueError(f"{self.path!r} is not a plain path inside the bundle")


@dataclasses.dataclass(frozen=True)
class Variant:
    """One model file and how it was made.

    Attributes:
        name: e.g. `tflite-int8`.
        format: `tflite`, `onnx`, `openvino` or `fake`.
        precision: `fp32`, `fp16` or `int8`.
        files: the model's files, the one to open first.
        recipe: how it was converted: name, library versions, settings.
        parity: its distance to the float embedding; None for a model without a float original.
        background: the file with embeddings of unrelated photos; None without.
    """

    name: str
    format: str
    precision: str
    files: tuple[File, ...]
    recipe: Mapping[str, Any]
    parity: Parity | None
    background: File | None

    def __post_init__(self) -> None:
        """Rejects a variant that no runtime can open.

        Raises:
            ValueError: no file, an unknown format or an unknown precision.
        """
        if not self.files or self.format not in FAMILIES or self.precision not in PRECISIONS:
            raise ValueError(f"variant {self.name} has {len(self.files)} files, format {self.format!r} and precision {self.precision!r}")

    @property
    def family(self) -> str:
        """The runtime family that executes it."""
        return FAMILIES[self.format]

    @property
    def size(self) -> int:
        """All its files together, bytes."""
        return sum(file.size for file in self.files)

    @property
    def sha256(self) -> str:
        """The model's sha256 (hex): its file's, or the hash over its files' hashes."""
        if len(self.files) == 1:
            return self.files[0].sha256
        return hashlib.sha256("".join(file.sha256 for file in self.files).encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class SelfTest:
    """What a variant computed from the self-test images where it was exported.

    Attributes:
        inputs: the k self-test images, encoded.
        tensors: uint8 [k, h, w, 3], what preprocessing made of them.
        embeddings: float32 [k, d], what the variant made of those.
        faults: input fault -> float32 [k, d], what it made of those with that fault.
    """

    inputs: tuple[bytes, ...]
    tensors: Pixels
    embeddings: Embeddings
    faults: Mapping[str, Embeddings]


@dataclasses.dataclass(frozen=True)
class Manifest:
    """`manifest.json` without its format, version and sha256; the attributes that :class:`Bundle` has too are described there.

    Attributes:
        self_test: the self-test images and :data:`SELF_TEST`.
    """

    created_by: str
    backbone: Mapping[str, Any]
    input: ImageSpec
    dim: int
    levels: tuple[int, ...]
    calibration: Mapping[str, Any] | None
    self_test: tuple[File, ...]
    variants: tuple[Variant, ...]
    proofs: tuple[Proof, ...]

    def __post_init__(self) -> None:
        """Rejects what contradicts itself: the manifest may come from a stranger.

        Raises:
            ValueError: naming the contradiction.
        """
        names = [variant.name for variant in self.variants]
        if self.levels and (min(self.levels) < 1 or sum(self.levels) != self.dim):
            raise ValueError(f"levels {list(self.levels)} do not add up to dim {self.dim}")
        if self.dim < 1 or not names or len(set(names)) != len(names):
            raise ValueError(f"dim {self.dim} and variants {names}, expected at least one of each and distinct names")
        if unknown := {proof.variant for proof in self.proofs} - set(names):
            raise ValueError(f"it lists proofs of {', '.join(sorted(unknown))}, which it does not hold")
        if SELF_TEST not in (file.path for file in self.self_test):
            raise ValueError(f"self_test does not list the file {SELF_TEST}")


class Bundle:
    """An opened bundle; opening reads the manifest only.

    Attributes:
        path: where it lies.
        backbone: name, source and weights of the network.
        input: how photos become the model's input.
        dim: the embedding's length d, values.
        levels: the lengths of the pooled stages that the embedding is made of; empty for the last stage alone.
        calibration: the calibration photos' hash, count and seed; None if nothing was quantised.
        variants: name -> variant, in the order of the export.
        proofs: what is known of its variants on their targets (see :func:`edgetl.bundle.writer.add_proofs`).
        created_by: the edgetl version that wrote it.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        """Use :meth:`open`."""
        self.path = path
        self.backbone, self.input, self.dim, self.levels = manifest.backbone, manifest.input, manifest.dim, manifest.levels
        self.calibration, self.created_by, self.proofs = manifest.calibration, manifest.created_by, manifest.proofs
        self.variants: Mapping[str, Variant] = {variant.name: variant for variant in manifest.variants}
        self._self_test = manifest.self_test

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Bundle:
        """Opens a bundle folder or zip.

        Raises:
            BundleMissing: nothing is there.
            BundleError: not a bundle (`not-a-bundle`), a malformed manifest (`manifest-malformed`), a format version that this edgetl does
                not read (`bundle-version-unknown`), or files that the manifest does not list (`bundle-members`).
        """
        path = Path(path)
        if not path.exists():
            raise BundleMissing(f"{path}: no such bundle. Make one with: edgetl export -o {path}", path=str(path))
        bundle = cls(path, read_manifest(path))
        bundle._check_members()
        return bundle

    def variant(self, name: str) -> Variant:
        """The variant of this name.

        Raises:
            BundleMissing: with the names of the variants there are (`variant-missing`).
        """
        if name not in self.variants:
            raise BundleMissing(
                f"{self.path}: no variant {name!r}. It holds {', '.join(self.variants)}.",
                code="variant-missing",
                path=str(self.path),
                variant=name,
                variants=list(self.variants),
            )
        return self.variants[name]

    def fingerprint(self, variant: Variant) -> Fingerprint:
        """Everything that changes the numbers of this variant's embeddings."""
        return Fingerprint(variant.sha256, self.input, variant.family, variant.precision, self.dim, self.levels)

    def equivalent(self, ours: Fingerprint, theirs: Fingerprint) -> bool:
        """Whether two fingerprints are the same, or both are variants of this bundle that parity measured as equal."""
        close = {
            self.fingerprint(variant).digest
            for variant in self.variants.values()
            if variant.parity is not None and variant.parity.cosine_min >= EQUAL_COSINE
        }
        return ours == theirs or {ours.digest, theirs.digest} <= close

    def model(self, variant: Variant) -> dict[str, bytes]:
        """The variant's files, name -> content, each checked against its sha256.

        Raises:
            BundleMissing: a file is missing.
            BundleError: a file's bytes changed.
        """
        return {PurePosixPath(file.path).name: self._checked(file) for file in variant.files}

    def self_test(self, variant: Variant) -> SelfTest:
        """The self-test images with this variant's embeddings of them.

        Raises:
            BundleMissing: a file is missing.
            BundleError: a file's bytes changed, or the arrays are not what the manifest says (`self-test-malformed`).
        """
        inputs = tuple(self._checked(file) for file in self._self_test if file.path != SELF_TEST)
        packed = next(file for file in self._self_test if file.path == SELF_TEST)
        try:
            arrays = safetensors.numpy.load(self._checked(packed))
            tensors, embeddings = arrays["tensors"], arrays[variant.name]
        except (safetensors.SafetensorError, KeyError) as error:
            raise _damaged(
                self.path, SELF_TEST, f"{SELF_TEST} is malformed ({error})", code="self-test-malformed", reason=str(error)
            ) from error
        prefix = f"{variant.name}/"
        faults = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
        k = len(inputs)
        shapes = [tensors.shape, *(array.shape for array in (embeddings, *faults.values()))]
        if not k or shapes[0] != (k, self.input.height, self.input.width, 3) or any(shape != (k, self.dim) for shape in shapes[1:]):
            raise _damaged(
                self.path,
                SELF_TEST,
                f"{SELF_TEST} has other shapes than the manifest says",
                code="self-test-malformed",
                shapes=list(map(list, shapes)),
            )
        return SelfTest(inputs, tensors, embeddings, faults)

    def background(self, variant: Variant) -> Embeddings:
        """This variant's embeddings of unrelated photos, float32 [n, d]; n is 0 without.

        Raises:
            BundleError: the file is missing, its bytes changed, or its arrays are not what they should be (`background-malformed`).
        """
        if variant.background is None:
            return np.empty((0, self.dim), np.float32)
        try:
            return background.unpack(self._checked(variant.background), self.dim)
        except ValueError as error:
            path = variant.background.path
            raise _damaged(self.path, path, f"{path} is malformed ({error})", code="background-malformed", reason=str(error)) from error

    def verify(self) -> int:
        """Reads every file and checks its sha256; returns how many were checked.

        Raises:
            BundleMissing: a file is missing.
            BundleError: a file's bytes changed.
        """
        for file in self._files():
            self._checked(file)
        return len(self._files())

    def _files(self) -> list[File]:
        files = [file for variant in self.variants.values() for file in (*variant.files, variant.background) if file]
        return [*files, *self._self_test]

    def _check_members(self) -> None:
        """What the manifest does not list was added by somebody else, and a name that occurs twice may be read as either."""
        names, listed = container.members(self.path), {MANIFEST, *(file.path for file in self._files())}
        for name in names:
            if name not in listed or names.count(name) > 1:
                what = "occurs twice" if name in listed else f"is not listed in {MANIFEST}"
                message = f"{self.path}: {name} {what}. Copy or export the bundle again."
                raise BundleError(message, code="bundle-members", path=str(self.path), file=name)

    def _checked(self, file: File) -> bytes:
        content = container.read(self.path, file.path, min(file.size, container.LARGEST))
        if hashlib.sha256(content).hexdigest() != file.sha256:
            raise _changed(self.path, file.path)
        return content


def read_manifest(path: Path) -> Manifest:
    """A bundle's manifest.

    Raises:
        BundleMissing: there is no manifest.
        BundleError: it is not JSON (`manifest-not-json`), not a bundle's (`not-a-bundle`), of another version (`bundle-version-unknown`),
            changed (`checksum-mismatch`) or malformed (`manifest-malformed`).
    """
    text = container.read(path, MANIFEST, _MOST)
    try:
        content = json.loads(text, parse_int=_integer)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, MANIFEST, f"{MANIFEST} is not JSON ({error})", code="manifest-not-json", reason=str(error)) from error
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        message = f"{path}: not an edgetl bundle ({MANIFEST} does not say format {FORMAT!r})"
        raise BundleError(message, code="not-a-bundle", path=str(path))
    version = content.pop("version", None)
    if version != VERSION:
        message = f"{path}: bundle format version {version!r}; this edgetl reads {VERSION}. Run: pip install --upgrade edgetl"
        raise BundleError(message, code="bundle-version-unknown", path=str(path), version=version, expected=VERSION)
    if content.pop("sha256", None) != manifest_digest(content):
        raise _changed(path, MANIFEST)
    try:
        return decode(Manifest, content)
    except ValueError as error:
        message = f"{MANIFEST} is malformed ({error})"
        raise _damaged(path, MANIFEST, message, code="manifest-malformed", reason=str(error)) from error


def manifest_digest(content: Manifest | Mapping[str, Any]) -> str:
    """The sha256 (hex) of a manifest's canonical JSON, which the file holds beside it."""
    return digest({"format": FORMAT, "version": VERSION, **to_json(content)})


def _changed(path: Path, file: str) -> BundleError:
    return _damaged(path, file, f"{file} has changed: its sha256 does not match", code="checksum-mismatch")


def _damaged(path: Path, file: str, message: str, *, code: str, **values: object) -> BundleError:
    return BundleError(f"{path}: {message}. Copy or export the bundle again.", code=code, path=str(path), file=file, **values)


def _integer(text: str) -> int:
    """An integer of at most 64 bits: a manifest may hold one of any length, which a float cannot take."""
    if len(text) > len(str(-(2**63))):
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)
