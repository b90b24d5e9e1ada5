"""The routes of the field station; what they do is in :mod:`edgetl.serve.station`."""

from __future__ import annotations

import errno
import functools
import logging
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgetl.errors import EdgetlError, ServeError
from edgetl.serve import carry, limits, metrics, views
from edgetl.serve.access import Access, Requester
from edgetl.serve.station import Station
from edgetl.types import to_json

PAGE = Path(__file__).parent / "page"
BOUNDARY = "edgetl-frame"
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
}
"""Of every answer: only this server's own files run, and no other page shows this one."""
OPEN = frozenset({("GET", "/"), ("GET", "/healthz"), ("POST", "/v1/session")})
"""Routes without a session, beside the page's files."""
STATUS = {
    "host-not-allowed": 421, "origin-not-allowed": 403, "csrf-missing": 403, "session-missing": 401, "code-wrong": 403,
    "code-locked": 429, "server-busy": 429, "upload-too-large": 413, "upload-too-slow": 408, "upload-type": 415, "disk-full": 507,
    "class-unknown": 404, "sample-missing": 404, "head-missing": 404, "frame-missing": 404, "download-unknown": 404, "store-locked": 423,
    "not-trained": 409, "nothing-to-undo": 409, "camera-off": 409, "camera-unknown": 404, "store-failed": 507, "disk-failed-before": 507,
    "server-ends": 503,
}  # fmt: skip
"""HTTP status of an error's code; 400 for all others."""
LONGEST_WAIT_S = 60.0
"""How long a request for a training waits for it."""
_LONGEST = 400
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

log = logging.getLogger("edgetl")
Endpoint = Callable[[Request, Station], Awaitable[Any]]


def build(station: Station, access: Access) -> Starlette:
    """The application.

    Args:
        station: what it shows and changes.
        access: who may.
    """
    routes = [
        Route(path, functools.partial(_answer, endpoint), methods=[method], name=f"{method} {path}") for method, path, endpoint in ROUTES
    ]

    app = Starlette(
        routes=routes,
        middleware=[Middleware(Guard, access=access), Middleware(limits.Limits, uploads=UPLOADS)],
        exception_handlers={EdgetlError: _failed, HTTPException: _http_failed, OSError: _disk_failed, Exception: _crashed},
    )
    app.router.redirect_slashes = False
    app.state.station, app.state.access = station, access
    return app


