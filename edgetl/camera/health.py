"""Whether a camera sees: frozen, covered, or in the dark."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from edgetl.camera.frames import EventCode
from edgetl.types import Pixels

FROZEN_S = 5.0
"""The same bytes for this long: a sensor's noise makes two frames of a still scene differ."""
EVERY_S = 1.0
"""Between two looks at the light: a look decodes the frame at an eighth of its size."""
NIGHT, COVERED, FLAT = 30.0, 12.0, 4.0
"""Gray levels: it is night if the mean luma is below NIGHT; the lens is covered if it is below COVERED with a deviation below FLAT."""
MARGIN = 1.25


class Health:
    """Watches the frames of one camera."""

    def __init__(self) -> None:
        self._code: EventCode = "normal"
        self._checksum: int | None = None
        self._since = self._looked = -np.inf
        self._light: EventCode = "normal"

    def check(self, photo: bytes | Pixels, now: float) -> tuple[EventCode, dict[str, Any]] | None:
        """Looks at a frame.

        Args:
            photo: a JPEG, or pixels uint8 [h, w, 3].
            now: seconds, on a clock that only goes forward.

        Returns:
            The new state with its numbers if it has changed, otherwise None.
        """
        checksum = zlib.crc32(photo if isinstance(photo, bytes) else np.ascontiguousarray(photo).data)
        if checksum != self._checksum:
            self._checksum, self._since = checksum, now
        values: dict[str, Any] = {}
        if now - self._looked >= EVERY_S:
            self._looked = now
            self._light, values = _judge_light(photo, self._light)
        code = self._light
        if now - self._since >= FROZEN_S:
            code, values = "frozen", {"seconds": now - self._since}
        if code == self._code:
            return None
        self._code = code
        return code, values


def _judge_light(photo: bytes | Pixels, before: EventCode) -> tuple[EventCode, dict[str, Any]]:
    """`normal`, `night` or `covered`, with brightness and contrast; a frame that cannot be decoded is normal.

    Light near a limit must not make an event every second: a state is left only :data:`MARGIN` above its limits.
    """
    gray = _gray(photo)
    if gray is None:
        return "normal", {}
    brightness, contrast = float(gray.mean()), float(gray.std())
    values = {"brightness": brightness, "contrast": contrast}
    covered = MARGIN if before == "covered" else 1.0
    if brightness < COVERED * covered and contrast < FLAT * covered:
        return "covered", values
    night = 1.0 if before == "normal" else MARGIN
    return ("night" if brightness < NIGHT * night else "normal"), values


def _gray(photo: bytes | Pixels) -> Pixels | None:
    if not isinstance(photo, bytes):
        return np.asarray(photo[::8, ::8, 1])
    import io

    from PIL import Image

    try:
        with Image.open(io.BytesIO(photo), formats=["JPEG"]) as image:
            image.draft("L", (max(1, image.width // 8), max(1, image.height // 8)))
            return np.asarray(image.convert("L"))
    except Exception:  # whatever is wrong with the frame, classifying it reports it
        return None
