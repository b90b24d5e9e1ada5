"""A camera behind an HTTP address: an MJPEG stream, or a photo that is fetched again and again."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Iterator
from urllib.parse import unquote, urlsplit, urlunsplit

from edgetl.camera.address import Address
from edgetl.errors import CameraError

LARGEST = 16 * 2**20
"""Bytes of one frame at most."""
_HEADERS = 4096
_CHUNK = 2**14
_TIMEOUT_S = 10.0
_SNAPSHOT_S = 0.2
_PADDING = 4096
_LINE = re.compile(rb"\s*(--[^\r\n]+)\r?\n")
_BEGUN_LINE = re.compile(rb"\s*(-?|--[^\r\n]*\r?)")


class WebSource:
    """An HTTP camera; it follows redirects, and answers Basic and Digest authentication with the URI's user and password.

    Attributes:
        ends: never: a stream that ends is connected again.
    """

    ends = False

    def __init__(self, address: Address) -> None:
        """Takes the address; nothing is opened yet."""
        parts = urlsplit(address.target)
        host = parts.netloc.rpartition("@")[2]
        self._shown = address.shown
        self._url = urlunsplit(parts._replace(netloc=host))
        passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        self._has_user = parts.username is not None
        if parts.username is not None:
            # For this host only: a redirect to another one must not take the password along.
            passwords.add_password(None, f"{parts.scheme}://{host}/", unquote(parts.username), unquote(parts.password or ""))
        self._opener = urllib.request.build_opener(
            _Connector(self._hold), urllib.request.HTTPDigestAuthHandler(passwords), urllib.request.HTTPBasicAuthHandler(passwords)
        )
        self._socket: socket.socket | None = None
        self._is_closed = False

    def frames(self, stop: threading.Event) -> Generator[bytes, None, None]:
        """Yields each frame; see :class:`edgetl.camera.sources.Source`."""
        while not stop.is_set():
            with contextlib.closing(self._open()) as response:
                kind = response.headers.get_content_type()
                try:
                    if kind.startswith("multipart/"):
                        yield from self._stream(response, stop)
                        return
                    if kind != "image/jpeg":
                        raise self._error(f"it answers with {kind}, expected multipart/x-mixed-replace or image/jpeg")
                    content = _read(response)
                except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:  # the latter two: closed meanwhile
                    if stop.is_set():
                        return
                    raise self._error(str(error) or type(error).__name__) from error
            if not _is_whole(content) or len(content) > LARGEST:
                raise self._error("it answers with something else than a whole JPEG")
            yield content
            stop.wait(_SNAPSHOT_S)

    def close(self) -> None:
        """Ends a read that waits."""
        self._is_closed = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # of the connection, also below TLS

    def _hold(self, connected: socket.socket) -> None:
        self._socket = connected
        if self._is_closed:
            self.close()

    def _open(self) -> http.client.HTTPResponse:
        request = urllib.request.Request(self._url, headers={"User-Agent": "edgetl"})
        try:
            response: http.client.HTTPResponse = self._opener.open(request, timeout=_TIMEOUT_S)
        except urllib.error.HTTPError as error:
            error.close()
            hint = ""
            if error.code == 401:
                missing = ". Write user and password into the URI: http://USER:PASSWORD@HOST/"
                hint = ". Check user and password" if self._has_user else missing
            raise self._error(f"it answers {error.code} {error.reason}{hint}", status=error.code) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise self._error(str(getattr(reason, "strerror", None) or reason)) from error
        return response

    def _stream(self, response: http.client.HTTPResponse, stop: threading.Event) -> Iterator[bytes]:
        boundary = response.headers.get_param("boundary")
        splitter = PartSplitter(boundary if isinstance(boundary, str) else "")
        last = time.monotonic()
        while not stop.is_set():
            chunk = response.read1(_CHUNK)
            if not chunk:
                return
            for part in splitter.feed(chunk):
                if _is_whole(part):
                    yield part
                    last = time.monotonic()
            if time.monotonic() - last > _TIMEOUT_S:
                raise self._error(f"its stream held no whole JPEG for {_TIMEOUT_S:.0f} s")

    def _error(self, reason: str, **values: object) -> CameraError:
        return CameraError(f"{self._shown}: {reason}", code="camera-unavailable", uri=self._shown, **values)


class _Connector(urllib.request.HTTPSHandler, urllib.request.HTTPHandler):
    """Connects by HTTP and HTTPS, and passes each connection's socket to `hold`."""

    def __init__(self, hold: Callable[[socket.socket], None]) -> None:
        super().__init__()
        self._hold = hold

    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._held(http.client.HTTPConnection), request)

    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._held(http.client.HTTPSConnection), request)

    def _held(self, kind: type[http.client.HTTPConnection]) -> type[http.client.HTTPConnection]:
        hold = self._hold

        class Connection(kind):  # type: ignore[valid-type, misc]  # either class
            def connect(self) -> None:
                super().connect()
                hold(self.sock)

        return Connection


def _is_whole(content: bytes) -> bool:
    """Whether it begins as a JPEG and ends as one; some cameras write zeros behind it."""
    return content.startswith(b"\xff\xd8") and content.rfind(b"\xff\xd9", -_PADDING) >= 0


def _read(response: http.client.HTTPResponse) -> bytes:
    """The body up to a byte more than :data:`LARGEST`.

    Raises:
        TimeoutError: it does not end.
    """
    content, begun = bytearray(), time.monotonic()
    while len(content) <= LARGEST and (chunk := response.read1(_CHUNK)):
        content += chunk
        if time.monotonic() - begun > _TIMEOUT_S:
            raise TimeoutError(f"its photo takes longer than {_TIMEOUT_S:.0f} s")
    return bytes(content)


class PartSplitter:
    """Cuts a multipart stream into its parts (RFC 2046, section 5.1), by their Content-Length where they have one."""

    def __init__(self, boundary: str) -> None:
        """Takes the boundary as cameras write it, with or without its leading dashes; the stream's first line corrects a wrong one."""
        self._boundary = b"--" + boundary.strip('"').lstrip("-").encode("latin-1", "replace")
        self._is_first = True
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
        if self._is_first:
            line = _LINE.match(self._buffer)
            if line is None and len(self._buffer) < _HEADERS and _BEGUN_LINE.fullmatch(self._buffer):
                return False
            self._is_first = False
            if line is not None and (self._boundary == b"--" or not line[1].startswith(self._boundary)):
                self._boundary = line[1].rstrip()
            if self._boundary == b"--":
                raise CameraError("its stream has no boundary")
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
