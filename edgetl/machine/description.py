"""The machine for a record, and whether two records are of the same one."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgetl.machine import board, cgroup, libraries, processor, sensors, software, storage, throttle
from edgetl.machine.facts import cores, features, instruction_set
from edgetl.machine.files import ROOT

SAME = ("board", "cpu", "architecture", "instruction_set", "machine_cores", "cores", "memory_bytes", "emulated")
"""What must agree between two records of one machine."""
_NEAR = 0.05
"""A kernel's update reserves a little more memory or less; the next memory size on the market differs by a third."""


def describe(root: Path = ROOT, folder: Path | None = None) -> dict[str, Any]:
    """The machine: board, processor, memory, storage, system, Python, versions, settings; no host, user or serial number.

    Args:
        root: where /proc, /sys and /etc are.
        folder: where a measurement writes; `storage` describes it.

    Returns:
        A JSON-able dict; what cannot be read is None, as is `emulated` on a real machine (an emulator sets EDGETL_EMULATED).
        Temperatures are in degrees Celsius, memory in bytes, frequencies in kHz. See :mod:`board`, :mod:`processor`, :mod:`software`,
        :mod:`storage`, :mod:`cgroup` and :func:`edgetl.machine.throttle.state` for the rest; `throttle` has a Raspberry Pi's bits in
        `words` too.
    """
    zones, slowed = sensors.temperatures(root), throttle.state(root)
    return {
        **board.describe(root),
        **processor.describe(root),
        "architecture": platform.machine(),
        "instruction_set": instruction_set(root),
        "features": sorted(features(root)),
        "emulated": os.environ.get("EDGETL_EMULATED"),
        "cores": cores(),
        "temperatures": zones,
        "temperature_c": max(zones.values(), default=None),
        "throttle": {**slowed, "words": throttle.words(slowed["bits"])},
        "load_average": sensors.load(root),
        "memory_bytes": sensors.memory(root, "MemTotal"),
        "swap_bytes": sensors.memory(root, "SwapTotal"),
        "cgroup": cgroup.describe(root),
        "storage": storage.describe(folder, root) if folder else None,
        **software.describe(root),
        "libraries": libraries.installed(),
    }


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """How two descriptions differ, `name: first and second`; empty if they may be of the same machine."""
    return [f"{name}: {first.get(name)} and {second.get(name)}" for name in SAME if not _agree(name, first.get(name), second.get(name))]


def _agree(name: str, first: Any, second: Any) -> bool:
    if name == "memory_bytes" and first and second:
        return bool(abs(first - second) <= _NEAR * max(first, second))
    return bool(first == second)
