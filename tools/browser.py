"""Chromium and Firefox for the tests: the machine's own, or Debian's, unpacked without root into the cache. Standard library only."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import sysroot
import unpacked

_BROWSERS = {
    "chromium": (("chromium", "google-chrome", "chromium-browser"), "usr/lib/chromium/chromium"),
    "firefox-esr": (("firefox-esr", "firefox"), "usr/lib/firefox-esr/firefox-esr"),
}
"""Debian's package -> names of a program that is installed, and the program in the package."""
_WITHOUT = (
    *("libc6", "libgcc-s1", "libstdc++6", "debconf", "dpkg", "perl", "init-system-helpers", "systemd", "dbus"),
    *("default-dbus-session-bus", "dbus-user-session", "xdg-utils", "xdg-desktop-portal", "chromium-sandbox"),
    *("debianutils", "procps", "adwaita-icon-theme"),
)


def ready(package: str = "chromium") -> Path:
    """A program that starts `chromium` or `firefox-esr`.

    Raises:
        debian.Unreachable: it is not installed, and no mirror answers.
        debian.Damaged: a package does not arrive or is not what it should be.
        sysroot.Failed: it does not run on this machine.
    """
    names, path = _BROWSERS[package]
    own = next(filter(None, map(shutil.which, names)), None)
    if own is not None:
        return Path(own)
    folder = unpacked.unpack(package, [package, "fonts-dejavu-core"], _WITHOUT)
    program = folder / path
    start = folder / "start"
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
        print(ready(*sys.argv[1:]))
    except Exception as error:
        sys.exit(f"error: {error}")
