"""What was measured of a photo, in its sample's row; its preview lies in a table of its own, which reading embeddings never touches.

The row holds the numbers as 56 bytes, so that the row's checksum covers them at no cost, and the preview's length and CRC32: a preview that
is lost, cut or taken from another photo is noticed too. The layout belongs to inputs of the kind `photo` (the fingerprint's `input`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

import numpy as np
import numpy.typing as npt

from edgetl.store.checksum import damaged
from edgetl.types import Capture

LAYOUT = np.dtype(
    [
        ("width", "<u4"),
        ("height", "<u4"),
        ("brightness", "<f8"),
        ("contrast", "<f8"),
        ("sharpness", "<f8"),
        ("warmth", "<f8"),
        ("taken", "<f8"),
        ("preview_size", "<u4"),
        ("preview_crc", "<u4"),
    ]
)
UNKNOWN = np.array((0, 0, np.nan, np.nan, np.nan, np.nan, np.nan, 0, 0), LAYOUT).tobytes()
"""What empty bytes stand for: a photo that was not measured."""


def pack(capture: Capture | None) -> bytes:
    """The 56 bytes that stand for a capture in its sample's row; none for a photo that was not measured."""
    if capture is None:
        return b""
    taken = np.nan if capture.taken is None else capture.taken
    numbers = (capture.width, capture.height, capture.brightness, capture.contrast, capture.sharpness, capture.warmth, taken)
    return np.array((*numbers, len(capture.thumbnail), crc32(capture.thumbnail)), LAYOUT).tobytes()


def without_preview(packed: bytes) -> bytes:
    """What :func:`pack` gives for the same photo without its thumbnail."""
    return packed[:-8] + bytes(8) if packed else packed


def unpack(packed: Sequence[bytes]) -> npt.NDArray[np.void]:
    """The inverse of :func:`pack`, for many, LAYOUT [n]; a width of 0 and NaN for photos that were not measured."""
    return np.frombuffer(b"".join([numbers or UNKNOWN for numbers in packed]), LAYOUT)


def as_values(measured: npt.NDArray[np.void]) -> list[Capture | None]:
    """The same as values, without the thumbnails; None for a photo that was not measured."""
    return [
        Capture(width, height, brightness, contrast, sharpness, warmth, None if np.isnan(taken) else taken) if width else None
        for width, height, brightness, contrast, sharpness, warmth, taken, _size, _crc in measured.tolist()
    ]


def preview(db: sqlite3.Connection, path: Path, sample: int, packed: bytes) -> bytes:
    """The preview of the sample whose row holds `packed`; empty if none is kept.

    Raises:
        StoreCorrupt: it is not the one that the row was written with.
    """
    *_, size, crc = np.frombuffer(packed or UNKNOWN, LAYOUT).item()
    (kept,) = db.execute("SELECT content FROM preview WHERE id = ?", (sample,)).fetchone() or (b"",)
    if not isinstance(kept, bytes) or (len(kept), crc32(kept)) != (size, crc):
        raise damaged(path, "preview", sample)
    return kept