class Guard:
    """Checks every request before it is read, and adds the security headers to every answer (ASGI)."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app, self.access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request; see ASGI."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        try:
            scope["requester"] = self._check(scope)
        except ServeError as error:
            await _response(error)(scope, receive, send_with_headers)
            return
        await self.app(scope, receive, send_with_headers)

    def _check(self, scope: Scope) -> Requester | None:
        headers, method, path = Headers(scope=scope), scope["method"], scope["path"]
        own = (scope["server"] or ("",))[0]
        self.access.check_host(headers.get("host"), own)
        self.access.check_origin(headers.get("origin"), own)
        if any(len(part) > _LONGEST for part in path.split("/")):
            raise ServeError("the address is too long", code="address-too-long")
        if ("GET" if method == "HEAD" else method, path) in OPEN or (method in ("GET", "HEAD") and path.startswith("/page/")):
            return None
        requester = self.access.identify(headers)
        self.access.check_change(requester, method, headers)
        return requester


async def _answer(endpoint: Endpoint, request: Request) -> Response:
    result = await endpoint(request, request.app.state.station)
    return result if isinstance(result, Response) else JSONResponse(to_json(result))


def _response(error: EdgetlError) -> JSONResponse:
    # Closed, because a sender who is told so may go on sending without end.
    return JSONResponse(views.error(error), STATUS.get(error.code, 400), {"connection": "close"})


async def _failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, EdgetlError)
    return _response(error)


async def _http_failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "request-malformed")
    return JSONResponse({"error": {"code": code, "message": error.detail}}, error.status_code, error.headers)


async def _disk_failed(request: Request, error: Exception) -> Response:
    """A full disk, mostly that of temporary files, where forms and downloads pass through; any other such error crashes."""
    assert isinstance(error, OSError)
    if error.errno not in _FULL:
        raise error
    return _response(ServeError(f"the disk of temporary files has no room ({error.strerror})", code="disk-full", reason=error.strerror))


async def _crashed(request: Request, error: Exception) -> Response:
    log.error("error: %s %s failed", request.method, request.url.path, exc_info=error)
    return JSONResponse({"error": {"code": "internal", "message": "This failed on the server; its log says why."}}, 500)


def _number(request: Request, name: str = "id") -> int:
    text = request.path_params[name]
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise HTTPException(404, "Not Found")
    return int(text)


def _ids(value: object) -> list[int]:
    if (
        not isinstance(value, list)
        or not value
        or len(value) > 1000
        or not all(type(number) is int and 0 <= number < 2**63 for number in value)
    ):
        raise ServeError("ids must be a list of 1 to 1000 whole numbers", code="field-wrong", field="ids")
    return value


async def _page(request: Request, station: Station) -> Response:
    return _file("index.html")


async def _page_file(request: Request, station: Station) -> Response:
    return _file(request.path_params["file"])


def _file(name: str) -> Response:
    """A file of the page, by its plain name."""
    if name not in {path.name for path in PAGE.iterdir()}:
        raise HTTPException(404, "Not Found")
    return FileResponse(PAGE / name, headers={"cache-control": "no-cache"})


async def _health(request: Request, station: Station) -> Any:
    return {"ok": True}


async def _open_session(request: Request, station: Station) -> Response:
    values = await limits.fields(request, code=str)
    access: Access = request.app.state.access
    requester = access.open_session(str(values["code"]))
    return _session_response(access, requester)


async def _session(request: Request, station: Station) -> Response:
    return _session_response(request.app.state.access, request.scope["requester"])


def _session_response(access: Access, requester: Requester) -> Response:
    expires = requester.expires if requester.session else None
    headers = {"set-cookie": access.cookie(requester)} if requester.session else {}
    return JSONResponse({"csrf": requester.csrf, "expires": expires}, headers=headers)


async def _code(request: Request, station: Station) -> Any:
    return {"code": request.app.state.access.code}


async def _state(request: Request, station: Station) -> Any:
    return await run_in_threadpool(station.state)


async def _events(request: Request, station: Station) -> Response:
    first = await run_in_threadpool(station.state)
    return StreamingResponse(station.hub.listen(("state", first)), media_type="text/event-stream", headers={"x-accel-buffering": "no"})


async def _stream(request: Request, station: Station) -> Response:
    if station.live.uri is None:
        raise ServeError("there is no camera. Start one with --camera, or use this device's own.", code="camera-off")

    async def parts() -> AsyncIterator[bytes]:
        async for jpeg in station.live.frames():
            yield b"--%s\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (BOUNDARY.encode(), len(jpeg), jpeg)

    return StreamingResponse(parts(), media_type=f"multipart/x-mixed-replace; boundary={BOUNDARY}")


async def _classify(request: Request, station: Station) -> Any:
    photos = await limits.photos(request)
    return views.predictions(await run_in_threadpool(station.classify, photos))


async def _add(request: Request, station: Station) -> Any:
    label = request.path_params["label"]
    if request.query_params.get("from") == "camera":
        return views.added(await run_in_threadpool(station.capture, label), (), station.steps.newest)
    added, failed = await run_in_threadpool(station.add, label, await limits.photos(request))
    return views.added(added, failed, station.steps.newest)


async def _delete_class(request: Request, station: Station) -> Any:
    return {"deleted": await run_in_threadpool(station.discard_class, request.path_params["label"])}


async def _train(request: Request, station: Station) -> Response:
    await run_in_threadpool(station.train)
    if request.query_params.get("wait"):
        return JSONResponse({"training": not await run_in_threadpool(station.trainer.wait, LONGEST_WAIT_S)})
    return JSONResponse({"training": True}, 202)


async def _undo(request: Request, station: Station) -> Any:
    return {"undone": await run_in_threadpool(station.undo), "undo": station.steps.newest}


async def _activate(request: Request, station: Station) -> Any:
    return views.head(await run_in_threadpool(station.activate, _number(request)))


async def _rollback(request: Request, station: Station) -> Any:
    return views.head(await run_in_threadpool(station.rollback))


async def _worth(request: Request, station: Station) -> Any:
    review = await run_in_threadpool(station.review)
    return views.worth(review, *await run_in_threadpool(station.history))


async def _confusion(request: Request, station: Station) -> Any:
    review = await run_in_threadpool(station.review)
    label, answer = request.path_params["label"], request.path_params["answer"]
    for name in (label, answer):
        if name not in review.labels:
            raise ServeError(f"there is no class {name!r}", code="class-unknown", label=name)
    return {"samples": review.samples(label, answer)}


async def _thumbnail(request: Request, station: Station) -> Response:
    jpeg = await run_in_threadpool(station.classifier.store.preview, _number(request))
    if not jpeg:
        raise HTTPException(404, "Not Found")
    return Response(jpeg, media_type="image/jpeg", headers={"cache-control": "private, max-age=3600"})


async def _relabel(request: Request, station: Station) -> Any:
    values = await limits.fields(request, label=str)
    await run_in_threadpool(station.relabel, _number(request), str(values["label"]))
    return {"undo": station.steps.newest}


async def _discard(request: Request, station: Station) -> Any:
    if not await run_in_threadpool(station.discard, [_number(request)]):
        raise HTTPException(404, "Not Found")
    return {"undo": station.steps.newest}


async def _explain(request: Request, station: Station) -> Any:
    photo, *_ = await limits.photos(request)
    return views.explanation(await run_in_threadpool(station.classifier.explain, photo))


async def _explain_sample(request: Request, station: Station) -> Any:
    return views.explanation(await run_in_threadpool(station.classifier.explain_sample, _number(request)))


async def _inbox(request: Request, station: Station) -> Any:
    return await run_in_threadpool(station.inbox_view)


async def _inbox_photo(request: Request, station: Station) -> Response:
    jpeg = await run_in_threadpool(station.inbox.photo, _number(request))
    return Response(jpeg, media_type="image/jpeg", headers={"cache-control": "private, max-age=3600"})


async def _inbox_label(request: Request, station: Station) -> Any:
    values = await limits.fields(request, ids=list, label=str)
    added, failed = await run_in_threadpool(station.label_inbox, _ids(values["ids"]), str(values["label"]))
    return views.added(added, failed, station.steps.newest)


async def _inbox_delete(request: Request, station: Station) -> Any:
    values = await limits.fields(request, ids=list)
    await run_in_threadpool(station.empty_inbox, _ids(values["ids"]))
    return {"undo": station.steps.newest}


async def _download(request: Request, station: Station) -> Response:
    folder = tempfile.TemporaryDirectory(prefix="edgetl-download-")
    try:
        path = await run_in_threadpool(carry.write, station.classifier, request.path_params["kind"], Path(folder.name))
    except BaseException:
        folder.cleanup()
        raise
    return FileResponse(path, filename=path.name, background=BackgroundTask(folder.cleanup))


async def _upload(request: Request, station: Station) -> Any:
    name = _file_name(request)
    async with limits.upload(request, station.classifier.store.path.parent, "upload.zip") as path:
        return await run_in_threadpool(station.upload, path, name)


async def _merge(request: Request, station: Station) -> Any:
    name = _file_name(request)
    async with limits.upload(request, station.classifier.store.path.parent, "upload.db") as path:
        return await run_in_threadpool(station.merge, path, name)


async def _update(request: Request, station: Station) -> Any:
    name = _file_name(request)
    folder = station.classifier.embedder.bundle.path.parent
    async with limits.upload(request, folder, "upload.edgetl") as path:
        await run_in_threadpool(station.update_bundle, path, name)
    return {"undo": station.steps.newest}


def _file_name(request: Request) -> str:
    """The name that an upload has for people, of `?name=`; a body that is not a file is rejected."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("application/zip", "application/octet-stream"):
        message = f"the content type is {kind or 'missing'}; expected application/zip or application/octet-stream"
        raise ServeError(message, code="upload-type", given=kind)
    return Path(request.query_params.get("name", "upload")).name[:100] or "upload"


