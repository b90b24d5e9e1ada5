"""Firefox as it is installed, driven through Marionette (https://firefox-source-docs.mozilla.org/testing/marionette/Protocol.html)."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_PREFERENCES: dict[str, object] = {
    "marionette.port": 0,
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
    "datareporting.policy.dataSubmissionEnabled": False,
    "app.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "browser.safebrowsing.update.enabled": False,
}
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class Firefox:
    """A window of Firefox."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=90)
        self._reader = self._socket.makefile("rb")
        self._count = 0
        self._read()  # it introduces itself
        self.send("WebDriver:NewSession", {"capabilities": {"alwaysMatch": {"acceptInsecureCerts": True}}})

    def send(self, command: str, values: dict[str, Any] | None = None) -> Any:
        self._count += 1
        message = json.dumps([0, self._count, command, values or {}]).encode()
        self._socket.sendall(b"%d:%s" % (len(message), message))
        _, _, error, result = self._read()
        assert error is None, error
        return result["value"] if isinstance(result, dict) and set(result) == {"value"} else result

    def _read(self) -> Any:
        size = b""
        while (character := self._reader.read(1)) != b":":
            assert character, "Firefox has ended"
            size += character
        return json.loads(self._reader.read(int(size)))

    def goto(self, url: str) -> None:
        self.send("WebDriver:Navigate", {"url": url})

    def evaluate(self, expression: str) -> Any:
        return self.send("WebDriver:ExecuteScript", {"script": f"return ({expression})", "args": []})

    def wait(self, expression: str, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not self.evaluate(expression):
            assert time.monotonic() < end, expression
            time.sleep(0.05)

    def click(self, selector: str) -> None:
        self.send("WebDriver:ElementClick", {"id": self._find(selector)})

    def type(self, selector: str, text: str) -> None:
        self.send("WebDriver:ElementSendKeys", {"id": self._find(selector), "text": text})

    def _find(self, selector: str) -> str:
        return str(self.send("WebDriver:FindElement", {"using": "css selector", "value": selector})[_ELEMENT])


@contextlib.contextmanager
def running(program: Path, folder: Path) -> Iterator[Firefox]:
    """Starts Firefox with a profile of its own and fake cameras."""
    profile = folder / "profile"
    profile.mkdir()
    (profile / "user.js").write_text("".join(f'user_pref("{name}", {json.dumps(value)});\n' for name, value in _PREFERENCES.items()))
    environment = {**os.environ, "MOZ_HEADLESS": "1", "HOME": str(folder)}
    command = [str(program), "--marionette", "--headless", "--no-remote", "--profile", str(profile)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        yield Firefox(_port(process, profile, folder / "log"))
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
        process.wait()


def _port(process: subprocess.Popen[bytes], profile: Path, log: Path) -> int:
    end = time.monotonic() + 90
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError, ValueError):
            return int((profile / "MarionetteActivePort").read_text())
        time.sleep(0.1)
    raise AssertionError(log.read_text(errors="replace")[-2000:])
