"""What the machine reports about throttling: firmware bits, counters of events, and the kernel's cooling devices."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgetl.machine.files import ROOT, number, numbers, output, paths, text, whole

# https://www.raspberrypi.com/documentation/computers/os.html#get_throttled; the same 16 bits higher is "has occurred since boot".
_BITS = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}
_SLOWER = 0b1110  # under-voltage alone warns; when the firmware slows down because of it, it sets one of these too
_SINCE_BOOT = 16
_CPU_COOLING = ("cpu", "thermal-cpufreq", "Processor")  # as Arm, as newer Arm and as ACPI kernels call what slows a core down


def state(root: Path = ROOT) -> dict[str, int | None]:
    """Everything that reports throttling here; None for what the machine does not have.

    Returns:
        `bits`: the Raspberry Pi's firmware bits.
        `thermal_events`: x86 counters of thermal throttling, all cores and packages together
        (https://docs.kernel.org/admin-guide/abi-testing.html, `thermal_throttle`).
        `over_current_events`: a Jetson's counters of over-current throttling (`oc*_event_cnt`, Jetson Linux Developer Guide).
        `cooling_state`: the highest step by which the kernel slows a core down now, 0 for none, and `cooling_events`, how often it
        changed that step (https://docs.kernel.org/driver-api/thermal/sysfs-api.html).
    """
    cooling = [path.parent for path in paths(root, "sys/class/thermal/cooling_device*/type") if (text(path) or "").startswith(_CPU_COOLING)]
    states = [value for folder in cooling if (value := number(folder / "cur_state")) is not None]
    changes = [value for folder in cooling if (value := number(folder / "stats/total_trans")) is not None]
    thermal = numbers(root, "sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/*_throttle_count")
    current = numbers(root, "sys/class/hwmon/hwmon*/oc*_event_cnt")
    return {
        "bits": _bits(root),
        "thermal_events": sum(thermal) if thermal else None,
        "over_current_events": sum(current) if current else None,
        "cooling_state": max(states, default=None),
        "cooling_events": sum(changes) if changes else None,
    }


def words(bits: int | None) -> list[str] | None:
    """A Raspberry Pi's bits in words, e.g. `["under-voltage now", "throttled since boot"]`; None if it has none."""
    if bits is None:
        return None
    now = [f"{word} now" for bit, word in _BITS.items() if bits >> bit & 1]
    return now + [f"{word} since boot" for bit, word in _BITS.items() if bits >> bit + _SINCE_BOOT & 1]


def between(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool | None:
    """Whether the machine reports that it throttled between two states; None if it does not report that.

    A counter that moved and a state at either end prove it. Only what remembers, and sees what the firmware does on its own, rules it
    out: x86 counters that did not move, and a Raspberry Pi's bits that nothing had set since boot. The kernel's cooling devices and
    over-current counters notice a part of it, so an unchanged count proves nothing.
    """
    reported = _by_bits(before.get("bits"), after.get("bits")), _moved(before, after, "thermal_events")
    partly = [_moved(before, after, name) for name in ("over_current_events", "cooling_events")]
    if True in reported or True in partly or before.get("cooling_state") or after.get("cooling_state"):
        return True
    return False if False in reported else None


def _by_bits(before: int | None, after: int | None) -> bool | None:
    if before is None or after is None:
        return None
    if (before | after) & _SLOWER or (after & ~before) >> _SINCE_BOOT & _SLOWER:
        return True
    return None if before >> _SINCE_BOOT & _SLOWER else False


def _moved(before: Mapping[str, Any], after: Mapping[str, Any], name: str) -> bool | None:
    counted = before.get(name), after.get(name)
    return None if None in counted else counted[0] != counted[1]


def _bits(root: Path) -> int | None:
    """From the firmware's file (hexadecimal without a prefix), else from its command, which prints `throttled=0x50005`."""
    for path in paths(root, "sys/devices/platform/soc*/*:firmware/get_throttled"):
        return number(path, 16)
    command = vcgencmd() if root == ROOT else None
    return whole(output(command, "get_throttled").rpartition("=")[2].strip(), 16) if command else None


@functools.cache
def vcgencmd() -> str | None:
    """The path of the firmware's command; searched once, because a reading must be cheap."""
    return shutil.which("vcgencmd")
