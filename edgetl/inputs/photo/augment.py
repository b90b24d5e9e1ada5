"""Augmented copies of a photo, which stand for photos that nobody took."""

from __future__ import annotations

import dataclasses

import numpy as np

from edgetl.inputs.photo.preprocess import cut, decoded
from edgetl.inputs.photo.source import PhotoSource, decoding
from edgetl.types import ImageSpec, Pixels


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """One way to look at a photo.

    Attributes:
        flip: left becomes right.
        side: the side of what is shown, in sides of the centre crop, at most 1; None is the whole photo, squeezed if its shape differs.
        gamma: of the light; below 1 is brighter.
    """

    flip: bool = False
    side: float | None = 1.0
    gamma: float = 1.0


AUGMENTATIONS = (
    Augmentation(),
    Augmentation(side=None),
    Augmentation(flip=True, side=0.8, gamma=0.7),
    Augmentation(flip=True, side=None, gamma=1.4),
    Augmentation(side=0.7),
)
"""In this order; each costs a backbone pass, a row in the store and its share of every training (docs/evidence/views.md)."""


def augmented(source: PhotoSource, spec: ImageSpec, count: int) -> Pixels:
    """The photo and augmented copies of it, from one decode: the first `count` of :data:`AUGMENTATIONS`.

    Args:
        source: the photo.
        spec: the model's image spec.
        count: 1 to `len(AUGMENTATIONS)`; each costs one backbone pass.

    Returns:
        uint8 [count, spec.height, spec.width, 3], RGB; row 0 is what :func:`edgetl.inputs.photo.preprocess.tensor` returns.

    Raises:
        PhotoError: as :func:`edgetl.inputs.photo.preprocess.tensor`.
        ValueError: `count` is out of range.
    """
    from PIL import Image

    if not 1 <= count <= len(AUGMENTATIONS):
        raise ValueError(f"{count} views of a photo; expected 1 (the photo alone) to {len(AUGMENTATIONS)}")
    photo = decoded(source, spec)
    with decoding(source.name):
        image = Image.fromarray(photo.image) if isinstance(photo.image, np.ndarray) else photo.image
        return np.stack([_apply(augmentation, cut(image, photo.turn, spec, augmentation.side)) for augmentation in AUGMENTATIONS[:count]])


def _apply(augmentation: Augmentation, pixels: Pixels) -> Pixels:
    if augmentation.flip:
        pixels = pixels[:, ::-1]
    return pixels if augmentation.gamma == 1 else _curve(augmentation.gamma)[pixels]


def _curve(gamma: float) -> Pixels:
    """uint8 [256]: what each level becomes."""
    return np.rint(255 * (np.arange(256) / 255) ** gamma).astype(np.uint8)
