"""A Jetson's CSI camera through jetson_utils (https://github.com/dusty-nv/jetson-utils), which NVIDIA's containers and images bring."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Generator
from typing import Any

import numpy as np

from edgetl.camera.address import Address
from edgetl.errors import CameraError
from edgetl.types import Pixels

_TIMEOUT_MS = 2000


def is_installed() -> bool:
    """Whether this machine has jetson_utils; it is not loaded."""
    return importlib.util.find_spec("jetson_utils") is not None


class JetsonSource:
    """A camera on the CSI connector.

    Attributes:
        ends: never.
    """

    ends = False

    def __init__(self, address: Address) -> None:
        """Loads the library; nothing is opened yet.

        Raises:
            CameraError: the address does not name a camera by its number (`camera-uri`).
        """
        import jetson_utils

        self._library: Any = jetson_utils
        self._address = address
        if not address.target.isdigit():
            raise CameraError(f"{address.shown}: expected a number, e.g. csi://0", code="camera-uri", uri=address.shown)

    def frames(self, stop: threading.Event) -> Generator[Pixels, None, None]:
        """Yields each frame; see :class:`edgetl.camera.sources.Source`."""
        shown = self._address.shown
        try:
            source = self._library.videoSource(f"csi://{int(self._address.target)}")
        except Exception as error:  # the library raises nothing narrower
            raise CameraError(f"{shown}: no such camera, or another program uses it", code="camera-unavailable", uri=shown) from error
        try:
            while not stop.is_set():
                image = source.Capture(format="rgb8", timeout=_TIMEOUT_MS)
                if image is None:  # nothing came; older versions raise instead
                    raise CameraError(f"{shown}: no frame for {_TIMEOUT_MS / 1000:.0f} s", code="camera-unavailable", uri=shown)
                self._library.cudaDeviceSynchronize()
                yield np.array(self._library.cudaToNumpy(image))  # a copy: the library fills its own buffer again
        finally:
            source.Close()

    def close(self) -> None:
        """A read ends with the next frame, or after a timeout."""
