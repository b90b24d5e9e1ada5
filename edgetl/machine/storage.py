"""The storage under a folder: on a memory file system a durable write is free, on an SD card it takes most of the time of a training."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from edgetl.machine.files import ROOT, number, paths, text, there, word

_KINDS = {"nvme": "nvme", "vd": "virtio", "sd": "scsi", "zram": "zram", "loop": "loop", "md": "raid", "dm-": "device mapper", "xvd": "xen"}
# The options that change what a commit costs (ext4(5), f2fs, btrfs(5)); others may hold paths.
_OPTIONS = ("sync", "data=", "commit=", "barrier", "nobarrier", "discard", "noatime", "relatime", "fsync_mode=", "compress")


def describe(folder: Path, root: Path = ROOT) -> dict[str, Any] | None:
    """What a folder lies on, JSON-able; None if Linux does not report it.

    Returns:
        `file_system`: its type. `options`: of those that change the cost of a commit. `device`: the kernel's name of the disk, None without
        one, as under `tmpfs`. `kind`: `sd card`, `emmc`, `nvme`, `usb`, `sata`, `virtio`, ... `rotational`: whether it turns.
    """
    mounted = _mount(Path(os.path.realpath(folder)), root)
    if mounted is None:
        return None
    numbers, file_system, source, options = mounted
    disk = _disk(numbers, source, root)
    return {
        "file_system": file_system,
        "options": options,
        "device": disk.name if disk else None,
        "kind": _kind(disk) if disk else None,
        "rotational": None if disk is None or (turns := number(disk / "queue/rotational")) is None else turns == 1,
    }


def _mount(folder: Path, root: Path) -> tuple[str, str, str, list[str]] | None:
    """Device numbers, type, source and options of the mount that holds a folder (proc_pid_mountinfo(5)); the later of two at one point."""
    mounts = []
    for order, line in enumerate((text(root / "proc/self/mountinfo") or "").splitlines()):
        front, _, back = line.partition(" - ")
        left, right = front.split(), back.split()
        if len(left) < 6 or len(right) < 2:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal.group(1), 8)), left[4])
        if folder.is_relative_to(point):
            options = dict.fromkeys(option for option in ",".join([left[5], *right[2:3]]).split(",") if option.startswith(_OPTIONS))
            mounts.append((len(point), order, (left[2], right[0], right[1], list(options))))
    return max(mounts)[2] if mounts else None


def _disk(numbers: str, source: str, root: Path) -> Path | None:
    """The disk's folder in /sys, the first beneath a partition or a mapping; btrfs has numbers of its own, so its source is used."""
    device = root / "sys/dev/block" / numbers
    if not there(device) and source.startswith("/dev/"):
        device = root / "sys/class/block" / source.removeprefix("/dev/")
    if not there(device):
        return None
    device = Path(os.path.realpath(device))
    if there(device / "partition"):
        device = device.parent
    beneath = [Path(os.path.realpath(path)) for path in paths(device, "slaves/*")]
    return _whole(beneath[0]) if beneath else device


def _whole(device: Path) -> Path:
    return device.parent if there(device / "partition") else device


def _kind(disk: Path) -> str | None:
    if disk.name.startswith("mmcblk"):
        return {"SD": "sd card", "MMC": "emmc"}.get(word(disk / "device/type") or "", "mmc")
    if disk.name.startswith("sd"):
        return "usb" if re.search(r"/usb\d", str(disk)) else "sata" if re.search(r"/ata\d", str(disk)) else "scsi"
    return next((kind for prefix, kind in _KINDS.items() if disk.name.startswith(prefix)), None)
