"""The control group around this process: how much of the machine a container or a service may use, and how often it hit that limit."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from edgetl.machine.files import ROOT, number, text, whole

Number = TypeVar("Number", int, float)

_MOUNT = "sys/fs/cgroup"
_UNLIMITED = 1 << 60
"""Version 1 writes the largest number of pages if there is no limit."""


def describe(root: Path = ROOT) -> dict[str, float | int | None]:
    """The limits, None for no limit: `cpus`, cores' worth of time, and `memory_bytes`.

    Source: https://docs.kernel.org/admin-guide/cgroup-v2.html, https://docs.kernel.org/scheduler/sched-bwc.html (version 1).
    """
    cpus = [*_each(root, "", _quota), *_each(root, "cpu", _old_quota)]
    bytes_ = [
        *_each(root, "", lambda at: number(at / "memory.max")),
        *_each(root, "memory", lambda at: number(at / "memory.limit_in_bytes")),
    ]
    return {"cpus": min(cpus, default=None), "memory_bytes": min((most for most in bytes_ if most < _UNLIMITED), default=None)}


def waits(root: Path = ROOT) -> int | None:
    """Periods in which the CPU quota was used up before their end (`nr_throttled`), of this group and those around it; None without one."""
    counted = [*_each(root, "", _throttled), *_each(root, "cpu", _throttled)]
    return sum(counted) if counted else None


def _each(root: Path, controller: str, read: Callable[[Path], Number | None]) -> Iterator[Number]:
    """What `read` returns for this process's group and all around it; version 2 has one tree for all controllers, here named ""."""
    match = re.search(rf"^\d+:{f'[^:]*{controller}[^:]*' if controller else ''}:(.*)$", text(root / "proc/self/cgroup") or "", re.MULTILINE)
    if not match:
        return
    inner = [part for part in match.group(1).split("/") if part and part != ".."]  # what a container's own view hides is not mounted
    tree = root / _MOUNT / controller
    for depth in range(len(inner) + 1):
        value = read(tree.joinpath(*inner[:depth]))
        if value is not None:
            yield value


def _quota(folder: Path) -> float | None:
    quota, _, period = (text(folder / "cpu.max") or "").partition(" ")
    return _share(whole(quota), whole(period))


def _old_quota(folder: Path) -> float | None:
    return _share(number(folder / "cpu.cfs_quota_us"), number(folder / "cpu.cfs_period_us"))


def _share(quota: int | None, period: int | None) -> float | None:
    return round(quota / period, 3) if quota and period and quota > 0 else None


def _throttled(folder: Path) -> int | None:
    match = re.search(r"^nr_throttled (\d{1,20})$", text(folder / "cpu.stat") or "", re.MULTILINE)
    return int(match.group(1)) if match else None