async def _camera(request: Request, station: Station) -> Any:
    number = (await limits.fields(request, number=object))["number"]
    if number is not None and type(number) is not int:
        raise ServeError("number must be a whole number or null", code="field-wrong", field="number")
    await run_in_threadpool(station.switch_camera, number)
    return {"number": number}


async def _metrics(request: Request, station: Station) -> Response:
    return Response(await run_in_threadpool(metrics.render, station), media_type=metrics.TYPE)


async def _openapi(request: Request, station: Station) -> Response:
    return FileResponse(Path(__file__).parent / "openapi.json", media_type="application/json")


UPLOADS = frozenset({"/v1/upload", "/v1/merge", "/v1/bundle"})
"""Routes whose body goes to the disk as it arrives."""

ROUTES: tuple[tuple[str, str, Endpoint], ...] = (
    ("GET", "/", _page),
    ("GET", "/page/{file}", _page_file),
    ("GET", "/healthz", _health),
    ("GET", "/openapi.json", _openapi),
    ("POST", "/v1/session", _open_session),
    ("GET", "/v1/session", _session),
    ("GET", "/v1/code", _code),
    ("GET", "/v1/state", _state),
    ("GET", "/v1/events", _events),
    ("GET", "/v1/stream", _stream),
    ("POST", "/v1/classify", _classify),
    ("POST", "/v1/classes/{label}/photos", _add),
    ("DELETE", "/v1/classes/{label}", _delete_class),
    ("POST", "/v1/train", _train),
    ("POST", "/v1/undo", _undo),
    ("POST", "/v1/rollback", _rollback),
    ("POST", "/v1/heads/{id}/activate", _activate),
    ("GET", "/v1/worth", _worth),
    ("GET", "/v1/confusion/{label}/{answer}", _confusion),
    ("GET", "/v1/samples/{id}/thumbnail", _thumbnail),
    ("POST", "/v1/samples/{id}/label", _relabel),
    ("DELETE", "/v1/samples/{id}", _discard),
    ("POST", "/v1/explain", _explain),
    ("GET", "/v1/samples/{id}/explanation", _explain_sample),
    ("GET", "/v1/inbox", _inbox),
    ("GET", "/v1/inbox/{id}/photo", _inbox_photo),
    ("POST", "/v1/inbox/label", _inbox_label),
    ("POST", "/v1/inbox/delete", _inbox_delete),
    ("GET", "/v1/download/{kind}", _download),
    ("POST", "/v1/upload", _upload),
    ("POST", "/v1/merge", _merge),
    ("POST", "/v1/bundle", _update),
    ("POST", "/v1/camera", _camera),
    ("GET", "/metrics", _metrics),
)
"""Method, path and function of every route."""
