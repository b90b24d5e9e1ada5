"""What a camera gives: frames and events."""

from __future__ import annotations

import dataclasses
import functools
import io
from collections.abc import Mapping
from typing import Any, Literal

from edgetl.types import Pixels

EventCode = Literal["connected", "disconnected", "frozen", "covered", "night", "normal"]
_QUALITY = 90


@dataclasses.dataclass(frozen=True, eq=False)
class Frame:
    """One picture.

    Attributes:
        photo: the JPEG as the camera gave it, or pixels uint8 [h, w, 3], RGB; :meth:`edgetl.Classifier.predict` takes both.
        sequence: counts the frames of this camera since it was opened, from 0, also those that nobody took.
        time: when it arrived, seconds since 1970.
        monotonic: the same by `time.monotonic`, s.
    """

    photo: bytes | Pixels
    sequence: int
    time: float
    monotonic: float

    def jpeg(self) -> bytes:
        """The frame as a JPEG: as it came, or encoded once."""
        return self._encoded

    @functools.cached_property
    def _encoded(self) -> bytes:
        if isinstance(self.photo, bytes):
            return self.photo
        from PIL import Image

        file = io.BytesIO()
        Image.fromarray(self.photo).save(file, "JPEG", quality=_QUALITY)
        return file.getvalue()


@dataclasses.dataclass(frozen=True)
class CameraEvent:
    """Something happened to a camera. :mod:`edgetl.camera.text` puts it into words.

    Attributes:
        code: `connected`; `disconnected` (it is tried again after `seconds`); `frozen` (the same frame for `seconds`); `covered` (dark and
            flat); `night` (dark); or `normal` (none of these any more).
        time: seconds since 1970.
        values: the numbers that led to it, by name.
    """

    code: EventCode
    time: float
    values: Mapping[str, Any] = dataclasses.field(default_factory=dict)
