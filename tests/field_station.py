"""A field station on a free port of this machine, in a thread, and a client that talks to it like a page or like a script."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from edgetl import Classifier
from edgetl.serve.server import Server, Settings


class Reply(NamedTuple):
    """What the server answered."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def code(self) -> str:
        """The error's code; empty without one."""
        return str(self.json["error"]["code"]) if self.status >= 400 else ""


class Client:
    """Sends requests; with the token of scripts unless `headers` say otherwise."""

    def __init__(self, server: Server) -> None:
        self.server, self.port = server, int(server.address.url.rsplit(":", 1)[1].strip("/"))
        self.bearer = {"authorization": f"Bearer {server.address.token.read_text().strip()}"}

    def send(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        own = dict(self.bearer if headers is None else headers)
        if isinstance(body, bytes):
            own.setdefault("content-type", "image/jpeg")
        elif body is not None:
            body = json.dumps(body).encode()
            own.setdefault("content-type", "application/json")
        with contextlib.closing(connection):
            connection.putrequest(method, path, skip_host="host" in own)
            if body is not None:
                own.setdefault("content-length", str(len(body)))
            for name, value in own.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            response = connection.getresponse()
            return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())

    def get(self, path: str) -> Any:
        reply = self.send("GET", path)
        assert reply.status == 200, reply
        return reply.json

    def post(self, path: str, body: Any = None) -> Any:
        reply = self.send("POST", path, body)
        assert reply.status in (200, 202), reply
        return reply.json

    def session(self) -> dict[str, str]:
        """The headers of a page that has entered the code."""
        reply = self.send("POST", "/v1/session", {"code": self.server.access.code}, headers={})
        assert reply.status == 200, reply
        return {"cookie": reply.headers["set-cookie"].partition(";")[0], "x-edgetl-csrf": reply.json["csrf"]}

    def settled(self) -> Any:
        """The state once no training runs or waits."""
        assert self.server.station.trainer.wait(120)
        return self.get("/v1/state")


@contextlib.contextmanager
def running(bundle: Path, store: Path, **settings: Any) -> Iterator[Client]:
    """A server on a bundle and a store."""
    variant = settings.pop("variant", None)
    server = Server(Classifier.open(bundle, store, variant=variant), Settings(**{"port": 0, **settings}))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        client = Client(server)
        wait_for(lambda: _healthy(client))
        yield client
    finally:
        server.stop()
        thread.join(60)
        assert not thread.is_alive()


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    """Waits until something holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def _healthy(client: Client) -> bool:
    with contextlib.suppress(OSError):
        return client.send("GET", "/healthz").status == 200
    return False
