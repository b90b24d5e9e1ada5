"""The facts about this computer that change numbers or thread counts; read from the operating system, never guessed."""

from __future__ import annotations

import functools
import os
import platform
import re
from pathlib import Path

from edgetl.machine.files import ROOT, text

# Features that change int8 arithmetic or its speed, strongest first.
_ISA = ("avx512_vnni", "avx_vnni", "avx2", "i8mm", "asimddp", "asimd")


@functools.cache
def features(root: Path = ROOT) -> frozenset[str]:
    """The CPU's feature flags as Linux names them (`avx2`, `avx512_vnni`, `asimddp`, ...); empty if unreadable."""
    match = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", text(root / "proc/cpuinfo") or "", re.MULTILINE)
    return frozenset(match.group(1).split()) if match else frozenset()


def instruction_set(root: Path = ROOT) -> str:
    """The architecture and its strongest int8 feature, e.g. `x86_64 avx512_vnni`, `x86_64 avx2`, `aarch64 asimddp`."""
    strongest = next((name for name in _ISA if name in features(root)), "")
    return f"{platform.machine()} {strongest}".strip()


def saturates_u8s8(root: Path = ROOT) -> bool:
    """Whether U8S8 integer products saturate: x86 without VNNI adds pairs in 16 bits (`vpmaddubsw`, Intel SDM vol. 2)."""
    return is_x86() and not features(root) & {"avx512_vnni", "avx_vnni"}


def is_x86() -> bool:
    """Whether this is a 64-bit x86 processor, as Linux, macOS or Windows call it."""
    return platform.machine() in ("x86_64", "AMD64")


def cores() -> int:
    """The cores this process may use, count."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
