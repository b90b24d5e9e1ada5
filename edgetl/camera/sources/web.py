"""A camera behind an HTTP address: an MJPEG stream, or a photo that is fetched again and again."""

from __future__ import annotations

import base64
import contextlib
import http.client
import re
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Generator, Iterator
from urllib.parse import unquote, urlsplit, urlunsplit

from edgetl.camera.address import Address
from edgetl.errors import CameraError

LARGEST = 16 * 2**20
"""Bytes of one frame at most."""
_HEADERS = 4096
_CHUNK = 2**14
_TIMEOUT_S = 10.0
_SNAPSHOT_S = 0.2
_JPEG = b"\xff\xd8"


class WebSource:
    """An HTTP camera; it follows redirects and answers Basic authentication with the URI's user and password.

    Attributes:
        ends: never: a stream that ends is connected again.
    """

    ends = False

    def __init__(self, address: Address) -> None:
        """Takes the address; nothing is opened yet."""
        parts = urlsplit(address.target)
        self._shown = address.shown
        self._url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        self._headers = {"User-Agent": "edgetl"}
        if parts.username is not None:
            user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"
        self._response: http.client.HTTPResponse | None = None

    def frames(self, stop: threading.Event) -> Generator[bytes, None, None]:
        """Yields each frame; see :class:`edgetl.camera.sources.Source`."""
        while not stop.is_set():
            with contextlib.closing(self._open()) as response:
                self._response = response
                kind = response.headers.get_content_type()
                try:
                    if kind.startswith("multipart/"):
                        yield from self._stream(response, stop)
                        return
                    if kind != "image/jpeg":
                        raise self._error(f"it answers with {kind}, expected multipart/x-mixed-replace or image/jpeg")
                    content = response.read(LARGEST + 1)
                except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:  # the latter two: closed meanwhile
                    if stop.is_set():
                        return
                    raise self._error(str(error) or type(error).__name__) from error
            if not content.startswith(_JPEG) or len(content) > LARGEST:
                raise self._error("it answers with something else than a JPEG")
            yield content
            stop.wait(_SNAPSHOT_S)

    def close(self) -> None:
        """Ends a read that waits."""
        response = self._response
        if response is not None and response.fp is not None:
            with contextlib.suppress(OSError, AttributeError, ValueError):
                socket.socket.shutdown(response.fp.raw._sock, socket.SHUT_RDWR)  # type: ignore[attr-defined]  # a file's socket

    def _open(self) -> http.client.HTTPResponse:
        request = urllib.request.Request(self._url, headers=self._headers)
        try:
            response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
        except urllib.error.HTTPError as error:
            error.close()
            hint = ". Write user and password into the URI: http://USER:PASSWORD@HOST/" if error.code == 401 else ""
            raise self._error(f"it answers {error.code} {error.reason}{hint}", status=error.code) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise self._error(str(getattr(reason, "strerror", None) or reason)) from error
        return response

    def _stream(self, response: http.client.HTTPResponse, stop: threading.Event) -> Iterator[bytes]:
        boundary = response.headers.get_param("boundary")
        if not isinstance(boundary, str) or not boundary.strip("-"):
            raise self._error("its stream has no boundary")
        splitter = PartSplitter(boundary)
        while not stop.is_set():
            chunk = response.read1(_CHUNK)
            if not chunk:
                return
            for part in splitter.feed(chunk):
                if part.startswith(_JPEG):
                    yield part

    def _error(self, reason: str, **values: object) -> CameraError:
        return CameraError(f"{self._shown}: {reason}", code="camera-unavailable", uri=self._shown, **values)


class PartSplitter:
    """Cuts a multipart stream into its parts (RFC 2046, section 5.1), by their Content-Length where they have one."""

    def __init__(self, boundary: str) -> None:
        """The boundary is taken as cameras write it: with or without its leading dashes."""
        self._boundary = b"--" + boundary.strip('"').lstrip("-").encode("latin-1", "replace")
        self._buffer = bytearray()
        self._length: int | None = None
        self._in_part = False
        self._searched = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yields the parts that this chunk completes.

        Raises:
            CameraError: a part, or its headers, are too large (`camera-frame-too-large`).
        """
        self._buffer += chunk
        while True:
            if not self._in_part and not self._read_headers():
                break
            end = self._end_of_part()
            if end is None:
                break
            yield bytes(self._buffer[:end])
            del self._buffer[:end]
            self._in_part, self._searched = False, 0
        if len(self._buffer) > (LARGEST if self._in_part else _HEADERS + _CHUNK):
            raise CameraError(f"a frame is larger than {LARGEST // 2**20} MiB", code="camera-frame-too-large", most=LARGEST)

    def _read_headers(self) -> bool:
        """Skips to the next part's content; whether its headers are complete."""
        start = self._buffer.find(self._boundary)
        if start < 0:
            del self._buffer[: max(0, len(self._buffer) - len(self._boundary))]
            return False
        match = re.compile(rb"\r?\n\r?\n").search(self._buffer, start + len(self._boundary))
        if match is None:
            return False
        length = re.search(rb"(?im)^content-length:[ \t]*(\d{1,9})[ \t]*\r?$", bytes(self._buffer[start : match.start()]))
        self._length = None if length is None else int(length[1])
        del self._buffer[: match.end()]
        self._in_part = True
        return True

    def _end_of_part(self) -> int | None:
        """Where the part's content ends; None if more bytes are needed."""
        if self._length is not None:
            return self._length if len(self._buffer) >= self._length else None
        end = self._buffer.find(self._boundary, self._searched)
        if end < 0:
            self._searched = max(0, len(self._buffer) - len(self._boundary))
            return None
        tail = 2 if self._buffer[:end].endswith(b"\r\n") else 1 if self._buffer[:end].endswith(b"\n") else 0
        return end - tail
