"""An MQTT broker for the tests: the machine's mosquitto, or Debian's, unpacked without root into the cache. Standard library only."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import sysroot
import unpacked

_WITHOUT = ("libc6", "adduser", "debconf", "init-system-helpers", "lsb-base", "sysvinit-utils", "systemd")


def ready() -> tuple[Path, dict[str, str]]:
    """The program and the variables that its libraries need.

    Raises:
        debian.Unreachable: it is not installed, and no mirror answers.
        debian.Damaged: a package does not arrive or is not what it should be.
        sysroot.Failed: it does not run on this machine.
    """
    own = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if own is not None:
        return Path(own), {}
    folder = unpacked.unpack("mosquitto", ["mosquitto"], _WITHOUT)
    program, variables = folder / "usr/sbin/mosquitto", unpacked.environment(folder)
    done = subprocess.run([program, "-h"], env={**os.environ, **variables}, capture_output=True, text=True)
    if "mosquitto version" not in done.stdout:
        raise sysroot.Failed(f"{program} does not run here: {done.stderr.strip()[-300:]}")
    return program, variables


if __name__ == "__main__":
    try:
        print(ready())
    except Exception as error:
        sys.exit(f"error: {error}")
