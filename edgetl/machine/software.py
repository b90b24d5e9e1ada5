"""The software under a measurement: the system, Python, and the settings that libraries take from the environment."""

from __future__ import annotations

import os
import platform
import re
import sys
from pathlib import Path
from typing import Any

from edgetl.machine.files import ROOT, number, text, word
from edgetl.machine.processor import ranges

_VARIABLES = (
    "OMP_", "GOMP_", "KMP_", "OPENBLAS_", "GOTO_", "MKL_", "BLIS_", "VECLIB_", "NUMEXPR_", "ORT_", "OV_", "OPENVINO_", "ONEDNN_", "DNNL_",
    "TF_ENABLE_", "TF_NUM_", "TF_XLA_", "TFLITE_", "XNNPACK", "EDGETL_", "CUDA_", "LD_PRELOAD", "LD_BIND_NOW", "MALLOC_", "GLIBC_TUNABLES",
    "PYTHONMALLOC", "PYTHONHASHSEED", "PYTHONDONTWRITEBYTECODE", "PYTHONOPTIMIZE", "PYTHONDEVMODE",
)  # fmt: skip
_PRIVATE = re.compile(r"[^\s:;,=]*/|(?<=GPU-)[0-9a-f-]{36}")  # the folders of a path, and a card's own number
_FLAVOUR = re.compile(
    r"\d+k?|rc\d+|rt\d*|rpt|rpi|raspi|v[78]l?|tegra|generic|hwe|lowlatency|cloud|kvm|aws|azure|gcp|oracle|amd64|arm64|armmp|x86|perf|gki|"
    r"android\d*|ab\d+|g[0-9a-f]{7,12}|dirty|el\d+|fc\d+|amzn\d*|arch\d*|lts|zen|hardened|preempt|microsoft|standard|WSL2|linuxkit|yocto|rockchip|"
    r"rk\d+|sunxi|meson|qcom|imx"
)
_SECRET = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|_KEY")


def describe(root: Path = ROOT) -> dict[str, Any]:
    """The system and Python, JSON-able; None for what they do not report.

    Returns:
        `os`: its name and version. `kernel` and `kernel_build` (`SMP PREEMPT_RT ...`). `libc`. `system`: all three in one line.
        `python`: its version, and `python_build`: implementation, compiler, whether it was built with `--enable-optimizations` and with
        link-time optimisation, and whether there is a global lock. `affinity`: the cores this process may use, e.g. `0-3`.
        `hugepages`: the policy for transparent ones. `aslr`: 0 none, 1, 2 full. `environment`: see :func:`environment`.
    """
    return {
        "os": _os(root),
        "kernel": release(word(root / "proc/sys/kernel/osrelease") or platform.release()) or None,
        "kernel_build": word(root / "proc/sys/kernel/version") or platform.version() or None,
        "libc": " ".join(platform.libc_ver()).strip() or None,
        "system": platform.platform().replace(platform.release(), release(platform.release())),
        "python": sys.version.split()[0],
        "python_build": _build(),
        "affinity": ranges(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else None,
        "hugepages": _chosen(text(root / "sys/kernel/mm/transparent_hugepage/enabled")),
        "aslr": number(root / "proc/sys/kernel/randomize_va_space"),
        "environment": environment(),
    }


def release(name: str) -> str:
    """A kernel's release without its builder's own suffix: the numbers, and the names of known flavours such as `generic`."""
    first, *parts = re.split(r"(?=[-+_.])", name)
    return first + "".join(part for part in parts if _FLAVOUR.fullmatch(part[1:]))


def environment() -> dict[str, str]:
    """The variables that libraries, the allocator and edgetl read; of a path its last part, of a secret only that it is set."""
    chosen = {name: value for name, value in sorted(os.environ.items()) if name.startswith(_VARIABLES)}
    return {name: "(set)" if _SECRET.search(name) else _PRIVATE.sub("", value) for name, value in chosen.items()}


def _os(root: Path) -> str | None:
    content = text(root / "etc/os-release") or text(root / "usr/lib/os-release") or ""
    match = re.search(r"^PRETTY_NAME=[\"']?(.*?)[\"']?$", content, re.MULTILINE)
    return match.group(1) if match else None


def _build() -> dict[str, Any]:
    import sysconfig

    flags = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    return {
        "implementation": platform.python_implementation(),
        "compiler": platform.python_compiler(),
        "optimised": "--enable-optimizations" in flags,
        "lto": "--with-lto" in flags,
        "debug": hasattr(sys, "gettotalrefcount"),
        "global_lock": not sysconfig.get_config_var("Py_GIL_DISABLED"),
    }


def _chosen(options: str | None) -> str | None:
    """The one in brackets of `always [madvise] never`."""
    match = re.search(r"\[(\w+)\]", options or "")
    return match.group(1) if match else None
