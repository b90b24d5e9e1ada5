"""Debian programs for the tests: unpacked with their libraries into the cache, without root. Standard library only."""

from __future__ import annotations

import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import debian
import sysroot

SUITE = "bookworm"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def unpack(name: str, packages: Iterable[str], without: Iterable[str], wanted: Callable[[str], bool] = lambda path: True) -> Path:
    """Unpacks packages and what they depend on, if that was not done before.

    Args:
        name: of the folder in the cache.
        packages: Debian's names.
        without: packages that the machine has, or that only maintainer scripts need.
        wanted: which files of a package, by their paths as `./usr/bin/x`.

    Returns:
        The folder that holds `usr` and `lib`.

    Raises:
        debian.Unreachable: no mirror answers.
        debian.Damaged: a package does not arrive or is not what it should be.
        sysroot.Failed: not a machine that these packages run on.
    """
    architecture = _ARCHITECTURES.get(platform.machine())
    if sys.platform != "linux" or architecture is None:
        raise sysroot.Failed(f"{name} is unpacked on Linux, on {', '.join(_ARCHITECTURES)}; this is {sys.platform} on {platform.machine()}")
    folder = sysroot.cache() / name / f"{SUITE}-{architecture}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix="partial-", dir=folder.parent))
        try:
            index = debian.Index(SUITE, architecture)
            for package in index.closure(list(packages), without=tuple(without)):
                index.unpack(package, partial, wanted)
            partial.chmod(0o755)  # a program may run as another user
            if not folder.exists():  # another process may have been faster
                partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder


def environment(folder: Path) -> dict[str, str]:
    """The variables with which a program finds its unpacked libraries."""
    libraries = [path for pattern in ("usr/lib/*-linux-gnu", "lib/*-linux-gnu") for path in folder.glob(pattern)]
    return {"LD_LIBRARY_PATH": ":".join(map(str, libraries))}
