"""Who may talk to the field station: one-time codes, signed sessions, and the checks that every request passes."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import ipaddress
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from edgetl.errors import ServeError

CSRF_HEADER = "x-edgetl-csrf"
LIFETIME_S = 12 * 3600
"""How long a session lasts."""
WRONG_CODES = 6
"""Wrong codes until all are rejected for a while: 6 of 32^8 guesses."""
LOCKED_S = 600
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # no I, O, 0, 1: they are read wrongly from a screen
_CODE_LENGTH = 8
_DEFAULT_PORTS = {"http": 80, "https": 443}
_SAFE = frozenset({"GET", "HEAD"})


@dataclasses.dataclass(frozen=True)
class Requester:
    """Who a request comes from.

    Attributes:
        session: the session's cookie; empty for a script with the token.
        csrf: the token that its changes must carry.
        expires: when the session ends, seconds since 1970; infinite for a script.
    """

    session: str
    csrf: str
    expires: float


class Access:
    """Decides which requests are answered.

    Sessions are signed and kept nowhere, so they outlive a restart of the server. The key is in a file that only its owner can read; it
    is also the token of scripts (`Authorization: Bearer ...`), and deleting it ends every session.

    Attributes:
        hosts: names and addresses under which the server may be reached, without port.
        port: its port.
        scheme: `http` or `https`.
        token: for scripts.
        cookie_name: of its sessions.
        new_code: called with the next code when one has been used.
    """

    def __init__(self, token: str, hosts: Iterable[str], port: int, scheme: str = "http", clock: Callable[[], float] = time.time) -> None:
        self.token, self.port, self.scheme = token, port, scheme
        self.hosts = frozenset(host.lower() for host in hosts)
        self._clock, self._lock = clock, threading.Lock()
        self.cookie_name = f"edgetl-{port}"  # a browser sends a cookie to every port of a host
        self._code = _new_code()
        self._wrong: list[float] = []
        self.new_code: Callable[[str], None] = lambda code: None

    @property
    def code(self) -> str:
        """The code that opens the next session, once."""
        return self._code

    def check_host(self, host: str | None, own: str = "") -> None:
        """Rejects a request for another name, which is what DNS rebinding sends.

        Args:
            host: as the request names it.
            own: this machine's address that the request came to: it may have several, and get another one later.

        Raises:
            ServeError: `host-not-allowed`.
        """
        name, port = _split_host(host or "")
        if not (name in self.hosts or name == own != "") or port not in (self.port, None):
            raise ServeError(
                f"{host!r} is not an address of this server. Open {self.scheme}://{own or min(self.hosts)}:{self.port}",
                code="host-not-allowed",
            )

    def check_origin(self, origin: str | None, own: str = "") -> None:
        """Rejects what another page sends.

        Args:
            origin: as the request names it.
            own: as for :meth:`check_host`.

        Raises:
            ServeError: `origin-not-allowed`.
        """
        if origin is None:
            return
        try:
            parts = urlsplit(origin)
            port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
            name = parts.hostname or ""
            allowed = parts.scheme == self.scheme and (name in self.hosts or name == own != "") and port == self.port
        except ValueError:
            allowed = False
        if not allowed:
            raise ServeError(f"requests from {origin!r} are not answered", code="origin-not-allowed")

    def identify(self, headers: Mapping[str, str]) -> Requester:
        """Who sent a request, by its token or its cookie.

        Raises:
            ServeError: `session-missing`.
        """
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(token.encode(), self.token.encode()):
            return Requester("", "", float("inf"))
        session = _cookie(headers.get("cookie", ""), self.cookie_name)
        expires, _, rest = session.partition(".")
        nonce, _, signature = rest.partition(".")
        valid = hmac.compare_digest(signature.encode(), self._sign("session", expires, nonce).encode())
        if not valid or float(expires) < self._clock():
            raise ServeError("the session is missing or has ended. Enter the code that 'edgetl serve' printed.", code="session-missing")
        return Requester(session, self._sign("csrf", session), float(expires))

    def check_change(self, requester: Requester, method: str, headers: Mapping[str, str]) -> None:
        """Rejects a change that a page did not mean to send.

        Raises:
            ServeError: `csrf-missing`.
        """
        if method in _SAFE or not requester.session:
            return
        if not hmac.compare_digest(headers.get(CSRF_HEADER, "").encode(), requester.csrf.encode()):
            raise ServeError("the page is out of date. Load it again.", code="csrf-missing")

    def open_session(self, code: str) -> Requester:
        """A new session for a page that knows the code, which then changes.

        Raises:
            ServeError: `code-wrong`, or `code-locked` after :data:`WRONG_CODES` wrong ones.
        """
        with self._lock:
            now = self._clock()
            self._wrong = [moment for moment in self._wrong if 0 <= now - moment < LOCKED_S]
            if len(self._wrong) >= WRONG_CODES:
                raise ServeError(
                    f"too many wrong codes. Wait {LOCKED_S // 60} minutes, or start 'edgetl serve' again.",
                    code="code-locked", seconds=LOCKED_S,
                )  # fmt: skip
            if not hmac.compare_digest(_normalise(code).encode(), self._code.encode()):
                self._wrong.append(now)
                left = WRONG_CODES - len(self._wrong)
                raise ServeError("this is not the code. It is printed where 'edgetl serve' runs.", code="code-wrong", left=left)
            self._code = _new_code()
            self.new_code(self._code)
            expires, nonce = str(int(now) + LIFETIME_S), secrets.token_urlsafe(12)
        return self.identify({"cookie": f"{self.cookie_name}={expires}.{nonce}.{self._sign('session', expires, nonce)}"})

    def cookie(self, requester: Requester) -> str:
        """The `Set-Cookie` header of a session."""
        secure = "; Secure" if self.scheme == "https" else ""
        return f"{self.cookie_name}={requester.session}; Path=/; Max-Age={LIFETIME_S}; HttpOnly; SameSite=Strict{secure}"

    def _sign(self, *parts: str) -> str:
        return hmac.new(self.token.encode(), "|".join(parts).encode(), hashlib.sha256).hexdigest()


def load_token(path: Path) -> str:
    """Reads the token of scripts, or makes one; the file is readable by its owner only.

    Raises:
        ServeError: the file cannot be made or read (`token-unusable`).
    """
    try:
        if not path.exists():
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(32) + "\n")
        token = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ServeError(f"{path}: the token file cannot be made or read ({error})", code="token-unusable", path=str(path)) from error
    if len(token) < 32:
        raise ServeError(f"{path}: not a token. Delete the file; the next start makes a new one.", code="token-unusable", path=str(path))
    return token


def _new_code() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(_CODE_LENGTH))


def _normalise(code: str) -> str:
    return "".join(character for character in code.upper() if character.isalnum())


def _cookie(header: str, name: str) -> str:
    """A cookie's value; http.cookies would give up at a cookie that another program of the same host wrote in its own way."""
    for pair in header.split(";"):
        own, _, value = pair.partition("=")
        if own.strip() == name:
            return value.strip()
    return ""


def _split_host(host: str) -> tuple[str, int | None]:
    """Name and port of a Host header; the name is empty if it cannot be read."""
    try:
        parts = urlsplit(f"//{host}")
        name, port = parts.hostname or "", parts.port
    except ValueError:
        return "", None
    if parts.path or parts.query or parts.username is not None:
        return "", None
    try:
        return str(ipaddress.ip_address(name)), port
    except ValueError:
        return name, port
