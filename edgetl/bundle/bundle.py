"""The bundle: one frozen backbone in several formats, with everything needed to prove that it computes the same here.

A folder, or the same folder as one stored (uncompressed) zip named `NAME.edgetl`::

    manifest.json                what this is: backbone, image spec, calibration, and per variant its files, recipe and parity;
                                 `proofs`, where there are any, is the table target x variant (:class:`edgetl.bundle.proofs.Proof`);
                                 its own `sha256` is that of the rest as canonical JSON
    VARIANT/model.*              the model; OpenVINO's weights lie beside its graph
    golden/N.jpg                 test charts, encoded
    golden/golden.safetensors    `tensors` uint8 [k, h, w, 3], and per variant `VARIANT` float32 [k, d]: what the charts become,
                                 and `VARIANT/FAULT` float32 [k, d]: what they become with an input fault (see edgetl.inputs.photo.faults)
    background/VARIANT.safetensors  optional: embeddings of photos of anything but what will be trained (see edgetl.bundle.background_file)

This is the only module that knows those names. Every byte is read through its sha256.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import NoneType
from typing import Any

import numpy as np
import safetensors.numpy

from edgetl.bundle import background_file, container
from edgetl.bundle.proofs import UNPROVED, Parity, Proof
from edgetl.errors import BundleError, BundleMissing
from edgetl.types import Embeddings, Fingerprint, ImageSpec, Pixels, digest, to_json

FORMAT = "edgetl-bundle"
VERSION = 1
FAMILIES: Mapping[str, str] = {"tflite": "litert", "onnx": "onnxruntime", "openvino": "openvino", "fake": "fake"}
"""Model format -> the runtime family that executes it."""

PRECISIONS = ("int8", "fp16", "fp32")
"""What weights may be, in the order in which they are preferred on a device."""

EQUAL_COSINE = 0.9999
"""Two variants whose worst photo is at least this close to the float embedding may share a store."""

_MANIFEST = "manifest.json"
_GOLDEN = "golden/golden.safetensors"


@dataclasses.dataclass(frozen=True)
class File:
    """A file of the bundle: its path inside, its size in bytes and its sha256 (hex)."""

    path: str
    size: int
    sha256: str

    def __post_init__(self) -> None:
        """Refuses a path outside the bundle: the manifest may come from a stranger.

        Raises:
            ValueError: naming the path.
        """
        pure = PurePosixPath(self.path)
        if pure.is_absolute() or ".." in pure.parts or str(pure) != self.path or not pure.name or "\0" in self.path:
            raise ValueError(f"names the file {self.path!r}, which is not a plain path inside the bundle")
        if not isinstance(self.size, int) or not isinstance(self.sha256, str):
            raise ValueError(f"{self.path}: size {self.size!r} and sha256 {self.sha256!r} are not a number and a text")


@dataclasses.dataclass(frozen=True)
class Variant:
    """One model file and how it came to be.

    Attributes:
        name: e.g. `tflite-int8`.
        format: `tflite`, `onnx`, `openvino` or `fake`.
        precision: `fp32`, `fp16` or `int8`.
        files: the model's files, the one to open first.
        recipe: how it was converted: name, instruction sets it suits, library versions, settings.
        parity: its distance to the float embedding; None for a model that has no float original.
        background: the file with embeddings of photos of anything but what will be trained; None without.
    """

    name: str
    format: str
    precision: str
    files: tuple[File, ...]
    recipe: Mapping[str, Any]
    parity: Parity | None
    background: File | None = None

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
class NewVariant:
    """A variant to be written.

    Attributes:
        name: e.g. `onnx-int8`.
        format: `tflite`, `onnx`, `openvino` or `fake`.
        precision: `fp32`, `fp16` or `int8`.
        files: file name -> content; the one to open first.
        recipe: JSON-able: how it was converted.
        parity: its distance to the float embedding.
        golden: float32 [k, d], this variant's own embeddings of the golden tensors.
        faults: input fault -> float32 [k, d], its embeddings of the golden tensors with that fault.
        background: float32 [n, d], its embeddings of photos of anything but what will be trained; None leaves it out.
    """

    name: str
    format: str
    precision: str
    files: Mapping[str, bytes]
    recipe: Mapping[str, Any]
    parity: Parity | None
    golden: Embeddings
    faults: Mapping[str, Embeddings] = dataclasses.field(default_factory=dict)
    background: Embeddings | None = None


@dataclasses.dataclass(frozen=True)
class Golden:
    """The proof photos.

    Attributes:
        photos: encoded test charts, k of them.
        tensors: uint8 [k, h, w, 3], what preprocessing made of them.
        embeddings: float32 [k, d], what the variant made of those.
        faults: input fault -> float32 [k, d], what it made of those with that fault; empty in bundles of edgetl 0.1.
    """

    photos: tuple[bytes, ...]
    tensors: Pixels
    embeddings: Embeddings
    faults: Mapping[str, Embeddings]


class Bundle:
    """An opened bundle; opening reads the manifest only.

    Attributes:
        path: where it lies.
        backbone: name, source and weights of the network.
        image: how photos become its input.
        dim: the embedding's length d, values.
        levels: the lengths of the pooled stages that the embedding is made of; empty for the last stage alone.
        calibration: the calibration photos' hash, count and seed; None where nothing was quantised.
        variants: name -> variant, in the order of the export.
        proofs: what is known of its variants on their targets; empty where nobody proved any (see :func:`add_proofs`).
        created_by: the edgetl version that wrote it.
    """

    def __init__(self, path: Path, manifest: Mapping[str, Any]) -> None:
        """Use :meth:`open`."""
        self.path = path
        self.backbone: Mapping[str, Any] = _expect(dict, manifest["backbone"])
        self.image = ImageSpec(**manifest["image"])
        self.dim: int = _expect(int, manifest["dim"])
        self.levels: tuple[int, ...] = tuple(_expect(int, level) for level in _expect(list, manifest.get("levels", [])))
        self.calibration: Mapping[str, Any] | None = _expect((dict, NoneType), manifest["calibration"])
        self.created_by: str = _expect(str, manifest["created_by"])
        self.variants: Mapping[str, Variant] = {name: _variant(name, value) for name, value in manifest["variants"].items()}
        self.proofs: tuple[Proof, ...] = tuple(Proof.from_json(value) for value in _expect(list, manifest.get("proofs", [])))
        self._golden = tuple(File(**value) for value in _expect(list, manifest["golden"]))
        if self.levels and (min(self.levels) < 1 or sum(self.levels) != self.dim):
            raise ValueError(f"levels {list(self.levels)} do not add up to dim {self.dim}")
        if self.dim < 1 or not self.variants:
            raise ValueError(f"dim {self.dim} and {len(self.variants)} variants, expected at least one of each")
        if strangers := {proof.variant for proof in self.proofs} - set(self.variants):
            raise ValueError(f"it lists proofs of {', '.join(sorted(strangers))}, which it does not hold")
        if _GOLDEN not in (file.path for file in self._golden):
            raise ValueError(f"it lists no {_GOLDEN}")

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Bundle:
        """Opens a bundle folder or zip.

        Raises:
            BundleMissing: nothing is there.
            BundleError: not a bundle, a malformed manifest, or a format version this edgetl does not know.
        """
        where = Path(path)
        if not where.exists():
            raise BundleMissing(f"{where}: no such bundle; make one with: edgetl export -o {where}")
        manifest = _manifest(where)
        try:
            return cls(where, manifest)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BundleError(f"{where}: malformed {_MANIFEST} ({type(error).__name__}: {error}); export the bundle again") from error

    def variant(self, name: str) -> Variant:
        """The variant of this name.

        Raises:
            BundleMissing: with the names there are.
        """
        if name not in self.variants:
            raise BundleMissing(f"{self.path}: no variant {name!r}; it holds {', '.join(self.variants)}")
        return self.variants[name]

    def fingerprint(self, variant: Variant) -> Fingerprint:
        """Everything that changes the numbers of this variant's embeddings."""
        return Fingerprint(variant.sha256, self.image, variant.family, variant.precision, self.dim, self.levels)

    def equivalent(self, ours: Fingerprint, theirs: Fingerprint) -> bool:
        """Whether two fingerprints are the same, or both are variants of this bundle whose parity proved them equal."""
        close = {
            self.fingerprint(variant).digest
            for variant in self.variants.values()
            if variant.parity is not None and variant.parity.cosine_min >= EQUAL_COSINE
        }
        return ours == theirs or {ours.digest, theirs.digest} <= close

    def model(self, variant: Variant) -> dict[str, bytes]:
        """The variant's files, name -> content, each checked against its sha256.

        Raises:
            BundleMissing: a file is not there.
            BundleError: a file's bytes changed.
        """
        return {PurePosixPath(file.path).name: self._checked(file) for file in variant.files}

    def golden(self, variant: Variant) -> Golden:
        """The proof photos with this variant's embeddings of them.

        Raises:
            BundleMissing: a file is not there.
            BundleError: a file's bytes changed, or the arrays are not what the manifest says.
        """
        photos = tuple(self._checked(file) for file in self._golden if file.path != _GOLDEN)
        packed = next(file for file in self._golden if file.path == _GOLDEN)
        try:
            arrays = safetensors.numpy.load(self._checked(packed))
            prefix = f"{variant.name}/"
            faults = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
            golden = Golden(photos, arrays["tensors"], arrays[variant.name], faults)
        except (safetensors.SafetensorError, KeyError) as error:
            raise BundleError(f"{self.path}: {_GOLDEN} is malformed ({error}); export the bundle again") from error
        k = len(photos)
        shape = (k, self.image.height, self.image.width, 3)
        embeddings = (golden.embeddings, *faults.values())
        if not k or golden.tensors.shape != shape or any(made.shape != (k, self.dim) for made in embeddings):
            raise BundleError(f"{self.path}: {_GOLDEN} has other shapes than the manifest says; export the bundle again")
        return golden

    def background(self, variant: Variant) -> Embeddings:
        """This variant's embeddings of photos of anything but what will be trained, float32 [n, d]; n is 0 without.

        Raises:
            BundleError: the file is missing, its bytes changed, or its arrays are not what they should be.
        """
        if variant.background is None:
            return np.empty((0, self.dim), np.float32)
        try:
            return background_file.unpack(self._checked(variant.background), self.dim)
        except ValueError as error:
            raise BundleError(f"{self.path}: {variant.background.path} is malformed ({error}); export the bundle again") from error

    def verify(self) -> int:
        """Reads every file and checks its sha256; returns how many were checked.

        Raises:
            BundleMissing: a file is not there.
            BundleError: a file's bytes changed.
        """
        files = [file for variant in self.variants.values() for file in (*variant.files, variant.background) if file] + list(self._golden)
        for file in files:
            self._checked(file)
        return len(files)

    def _checked(self, file: File) -> bytes:
        content = container.read(self.path, file.path)
        if hashlib.sha256(content).hexdigest() != file.sha256:
            raise BundleError(f"{self.path}: {file.path} has changed (its sha256 is not the manifest's); copy or export the bundle again")
        return content


