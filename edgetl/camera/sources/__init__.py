"""Where frames come from: one file per kind."""

from __future__ import annotations

import threading
from collections.abc import Generator
from typing import Protocol

from edgetl.camera.address import Address
from edgetl.types import Pixels


class Source(Protocol):
    """One kind of camera.

    Attributes:
        ends: whether it is read once to its end, frame by frame; otherwise it is live, and connected again when it ends.
    """

    ends: bool

    def frames(self, stop: threading.Event) -> Generator[bytes | Pixels, None, None]:
        """Connects, and yields each frame: a JPEG, or pixels uint8 [h, w, 3], RGB.

        Args:
            stop: set when the camera is closed; a wait ends then.

        Raises:
            CameraError: it cannot be opened (`camera-unavailable`), or is lost.
        """
        ...

    def close(self) -> None:
        """Ends a read that waits in another thread, if it can; a second call does nothing."""
        ...


def make(address: Address) -> Source:
    """The source of an address.

    Raises:
        CameraError: its library is missing (`camera-needs-extra`), or an option is wrong (`camera-uri`).
    """
    if address.scheme in ("folder", "fake"):
        from edgetl.camera.sources.folder import FolderSource

        return FolderSource(address)
    if address.scheme == "http":
        from edgetl.camera.sources.web import WebSource

        return WebSource(address)
    if address.scheme == "stdin":
        from edgetl.camera.sources.stdin import StdinSource

        return StdinSource()
    if address.scheme == "csi":
        from edgetl.camera.sources import csi, jetson

        return jetson.JetsonSource(address) if jetson.is_installed() else csi.CsiSource(address)
    from edgetl.camera.sources.video import VideoSource

    return VideoSource(address)
