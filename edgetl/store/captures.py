"""What was measured of a photo, in its sample's row; its thumbnail, in a table of its own that reading embeddings never touches.

The row holds the numbers as 56 bytes, so that the row's own checksum covers them at no cost, and the thumbnail's length and CRC32: a
thumbnail that is lost, cut or taken from another photo is noticed too.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

import numpy as np
import numpy.typing as npt

from edgetl.errors import StoreCorrupt
from edgetl.store.checksum import RESTORE
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
        ("thumbnail_size", "<u4"),
        ("thumbnail_crc", "<u4"),
    ]
)
UNKNOWN = np.array((0, 0, np.nan, np.nan, np.nan, np.nan, np.nan, 0, 0), LAYOUT).tobytes()


def pack(capture: Capture) -> bytes:
    """The 56 bytes that stand for a capture in its sample's row."""
    taken = np.nan if capture.taken is None else capture.taken
    numbers = (capture.width, capture.height, capture.brightness, capture.contrast, capture.sharpness, capture.warmth, taken)
    return np.array((*numbers, len(capture.thumbnail), crc32(capture.thumbnail)), LAYOUT).tobytes()


def unpack(packed: Sequence[bytes | None]) -> npt.NDArray[np.void]:
    """The inverse of :func:`pack`, for many, LAYOUT [n]; a width of 0 and NaN where nothing was measured."""
    return np.frombuffer(b"".join([one or UNKNOWN for one in packed]), LAYOUT)


def captures(measured: npt.NDArray[np.void]) -> list[Capture | None]:
    """The same as values, without the thumbnails; None where nothing was measured."""
    return [
        Capture(width, height, brightness, contrast, sharpness, warmth, None if np.isnan(taken) else taken) if width else None
        for width, height, brightness, contrast, sharpness, warmth, taken, _size, _crc in measured.tolist()
    ]


def thumbnail(db: sqlite3.Connection, path: Path, sample: int, packed: bytes | None) -> bytes:
    """The thumbnail of the sample whose row holds `packed`; empty where none is kept.

    Raises:
        StoreCorrupt: it is not the one that the row was written with.
    """
    *_, size, crc = np.frombuffer(packed or UNKNOWN, LAYOUT).item()
    (kept,) = db.execute("SELECT jpeg FROM thumbnail WHERE id = ?", (sample,)).fetchone() or (b"",)
    if not isinstance(kept, bytes) or (len(kept), crc32(kept)) != (size, crc):
        raise StoreCorrupt(f"{path}: the thumbnail of sample {sample} fails its check: the disk changed it; {RESTORE}")
    return kept
