"""Through the system's OpenSSH client: keys, config, agent and known hosts are the person's own."""

from __future__ import annotations

import dataclasses
import os
import shlex
import shutil
import sys

from edgetl.errors import RemoteError

# A config may ask for a terminal, a command of its own, or ports that another connection holds already.
_OPTIONS = ("-T", "-o", "RemoteCommand=none", "-o", "ClearAllForwardings=yes", "-o", "ConnectTimeout=20",
            "-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=3")  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Ssh:
    """A machine with an SSH server.

    Attributes:
        name: as the person wrote it.
        host: its name, its address, or its alias in the person's config.
        user: None where the config decides.
        port: None where the config decides.
    """

    name: str
    host: str
    user: str | None = None
    port: int | None = None
    without_python = "install python3 there (on Debian: sudo apt install python3 python3-venv), or name one with --python PATH"

    def command(self, there: str) -> list[str]:
        """See :class:`edgetl.bench.remote.target.Target`. `EDGETL_SSH` replaces `ssh`, options included."""
        program = shlex.split(os.environ.get("EDGETL_SSH", "ssh"))
        if not program or not shutil.which(program[0]):
            raise RemoteError(f"{self.name}: {' '.join(program)!r} is not installed here; install OpenSSH's client (openssh-client)")
        # Without a person at a terminal nobody answers a question: say no instead of waiting.
        asking = [] if sys.stdin.isatty() else ["-o", "BatchMode=yes"]
        return [*program, *_OPTIONS, *asking, *self._where(), "--", self.host, there]

    def refusal(self, code: int, words: str) -> str:
        """See :class:`edgetl.bench.remote.target.Target`; ssh says 255 where it failed itself (man 1 ssh)."""
        if code != 255:
            return ""
        by_hand = " ".join(["ssh", *self._where(), self.host])
        if "IDENTIFICATION HAS CHANGED" in words:
            anew = f"ssh-keygen -R {self.host}"
            return f"its host key is not the one in known_hosts: another machine answers, or it was set up anew; if it was: {anew}"
        if "Host key verification failed" in words:
            return f"its host key is unknown here; connect once by hand and compare the fingerprint: {by_hand}"
        if "Permission denied" in words or "Too many authentication failures" in words:
            return f"it refuses the key or user ({_last(words)}); make this work without a question: {by_hand} true"
        return f"unreachable ({_last(words) or 'ssh says nothing'}); is it on, on this network, and does this work: {by_hand} true"

    def _where(self) -> list[str]:
        return [*(["-l", self.user] if self.user else []), *(["-p", str(self.port)] if self.port else [])]


def _last(words: str) -> str:
    return next((line.strip() for line in reversed(words.splitlines()) if line.strip()), "")
