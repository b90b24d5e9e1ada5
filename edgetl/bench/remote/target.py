"""Where to measure: `ssh://user@host:port` or `adb:SERIAL`."""

from __future__ import annotations

import re
from typing import Protocol

from edgetl.bench.remote.adb import Adb
from edgetl.bench.remote.ssh import Ssh
from edgetl.errors import RemoteError

# No name begins with a dash: ssh and adb would read an option, and some options run programs.
_SSH = re.compile(
    r"ssh://(?:(?P<user>\w[\w.@+-]*)@)?(?:(?P<host>\w[\w.-]*)|\[(?P<address>[0-9A-Fa-f:.]+(?:%\w+)?)\])(?::(?P<port>\d{1,5}))?/?"
)
_ADB = re.compile(r"adb:(?P<serial>(?:\w[\w.:-]*)?)")


class Target(Protocol):
    """A machine, and the program that reaches it.

    Attributes:
        name: as the person wrote it.
        without_python: what to do where it has no Python.
    """

    @property
    def name(self) -> str: ...  # noqa: D102  # see above

    @property
    def without_python(self) -> str: ...  # noqa: D102  # see above

    def command(self, there: str) -> list[str]:
        """What runs a shell command there, with its standard input, output and errors as they are.

        Raises:
            RemoteError: the program that reaches it is not installed here.
        """
        ...

    def refusal(self, code: int, words: str) -> str:
        """Why there is no connection, and what to do about it; empty where there was one and what was run there ended with `code`.

        Args:
            code: the program's exit code.
            words: what it wrote to standard error.
        """
        ...


def parse(text: str) -> Target:
    """Reads a target.

    Raises:
        RemoteError: it is none.
    """
    if found := _SSH.fullmatch(text):
        port = int(found["port"]) if found["port"] else None
        if port is None or 0 < port < 1 << 16:
            return Ssh(text, found["host"] or found["address"], found["user"], port)
    if found := _ADB.fullmatch(text):
        return Adb(text, found["serial"])
    raise RemoteError(f"{text!r} is no machine to measure on; expected ssh://HOST, ssh://USER@HOST:PORT or adb:SERIAL")
