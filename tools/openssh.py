"""A real sshd for the tests: Debian's, the same everywhere, unpacked without root into the cache. Standard library only.

nss_wrapper (https://cwrap.org/nss_wrapper.html) gives the server a passwd file of its own, so that an ordinary user can run it and log in
as a user that the machine does not have.
"""

from __future__ import annotations

import dataclasses
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import debian
import sysroot

_SUITE = "bookworm"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
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
    folder = _unpacked()
    libraries = [path for pattern in ("usr/lib/*-linux-gnu", "lib/*-linux-gnu") for path in folder.glob(pattern)]
    wrapper = next(path for library in libraries for path in library.glob("libnss_wrapper.so"))
    server = Server(folder / "usr/sbin/sshd", {"LD_LIBRARY_PATH": ":".join(map(str, libraries))}, wrapper)
    words = subprocess.run([server.program, "-?"], env=server.env, capture_output=True, text=True).stderr
    if "OpenSSH" not in words:
        raise sysroot.Failed(f"{server.program} does not run here: {words.strip()}")
    return server


def _unpacked() -> Path:
    architecture = _ARCHITECTURES.get(platform.machine())
    if sys.platform != "linux" or architecture is None:
        raise sysroot.Failed(f"sshd is unpacked on Linux, on {', '.join(_ARCHITECTURES)}; this is {sys.platform} on {platform.machine()}")
    folder = sysroot.cache() / "openssh" / f"{_SUITE}-{architecture}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix="partial-", dir=folder.parent))
        try:
            index = debian.Index(_SUITE, architecture)
            for package in index.closure(["openssh-server", "libnss-wrapper"], without=_WITHOUT):
                index.unpack(package, partial, _wanted)
            partial.chmod(0o755)  # the server may run as another user
            if not folder.exists():  # another process may have been faster
                partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder


def _wanted(path: str) -> bool:
    return path == "./usr/sbin/sshd" or ("/lib/" in path and ".so" in path)


if __name__ == "__main__":
    print(ready())
