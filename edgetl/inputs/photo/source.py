"""Photos as they arrive: bytes with a name and a digest, or pixels."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import functools
import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Union

import numpy as np

from edgetl import regular
from edgetl.errors import PhotoError
from edgetl.types import ColorOrder, NamedPhoto, Photo, Pixels

if TYPE_CHECKING:  # Pillow is imported where a photo is at hand: training, forgetting and rolling back need none
    from PIL import Image

MAX_SIDE = 32_768
"""Of a photo, pixels: scaling one of 25 million pixels in a row took 7 s."""
MAX_PIXELS = 24 * 2**20
"""A photo of more pixels is rejected before it is decoded: a decompression bomb costs memory, not only time."""

MAX_BYTES = 256 * 2**20

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
"""What is decoded (MPO opens as JPEG). Pillow knows more, but some of those start other programs (EPS) or are not photos."""

_EXIF_ORIENTATION = 0x0112

SUFFIXES = frozenset({".jpg", ".jpeg", ".jfif", ".jpe", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"})


@dataclasses.dataclass(frozen=True)
class PhotoSource:
    """One photo before decoding.

    Attributes:
        name: its path, or a word for its kind; for messages and the store.
        content: the encoded bytes, a PIL image, or RGB or gray uint8 pixels [h, w, 3] or [h, w].
    """

    name: str
    content: Union[bytes, Image.Image, Pixels]

    @functools.cached_property
    def digest(self) -> bytes:
        """sha256, 32 bytes: of the encoded bytes, or of shape, mode and pixels.

        Raises:
            PhotoError: a PIL image that cannot be decoded (`photo-corrupt`).
        """
        if isinstance(self.content, bytes):
            return hashlib.sha256(self.content).digest()
        if isinstance(self.content, np.ndarray):
            return hashlib.sha256(f"{self.content.shape}".encode() + self.content.tobytes()).digest()
        with decoding(self.name):
            image = self.image()
            kind = f"{image.mode} {image.size} {orientation(image)}"
            # Two palette images may share every index and no colour.
            pixels = image.convert("RGB") if image.mode in ("P", "PA") else image
            return hashlib.sha256(kind.encode() + pixels.tobytes()).digest()

    def image(self) -> Image.Image:
        """Opens the photo without decoding it yet.

        Raises:
            PhotoError: not an image of a known format (`photo-format-unknown`), empty (`photo-empty`), animated (`photo-animated`), or of
                more than 24 Mpx (`photo-too-large`) or 32,768 pixels of one side (`photo-too-long`).
        """
        from PIL import Image

        if isinstance(self.content, Image.Image):
            opened = self.content
        elif isinstance(self.content, bytes):
            opened = self._open(self.content)
        else:
            opened = Image.fromarray(self.content)
        if max(opened.size) > MAX_SIDE:
            raise self._error(f"longer than {MAX_SIDE} pixels. Cut the photo before adding it.", code="photo-too-long", most=MAX_SIDE)
        if opened.width * opened.height > MAX_PIXELS:
            raise self._too_large(f"{opened.width}x{opened.height} pixels are", pixels=opened.width * opened.height)
        with decoding(self.name):
            # An MPO file is a phone's JPEG with a depth map or a second view behind it; its first frame is the photo.
            if opened.format != "MPO" and getattr(opened, "is_animated", False):
                raise self._error("animated, or of several pages. Save one frame as a photo.", code="photo-animated")
        return opened

    def _open(self, content: bytes) -> Image.Image:
        from PIL import Image, UnidentifiedImageError

        if not content:
            raise self._error("an empty file (0 bytes). Copy the photo again.", code="photo-empty")
        with decoding(self.name):
            try:
                return Image.open(io.BytesIO(content), formats=FORMATS)
            except UnidentifiedImageError:
                formats = ", ".join(FORMATS)
                raise self._error(
                    f"not a photo of a known format ({formats})", code="photo-format-unknown", formats=list(FORMATS)
                ) from None
            except (Image.DecompressionBombError, Image.DecompressionBombWarning):
                raise self._too_large("its size is") from None

    def _too_large(self, size: str, **values: int) -> PhotoError:
        message = f"{size} more than {MAX_PIXELS / 2**20:.0f} Mpx. Scale the photo down before adding it."
        return self._error(message, code="photo-too-large", most=MAX_PIXELS, **values)

    def _error(self, message: str, *, code: str, **values: object) -> PhotoError:
        return PhotoError(f"{self.name}: {message}", code=code, photo=self.name, **values)


@contextlib.contextmanager
def decoding(name: str) -> Iterator[None]:
    """Turns what a decoder raises on damaged bytes into one error; Pillow's raise TypeError, IndexError and struct.error among others.

    Raises:
        PhotoError: with the photo's name (`photo-corrupt`).
    """
    try:
        yield
    except (PhotoError, MemoryError):
        raise
    except Exception as error:
        message = f"{name}: cannot be decoded ({error}). Take or copy the photo again."
        raise PhotoError(message, code="photo-corrupt", photo=name, reason=str(error)) from error


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 (upright) if it is missing or cannot be read."""
    try:
        value = image.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # whatever is wrong with a photo's metadata, its picture is still good
        return 1
    return value if value in range(1, 9) else 1


