"""Chromium for the tests: the machine's own, or Debian's, unpacked without root into the cache. Standard library only."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import sysroot
import unpacked

_NAMES = ("chromium", "google-chrome", "chromium-browser")
_WITHOUT = (
    *("libc6", "libgcc-s1", "libstdc++6", "debconf", "dpkg", "perl", "init-system-helpers", "systemd", "dbus"),
    *("default-dbus-session-bus", "dbus-user-session", "xdg-utils", "xdg-desktop-portal", "chromium-sandbox"),
)


def ready() -> Path:
    """A program that starts Chromium.

    Raises:
        debian.Unreachable: it is not installed, and no mirror answers.
        debian.Damaged: a package does not arrive or is not what it should be.
        sysroot.Failed: it does not run on this machine.
    """
    own = next(filter(None, map(shutil.which, _NAMES)), None)
    if own is not None:
        return Path(own)
    folder = unpacked.unpack("chromium", ["chromium", "fonts-dejavu-core"], _WITHOUT)
    program = folder / "usr/lib/chromium/chromium"
    start = folder / "start-chromium"
    if not start.exists():
        libraries = unpacked.environment(folder)["LD_LIBRARY_PATH"]
        draft = start.with_suffix(f".{os.getpid()}")
        draft.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH="{libraries}" exec "{program}" "$@"\n')
        draft.chmod(0o755)
        draft.replace(start)
    done = subprocess.run([start, "--version"], capture_output=True, text=True)
    if done.returncode:
        raise sysroot.Failed(f"{program} does not run here: {done.stderr.strip()[-300:]}")
    return start


if __name__ == "__main__":
    try:
        print(ready())
    except Exception as error:
        sys.exit(f"error: {error}")
