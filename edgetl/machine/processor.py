"""The processor: its name, its clusters of equal cores with their frequencies, and the kernel's settings for them."""

from __future__ import annotations

import platform
import re
from pathlib import Path
from typing import Any

from edgetl.machine.files import ROOT, number, paths, text, whole, word

# "CPU part" of Arm Ltd's cores, implementer 0x41 (Arm, Technical Reference Manuals, register MIDR_EL1).
_ARM = {
    0xC07: "Cortex-A7", 0xC0F: "Cortex-A15", 0xD03: "Cortex-A53", 0xD04: "Cortex-A35", 0xD05: "Cortex-A55", 0xD07: "Cortex-A57",
    0xD08: "Cortex-A72", 0xD09: "Cortex-A73", 0xD0A: "Cortex-A75", 0xD0B: "Cortex-A76", 0xD0C: "Neoverse-N1", 0xD40: "Neoverse-V1",
    0xD41: "Cortex-A78", 0xD42: "Cortex-A78AE", 0xD44: "Cortex-X1", 0xD46: "Cortex-A510", 0xD47: "Cortex-A710", 0xD49: "Neoverse-N2",
    0xD4D: "Cortex-A715", 0xD4F: "Neoverse-V2", 0xD80: "Cortex-A520", 0xD81: "Cortex-A720",
}  # fmt: skip
_CPU = "sys/devices/system/cpu"


def describe(root: Path = ROOT) -> dict[str, Any]:
    """The processor, JSON-able; None for what Linux does not report.

    Returns:
        `cpu`: its name. `machine_cores`: online, count. `clusters`: see :func:`clusters`. `governor`: of all clusters, one after the other
        if they differ. `turbo`: whether frequencies above the nominal one are allowed. `smt`: `on`, `off`, `notsupported`, ...
        `isolated`: cores that the scheduler leaves alone, e.g. `2-3`.
    """
    groups = clusters(root)
    governors = dict.fromkeys(group["governor"] for group in groups if group["governor"])
    return {
        "cpu": name(root),
        "machine_cores": online(root),
        "clusters": groups,
        "governor": ", ".join(governors) or None,
        "turbo": turbo(root),
        "smt": word(root / _CPU / "smt/control"),
        "isolated": word(root / _CPU / "isolated"),
    }


def name(root: Path = ROOT) -> str | None:
    """The processor's name; on Arm, whose kernel reports numbers only, its cores' names: `Cortex-A55 and Cortex-A76`."""
    cpuinfo = text(root / "proc/cpuinfo") or ""
    if match := re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE):
        return match.group(1).strip()
    parts = re.findall(r"^CPU implementer\s*:\s*0x41$.*?^CPU part\s*:\s*(0x[0-9a-f]{1,4})$", cpuinfo, re.MULTILINE | re.DOTALL)
    cores = dict.fromkeys(_ARM.get(int(part, 16), f"Arm part {part}") for part in sorted(parts))
    hardware = re.search(r"^Hardware\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return " and ".join(cores) or (hardware.group(1).strip() if hardware else platform.processor() or None)


def clusters(root: Path = ROOT) -> list[dict[str, Any]]:
    """Groups of cores that share a clock (https://docs.kernel.org/admin-guide/pm/cpufreq.html); empty if frequencies are not reported.

    Returns:
        Of each: `cores` (`0-3`), `min_khz` and `max_khz` of the hardware, `low_khz` and `high_khz` that are allowed now (equal if the
        clock is pinned, as by `jetson_clocks`), `now_khz`, `governor` and `driver`. Equal x86 cores with a clock each are one group, whose
        `now_khz` is the slowest's.
    """
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    for folder in sorted(paths(root, f"{_CPU}/cpufreq/policy[0-9]*"), key=lambda path: (len(path.name), path.name)):
        limits = {
            "min_khz": number(folder / "cpuinfo_min_freq"), "max_khz": number(folder / "cpuinfo_max_freq"),
            "low_khz": number(folder / "scaling_min_freq"), "high_khz": number(folder / "scaling_max_freq"),
            "governor": word(folder / "scaling_governor"), "driver": word(folder / "scaling_driver"),
        }  # fmt: skip
        members = _cores(word(folder / "related_cpus") or folder.name.removeprefix("policy"))
        alone = tuple(limits.values()) if len(members) == 1 else (folder.name,)
        group = groups.setdefault(alone, {"cores": [], **limits, "now_khz": None})
        group["cores"] += members
        now = [value for value in (group["now_khz"], number(folder / "scaling_cur_freq")) if value is not None]
        group["now_khz"] = min(now, default=None)
    return [{**group, "cores": ranges(group["cores"])} for group in groups.values()]


def online(root: Path = ROOT) -> int | None:
    """The machine's cores that are switched on, count, including those that this process may not use."""
    line = word(root / _CPU / "online") or ""
    spans = [span.split("-") for span in line.split(",") if re.fullmatch(r"\d{1,5}(-\d{1,5})?", span)]
    return sum(int(span[-1]) - int(span[0]) + 1 for span in spans) or None


def turbo(root: Path = ROOT) -> bool | None:
    """Whether the processor may exceed its nominal frequency: Intel's driver reports when it may not, the others when they may."""
    forbidden, allowed = number(root / _CPU / "intel_pstate/no_turbo"), number(root / _CPU / "cpufreq/boost")
    if forbidden is not None:
        return forbidden == 0
    return None if allowed is None else allowed == 1


def ranges(cores: list[int]) -> str:
    """Core numbers as the kernel writes them, e.g. `0-3,6`."""
    spans: list[list[int]] = []
    for core in sorted(cores):
        if spans and core == spans[-1][1] + 1:
            spans[-1][1] = core
        else:
            spans.append([core, core])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)


def _cores(line: str) -> list[int]:
    """The numbers in a policy's list, which is separated by spaces."""
    return [core for part in line.split() if (core := whole(part)) is not None]
