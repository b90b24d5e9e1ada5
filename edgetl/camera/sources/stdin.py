"""JPEGs one after another on standard input, as `rpicam-vid --codec mjpeg -o -` or FFmpeg's `-f image2pipe` write them."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Generator, Iterator

from edgetl.errors import CameraError

LARGEST = 32 * 2**20
"""Bytes of one JPEG at most."""
_CHUNK = 2**16
_POLL_S = 0.2


class StdinSource:
    """Standard input, or another file descriptor.

    Attributes:
        ends: always: a pipe is read to its end.
    """

    ends = True

    def __init__(self, descriptor: int = 0) -> None:
        """Reads from a descriptor, which stays open."""
        self._descriptor = descriptor

    def frames(self, stop: threading.Event) -> Generator[bytes, None, None]:
        """Yields each JPEG; see :class:`edgetl.camera.sources.Source`."""
        splitter = JpegSplitter()
        while not stop.is_set():
            if not select.select([self._descriptor], [], [], _POLL_S)[0]:
                continue
            chunk = os.read(self._descriptor, _CHUNK)
            if not chunk:
                return
            yield from splitter.feed(chunk)

    def close(self) -> None:
        """Standard input is not this source's to close; a read ends by itself."""


class JpegSplitter:
    """Cuts a stream of bytes into its JPEGs, by their own markers (ITU T.81, annex B); bytes between them are skipped."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._at = 0  # how far the present JPEG has been walked; 0 before its first marker
        self._in_scan = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yields the JPEGs that this chunk completes.

        Raises:
            CameraError: one is larger than :data:`LARGEST` (`camera-frame-too-large`).
        """
        self._buffer += chunk
        while (end := self._walk()) is not None:
            yield bytes(self._buffer[:end])
            del self._buffer[:end]
            self._at, self._in_scan = 0, False
        if len(self._buffer) > LARGEST:
            raise CameraError(f"a frame is larger than {LARGEST // 2**20} MiB: not JPEGs", code="camera-frame-too-large", most=LARGEST)

    def _walk(self) -> int | None:
        """Where the JPEG at the start of the buffer ends; None if more bytes are needed."""
        buffer = self._buffer
        if self._at == 0 and not self._find_start(0):
            return None
        while self._at + 1 < len(buffer):
            if self._in_scan:
                mark = buffer.find(b"\xff", self._at)
                if mark < 0 or mark + 1 >= len(buffer):
                    self._at = len(buffer) if mark < 0 else mark
                    return None
                self._at = mark
                self._in_scan = buffer[mark + 1] == 0 or 0xD0 <= buffer[mark + 1] <= 0xD7
                self._at += 2 if self._in_scan else 0
                continue
            marker = buffer[self._at + 1]
            # Damaged: bytes between segments, or a marker that has no place here (table B.1); an SOI begins the next JPEG.
            if buffer[self._at] != 0xFF or marker == 0x00 or 0x02 <= marker <= 0xBF or marker == 0xD8:
                if not self._find_start(self._at):
                    return None
                continue
            if marker == 0xD9:
                return self._at + 2
            if marker == 0xFF:
                self._at += 1
            elif marker == 0x01 or 0xD0 <= marker <= 0xD7:
                self._at += 2
            elif self._at + 3 >= len(buffer):
                return None
            else:
                length = int.from_bytes(buffer[self._at + 2 : self._at + 4], "big")
                if self._at + 2 + length > len(buffer):
                    return None
                self._at += 2 + length
                self._in_scan = marker == 0xDA
        return None

    def _find_start(self, begin: int) -> bool:
        """Drops what lies before the next JPEG, at `begin` or behind it; whether there is one."""
        start = self._buffer.find(b"\xff\xd8\xff", begin)
        del self._buffer[: max(begin, len(self._buffer) - 2) if start < 0 else start]
        self._at = 0 if start < 0 else 2
        return start >= 0