def check_target(path: str | os.PathLike[str]) -> None:
    """Refuses at once what :func:`write` could not write at the end of a long export.

    Raises:
        BundleError: what is there is no bundle, or its folder cannot be made or written.
    """
    import tempfile

    target = Path(path)
    if target.exists() and not _replaceable(target):
        raise BundleError(f"{target}: is there already and is no bundle; choose another name with -o")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent):
            pass
    except OSError as error:
        raise BundleError(f"{target}: cannot be written there ({error.strerror}); choose another place with -o") from error


def write(
    path: str | os.PathLike[str],
    *,
    backbone: Mapping[str, Any],
    image: ImageSpec,
    dim: int,
    calibration: Mapping[str, Any] | None,
    golden_photos: Sequence[bytes],
    golden_tensors: Pixels,
    variants: Sequence[NewVariant],
    levels: Sequence[int] = (),
) -> Bundle:
    """Writes a bundle, all of it or nothing, and opens it.

    Args:
        path: a folder, or a name that ends in `.edgetl` for one file. An existing bundle is replaced.
        backbone: JSON-able: name, source, weights.
        image: how photos become the model's input.
        dim: the embedding's length d.
        calibration: JSON-able: the calibration photos' hash, count and seed.
        golden_photos: k encoded JPEG or PNG images.
        golden_tensors: uint8 [k, h, w, 3].
        variants: at least one.
        levels: the lengths of the pooled stages that the embedding is made of, earliest first; empty for the last stage alone.

    Raises:
        BundleError: no variant, two of one name, or a target that exists and is no bundle.
    """
    import shutil  # here, because a camera that imports edgetl seldom writes a bundle
    import tempfile

    target = Path(path)
    if not variants or len({variant.name for variant in variants}) != len(variants):
        raise BundleError(f"{target}: a bundle needs at least one variant, each with its own name")
    check_target(target)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
        folder = Path(scratch) / "bundle"
        golden = [_put(folder, f"golden/{i}.jpg", content) for i, content in enumerate(golden_photos)]
        made = {name: array for v in variants for name, array in ((v.name, v.golden), *((f"{v.name}/{f}", a) for f, a in v.faults.items()))}
        arrays = {"tensors": golden_tensors, **{name: np.ascontiguousarray(array, dtype=np.float32) for name, array in made.items()}}
        golden.append(_put(folder, _GOLDEN, safetensors.numpy.save(arrays)))
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "created_by": _created_by(),
            "backbone": backbone,
            "image": image,
            "dim": dim,
            **({"levels": levels} if levels else {}),
            "calibration": calibration,
            "golden": golden,
            "variants": {v.name: _put_variant(folder, v) for v in variants},
        }
        _put(folder, _MANIFEST, json.dumps({**to_json(manifest), "sha256": digest(manifest)}, indent=1).encode())
        whole = container.pack(folder, Path(scratch) / "zip") if target.suffix == ".edgetl" else folder
        if target.is_dir():
            shutil.rmtree(target)
        elif whole.is_dir():
            target.unlink(missing_ok=True)
        whole.replace(target)
    return Bundle.open(target)


