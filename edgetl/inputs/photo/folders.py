"""Labelled photos as people give them: a folder, pairs, or one class's folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sized
from pathlib import Path
from typing import Union

import numpy as np

from edgetl.errors import LabelError, PhotoError
from edgetl.inputs.photo.source import SUFFIXES, Source, load
from edgetl.types import ColorOrder, Photo, check_label

Labelled = Union[str, "os.PathLike[str]", Iterable[tuple[Photo, str]]]
"""A folder `root/<class>/<photo>`, or pairs of photo and label."""

Progress = Callable[[int, int], None]
"""Called with (done, total); total is 0 where it is not known."""


def pairs(photos: Labelled, label: str | None = None) -> tuple[Iterable[tuple[Photo, str]], list[tuple[str, str]]]:
    """Pairs of photo and label, and (name, reason) per file of a folder that is no photo.

    Args:
        photos: a folder or pairs.
        label: one class for every photo of the folder.

    Raises:
        PhotoError: the folder is missing or empty.
        LabelError: `label` is not allowed, or was given beside pairs.
    """
    if not isinstance(photos, (str, os.PathLike)):
        if label is not None:
            raise LabelError(f"label {label!r} is for a folder; pairs carry their own labels")
        # Photos are taken ahead of their embedding, and a camera may give the same buffer again.
        return photos if isinstance(photos, Sized) else ((_own(photo), said) for photo, said in photos), []
    if label is None:
        return labelled_photos_in(photos)
    label = check_label(label)
    paths, others = photos_in(photos)
    return [(path, label) for path in paths], others


def source(pair: tuple[Photo, str], color: ColorOrder) -> Source:
    """A pair's photo, read; its label is checked.

    Raises:
        PhotoError: it cannot be read.
        LabelError: the label is not allowed.
    """
    check_label(pair[1])
    return load(pair[0], color=color)


def name(photo: Photo) -> str:
    """A photo's path, or the word for its kind."""
    return os.fspath(photo) if isinstance(photo, (str, os.PathLike)) else type(photo).__name__


def _own(photo: Photo) -> Photo:
    return photo.copy() if isinstance(photo, np.ndarray) else photo


def photos_in(folder: str | os.PathLike[str]) -> tuple[list[Path], list[tuple[str, str]]]:
    """Every photo below a folder, sorted; and (name, reason) per other file, so that nothing is left out in silence.

    Hidden files and folders are passed over.

    Raises:
        PhotoError: the folder is missing, is no folder, or holds no photo.
    """
    root = Path(folder)
    if not root.is_dir():
        raise PhotoError(f"{root}: {'not a folder' if root.exists() else 'no such folder'}; give a folder of photos")
    files = sorted(p for p in root.rglob("*") if p.is_file() and not any(part.startswith(".") for part in p.relative_to(root).parts))
    photos = [path for path in files if path.suffix.lower() in SUFFIXES]
    others = [
        (str(path), f"not a photo by its name ({path.suffix or 'no suffix'})") for path in files if path.suffix.lower() not in SUFFIXES
    ]
    if not photos:
        raise PhotoError(f"{root}: holds no photo ({len(others)} other files); known suffixes are {' '.join(sorted(SUFFIXES))}")
    return photos, others


def labelled_photos_in(folder: str | os.PathLike[str]) -> tuple[list[tuple[Path, str]], list[tuple[str, str]]]:
    """Every photo of a folder `root/<class>/...` with its class; and (name, reason) per other file.

    Raises:
        PhotoError: as :func:`photos_in`, and for photos that lie in the root itself.
    """
    root = Path(folder)
    photos, others = photos_in(root)
    loose = [path for path in photos if path.parent == root]
    if loose:
        raise PhotoError(f"{loose[0]}: lies in {root} itself; expected {root}/<class>/<photo> (to teach one class, give it with --label)")
    return [(path, path.relative_to(root).parts[0]) for path in photos], others
