"""What a record says about the machine, and whether two records speak of the same one."""

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
"""A kernel's update reserves a little more memory or less; the next size that is sold differs by a third."""


def describe(root: Path = ROOT, folder: Path | None = None) -> dict[str, Any]:
    """The machine: board, processor, memory, storage, system, Python, versions, settings; no host, user or serial number.

    Args:
        root: where /proc, /sys and /etc are.
        folder: what `storage` is about: where a measurement writes.

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


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """In what two descriptions are not of the same machine, in words; empty where they may be."""
    return [f"{name}: {one.get(name)} and {other.get(name)}" for name in SAME if not _agree(name, one.get(name), other.get(name))]


def _agree(name: str, one: Any, other: Any) -> bool:
    if name == "memory_bytes" and one and other:
        return bool(abs(one - other) <= _NEAR * max(one, other))
    return bool(one == other)
