"""How busy and hot the machine is at one moment, read before and after a measurement; cheap, and None for what cannot be read."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgetl.machine import cgroup, throttle
from edgetl.machine.files import ROOT, number, numbers, paths, text

_CPU = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")  # of /proc/stat, see proc(5)
_SPENT = ("user", "system", "idle", "iowait", "steal")  # of a reading's `cpu`
_TROUBLE = 0.1  # s; three clocks are read one after the other, and a loaded machine may do something else in between


def reading(root: Path = ROOT) -> dict[str, Any]:
    """The machine at this moment; JSON-able.

    Returns:
        `monotonic_ns`, `boottime_ns` (goes on while suspended), `wall_ns`: the three clocks, for :func:`clock_trouble`.
        `load_average`: of 1, 5 and 15 minutes.
        `cpu`: jiffies since boot of all cores together: `user`, `system`, `idle`, `iowait`, `steal`, for :func:`between`.
        `own_seconds`: CPU time of this process and of those it started and waited for, s.
        `temperature_c`: the hottest zone, degrees Celsius.
        `frequency_khz`: of the slowest core now. It proves no throttling: an idle core is slow, turbo comes and goes,
        and a Raspberry Pi reports what was requested, not what the firmware allowed (https://github.com/raspberrypi/linux/issues/2986).
        `memory_available_bytes`: available without swapping.
        `quota_waits`: :func:`edgetl.machine.cgroup.waits`.
        `throttle`: :func:`edgetl.machine.throttle.state`.
    """
    own = os.times()
    return {
        **_clocks(),
        "load_average": load(root),
        "cpu": _jiffies(root),
        "own_seconds": round(own.user + own.system + own.children_user + own.children_system, 2),
        "temperature_c": max(temperatures(root).values(), default=None),
        "frequency_khz": min(numbers(root, "sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq"), default=None),
        "memory_available_bytes": memory(root, "MemAvailable"),
        "quota_waits": cgroup.waits(root),
        "throttle": throttle.state(root),
    }


def between(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, float | None]:
    """What the processor did between two readings, as shares of all cores' time from 0 to 1.

    Returns:
        `seconds` by the monotonic clock; `busy` (user and system), `iowait`, `steal` (the hypervisor gave it to another guest) and
        `others`: busy with something else than this process and its children; and `quota_waits`, how often this process's group had used
        up its CPU quota, count. None if unreadable, or no jiffy passed.
    """
    passed, own, waits = (_grown(before, after, name) for name in ("monotonic_ns", "own_seconds", "quota_waits"))
    shares: dict[str, float | None] = dict.fromkeys(("busy", "iowait", "steal", "others"))
    spent = {name: _grown(before.get("cpu") or {}, after.get("cpu") or {}, name) or 0 for name in _SPENT}
    if (total := sum(spent.values())) > 0:
        busy = spent["user"] + spent["system"]
        parts = {"busy": busy, "iowait": spent["iowait"], "steal": spent["steal"]}
        parts |= {} if own is None else {"others": busy - own * os.sysconf("SC_CLK_TCK")}
        shares |= {name: round(max(0.0, part / total), 4) for name, part in parts.items()}
    return {"seconds": None if passed is None else round(passed / 1e9, 3), **shares, "quota_waits": waits}


def throttled(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool | None:
    """Whether the machine reports that it throttled between two readings; None if it does not report that.

    Frequencies do not count: under any governor an idle core may read low, x86 lowers turbo as more cores work, and if heat or
    voltage lowers a frequency, firmware bits, event counters or a cooling device report it (:func:`edgetl.machine.throttle.between`).
    """
    return throttle.between(before.get("throttle") or {}, after.get("throttle") or {})


def clock_trouble(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """What went wrong with the clocks between two readings, in a sentence; empty if nothing did.

    NTP slews the wall clock and the monotonic one alike, so that they part only by a step (clock_gettime(2)).
    """
    monotonic, boottime, wall = (_grown(before, after, f"{name}_ns") for name in ("monotonic", "boottime", "wall"))
    if monotonic is None or wall is None:
        return ""
    if monotonic < 0:
        return f"the monotonic clock ran backwards by {-monotonic / 1e9:.1f} s: the machine was restarted in between"
    asleep = 0.0 if boottime is None else (boottime - monotonic) / 1e9
    jumped = (wall - monotonic) / 1e9 - asleep
    problems = [f"the machine was suspended for {asleep:.1f} s"] if asleep > _TROUBLE else []
    problems += [f"the wall clock jumped {'ahead' if jumped > 0 else 'back'} by {abs(jumped):.1f} s"] if abs(jumped) > _TROUBLE else []
    return " and ".join(problems)


def temperatures(root: Path = ROOT) -> dict[str, float]:
    """Thermal zone's type -> degrees Celsius now; of several zones of one type the hottest."""
    zones: dict[str, float] = {}
    for path in paths(root, "sys/class/thermal/thermal_zone*/temp"):
        millidegrees, kind = number(path), text(path.parent / "type") or path.parent.name
        if millidegrees is not None:
            zones[kind] = max(zones.get(kind, millidegrees / 1000), millidegrees / 1000)
    return zones


def memory(root: Path, name: str) -> int | None:
    """An entry of /proc/meminfo, bytes."""
    match = re.search(rf"^{name}:\s*(\d{{1,15}}) kB", text(root / "proc/meminfo") or "", re.MULTILINE)
    return int(match.group(1)) * 1024 if match else None


def load(root: Path = ROOT) -> list[float] | None:
    """The load averages of 1, 5 and 15 minutes; None if unreadable."""
    try:
        return [float(value) for value in (text(root / "proc/loadavg") or "").split()[:3]] or None
    except ValueError:
        return None


def _clocks() -> dict[str, int | None]:
    boottime = time.clock_gettime_ns(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else None
    return {"monotonic_ns": time.monotonic_ns(), "boottime_ns": boottime, "wall_ns": time.time_ns()}


def _grown(before: Mapping[str, Any], after: Mapping[str, Any], name: str) -> Any:
    """By how much a number has grown; None if a reading lacks it."""
    values: tuple[Any, Any] = before.get(name), after.get(name)
    return None if None in values else values[1] - values[0]


def _jiffies(root: Path) -> dict[str, int] | None:
    """CPU time of all cores since boot, in jiffies. Guest time is left out: user time includes it (proc(5))."""
    match = re.match(r"cpu" + r"\s+(\d{1,20})" * len(_CPU), text(root / "proc/stat") or "")
    if not match:
        return None
    spent = dict(zip(_CPU, map(int, match.groups())))
    return {
        "user": spent["user"] + spent["nice"],
        "system": spent["system"] + spent["irq"] + spent["softirq"],
        **{name: spent[name] for name in ("idle", "iowait", "steal")},
    }
