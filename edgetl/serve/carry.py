"""What goes in and out as a file: photos in a zip, another device's store; the store, the head, a classifier for another program."""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from edgetl.bundle.bundle import Bundle
from edgetl.classifier import Classifier
from edgetl.embedding.embedder import Embedder
from edgetl.errors import ServeError
from edgetl.inputs.photo.source import SUFFIXES
from edgetl.serve import limits
from edgetl.session import deployment
from edgetl.session.workspace import copy_background
from edgetl.store import Store
from edgetl.types import NamedPhoto

KINDS = ("store", "head", "classifier", "frigate")
MEMBERS = 20_000
"""Files of a zip at most."""
_SAMPLES = "-samples"
_IS_UTF8 = 0x800
"""Flag of a member whose name is UTF-8; the name of any other is taken for code page 437 (APPNOTE.TXT, 4.4.4 and appendix D)."""


def photos_in_zip(path: Path, name: str) -> Iterator[tuple[NamedPhoto, str]]:
    """The photos of a zip with their classes: folders named by class, as ImageFolder has them, or one class named by the file.

    Teachable Machine's download of a class is `Class 1-samples.zip` with the photos beside each other. Nothing is unpacked to the disk,
    and no name in the zip is used as a path.

    Args:
        path: the zip.
        name: as it was uploaded, which names the class of photos without a folder.

    Raises:
        ServeError: not a zip, encrypted, too many files or too large (`archive-unusable`), or without photos (`archive-empty`).
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise ServeError(f"{name}: not a zip ({error})", code="archive-unusable", name=name, reason=str(error)) from error
    with archive:
        members = [member for member in archive.infolist() if _is_photo(member)]
        if not members:
            raise ServeError(f"{name}: holds no photo. Expected CLASS/PHOTO.jpg, or photos of one class.", code="archive-empty", name=name)
        if len(members) > MEMBERS or sum(member.file_size for member in members) > limits.UPLOAD_BYTES:
            raise ServeError(f"{name}: more than {MEMBERS} photos or 2 GiB", code="archive-unusable", name=name, reason="size")
        own = PurePosixPath(name).name.rpartition(".")[0].removesuffix(_SAMPLES) or "photos"
        for member in members:
            inside = _path(member)
            yield NamedPhoto(str(inside), _content(archive, member, name)), inside.parent.name or own


def merge(classifier: Classifier, path: Path) -> list[int]:
    """Adds the photos of another store of the same model; returns their sample ids here.

    Raises:
        StoreError: the file is not a store, damaged, or of another model.
    """
    with Store.open(path, None, read_only=True) as other:
        return classifier.store.copy_samples(other)


def update_bundle(classifier: Classifier, path: Path, keep: Path | None = None) -> None:
    """Moves a bundle file into the place of the one in use, and uses it and its background from then on.

    It is opened and passes its self-test before anything is moved. Predictions under way end with the old one.

    Args:
        classifier: the open classifier.
        path: the new bundle, on the same disk.
        keep: where the old one is kept.

    Raises:
        BundleError: it cannot be opened, fails its self-test, or its model is not the store's.
        ServeError: the bundle in use is a folder (`bundle-is-folder`), or cannot be replaced (`bundle-not-writable`).
    """
    old = classifier.embedder
    target, threads, fingerprint = old.bundle.path, old.runtime.threads, classifier.store.fingerprint
    if target.is_dir():
        raise ServeError(f"{target} is a folder; only a bundle in one file can be updated here", code="bundle-is-folder", path=str(target))
    Embedder.open(Bundle.open(path), threads=threads, store=fingerprint).close()
    try:
        with path.open("rb") as file:
            os.fsync(file.fileno())
        if keep is not None:
            keep.unlink(missing_ok=True)  # of a program that was killed; in a container all have the same process id
            os.link(target, keep)
        path.replace(target)
    except OSError as error:
        if keep is not None:
            keep.unlink(missing_ok=True)
        raise ServeError(f"{target} cannot be replaced ({error.strerror})", code="bundle-not-writable", path=str(target)) from error
    classifier.embedder = Embedder.open(Bundle.open(target), threads=threads, store=fingerprint)
    copy_background(classifier.embedder, classifier.store)


def write(classifier: Classifier, kind: str, folder: Path) -> Path:
    """Writes what is downloaded, and returns the file.

    Args:
        classifier: the open classifier.
        kind: `store`, `head`, `classifier` (one .tflite, .onnx or OpenVINO model with its labels) or `frigate` (the folder it reads).
        folder: an empty folder.

    Raises:
        ServeError: another kind (`download-unknown`).
        NotTrained: no head is active.
        ExportError: the workstation part is not installed, or a check failed.
    """
    name = classifier.store.path.stem
    if kind == "store":
        classifier.store.save_copy(folder / f"{name}.db")
        return folder / f"{name}.db"
    if kind == "head":
        classifier.export_head(folder / f"{name}.head.safetensors")
        return folder / f"{name}.head.safetensors"
    if kind not in KINDS:
        raise ServeError(f"{kind!r} cannot be downloaded; expected {', '.join(KINDS)}", code="download-unknown", given=kind)
    content = folder / "content"
    content.mkdir()
    if kind == "frigate":
        deployment.deploy_classifier(classifier.embedder.bundle.path, classifier.store.path, content / name, program="frigate")
    else:
        suffix = {"tflite": ".tflite", "onnx": ".onnx", "openvino": ".xml"}[classifier.embedder.variant.format]
        deployment.deploy_classifier(classifier.embedder.bundle.path, classifier.store.path, content / f"{name}{suffix}")
    target = folder / f"{name}-{kind}.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(path for path in content.rglob("*") if path.is_file()):
            archive.write(file, file.relative_to(content))
    return target


def _is_photo(member: zipfile.ZipInfo) -> bool:
    path = _path(member)
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return not member.is_dir() and not hidden and path.suffix.lower() in SUFFIXES


def _path(member: zipfile.ZipInfo) -> PurePosixPath:
    """A member's path; Windows PowerShell separates folders with a backslash, and macOS writes UTF-8 without the flag that says so."""
    name = member.filename
    if not member.flag_bits & _IS_UTF8:
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return PurePosixPath(name.replace("\\", "/"))


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> bytes:
    """A member's bytes; a header that lies about the size is noticed."""
    try:
        with archive.open(member) as file:
            content = file.read(limits.PHOTO_BYTES + 1)
    except Exception as error:  # damaged, encrypted or of an unknown method: zipfile, zlib and lzma have no common base
        raise ServeError(f"{name}: {member.filename}: {error}", code="archive-unusable", name=name, reason=str(error)) from error
    if len(content) > limits.PHOTO_BYTES:
        raise limits.too_large(limits.PHOTO_BYTES)
    return content
