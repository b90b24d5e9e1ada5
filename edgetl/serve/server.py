"""Starts the field station: address, code, certificate, and the program that serves it."""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import json
import logging
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgetl.classifier import Classifier
from edgetl.errors import ServeError
from edgetl.machine import systemd
from edgetl.serve.access import Access, load_token

LOOPBACK = ("127.0.0.1", "localhost", "::1")
PORT = 8765
CONNECTIONS = 200
"""Open connections at most; further ones get 503 at once."""
_DAYS = 825

log = logging.getLogger("edgetl")


@dataclasses.dataclass(frozen=True)
class Settings:
    """How the field station is reached.

    Attributes:
        port: TCP port; 0 takes a free one.
        lan: reachable from other machines of the network, not only from this one.
        tls: over HTTPS, with a certificate made here; a phone's browser opens its camera only then.
        cameras: URIs of the device's cameras, the first is shown.
    """

    port: int = PORT
    lan: bool = False
    tls: bool = False
    cameras: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Address:
    """Where the field station is reached.

    Attributes:
        url: of the page.
        code: opens one session.
        token: the file with the token of scripts.
        fingerprint: SHA-256 of the certificate, hex pairs; empty without TLS.
    """

    url: str
    code: str
    token: Path
    fingerprint: str = ""

    @property
    def link(self) -> str:
        """The page's address with the code in it; a browser does not send that part to the server."""
        return f"{self.url}#code={self.code}"


class Server:
    """A field station that listens; :meth:`run` serves until it is told to end.

    Attributes:
        address: where it is reached.
        access: who may.
        station: what it shows and changes.
    """

    def __init__(self, classifier: Classifier, settings: Settings) -> None:
        """Binds the port and opens the first camera.

        Raises:
            CameraError: it cannot be opened.
            ServeError: the port is taken (`port-taken`), the extra is missing (`serve-needs-extra`), or no certificate can be made.
        """
        try:
            import uvicorn
        except ImportError as error:
            raise ServeError("'edgetl serve' needs the extra: pip install 'edgetl[serve]'", code="serve-needs-extra") from error
        from edgetl.inbox import Inbox
        from edgetl.serve.app import build
        from edgetl.serve.hub import Hub
        from edgetl.serve.station import Station

        store = classifier.store.path
        token = store.with_name(store.name + ".token")
        certificate, key = _certificate(store) if settings.tls else (None, None)
        self._socket = _bind("" if settings.lan else LOOPBACK[0], settings.port)
        port = self._socket.getsockname()[1]
        hosts = (*LOOPBACK, *(_names() if settings.lan else ()))
        scheme = "https" if settings.tls else "http"
        self.access = Access(load_token(token), hosts, port, scheme)
        self.station = Station(classifier, Hub(), Inbox.open(store, classifier.store.fingerprint), settings.cameras)
        host = next(iter(_addresses()), LOOPBACK[0]) if settings.lan else LOOPBACK[0]
        fingerprint = "" if certificate is None else _fingerprint(certificate)
        self.address = Address(f"{scheme}://{host}:{port}/", self.access.code, token, fingerprint)
        self._running = store.with_name(store.name + ".serve")
        config = uvicorn.Config(
            build(self.station, self.access), log_level="warning", access_log=False, server_header=False, proxy_headers=False, ws="none",
            limit_concurrency=CONNECTIONS, timeout_keep_alive=15, timeout_graceful_shutdown=2, h11_max_incomplete_event_size=32 * 2**10,
            ssl_certfile=certificate, ssl_keyfile=key,
        )  # fmt: skip
        try:
            self.station.start()
        except BaseException:
            self._socket.close()
            self.station.close()
            raise
        hub = self.station.hub

        class EndingServer(uvicorn.Server):
            async def on_tick(self, counter: int) -> bool:
                if counter % 10 == 0:  # every second, while requests are answered
                    systemd.notify("WATCHDOG=1")
                return await super().on_tick(counter)

            async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
                hub.close()
                await super().shutdown(sockets)

        self._server = EndingServer(config)

    def run(self) -> None:
        """Serves until SIGINT or SIGTERM, or :meth:`stop`."""
        with self._announced(), _signals_that_only_end_the_server():
            try:
                systemd.notify("READY=1")  # the socket listens already
                self._server.run(sockets=[self._socket])
            finally:
                self.station.close()

    def stop(self) -> None:
        """Ends :meth:`run` soon; safe to call from any thread."""
        self._server.should_exit = True

    @contextlib.contextmanager
    def _announced(self) -> Iterator[None]:
        """Says beside the store where its server is, so that other programs can name it."""
        try:
            self._running.write_text(json.dumps({"pid": os.getpid(), "url": self.address.url}) + "\n", "utf-8")
        except OSError as error:
            log.warning("warning: %s: cannot be written (%s). Commands of 'edgetl watch' do not reach this server.", self._running, error)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                self._running.unlink(missing_ok=True)


@contextlib.contextmanager
def _signals_that_only_end_the_server() -> Iterator[None]:
    """Lets SIGINT and SIGTERM end the server and nothing else: uvicorn raises them again afterwards, before anything is closed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def qr_code(text: str) -> str:
    """A QR code for a terminal."""
    import io

    import segno

    out = io.StringIO()
    segno.make(text, error="l").terminal(out, border=1, compact=True)
    return out.getvalue()


def _bind(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen()  # a program that reads the address can connect at once
    except OSError as error:
        listening.close()
        raise ServeError(
            f"port {port} cannot be used ({error.strerror}). Give another one: --port {port + 1}", code="port-taken", port=port
        ) from error
    return listening


def _addresses() -> Sequence[str]:
    """This machine's address in its network; empty without one. Nothing is sent: a UDP socket only looks up the route."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # a documentation address (RFC 5737)
        return [probe.getsockname()[0]]
    return []


def _names() -> Sequence[str]:
    name = socket.gethostname()
    return [*_addresses(), name, f"{name}.local"]


def _certificate(store: Path) -> tuple[str, str]:
    """A self-signed certificate and its key beside the store, made once; the key is readable by its owner only."""
    certificate, key = store.with_name(store.name + ".crt"), store.with_name(store.name + ".key")
    if certificate.exists() and key.exists():
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
        except OSError as error:
            raise ServeError(
                f"{certificate} or its .key cannot be used ({error}). Delete both; the next start makes new ones.",
                code="certificate-failed", reason=str(error),
            ) from error  # fmt: skip
        return str(certificate), str(key)
    if shutil.which("openssl") is None:
        raise ServeError("--tls needs the program openssl: sudo apt install openssl", code="openssl-missing")
    names = ",".join(f"{'IP' if _is_address(name) else 'DNS'}:{name}" for name in dict.fromkeys((*LOOPBACK, *_names())))
    os.close(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", str(_DAYS),
        "-subj", f"/CN={socket.gethostname()}", "-addext", f"subjectAltName={names}", "-keyout", str(key), "-out", str(certificate),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        key.unlink(missing_ok=True)
        reason = done.stderr.strip().splitlines()[-1:] or ["no output"]
        raise ServeError(f"openssl could not make a certificate: {reason[0]}", code="certificate-failed", reason=reason[0])
    return str(certificate), str(key)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _fingerprint(certificate: str) -> str:
    import hashlib

    der = ssl.PEM_cert_to_DER_cert(Path(certificate).read_text("ascii"))
    return ":".join(f"{byte:02X}" for byte in hashlib.sha256(der).digest())
