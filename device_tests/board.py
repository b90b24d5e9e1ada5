"""The board that the suite runs on: its name, what is on it, and the lock that keeps a second run away."""

from __future__ import annotations

import fcntl
import os
import platform
import re
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from edgetl import machine

# "CPU implementer, CPU part" of Arm Ltd's cores (Arm, Technical Reference Manuals, register MIDR_EL1), with a board that has each.
_CORES = {
    0xC07: "cortex-a7",  # Raspberry Pi 2
    0xC0F: "cortex-a15",
    0xD03: "cortex-a53",  # Raspberry Pi 3 and Zero 2
    0xD04: "cortex-a35",
    0xD05: "cortex-a55",  # i.MX 93
    0xD07: "cortex-a57",  # Jetson Nano
    0xD08: "cortex-a72",  # Raspberry Pi 4
    0xD0B: "cortex-a76",  # Raspberry Pi 5
    0xD41: "cortex-a78",
    0xD42: "cortex-a78ae",  # Jetson Orin
}
EMULATED = os.environ.get("EDGETL_EMULATED", "")
"""What emulates this machine, set by tools/emulate; empty on a real one."""
KIND = "emulated" if EMULATED else "measured"


def target() -> str:
    """What decides the arithmetic: the core's name on Arm, otherwise the strongest int8 feature; `aarch64-cortex-a72`, `x86_64-avx2`.

    A real board and the emulation of its core have the same name, and so the same reference.
    """
    cpuinfo = Path("/proc/cpuinfo").read_text(errors="replace") if Path("/proc/cpuinfo").exists() else ""
    parts = re.findall(r"^CPU part\s*:\s*(0x[0-9a-f]+)", cpuinfo, re.MULTILINE)
    # Of big and little cores the big ones run the model; their number is the higher one on all boards of the table.
    core = _CORES.get(max((int(part, 16) for part in parts), default=0))
    return f"{platform.machine()}-{core}" if core else machine.instruction_set().replace(" ", "-")


def header() -> list[str]:
    """The first lines of a run: the machine, the target and the versions."""
    here = machine.describe()
    libraries = ", ".join(f"{name} {version}" for name, version in here["libraries"].items())
    return [
        f"board: {here['board'] or platform.node()}, {here['cpu']}, {here['cores']} cores, {here['system']}",
        f"target: {target()} ({here['instruction_set']}), {KIND}{f' by {EMULATED}' if EMULATED else ''}",
        f"python {here['python']}, {libraries}",
    ]


def record() -> dict[str, Any]:
    """The machine for a reference, without anything that names a person's own machine."""
    here = machine.describe()
    return {
        "kind": KIND,
        "emulator": EMULATED,
        **{name: here[name] for name in ("board", "cpu", "instruction_set", "python", "libraries")},
    }


class Lock:
    """Held for one run: two at once would share cores and memory."""

    def __init__(self) -> None:
        """Takes the lock; the system releases it when this process ends.

        Raises:
            pytest.UsageError: another run has it, or it cannot be taken.
        """
        path = Path(tempfile.gettempdir()) / f"edgetl-device-tests-{target()}.lock"
        try:
            self._file = path.open("a+")
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise pytest.UsageError(
                f"another run of device_tests is at work on this board ({path.read_text()}). Wait for it or end it. The lock is {path}."
            ) from error
        except OSError as error:
            raise pytest.UsageError(f"the lock {path} cannot be taken ({error.strerror}). Remove it, or set TMPDIR to a folder.") from error
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} since {time.strftime('%H:%M:%S')}")
        self._file.flush()
