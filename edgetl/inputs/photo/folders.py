"""Labelled photos: a folder of class folders, pairs, or one class's folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sized
from pathlib import Path
from typing import Union

import numpy as np

from edgetl.errors import LabelError, PhotoError
from edgetl.inputs.photo.source import SUFFIXES, PhotoSource, load
from edgetl.types import ColorOrder, NamedPhoto, Photo, check_label

LabelledPhotos = Union[str, "os.PathLike[str]", Iterable[tuple[Photo, str]]]
"""A folder `root/<class>/<photo>`, or pairs of photo and label."""

Progress = Callable[[int, int], None]
"""Called with (done, total); total is 0 if it is unknown."""


_FOREIGN = frozenset({"@eaDir", "#recycle", "$RECYCLE.BIN", "__MACOSX", "System Volume Information", "lost+found"})
"""Folders that a NAS, Windows, macOS or a file system makes."""
_SPLITS = frozenset({"train", "val", "valid", "validation", "test"})
_CONVERTED = frozenset({".heic", ".heif", ".avif"})


def pairs(photos: LabelledPhotos, label: str | None = None) -> tuple[Iterable[tuple[Photo, str]], list[tuple[str, str]]]:
    """Pairs of photo and label, and (name, reason) per file of a folder that is not a photo.

    Args:
        photos: a folder or pairs.
        label: one class for every photo of the folder.

    Raises:
        PhotoError: the folder is missing or empty.
        LabelError: `label` is not allowed, or was passed beside pairs (`label-beside-pairs`).
    """
    if not isinstance(photos, (str, os.PathLike)):
        if label is not None:
            raise LabelError(f"label {label!r} is for a folder; pairs carry their own labels", code="label-beside-pairs", label=label)
        # Photos are taken ahead of their embedding, and a camera may fill the same buffer again.
        return photos if isinstance(photos, Sized) else ((_own(photo), name) for photo, name in photos), []
    if label is None:
        return labelled_photos_in(photos)
    label = check_label(label)
    paths, others = photos_in(photos)
    return [(path, label) for path in paths], others


def source(pair: tuple[Photo, str], color: ColorOrder) -> PhotoSource:
    """A pair's photo, read; its label is checked.

    Raises:
        PhotoError: it cannot be read.
        LabelError: the label is not allowed.
    """
    check_label(pair[1])
    return load(pair[0], color=color)


def name(photo: Photo) -> str:
    """A photo's path or name, or the word for its kind."""
    if isinstance(photo, NamedPhoto):
        return photo.name
    return os.fspath(photo) if isinstance(photo, (str, os.PathLike)) else type(photo).__name__


def _own(photo: Photo) -> Photo:
    return photo.copy() if isinstance(photo, np.ndarray) else photo


def photos_in(folder: str | os.PathLike[str]) -> tuple[list[Path], list[tuple[str, str]]]:
    """Every photo below a folder, sorted; and (name, reason) for all else, so that nothing is left out unnoticed.

    Hidden files and folders, and those of other programs (:data:`_FOREIGN`), are ignored. Links to folders are not followed.

    Raises:
        PhotoError: the folder is missing (`folder-missing`), not a folder (`not-a-folder`), or without a photo (`folder-without-photos`).
    """
    root = Path(folder)
    if not root.is_dir():
        code, reason = ("not-a-folder", "not a folder") if root.exists() else ("folder-missing", "no such folder")
        raise PhotoError(f"{root}: {reason}. Give a folder of photos.", code=code, folder=str(root))
    photos: list[Path] = []
    others: list[tuple[str, str]] = []
    for path in sorted(root.rglob("*")):
        if any(part.startswith(".") or part in _FOREIGN for part in path.relative_to(root).parts):
            continue
        problem = _no_photo(path)
        if problem is None:
            photos.append(path)
        elif problem:
            others.append((str(path), problem))
    if not photos:
        message = f"{root}: no photo in this folder, {len(others)} other files. Photos end in {' '.join(sorted(SUFFIXES))}."
        raise PhotoError(message, code="folder-without-photos", folder=str(root), count=len(others))
    return photos, others


def _no_photo(path: Path) -> str | None:
    """Why a path is not a photo, by its name and kind; empty for a folder with content, None for a photo."""
    if path.is_dir():
        if path.is_symlink():
            return "a link to a folder; links are not followed"
        return "" if any(path.iterdir()) else "an empty folder"
    if not path.is_file():
        return "a broken link" if path.is_symlink() else "not a regular file"
    if path.suffix.lower() in SUFFIXES:
        return None
    if path.suffix.lower() in _CONVERTED:
        return f"{path.suffix} is not read; convert it to JPEG"
    return f"not a photo by its name ({path.suffix or 'no suffix'})"


def labelled_photos_in(folder: str | os.PathLike[str]) -> tuple[list[tuple[Path, str]], list[tuple[str, str]]]:
    """Every photo of a folder `root/<class>/...` with its class; and (name, reason) per other file.

    Raises:
        PhotoError: as :func:`photos_in`, for a photo in the root itself (`photo-without-class-folder`), or if the folders are the parts
            of a data set, `train` and `val`, instead of classes (`folder-of-parts`).
    """
    root = Path(folder)
    photos, others = photos_in(root)
    loose = [path for path in photos if path.parent == root]
    if loose:
        message = f"{loose[0]}: lies in {root} itself, expected {root}/<class>/<photo>. To add one class, name it with --label."
        raise PhotoError(message, code="photo-without-class-folder", photo=str(loose[0]), folder=str(root))
    labels = {path.relative_to(root).parts[0] for path in photos}
    if labels <= _SPLITS and all(len(path.relative_to(root).parts) > 2 for path in photos):
        part = min(labels, key=lambda name: (name != "train", name))
        message = f"{root} is divided into {', '.join(sorted(labels))}, which are not classes. Give one part: {root / part}"
        raise PhotoError(message, code="folder-of-parts", folder=str(root), parts=sorted(labels))
    return [(path, path.relative_to(root).parts[0]) for path in photos], others
