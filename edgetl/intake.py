"""Labelled photos as people give them: a folder, pairs, or one class's folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sized
from typing import Union

import numpy as np

from edgetl.errors import LabelError
from edgetl.photos import Source, labelled_photos_in, load, photos_in
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
