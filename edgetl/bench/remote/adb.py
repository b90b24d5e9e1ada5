"""Through the system's adb: Android, where there is a Python that adb's shell may run."""

from __future__ import annotations

import dataclasses
import shutil

from edgetl.errors import RemoteError

_REASONS = {
    "unauthorized": "it does not trust this computer yet; unlock it and answer 'Allow USB debugging?', then try again",
    "offline": "it is offline; unplug it and plug it in again, or: adb reconnect",
    "more than one device": "several devices are connected; name one: --on adb:SERIAL, serials as `adb devices` prints them",
    "no devices": "no device is connected; enable 'USB debugging' in its developer options, plug it in, and look at: adb devices",
    "' not found": "no such device is connected; the serials are in: adb devices",
    "no permissions": "this user may not open the USB device; see http://developer.android.com/tools/device.html, then: adb kill-server",
    "doesn't support PTY args": "its Android is older than 7: its adb shell cannot carry what edgetl sends",
    "daemon": "adb cannot start its server here; try: adb start-server",
}


@dataclasses.dataclass(frozen=True)
class Adb:
    """An Android device.

    Attributes:
        name: as the person wrote it.
        serial: as `adb devices` prints it; empty for the only device.
    """

    name: str
    serial: str

    @property
    def without_python(self) -> str:
        """Only the app Termux itself may read its own folder; so Termux's SSH server is the door that needs no root."""
        adb = " ".join(self._adb())
        return (
            "Android brings none, and Termux's is private to that app. In Termux: pkg install python openssh python-numpy python-pillow "
            f"python-onnxruntime; passwd; sshd. Here: {adb} forward tcp:8022 tcp:8022; then measure --on ssh://localhost:8022. On a rooted "
            "device or with a debug build of Termux, name a Python that adb's shell may run with --python PATH"
        )

    def command(self, there: str) -> list[str]:
        """See :class:`edgetl.bench.remote.target.Target`."""
        if not shutil.which("adb"):
            raise RemoteError(f"{self.name}: adb is not installed here; install Android's platform tools (on Debian: sudo apt install adb)")
        return [*self._adb(), "shell", "-T", there]

    def refusal(self, code: int, words: str) -> str:
        """See :class:`edgetl.bench.remote.target.Target`; adb says 1 where it failed itself, which a command may say too."""
        said = [line for line in words.splitlines() if line.startswith(("error: ", "adb: ", "* "))]
        if code != 1 or not said:
            return ""
        return next((reason for sign, reason in _REASONS.items() if any(sign in line for line in said)), f"adb says {said[-1]!r}")

    def _adb(self) -> list[str]:
        return ["adb", *(["-s", self.serial] if self.serial else [])]