def load(photo: Photo, *, color: ColorOrder = "rgb") -> PhotoSource:
    """Takes a photo in any of its forms; a file is read once, here.

    Args:
        photo: a path, encoded bytes, a named photo, a PIL image, or uint8 pixels [h, w], [h, w, 1], [h, w, 3] or [h, w, 4].
        color: the channel order of pixels; `bgr` is for arrays only (OpenCV's order), since every file states its own.

    Raises:
        PhotoError: a missing or unreadable file (`photo-unreadable`), a folder (`photo-is-folder`), another type (`photo-type`), an
            array of another dtype (`array-dtype`) or shape (`array-shape`), or a colour order that cannot be (`color-order`).
    """
    if isinstance(photo, np.ndarray):
        return PhotoSource("array", _rgb(photo, color))
    if color != "rgb":
        message = f"color={color!r} is for uint8 arrays; files and PIL images state their own colour order"
        raise PhotoError(message, code="color-order", color=color)
    if isinstance(photo, bytes):
        return PhotoSource("bytes", photo)
    if isinstance(photo, NamedPhoto):
        return PhotoSource(photo.name, photo.content)
    if isinstance(photo, (str, os.PathLike)):
        return PhotoSource(os.fspath(photo), _read(Path(photo)))
    from PIL import Image

    if isinstance(photo, Image.Image):
        return PhotoSource(str(getattr(photo, "filename", "") or "image"), photo)
    raise PhotoError(
        f"a photo is a path, bytes, a PIL image or a uint8 array, not {type(photo).__name__}", code="photo-type", type=type(photo).__name__
    )


def _read(path: Path) -> bytes:
    try:
        return regular.read(path, MAX_BYTES)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or str(error)
        if isinstance(error, IsADirectoryError):
            raise PhotoError(
                f"{path} is a folder. Give one of its photos; edgetl predict takes folders too.", code="photo-is-folder", photo=str(path)
            ) from error
        if getattr(error, "errno", None) == errno.EFBIG:
            message = f"{path}: {reason}. Scale the photo down before adding it."
            raise PhotoError(message, code="photo-too-large", photo=str(path), most=MAX_BYTES) from error
        raise PhotoError(f"{path}: {reason}", code="photo-unreadable", photo=str(path), reason=reason) from error


def _rgb(pixels: Pixels, color: ColorOrder) -> Pixels:
    if pixels.dtype != np.uint8:
        message = f"array: dtype {pixels.dtype}, expected uint8 in [0, 255]. The range of floats is not guessed."
        raise PhotoError(message, code="array-dtype", photo="array", dtype=str(pixels.dtype), expected="uint8")
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if pixels.size == 0 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))):
        shape = list(pixels.shape)
        message = f"array: shape {shape}, expected [h, w], [h, w, 1], [h, w, 3] or [h, w, 4]"
        raise PhotoError(message, code="array-shape", photo="array", shape=shape)
    if color not in ("rgb", "bgr"):
        raise PhotoError(f"color={color!r}: expected 'rgb' or 'bgr'", code="color-order", color=color)
    if pixels.ndim == 2:
        return pixels
    return pixels[:, :, :3] if color == "rgb" else pixels[:, :, 2::-1]