def add_proofs(path: str | os.PathLike[str], proofs: Sequence[Proof]) -> Bundle:
    """Adds rows to the proofs of an existing bundle, or replaces those of the same target and variant, all of it or nothing.

    Models, golden images and fingerprints stay what they are. A row that was proved once stays true of the same model file: an
    absent or failed row never replaces it.

    Args:
        path: the bundle, a folder or a zip.
        proofs: of its variants.

    Raises:
        BundleMissing: nothing is there, or a variant is not in it.
        BundleError: it is no bundle, or cannot be written.
    """
    opened = Bundle.open(path)
    for proof in proofs:
        opened.variant(proof.variant)
    rows = {(proof.target, proof.variant): proof for proof in opened.proofs}
    for proof in proofs:
        key = proof.target, proof.variant
        if proof.kind not in UNPROVED or key not in rows or rows[key].kind in UNPROVED:
            rows[key] = proof
    manifest = {**_manifest(opened.path), "proofs": list(rows.values())}
    content = json.dumps({**to_json(manifest), "sha256": digest(manifest)}, indent=1).encode()
    try:
        _rewrite(opened.path, content)
    except OSError as error:
        raise BundleError(f"{opened.path}: {_MANIFEST} cannot be written ({error})") from error
    return Bundle.open(path)


