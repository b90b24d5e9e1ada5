"""What this computer is, as far as it changes numbers or latencies; read from the operating system, never guessed."""

from __future__ import annotations

import functools
import os
import platform
import re
import sys
from pathlib import Path
from typing import Any

_LIBRARIES = ("edgetl", "numpy", "pillow", "ai-edge-litert", "tflite-runtime", "onnxruntime", "openvino")
# Features that change int8 arithmetic or its speed, strongest first.
_ISA = ("avx512_vnni", "avx_vnni", "avx2", "i8mm", "asimddp", "asimd")


@functools.cache
def features() -> frozenset[str]:
    """The CPU's feature flags as Linux names them (`avx2`, `avx512_vnni`, `asimddp`, ...); empty where unreadable."""
    found = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", _read("/proc/cpuinfo"), re.MULTILINE)
    return frozenset(found.group(1).split()) if found else frozenset()


def instruction_set() -> str:
    """The architecture and its strongest int8 feature, e.g. `x86_64 avx512_vnni`, `x86_64 avx2`, `aarch64 asimddp`."""
    strongest = next((name for name in _ISA if name in features()), "")
    return f"{platform.machine()} {strongest}".strip()


def saturates_u8s8() -> bool:
    """Whether U8S8 integer products saturate: x86 without VNNI adds pairs in 16 bits (`vpmaddubsw`, Intel SDM vol. 2)."""
    return is_x86() and not features() & {"avx512_vnni", "avx_vnni"}


def is_x86() -> bool:
    """Whether this is a 64-bit x86 processor, as Linux, macOS or Windows call it."""
    return platform.machine() in ("x86_64", "AMD64")


def cores() -> int:
    """The cores this process may use, count."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe() -> dict[str, Any]:
    """The machine for a record: board, CPU, features, cores, governor, temperature, load, versions and thread settings.

    Returns:
        A JSON-able dict; what cannot be read is None, as is `emulated` on a real machine (an emulator sets EDGETL_EMULATED).
        Temperatures are in degrees Celsius, memory in bytes, frequencies in kHz.
    """
    cpuinfo = _read("/proc/cpuinfo")
    model = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(.*)$", cpuinfo, re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+) kB", _read("/proc/meminfo"), re.MULTILINE)
    return {
        "board": _read("/proc/device-tree/model").rstrip("\0\n") or _read("/sys/class/dmi/id/product_name").strip() or None,
        "cpu": model.group(1) if model else platform.processor() or None,
        "architecture": platform.machine(),
        "instruction_set": instruction_set(),
        "features": sorted(features()),
        "emulated": os.environ.get("EDGETL_EMULATED"),
        "cores": cores(),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").strip() or None,
        "frequency_khz": _number("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq"),
        "temperature_c": temperature(),
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "memory_bytes": int(memory.group(1)) * 1024 if memory else None,
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "libraries": {name: version for name in _LIBRARIES if (version := _version(name))},
        "environment": {name: value for name, value in sorted(os.environ.items()) if name.startswith(("OMP_", "OPENBLAS_", "MKL_"))},
    }


def temperature() -> float | None:
    """The hottest thermal zone now, degrees Celsius; None where there is none."""
    zones = [_number(str(path)) for path in Path("/sys/class/thermal").glob("thermal_zone*/temp")]
    known = [value / 1000 for value in zones if value is not None]
    return max(known) if known else None


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def _number(path: str) -> int | None:
    text = _read(path).strip()
    return int(text) if text.lstrip("-").isdigit() else None


def _version(name: str) -> str | None:
    from importlib import metadata  # it brings the email package along, a third of what `import edgetl` would cost

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
