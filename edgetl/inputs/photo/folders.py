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
    """Every photo below a folder, sorted; and (name, reason) per other file, so that nothing is left out unnoticed.

    Hidden files and folders are ignored.

    Raises:
        PhotoError: the folder is missing (`folder-missing`), not a folder (`not-a-folder`), or without a photo (`folder-without-photos`).
    """
    root = Path(folder)
    if not root.is_dir():
        code, reason = ("not-a-folder", "not a folder") if root.exists() else ("folder-missing", "no such folder")
        raise PhotoError(f"{root}: {reason}. Give a folder of photos.", code=code, folder=str(root))
    files = sorted(p for p in root.rglob("*") if p.is_file() and not any(part.startswith(".") for part in p.relative_to(root).parts))
    photos = [path for path in files if path.suffix.lower() in SUFFIXES]
    others = [
        (str(path), f"not a photo by its name ({path.suffix or 'no suffix'})") for path in files if path.suffix.lower() not in SUFFIXES
    ]
    if not photos:
        message = f"{root}: no photo in this folder, {len(others)} other files. Photos end in {' '.join(sorted(SUFFIXES))}."
        raise PhotoError(message, code="folder-without-photos", folder=str(root), count=len(others))
    return photos, others


def labelled_photos_in(folder: str | os.PathLike[str]) -> tuple[list[tuple[Path, str]], list[tuple[str, str]]]:
    """Every photo of a folder `root/<class>/...` with its class; and (name, reason) per other file.

    Raises:
        PhotoError: as :func:`photos_in`, and for a photo in the root itself (`photo-without-class-folder`).
    """
    root = Path(folder)
    photos, others = photos_in(root)
    loose = [path for path in photos if path.parent == root]
    if loose:
        message = f"{loose[0]}: lies in {root} itself, expected {root}/<class>/<photo>. To add one class, name it with --label."
        raise PhotoError(message, code="photo-without-class-folder", photo=str(loose[0]), folder=str(root))
    return [(path, path.relative_to(root).parts[0]) for path in photos], others
