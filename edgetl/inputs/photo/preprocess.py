"""Photo -> uint8 tensor: the only implementation, for the exporter (calibration, parity) and for the device."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Union

import numpy as np

from edgetl.errors import PhotoError
from edgetl.inputs.photo.source import PhotoSource, decoding, orientation
from edgetl.types import ImageSpec, Pixels

if TYPE_CHECKING:
    from PIL import Image

# EXIF 2.32, section 4.6.4 A: how a stored image is turned upright, per orientation value.
_UPRIGHT = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, pixels."""


@dataclasses.dataclass(frozen=True, eq=False)
class Decoded:
    """A photo's pixels, on their way to a tensor.

    Attributes:
        name: the photo's, for messages.
        image: in a mode whose values can be averaged; pixels uint8 [h, w, 3] of the model's input size are taken as they are.
        turn: the EXIF orientation, 1 to 8.
    """

    name: str
    image: Union[Image.Image, Pixels]
    turn: int = 1


def tensor(source: PhotoSource, spec: ImageSpec) -> Pixels:
    """Decodes, scales the short side to `spec.resize`, crops the centre and turns it upright.

    A photo that has the model's input size already is taken as it is, in every form (file, image, array): somebody cropped it before.
    Scaling and cropping are one antialiased resample of the centre box, so pixels that the crop would discard are
    never computed. Alpha is dropped; gray becomes RGB; colour profiles are not applied.

    Args:
        source: the photo.
        spec: the model's image spec.

    Returns:
        uint8 [spec.height, spec.width, 3], RGB, C-contiguous.

    Raises:
        PhotoError: the photo is corrupt, truncated, animated or too large (see :meth:`PhotoSource.image`).
    """
    return cropped(decoded(source, spec), spec)


def decoded(source: PhotoSource, spec: ImageSpec) -> Decoded:
    """The first half of :func:`tensor`: a photo's pixels, neither scaled nor turned.

    Raises:
        PhotoError: as :func:`tensor`.
    """
    content = source.content
    if isinstance(content, np.ndarray) and content.shape == (spec.height, spec.width, 3):
        return Decoded(source.name, np.ascontiguousarray(content))
    with decoding(source.name):
        image = source.image()
        if spec.draft and isinstance(content, bytes):  # a PIL image belongs to the caller and must not shrink
            image.draft(None, (spec.draft * spec.resize, spec.draft * spec.resize))
        turn = orientation(image)
        image.load()
        return Decoded(source.name, _plain(image, source.name), turn)


def cropped(photo: Decoded, spec: ImageSpec) -> Pixels:
    """The second half of :func:`tensor`: scaled, cropped and upright.

    Raises:
        PhotoError: as :func:`tensor`.
    """
    if isinstance(photo.image, np.ndarray):
        return photo.image
    with decoding(photo.name):
        return _cut(photo.image, photo.turn, spec)


def _cut(photo: Image.Image, turn: int, spec: ImageSpec) -> Pixels:
    """Scales, crops and turns a decoded photo.

    Args:
        photo: in a mode whose values can be averaged.
        turn: the EXIF orientation, 1 to 8.
        spec: the model's image spec.

    Returns:
        uint8 [spec.height, spec.width, 3], RGB.
    """
    from PIL import Image

    # Scaling before turning is the same picture (the box is symmetric) and turns 50 thousand pixels instead of 12 million.
    size = (spec.height, spec.width) if turn >= 5 else (spec.width, spec.height)
    if photo.size != size:
        photo = photo.resize(size, Image.Resampling[spec.filter.upper()], box=centre_box(photo.size, size, spec.resize))
    upright = photo.transpose(Image.Transpose[_UPRIGHT[turn]]) if turn in _UPRIGHT else photo
    return np.asarray(upright if upright.mode == "RGB" else upright.convert("RGB"))


def centre_box(size: tuple[int, int], crop: tuple[int, int], resize: int) -> Box:
    """The centre box of the photo that the crop will show, in its pixels: left, top, right, bottom.

    It begins on a whole pixel of the scaled photo, as if one scaled first and cropped then. Half a pixel off, a photo that needs no
    scaling would be blurred (docs/evidence/views.md).
    """
    scale = min(size) / resize
    width, height = (min(side * scale, whole) for side, whole in zip(crop, size))
    left, top = (min(round((whole / scale - side) / 2) * scale, whole - box) for side, whole, box in zip(crop, size, (width, height)))
    return left, top, left + width, top + height


def _plain(image: Image.Image, name: str) -> Image.Image:
    """A mode whose values can be averaged: palettes and bits cannot, and 16-bit gray is scaled instead of clipped."""
    if image.mode in ("RGB", "L"):
        return image
    if image.mode == "F":
        message = f"{name}: its pixels are floats, whose range is not guessed. Save it with 8 bits."
        raise PhotoError(message, code="photo-float-pixels", photo=name)
    if image.mode.startswith("I"):
        values = np.asarray(image)
        top = 65535 if values.max(initial=0) > 255 else 255
        from PIL import Image

        return Image.fromarray(np.rint(np.clip(values, 0, top) * (255 / top)).astype(np.uint8))
    return image.convert("RGB")
