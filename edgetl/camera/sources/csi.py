"""A Raspberry Pi's camera through picamera2, which its operating system installs (`sudo apt install python3-picamera2`)."""

from __future__ import annotations

import threading
from collections.abc import Generator
from typing import Any

import numpy as np

from edgetl.camera.address import Address
from edgetl.errors import CameraError
from edgetl.types import Pixels

_SIZE = (640, 480)


class CsiSource:
    """A camera on the CSI connector.

    Attributes:
        ends: never.
    """

    ends = False

    def __init__(self, address: Address) -> None:
        """Loads the library; nothing is opened yet.

        Raises:
            CameraError: picamera2 is missing (`camera-needs-extra`).
        """
        try:
            import picamera2
        except ImportError as error:
            message = f"{address.shown}: this camera needs picamera2: sudo apt install python3-picamera2"
            raise CameraError(message, code="camera-needs-extra", uri=address.shown) from error
        self._library: Any = picamera2
        self._address = address
        if not address.target.isdigit():
            raise CameraError(f"{address.shown}: expected a number, e.g. csi://0", code="camera-uri", uri=address.shown)

    def frames(self, stop: threading.Event) -> Generator[Pixels, None, None]:
        """Yields each frame; see :class:`edgetl.camera.sources.Source`."""
        shown = self._address.shown
        try:
            camera = self._library.Picamera2(int(self._address.target))
        except (IndexError, RuntimeError) as error:
            raise CameraError(f"{shown}: no such camera, or another program uses it", code="camera-unavailable", uri=shown) from error
        try:
            # libcamera names formats by the order in a little-endian word: its BGR888 lies in memory as red, green, blue.
            camera.configure(camera.create_video_configuration(main={"size": _SIZE, "format": "BGR888"}))
            camera.start()
            while not stop.is_set():
                yield np.ascontiguousarray(camera.capture_array("main")[:, :, :3])
        finally:
            camera.close()

    def close(self) -> None:
        """A read ends with the next frame."""
