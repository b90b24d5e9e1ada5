"""A real sshd for the tests: Debian's, the same everywhere, unpacked without root into the cache. Standard library only.

nss_wrapper (https://cwrap.org/nss_wrapper.html) gives the server a passwd file of its own, so that an ordinary user can run it and log in
as a user that the machine does not have.
"""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import sysroot
import unpacked

# libc6 is the machine's own; the others are programs and their settings, which maintainer scripts would set up.
_WITHOUT = ("libc6", "adduser", "debconf", "libpam-modules", "libpam-runtime", "lsb-base", "openssh-client", "openssh-sftp-server",
            "procps", "ucf", "runit-helper")  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Server:
    """How to start it.

    Attributes:
        program: sshd, by its whole path: it starts itself again.
        env: what its libraries need.
        wrapper: nss_wrapper's library.
    """

    program: Path
    env: dict[str, str]
    wrapper: Path


def ready() -> Server:
    """Unpacks it where that was not done before (about 5 MB are downloaded, once).

    Raises:
        debian.Unreachable: no mirror answers.
        debian.Damaged: a package does not arrive or is not what it should be.
        sysroot.Failed: it does not run on this machine.
    """
    folder = unpacked.unpack("openssh", ["openssh-server", "libnss-wrapper"], _WITHOUT, _wanted)
    wrapper = next(path for path in folder.glob("**/libnss_wrapper.so"))
    server = Server(folder / "usr/sbin/sshd", unpacked.environment(folder), wrapper)
    words = subprocess.run([server.program, "-?"], env=server.env, capture_output=True, text=True).stderr
    if "OpenSSH" not in words:
        raise sysroot.Failed(f"{server.program} does not run here: {words.strip()}")
    return server


def _wanted(path: str) -> bool:
    return path == "./usr/sbin/sshd" or ("/lib/" in path and ".so" in path)


if __name__ == "__main__":
    print(ready())
