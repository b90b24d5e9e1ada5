"""The board: its maker's name for it, a Jetson's release and mode, and whether it is virtual or a container."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from edgetl.machine.files import ROOT, output, text, there, whole, word

_DMI = "sys/class/dmi/id"


def describe(root: Path = ROOT) -> dict[str, Any]:
    """The board, JSON-able; None for what it does not report, and never a serial number.

    Returns:
        `board`: the device tree's model, or DMI's vendor and product. `hypervisor`: what it runs under, `unnamed` if only the processor
        reports one. `container`: `docker`, `podman`, ... `jetson`: see :func:`jetson`.
    """
    return {
        "board": name(root),
        "hypervisor": hypervisor(root),
        "container": container(root),
        "jetson": jetson(root),
    }


def name(root: Path = ROOT) -> str | None:
    """What its maker calls it: `Raspberry Pi 5 Model B Rev 1.0`, `LENOVO 20XW00ABGE`, `Google Pixel 8`."""
    words = [word(root / _DMI / "sys_vendor"), word(root / _DMI / "product_name")]
    return word(root / "proc/device-tree/model") or " ".join(part for part in words if part) or (_phone() if root == ROOT else None)


def hypervisor(root: Path = ROOT) -> str | None:
    """What virtualises this machine; None on a real one, or if it hides."""
    named = word(root / "sys/hypervisor/type") or word(root / "proc/device-tree/hypervisor/compatible")
    flagged = re.search(r"^flags\s*:.*\bhypervisor\b", text(root / "proc/cpuinfo") or "", re.MULTILINE)
    return named or ("unnamed" if flagged else None)


def container(root: Path = ROOT) -> str | None:
    """What contains this process (https://systemd.io/CONTAINER_INTERFACE/); None if nothing reports one."""
    if there(root / ".dockerenv"):
        return "docker"
    if there(root / "run/.containerenv"):
        return "podman"
    return word(root / "run/systemd/container")


def jetson(root: Path = ROOT) -> dict[str, Any] | None:
    """A Jetson's release and power mode (Jetson Linux Developer Guide, nvpmodel); None elsewhere.

    Returns:
        `release`: of Jetson Linux, e.g. `R36.4.3`. `mode`: the power mode's name, or its number if its name is unknown.
    """
    release = re.match(r"# (R\d+) \(release\), REVISION: ([\d.]+)", text(root / "etc/nv_tegra_release") or "")
    mode = _mode(root)
    return {"release": ".".join(release.groups()) if release else None, "mode": mode} if release or mode else None


def _phone() -> str | None:
    """Android's name for the phone, whose /sys is not readable."""
    if "ANDROID_ROOT" not in os.environ:
        return None
    words = [output("getprop", f"ro.product.{what}").strip() for what in ("manufacturer", "model")]
    return " ".join(filter(None, words)) or None


def _mode(root: Path) -> str | None:
    """From the files that nvpmodel keeps, else from the command itself, which prints `NV Power Mode: MAXN`."""
    number = re.search(r"pmode:(\d{1,5})", text(root / "var/lib/nvpmodel/status") or "")
    if number is None:
        printed = re.search(r"NV Power Mode:\s*(\S+)", output("nvpmodel", "-q")) if root == ROOT else None
        return printed.group(1) if printed else None
    named = re.findall(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>", text(root / "etc/nvpmodel.conf") or "")
    return {whole(key): value for key, value in named}.get(int(number.group(1)), number.group(1))
