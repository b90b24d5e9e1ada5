"""A real sshd on loopback, run by an ordinary user, with a home folder, a host key and one allowed key of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))
import debian
import openssh
import sysroot

_USER = 4242
_SERVER = """
Port {port}
ListenAddress 127.0.0.1
HostKey {root}/host_key
AuthorizedKeysFile {root}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitUserEnvironment yes
"""
_CLIENT = """
Host board
  HostName 127.0.0.1
  Port {port}
  User board
  IdentityFile {root}/key
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile {root}/known_hosts
  GlobalKnownHostsFile none
  StrictHostKeyChecking yes
"""
# A root that tests (in a container) reads what is root's own, such as its Python, through this capability; it writes nowhere but at home.
_ORDINARY = ("setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--clear-groups", "--inh-caps=+dac_read_search",
             "--ambient-caps=+dac_read_search")  # fmt: skip


class Board:
    """The machine behind the server.

    Attributes:
        home: its user's home folder.
        ssh: the client with a config of its own, as EDGETL_SSH takes it; the config knows the host `board`.
        target: what `--on` takes.
    """

    target = "ssh://board"

    def __init__(self, root: Path, server: subprocess.Popen[bytes]) -> None:
        self.home, self._root, self._server = root / "home", root, server
        self.ssh = f"ssh -F {root / 'config'}"

    def configured(self, **changed: str) -> str:
        """The client with these options of its config changed, as EDGETL_SSH takes it."""
        lines = (self._root / "config").read_text("utf-8").splitlines()
        for name, value in changed.items():
            lines = [f"  {name} {value}" if line.split()[:1] == [name] else line for line in lines]
        (self._root / "changed").write_text("\n".join(lines) + "\n")
        return f"ssh -F {self._root / 'changed'}"

    def stranger(self) -> Path:
        """A new key that the server does not know."""
        return _key(self._root / "stranger")

    def processes(self) -> list[str]:
        """The command lines of what runs in the home folder or names it: what the server started for somebody."""
        commands = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if str(self.home) in command or str((process / "cwd").readlink()).startswith(str(self.home)):
                    commands.append(command)
        return commands

    def left(self) -> list[str]:
        """What lies in the home folder."""
        return sorted(path.name for path in self.home.iterdir())

    def cut(self) -> None:
        """Kills the server's processes that serve connections."""
        served = {self._server.pid}
        for number in sorted(int(path.name) for path in Path("/proc").glob("[0-9]*")):  # a child has a higher number than its parent
            with contextlib.suppress(OSError):
                name, _, fields = Path(f"/proc/{number}/stat").read_text("utf-8").rpartition(")")
                if int(fields.split()[1]) in served and "(sshd" in name:
                    served.add(number)
        for number in served - {self._server.pid}:
            os.kill(number, signal.SIGKILL)


@contextlib.contextmanager
def serving() -> Iterator[Board]:
    """Starts it; skips the test where no sshd can be had."""
    if not shutil.which("ssh") or not shutil.which("ssh-keygen"):
        pytest.skip("OpenSSH's client is not installed")
    try:
        program = openssh.ready()
    except (debian.Unreachable, sysroot.Failed) as error:
        pytest.skip(f"no sshd: {error}")
    root = Path(tempfile.mkdtemp(prefix="edgetl-ssh-"))
    try:
        with _server(program, root) as server:
            yield Board(root, server)
    finally:
        shutil.rmtree(root)


@contextlib.contextmanager
def _server(program: openssh.Server, root: Path) -> Iterator[subprocess.Popen[bytes]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    user = os.getuid() or _USER
    host_key, key = _key(root / "host_key"), _key(root / "key")
    public = host_key.with_suffix(".pub").read_text("utf-8")
    (root / "home").mkdir()
    (root / "passwd").write_text(f"board:x:{user}:{user}::{root / 'home'}:/bin/sh\n")
    (root / "group").write_text(f"board:x:{user}:\n")
    (root / "authorized_keys").write_text(key.with_suffix(".pub").read_text("utf-8"))
    (root / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}")
    (root / "sshd_config").write_text(_SERVER.format(port=port, root=root))
    (root / "config").write_text(_CLIENT.format(port=port, root=root))
    if not os.getuid():
        for path in (root, *root.iterdir()):
            if path not in (key, root / "config"):
                os.chown(path, user, user)
    env = {"PATH": os.environ["PATH"], **program.env, "LD_PRELOAD": str(program.wrapper), "NSS_WRAPPER_PASSWD": str(root / "passwd"),
           "NSS_WRAPPER_GROUP": str(root / "group")}  # fmt: skip
    command = [*(() if os.getuid() else _ORDINARY), str(program.program), "-D", "-e", "-f", str(root / "sshd_config")]
    with (root / "log").open("wb") as log:
        server = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stderr=log)
    try:
        _wait(server, port, root / "log")
        yield server
    finally:
        server.terminate()
        server.wait()


def _wait(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    for _ in range(200):
        assert server.poll() is None, log.read_text("utf-8")
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise TimeoutError(log.read_text("utf-8"))


def _key(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)], check=True)
    return path
