"""Photo -> Capture: brightness, contrast, sharpness, warmth, when it was taken, and a thumbnail."""

from __future__ import annotations

import datetime
import io
import math
from typing import TYPE_CHECKING

import numpy as np

from edgetl.inputs.photo.source import PhotoSource
from edgetl.types import Array, Capture, Pixels

if TYPE_CHECKING:
    from PIL import Image

THUMBNAIL = 96
"""About the longest side of a thumbnail, pixels: the model's input is reduced by a whole factor, which takes a third of the time."""
_THUMBNAIL_QUALITY = 50
_REBLUR = 9
_STEP = 3
_NOISE = 0.5  # gray levels; weaker edges say nothing about the light
_EXIF, _TAKEN, _TAKEN_FRACTION = 0x8769, 0x9003, 0x9291  # EXIF 2.32: section 4.6.3 A, and table 8 D and its F
_FIRST_YEAR = 1990  # an earlier date is a clock that was never set


def measure(pixels: Pixels, source: PhotoSource, thumbnail: bool = True) -> Capture:
    """Measures a photo on the model's input, so that photos of all sizes can be compared; it is not decoded again.

    Args:
        pixels: the model's input, uint8 [h, w, 3], RGB.
        source: the photo that it was made from, for its size and its date.
        thumbnail: whether to make one.

    Raises:
        PhotoError: the source is not a photo.
    """
    from PIL import Image

    image = Image.fromarray(pixels)
    luma = image.convert("L")
    width, height, taken = _origin(source)
    brightness, contrast = _moments(np.array(luma.histogram()))
    small = _thumbnail(image) if thumbnail else b""
    return Capture(width, height, brightness, contrast, sharpness(np.asarray(luma)), warmth(pixels), taken, small)


def sharpness(luma: Pixels) -> float:
    """The share of its local contrast that a photo loses when it is blurred, in [0, 1]; a blurred photo loses little.

    Crete et al. 2007, "The blur effect", equations 1 to 6, as one minus their measure; the duller of the two directions counts, as there,
    so that motion blur shows. Chosen among eleven measures (docs/evidence/photo-quality.md).

    Args:
        luma: uint8 [h, w].

    Returns:
        0 for a photo without any contrast, or of fewer than 10 pixels in a direction.
    """
    values = luma.astype(np.int16)
    if min(values.shape) <= _REBLUR:
        return 0.0
    return min(_lost(values), _lost(values.T))


def warmth(pixels: Pixels) -> float:
    """How red the light is: the natural log of the edges' strength in red over that in blue.

    The gray-edge hypothesis: the differences between neighbours are gray on average, whatever the colour of the objects (van de Weijer,
    Gevers and Gijsenij 2007, "Edge-based color constancy", with first derivatives and p = 2). Here of every third pixel. Compared with the
    gray world in docs/evidence/photo-quality.md.

    Args:
        pixels: uint8 [h, w, 3], RGB.

    Returns:
        0 for a gray photo, and near 0 for a black or flat one; a camera's gain of red over blue adds about its log.
    """
    red, blue = (_edges(pixels[::_STEP, ::_STEP, channel].astype(np.float32)) for channel in (0, 2))
    return math.log(red / blue) / 2


def _edges(values: Array) -> float:
    """The mean square of the differences to the next row and column, gray levels squared, and of the noise; values float32 [h, w]."""
    down, right = (values[1:] - values[:-1]).ravel(), (values[:, 1:] - values[:, :-1]).ravel()
    return float(down @ down + right @ right) / max(1, values.size) + _NOISE**2


def _lost(values: Array) -> float:
    """The share of the horizontal differences' sum that a horizontal box filter takes away; values int16 [h, w]."""
    half = _REBLUR // 2
    differences = np.abs(values[:, half + 1 : -half] - values[:, half : -half - 1])
    total = int(differences.sum(dtype=np.uint32))
    # The box's step from one pixel to the next is the difference of its two ends over its length; everything is multiplied by that length.
    lost = _REBLUR * differences - np.abs(values[:, _REBLUR:] - values[:, :-_REBLUR])
    # numpy's maximum of two arrays takes a tenth of the time of an array and a number.
    return int(np.maximum(lost, np.zeros_like(lost), out=lost).sum(dtype=np.uint32)) / (_REBLUR * total) if total else 0.0


def _moments(histogram: Array) -> tuple[float, float]:
    """Mean and standard deviation, gray levels, of a histogram int [256]."""
    levels, n = np.arange(256), histogram.sum()
    mean = float(histogram @ levels / n)
    return mean, float(np.sqrt(histogram @ (levels - mean) ** 2 / n))


def _thumbnail(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.reduce(max(1, round(max(image.size) / THUMBNAIL))).save(file, "JPEG", quality=_THUMBNAIL_QUALITY)
    return file.getvalue()


def _origin(source: PhotoSource) -> tuple[int, int, float | None]:
    """Width, height and time of the photo as it came, from its header alone."""
    if isinstance(source.content, np.ndarray):
        height, width = source.content.shape[:2]
        return width, height, None
    image = source.image()
    return image.width, image.height, _taken(image)


def _taken(image: Image.Image) -> float | None:
    """When the camera took the photo, its clock read as UTC; None if the date is missing or impossible."""
    try:
        metadata = image.getexif().get_ifd(_EXIF)
        when = datetime.datetime.strptime(str(metadata[_TAKEN]).strip("\0 "), "%Y:%m:%d %H:%M:%S").replace(tzinfo=datetime.timezone.utc)
        fraction = str(metadata.get(_TAKEN_FRACTION, "")).strip("\0 ")
    except Exception:  # whatever is wrong with a photo's metadata, its picture is still good
        return None
    if when.year < _FIRST_YEAR:
        return None
    return when.timestamp() + (float(f"0.{fraction}") if fraction.isascii() and fraction.isdigit() else 0.0)
