"""What a request may cost: bytes, files, seconds, and room on the disk."""

from __future__ import annotations

import asyncio
import errno
import json
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgetl.errors import ServeError
from edgetl.types import NamedPhoto

PHOTO_BYTES = 24 * 2**20
"""The largest photo: twice a 24 Mpx JPEG of a phone."""
PHOTOS = 64
"""The most photos of one request."""
REQUEST_BYTES = 48 * 2**20
"""The most bytes of one request with photos, and of all that arrive at the same time."""
UPLOAD_BYTES = 2 * 2**30
"""The most bytes of one archive, store or bundle, which is written to the disk as it arrives."""
FREE_BYTES = 512 * 2**20
"""What an upload leaves free on the disk."""
JSON_BYTES = 64 * 2**10
IDLE_S = 10.0
"""How long a request may send nothing."""
WHOLE_S = 120.0
"""How long a request may take to arrive."""
UPLOAD_S = 1800.0
"""How long an upload may take to arrive."""


class Limits:
    """Counts and times what arrives: a sender that stops, dribbles or never ends costs a connection and little else (ASGI)."""

    def __init__(self, app: ASGIApp, uploads: Collection[str] = ()) -> None:
        """Wraps an application.

        Args:
            app: what answers.
            uploads: paths whose bodies go to the disk at once, so that they take no memory.
        """
        self.app, self.uploads = app, frozenset(uploads)
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request; see ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        to_disk, taken = scope["path"] in self.uploads, 0
        end = time.monotonic() + (UPLOAD_S if to_disk else WHOLE_S)
        arriving = True

        async def receive_limited() -> Message:
            nonlocal taken, arriving
            if not arriving:
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), max(0.0, min(IDLE_S, end - time.monotonic())))
            except asyncio.TimeoutError:
                raise ServeError("the request arrives too slowly. Send it again.", code="upload-too-slow", idle_s=IDLE_S) from None
            arriving = bool(message.get("more_body", False))
            if not to_disk:
                size = len(message.get("body", b""))
                taken, self._held = taken + size, self._held + size
                if taken > REQUEST_BYTES:
                    raise too_large(REQUEST_BYTES)
                if self._held > REQUEST_BYTES:
                    raise ServeError("too much arrives at the same time. Send it again.", code="server-busy", most=REQUEST_BYTES)
            return message

        try:
            await self.app(scope, receive_limited, send)
        finally:
            self._held -= taken


async def body(request: Request, most: int = PHOTO_BYTES) -> bytes:
    """A request's whole body.

    Raises:
        ServeError: `upload-too-large`, `upload-too-slow`, `upload-aborted` or `upload-empty`.
    """
    _check_length(request, most)
    content = bytearray()
    try:
        async for chunk in _chunks(request):
            content += chunk
            if len(content) > most:
                raise too_large(most)
    except BaseException:
        content.clear()  # the error's traceback keeps this function's variables for a while
        raise
    if not content:
        raise ServeError("the request is empty. Send a photo as its body.", code="upload-empty")
    return bytes(content)


async def photos(request: Request) -> list[NamedPhoto]:
    """The photos of a request: its body is one, or a form with several.

    Raises:
        ServeError: as :func:`body`; or `upload-type`: neither a photo nor a form; or `upload-malformed`.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.startswith("image/"):
        return [NamedPhoto("photo", await body(request))]
    if kind != "multipart/form-data":
        raise ServeError(
            f"the content type is {kind or 'missing'}; expected image/jpeg or multipart/form-data", code="upload-type", given=kind
        )
    _check_length(request, REQUEST_BYTES)
    try:
        async with request.form(max_files=PHOTOS, max_fields=8) as form:
            files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
            if not files:
                raise ServeError("the form holds no file", code="upload-empty")
            for file in files:
                if (file.size or 0) > PHOTO_BYTES:
                    raise too_large(PHOTO_BYTES)
            return [NamedPhoto(_plain(file.filename or "photo"), await file.read()) for file in files]
    except MultiPartException as error:
        raise ServeError(f"the form cannot be read: {error.message}", code="upload-malformed", reason=error.message) from error
    except ClientDisconnect as error:
        raise ServeError("the connection ended before everything had arrived", code="upload-aborted") from error


def _plain(name: str) -> str:
    """A file's own name, without half characters, which no answer can hold."""
    return Path(name).name.encode("utf-8", "replace").decode()


async def fields(request: Request, **expected: type) -> dict[str, object]:
    """The fields of a JSON body; a field that may be missing is expected as `object`.

    Raises:
        ServeError: as :func:`body`, `upload-type`, or `field-wrong`.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ServeError(f"the content type is {kind or 'missing'}; expected application/json", code="upload-type", given=kind)
    try:
        values = json.loads(await body(request, JSON_BYTES))
        json.dumps(values, ensure_ascii=False).encode()  # an error for half of a character, which no answer can hold
    except (ValueError, RecursionError) as error:
        raise ServeError("the body is not JSON", code="upload-malformed", reason=str(error)) from error
    if not isinstance(values, dict):
        raise ServeError("the body is not a JSON object", code="upload-malformed", reason="not an object")
    for name, kind_of in expected.items():
        value = values.get(name)
        if kind_of is not object and (not isinstance(value, kind_of) or isinstance(value, bool)):
            raise ServeError(f"{name} is {value!r}; expected {kind_of.__name__}", code="field-wrong", field=name, expected=kind_of.__name__)
    return {name: values.get(name) for name in expected}


@asynccontextmanager
async def upload(request: Request, folder: Path, name: str) -> AsyncIterator[Path]:
    """Writes a request's body to a file, which is deleted at the end; it stays below the quota of the disk.

    Raises:
        ServeError: as :func:`body`, or `disk-full`.
    """
    _check_length(request, UPLOAD_BYTES)
    with _scratch(folder) as scratch:
        path, size, room = Path(scratch) / name, 0, shutil.disk_usage(folder).free - FREE_BYTES
        try:
            with path.open("wb") as file:
                async for chunk in _chunks(request):
                    size += len(chunk)
                    if size > UPLOAD_BYTES:
                        raise too_large(UPLOAD_BYTES)
                    if size > room:
                        message = f"the disk has no room: {FREE_BYTES // 2**20} MiB must stay free"
                        raise ServeError(message, code="disk-full", most=max(room, 0))
                    await asyncio.to_thread(file.write, chunk)
        except OSError as error:
            raise ServeError(f"the upload cannot be written ({error.strerror})", code="disk-full", most=max(room, 0)) from error
        if not size:
            raise ServeError("the request is empty", code="upload-empty")
        yield path


@contextmanager
def _scratch(folder: Path) -> Iterator[str]:
    try:
        opened = tempfile.TemporaryDirectory(prefix=".edgetl-upload-", dir=folder)
    except OSError as error:
        message = f"{folder}: an upload cannot be written here ({error.strerror})"
        raise ServeError(message, code="disk-full" if error.errno == errno.ENOSPC else "not-writable", path=str(folder)) from error
    with opened as scratch:
        yield scratch


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect as error:
        raise ServeError("the connection ended before everything had arrived", code="upload-aborted") from error


def _check_length(request: Request, most: int) -> None:
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > most:
        raise too_large(most)


def too_large(most: int) -> ServeError:
    """The error of something larger than `most` bytes."""
    return ServeError(
        f"larger than {most // 2**20} MiB" if most >= 2**20 else f"larger than {most} bytes", code="upload-too-large", most=most
    )
