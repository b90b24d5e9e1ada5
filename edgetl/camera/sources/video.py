"""Videos, RTSP and V4L2 through PyAV (extra `camera`)."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from edgetl.camera.address import Address
from edgetl.errors import CameraError
from edgetl.types import Pixels

_TIMEOUT_S = 10.0
_DAMAGED = 300
"""Packets in a row that cannot be decoded until the camera is given up: 10 s at 30 per second, the usual distance of key frames."""


class VideoSource:
    """A video file, an RTSP stream or a V4L2 device.

    Attributes:
        ends: True for a file.
    """

    def __init__(self, address: Address) -> None:
        """Loads the library; nothing is opened yet.

        Raises:
            CameraError: PyAV is missing (`camera-needs-extra`).
        """
        try:
            import av
        except ImportError as error:
            message = f"{address.shown}: this camera needs PyAV: pip install 'edgetl[camera]'"
            raise CameraError(message, code="camera-needs-extra", uri=address.shown) from error
        self._av: Any = av
        self._address = address
        self.ends = address.scheme == "video"

    def frames(self, stop: threading.Event) -> Generator[bytes | Pixels, None, None]:
        """Yields each frame; see :class:`edgetl.camera.sources.Source`. Motion JPEG is handed on as it is, not decoded."""
        shown = self._address.shown
        try:
            with self._av.open(self._address.target, timeout=_TIMEOUT_S, **self._options()) as container:
                stream = container.streams.video[0]
                # Threads that each decode a frame of their own delay a live picture by as many frames.
                stream.thread_type = "AUTO" if self.ends else "SLICE"
                yield from self._decode(container, stream, stop)
        except IndexError as error:
            raise CameraError(f"{shown}: it holds no video", code="camera-unavailable", uri=shown) from error
        except (self._av.FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__  # its whole text names the URI with the password
            raise CameraError(f"{shown}: {reason}", code="camera-unavailable", uri=shown, reason=reason) from None

    def _decode(self, container: Any, stream: Any, stop: threading.Event) -> Iterator[bytes | Pixels]:
        whole, damaged = stream.codec_context.name == "mjpeg", 0
        for packet in container.demux(stream):
            if stop.is_set():
                return
            if whole and packet.size:
                yield bytes(packet)
                continue
            try:
                frames = packet.decode()
            except self._av.error.InvalidDataError:
                # A live stream is joined between two key frames, and a network loses packets.
                damaged += 1
                if damaged >= _DAMAGED:
                    raise
                continue
            for frame in frames:
                damaged = 0
                yield frame.to_ndarray(format="rgb24")

    def close(self) -> None:
        """A read ends by itself: with the next frame, or after a timeout."""

    def _options(self) -> dict[str, Any]:
        if self._address.scheme == "rtsp":
            # Not nobuffer: it throws away the first key frame, and VP8 cannot be decoded without it.
            return {"options": {"rtsp_transport": "tcp"}}
        if self._address.scheme == "v4l2":
            if not Path(self._address.target).exists():
                message = f"{self._address.shown}: no such device. List them with: ls /dev/video*"
                raise CameraError(message, code="camera-unavailable", uri=self._address.shown)
            names = {"size": "video_size", "fps": "framerate"}
            return {"format": "v4l2", "options": {names[name]: value for name, value in self._address.options.items() if name in names}}
        return {}
