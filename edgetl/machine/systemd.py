"""systemd: tells it that a service is ready and alive (sd_notify(3)), and installs services of a user (systemd.service(5))."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from edgetl.errors import ServiceError

WATCHDOG_S = 30
"""A service that has not said for this long that it is alive is started again."""


def notify(state: str) -> None:
    """Sends a state to the service manager that started this process, if any.

    Args:
        state: `READY=1`, `WATCHDOG=1` or `STOPPING=1`.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.sendto(state.encode(), f"\0{address[1:]}" if address.startswith("@") else address)


def unit(description: str, folder: Path, arguments: Sequence[str]) -> str:
    """The unit of a service that runs `edgetl ARGUMENTS` in a folder, and again one second after it ends, however often."""
    command = " ".join(map(_quoted, (sys.executable, "-m", "edgetl", *arguments)))
    return f"""\
[Unit]
Description={description.replace("%", "%%")}
StartLimitIntervalSec=0

[Service]
Type=notify
WorkingDirectory={str(folder).replace("%", "%%")}
ExecStart={command}
Restart=always
RestartSec=1
WatchdogSec={WATCHDOG_S}
NoNewPrivileges=yes

[Install]
WantedBy=default.target
"""


def install(name: str, content: str) -> Path:
    """Writes a unit of this user and starts it, now and whenever the user's services start; returns its file.

    Raises:
        ServiceError: systemd is not here (`systemd-missing`), or did not start it (`systemd-failed`).
    """
    path = _folder() / name
    _run("daemon-reload")  # before anything is written: an error if no service manager of the user runs
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, "utf-8")
    except OSError as error:
        raise ServiceError(f"{path}: {error.strerror}", code="not-writable", path=str(path)) from error
    _run("daemon-reload")
    _run("enable", name)
    _run("restart", name)
    return path


def remove(name: str) -> bool:
    """Stops a service of this user and deletes its unit; whether it was there."""
    path = _folder() / name
    if not path.exists():
        return False
    _run("disable", "--now", name)
    path.unlink()
    _run("daemon-reload")
    return True


def _folder() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "systemd/user"


def _run(*arguments: str) -> None:
    program = shutil.which("systemctl")
    if program is None:
        raise ServiceError("systemctl is not here. Show the unit for another machine with --print.", code="systemd-missing")
    done = subprocess.run([program, "--user", *arguments], capture_output=True, text=True)
    if done.returncode:
        reason, command = done.stderr.strip() or f"exit code {done.returncode}", " ".join(("systemctl --user", *arguments))
        raise ServiceError(f"{command}: {reason}", code="systemd-failed", command=command, reason=reason)


def _quoted(argument: str) -> str:
    """An argument as ExecStart= takes it: % and $ would be replaced, blanks would divide it."""
    text = argument.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{text}"' if any(character.isspace() or character in "\"'\\;" for character in text) else text
