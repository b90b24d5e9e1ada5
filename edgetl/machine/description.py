"""What this computer is, as far as it changes numbers or latencies; read from the operating system, never guessed."""

from __future__ import annotations

import os
import platform
import re
import sys
from pathlib import Path
from typing import Any

from edgetl.machine import sensors
from edgetl.machine.facts import cores, features, instruction_set
from edgetl.machine.files import ROOT, number, text

_LIBRARIES = ("edgetl", "numpy", "pillow", "ai-edge-litert", "tflite-runtime", "onnxruntime", "openvino")


def describe(root: Path = ROOT) -> dict[str, Any]:
    """The machine for a record: board, CPU, features, cores, governor, temperature, load, versions and thread settings.

    Returns:
        A JSON-able dict; what cannot be read is None, as is `emulated` on a real machine (an emulator sets EDGETL_EMULATED).
        Temperatures are in degrees Celsius, memory in bytes, frequencies in kHz.
    """
    cpuinfo = text(root / "proc/cpuinfo") or ""
    model = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(.*)$", cpuinfo, re.MULTILINE)
    return {
        "board": text(root / "proc/device-tree/model") or text(root / "sys/class/dmi/id/product_name"),
        "cpu": model.group(1) if model else platform.processor() or None,
        "architecture": platform.machine(),
        "instruction_set": instruction_set(root),
        "features": sorted(features(root)),
        "emulated": os.environ.get("EDGETL_EMULATED"),
        "cores": cores(),
        "governor": text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "frequency_khz": number(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq"),
        "temperature_c": max(sensors.temperatures(root).values(), default=None),
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "memory_bytes": sensors.memory(root, "MemTotal"),
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "libraries": {name: version for name in _LIBRARIES if (version := _version(name))},
        "environment": {name: value for name, value in sorted(os.environ.items()) if name.startswith(("OMP_", "OPENBLAS_", "MKL_"))},
    }


def _version(name: str) -> str | None:
    from importlib import metadata  # it brings the email package along, a third of what `import edgetl` would cost

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
