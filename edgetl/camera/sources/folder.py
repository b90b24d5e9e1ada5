"""A folder of photos: read once, or played as a camera would (`fake://`)."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from pathlib import Path

from edgetl.camera.address import Address
from edgetl.errors import CameraError

_SUFFIXES = frozenset({".jpg", ".jpeg"})
_RATE = 15.0


class FolderSource:
    """The JPEGs of a folder, in the order of their names.

    Attributes:
        ends: False for a `fake://` camera, which drops frames as a live one does.
    """

    def __init__(self, address: Address) -> None:
        """Lists the folder.

        Raises:
            CameraError: it holds no JPEG (`camera-unavailable`), or an option is wrong.
        """
        self.ends = address.scheme == "folder"
        self._loop = address.options.get("loop", "1") != "0"
        self._between = 0.0 if self.ends else 1 / address.number("fps", _RATE)
        self._paths = sorted(path for path in Path(address.target).iterdir() if path.suffix.lower() in _SUFFIXES)
        if not self._paths:
            raise CameraError(f"{address.shown}: no .jpg in this folder", code="camera-unavailable", uri=address.shown)

    def frames(self, stop: threading.Event) -> Generator[bytes, None, None]:
        """Yields each photo; see :class:`edgetl.camera.sources.Source`."""
        due = time.monotonic()
        while True:
            for path in self._paths:
                try:
                    content = path.read_bytes()
                except OSError as error:
                    raise CameraError(f"{path}: {error.strerror}", code="camera-unavailable", uri=str(path)) from error
                if self._between:
                    due = max(due + self._between, time.monotonic())
                    if stop.wait(due - time.monotonic()):
                        return
                yield content
            if self.ends or not self._loop:
                if not self.ends:
                    stop.wait()
                return

    def close(self) -> None:
        """Nothing is open."""
