"""Photo -> uint8 tensor: the only implementation, used by the exporter (calibration, parity) and on the device alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgetl.errors import PhotoError
from edgetl.photos import Source, decoding, orientation
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


def tensor(source: Source, spec: ImageSpec) -> Pixels:
    """Decodes, scales the short side to `spec.resize`, crops the centre and turns it upright.

    A photo whose size already is the model's input size is taken as it is, in every form (file, image, array): it was cropped by
    whoever made it. Scaling and cropping are one antialiased resample of the centre box, so pixels that the crop would discard are
    never computed. Alpha is dropped; gray becomes RGB; colour profiles are not applied.

    Args:
        source: the photo.
        spec: the model's image spec.

    Returns:
        uint8 [spec.height, spec.width, 3], RGB, C-contiguous.

    Raises:
        PhotoError: the photo is corrupt, truncated, animated or too large.
    """
    content = source.content
    if isinstance(content, np.ndarray) and content.shape == (spec.height, spec.width, 3):
        return np.ascontiguousarray(content)
    image = source.image()
    with decoding(source.name):
        if spec.draft and isinstance(content, bytes):  # a PIL image is the caller's: it must not shrink under their hands
            image.draft(None, (spec.draft * spec.resize, spec.draft * spec.resize))
        return np.asarray(_centre(image, spec, source.name).convert("RGB"))


def _centre(image: Image.Image, spec: ImageSpec, name: str) -> Image.Image:
    from PIL import Image

    turn = orientation(image)
    # Scaling before turning is the same picture (the box is symmetric) and turns 50 thousand pixels instead of 12 million.
    size = (spec.height, spec.width) if turn >= 5 else (spec.width, spec.height)
    plain = _plain(image, name)
    if plain.size != size:
        plain = plain.resize(size, Image.Resampling[spec.filter.upper()], box=_box(plain.size, size, spec.resize))
    return plain.transpose(Image.Transpose[_UPRIGHT[turn]]) if turn in _UPRIGHT else plain


def _box(size: tuple[int, int], crop: tuple[int, int], resize: int) -> tuple[float, float, float, float]:
    """The centre box of the photo that the crop will show, in its pixels: left, top, right, bottom.

    It begins on a whole pixel of the scaled photo, as where one scales first and crops then; half a pixel off, a photo that needs no
    scaling would be blurred, which cost 0.7 points of ImageNet top-1.
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
        raise PhotoError(f"{name}: its pixels are floats, whose range is not guessed at; save it with 8 bits")
    if image.mode.startswith("I"):
        values = np.asarray(image)
        top = 65535 if values.max(initial=0) > 255 else 255
        from PIL import Image

        return Image.fromarray(np.rint(np.clip(values, 0, top) * (255 / top)).astype(np.uint8))
    return image.convert("RGB")
