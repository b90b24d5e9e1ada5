"""Photo -> uint8 tensor: the only implementation, used by the exporter (calibration, parity) and on the device alike."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Union

import numpy as np

from edgetl.errors import PhotoError
from edgetl.inputs.photo.source import Source, decoding, orientation
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


@dataclasses.dataclass(frozen=True)
class View:
    """One way to look at a photo.

    Attributes:
        flip: left becomes right.
        side: the side of what is shown, in sides of the centre crop, at most 1; None is the whole photo, squeezed where its shape differs.
        gamma: of the light; below 1 is brighter.
    """

    flip: bool = False
    side: float | None = 1.0
    gamma: float = 1.0


VIEWS = (
    View(),
    View(side=None),
    View(flip=True, side=0.8, gamma=0.7),
    View(flip=True, side=None, gamma=1.4),
    View(side=0.7),
)
"""What :func:`views` gives, in this order; each costs a backbone pass, a row in the store and its share of every training.

Chosen among about 40 flips, crops, lights and turns and as many combinations: the whole photo is the best single one, and corner crops of
side 0.75 lose 1 to 2 points on sign digits at five photos per class. Gains in points over the photo alone, EfficientNet-Lite0 float, mean
over 1, 5 and 20 photos per class, 10 seeds, paired 95 % interval (`tools/bench_views`):

=====  =============  =============  ==============
views  flowers        sign digits    magnetic tiles
=====  =============  =============  ==============
2      +0.28 +- 0.16  +0.99 +- 0.29  +0.76 +- 1.24
3      +0.41 +- 0.21  +1.87 +- 0.33  +2.09 +- 1.25
5      +0.22 +- 0.56  +2.25 +- 0.34  +2.38 +- 1.44
=====  =============  =============  ==============

With 100 photos per class 3 views gained nothing that could be measured (+0.3 +- 0.8, +0.2 +- 0.5, -1.1 +- 2.7; 5 seeds). On solar cells,
which had no part in the choice, they gained 0.1 +- 0.9 / 1.4 +- 2.0 / 1.4 +- 1.4 / 0.1 +- 1.1 at 1 / 5 / 20 / 100 photos per class (8
seeds). A photo of exactly the input size has nothing around its crop: there the whole photo is the photo again.
"""


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
    return cropped(decoded(source, spec), spec)


def decoded(source: Source, spec: ImageSpec) -> Decoded:
    """The first half of :func:`tensor`: a photo's pixels, neither scaled nor turned.

    Raises:
        PhotoError: as :func:`tensor`.
    """
    content = source.content
    if isinstance(content, np.ndarray) and content.shape == (spec.height, spec.width, 3):
        return Decoded(source.name, np.ascontiguousarray(content))
    with decoding(source.name):
        image = source.image()
        if spec.draft and isinstance(content, bytes):  # a PIL image is the caller's: it must not shrink under their hands
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


def views(source: Source, spec: ImageSpec, n: int) -> Pixels:
    """The photo and augmented copies of it, from one decode: the first `n` of :data:`VIEWS`.

    Args:
        source: the photo.
        spec: the model's image spec.
        n: how many, 1 to `len(VIEWS)`; each costs one backbone pass.

    Returns:
        uint8 [n, spec.height, spec.width, 3], RGB; row 0 is what :func:`tensor` gives.

    Raises:
        PhotoError: as :func:`tensor`.
        ValueError: `n` is out of range.
    """
    from PIL import Image

    if not 1 <= n <= len(VIEWS):
        raise ValueError(f"{n} views of a photo were asked for; between 1 (the photo alone) and {len(VIEWS)} can be made")
    photo = decoded(source, spec)
    with decoding(source.name):
        image = Image.fromarray(photo.image) if isinstance(photo.image, np.ndarray) else photo.image
        return np.stack([_cut(image, photo.turn, spec, view) for view in VIEWS[:n]])


def _cut(photo: Image.Image, turn: int, spec: ImageSpec, view: View = VIEWS[0]) -> Pixels:
    from PIL import Image

    # Scaling before turning is the same picture (the box is symmetric) and turns 50 thousand pixels instead of 12 million.
    size = (spec.height, spec.width) if turn >= 5 else (spec.width, spec.height)
    exact = photo.size == size
    if not (exact and view.side == 1):
        box = (0.0, 0.0, *photo.size) if exact or view.side is None else centre_box(photo.size, size, spec.resize)
        photo = photo.resize(size, Image.Resampling[spec.filter.upper()], box=_zoomed(box, view.side or 1))
    upright = photo.transpose(Image.Transpose[_UPRIGHT[turn]]) if turn in _UPRIGHT else photo
    pixels = np.asarray(upright if upright.mode == "RGB" else upright.convert("RGB"))
    if view.flip:
        pixels = pixels[:, ::-1]
    return pixels if view.gamma == 1 else _lit(view.gamma)[pixels]


def _lit(gamma: float) -> Pixels:
    return np.rint(255 * (np.arange(256) / 255) ** gamma).astype(np.uint8)


def _zoomed(box: Box, side: float) -> Box:
    """The box with its sides times `side`, at most 1, about its centre."""
    left, top, right, bottom = box
    x, y = (right - left) * (1 - side) / 2, (bottom - top) * (1 - side) / 2
    return left + x, top + y, right - x, bottom - y


def centre_box(size: tuple[int, int], crop: tuple[int, int], resize: int) -> Box:
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
