"""Finds Debian packages in the archive's index, checks and unpacks them, without root, dpkg or apt. Standard library only.

`InRelease` lists the SHA256 of every index, an index the SHA256 of every package (https://wiki.debian.org/SecureApt), and each is checked
here. InRelease itself is trusted because it comes from deb.debian.org over TLS; over plain http its signature must be Debian's, checked
with `gpgv` and the keyring of a Debian machine.
"""

from __future__ import annotations

import hashlib
import http.client
import io
import lzma
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path

MIRRORS = ("https://deb.debian.org/debian", "http://deb.debian.org/debian")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_TIMEOUT_S = 60

Package = dict[str, str]


class Unreachable(RuntimeError):
    """No mirror answers: this machine is offline, or a proxy blocks it."""


class Damaged(RuntimeError):
    """A file that did not arrive, or differs from the archive's checksum."""


class Index:
    """The packages of one release for one architecture."""

    def __init__(self, suite: str, architecture: str) -> None:
        """Reads the newest index.

        Args:
            suite: `bookworm`, `trixie`, ...
            architecture: Debian's name of it: `amd64`, `arm64`, `armhf`, ...

        Raises:
            Unreachable: no mirror answers.
            Damaged: a file does not arrive, or a checksum or the signature is wrong.
        """
        self.mirror, release = _release(suite)
        name = f"main/binary-{architecture}/Packages.xz"
        listed = release.partition("SHA256:")[2].partition("\nSHA512:")[0]
        match = re.search(rf"^ ([0-9a-f]{{64}}) +(\d+) {re.escape(name)}$", listed, re.MULTILINE)
        if match is None:
            raise Damaged(f"Debian {suite} lists no {name}: it has no packages for {architecture}")
        where = f"{self.mirror}/dists/{suite}/main/binary-{architecture}/by-hash/SHA256/{match.group(1)}"
        self.packages: dict[str, Package] = {}
        for block in lzma.decompress(checked(where, match.group(1))).decode().split("\n\n"):
            fields = dict(line.partition(": ")[::2] for line in block.split("\n") if line[:1].isalpha())
            if "Package" in fields:
                self.packages.setdefault(fields["Package"], fields)

    def closure(self, names: Iterable[str], without: Iterable[str] = ()) -> list[Package]:
        """The packages and everything they depend on, the first of each alternatives; without `without` and what only those need.

        Raises:
            Damaged: the index has no such package.
        """
        left_out = set(without)
        waiting, packages = list(names), dict[str, Package]()
        while waiting:
            name = waiting.pop()
            if name in packages or name in left_out:
                continue
            if name not in self.packages:
                raise Damaged(f"the index of {self.mirror} has no package {name}")
            packages[name] = self.packages[name]
            needed = ",".join(packages[name].get(field, "") for field in ("Pre-Depends", "Depends")).split(",")
            waiting += [re.split(r"[ (:|]", dependency.strip())[0] for dependency in needed if dependency.strip()]
        return list(packages.values())

    def unpack(self, package: Package, target: Path, wanted: Callable[[str], bool] = lambda _: True) -> None:
        """Downloads a package, checks it and unpacks the files whose path is `wanted` (`./usr/bin/...`) below `target`.

        Raises:
            Damaged: it does not arrive, its SHA256 is not the index's, or it cannot be read here.
        """
        content = checked(f"{self.mirror}/{package['Filename']}", package["SHA256"])
        with tarfile.open(fileobj=io.BytesIO(_data(package["Filename"], content)), mode="r|xz") as files:
            for member in files:
                if wanted(member.name) and not member.isdev():
                    _extract(files, member, target)


def checked(url: str, sha256: str) -> bytes:
    """The file behind `url`, whose SHA256 (hex) must be this one.

    Raises:
        Damaged: it is not, or the file does not arrive.
    """
    content = _fetch(url)
    got = hashlib.sha256(content).hexdigest()
    if got != sha256:
        raise Damaged(f"{url}: its SHA256 is {got}, expected {sha256}; a mirror or proxy changed it, or is being updated: try again")
    return content


def _fetch(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:  # honours https_proxy, http_proxy and no_proxy
            content: bytes = answer.read()
            return content
    except (OSError, http.client.HTTPException) as error:
        raise Damaged(f"{url} cannot be fetched: {error}") from error


def _release(suite: str) -> tuple[str, str]:
    """The mirror that answers, and the text of its InRelease."""
    reasons = []
    for mirror in MIRRORS:
        try:
            content = _fetch(f"{mirror}/dists/{suite}/InRelease")
        except Damaged as error:
            reasons.append(str(error))
            continue
        return mirror, content.decode() if mirror.startswith("https") else _signed(mirror, content)
    raise Unreachable("deb.debian.org cannot be reached: " + "; ".join(reasons))


def _signed(mirror: str, content: bytes) -> str:
    if not shutil.which("gpgv") or not KEYRING.exists():
        raise Unreachable(
            f"{mirror}: https does not get through, and http needs gpgv and {KEYRING}: apt install gpgv debian-archive-keyring"
        )
    with tempfile.NamedTemporaryFile() as signed:
        signed.write(content)
        signed.flush()
        done = subprocess.run(["gpgv", "--keyring", str(KEYRING), "--output", "-", signed.name], capture_output=True)
    if done.returncode:
        raise Damaged(f"{mirror}: the signature of InRelease is not Debian's: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode()


def _data(name: str, content: bytes) -> bytes:
    """The member data.tar.xz of a .deb, which is an `ar` archive (man 5 deb): 8 bytes of magic, then headers of 60 bytes and contents."""
    place = 8
    while place + 60 <= len(content):
        member, size = content[place : place + 16].decode().strip(" /"), int(content[place + 48 : place + 58])
        if member == "data.tar.xz":
            return content[place + 60 : place + 60 + size]
        place += 60 + size + size % 2
    raise Damaged(f"{name}: contains no data.tar.xz; this Debian release uses another format")


def _extract(files: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    # The filter "tar" is an error for paths outside the target and drops nothing that a system needs; Python before 3.10.12 has none.
    if hasattr(tarfile, "tar_filter"):
        files.extract(member, target, set_attrs=not member.isdir(), filter="tar")
    else:
        sys.exit(f"unpacking needs Python 3.10.12, 3.11.4 or newer; this is {sys.version.split()[0]}")