def _rewrite(target: Path, manifest: bytes) -> None:
    """Replaces a bundle's manifest; every other member is copied byte for byte, in the same order."""
    import tempfile
    import zipfile

    home = target if target.is_dir() else target.parent
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=home) as scratch:
        made = Path(scratch) / "made"
        if target.is_dir():
            made.write_bytes(manifest)
            made.replace(target / _MANIFEST)
            return
        with zipfile.ZipFile(target) as before, zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as after:
            for member in before.infolist():
                after.writestr(member, manifest if member.filename == _MANIFEST else before.read(member))
        made.replace(target)


def _manifest(where: Path) -> dict[str, Any]:
    """The manifest without its own sha256, which was checked."""
    text = container.read(where, _MANIFEST)
    try:
        manifest = json.loads(text, parse_int=_integer)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{where}: {_MANIFEST} is not JSON ({error}); export the bundle again") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise BundleError(f"{where}: not an edgetl bundle ({_MANIFEST} does not say format {FORMAT!r})")
    if manifest.get("version") != VERSION:
        said = manifest.get("version")
        raise BundleError(f"{where}: bundle format version {said!r}, this edgetl reads {VERSION}; pip install --upgrade edgetl")
    if manifest.pop("sha256", None) != digest(manifest):
        raise BundleError(f"{where}: {_MANIFEST} has changed (its sha256 is not its own); copy or export the bundle again")
    return manifest


def _integer(text: str) -> int:
    """An integer that arithmetic with floats can take: a stranger's manifest may hold one of any length."""
    if len(text) > len(str(-(2**63))):
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _replaceable(target: Path) -> bool:
    """Whether nothing is lost that is not a bundle; a zip or a folder with some manifest.json may be anybody's."""
    if not (any(target.iterdir()) if target.is_dir() else target.stat().st_size):
        return True
    try:
        manifest = json.loads(container.read(target, _MANIFEST))
    except (BundleError, ValueError, RecursionError):
        return False
    return isinstance(manifest, dict) and manifest.get("format") == FORMAT


def _put_variant(folder: Path, variant: NewVariant) -> dict[str, Any]:
    packed = None if variant.background is None else background_file.pack(variant.background)
    return {
        "format": variant.format,
        "precision": variant.precision,
        "files": [_put(folder, f"{variant.name}/{name}", content) for name, content in variant.files.items()],
        "recipe": variant.recipe,
        "parity": variant.parity,
        **({} if packed is None else {"background": _put(folder, f"background/{variant.name}.safetensors", packed)}),
    }


def _put(folder: Path, name: str, content: bytes) -> File:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return File(name, len(content), hashlib.sha256(content).hexdigest())


def _variant(name: str, value: Mapping[str, Any]) -> Variant:
    parity = None if value["parity"] is None else Parity(**value["parity"])
    for field in dataclasses.fields(Parity) if parity else ():
        _expect(str if field.name == "machine" else (int, float), getattr(parity, field.name))
    files = tuple(File(**file) for file in _expect(list, value["files"]))
    if not files or value["format"] not in FAMILIES or value["precision"] not in PRECISIONS:
        raise ValueError(f"variant {name} has no file, or the unknown format {value['format']!r} or precision {value['precision']!r}")
    background = File(**value["background"]) if "background" in value else None
    return Variant(name, value["format"], value["precision"], files, _expect(dict, value["recipe"]), parity, background)


def _expect(kind: type | tuple[type, ...], value: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} has the wrong type")
    return value


def _created_by() -> str:
    from importlib import metadata

    return f"edgetl {metadata.version('edgetl')}"
