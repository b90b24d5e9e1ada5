"""Versions of edgetl and of what is installed with it, and the build of the library in use."""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path
from typing import Any

from edgetl.machine.files import output, there

_LIBRARIES = (
    "edgetl", "numpy", "pillow", "ai-edge-litert", "tflite-runtime", "onnxruntime", "onnxruntime-gpu", "onnxruntime-qnn", "openvino",
)  # fmt: skip
_PACKAGE = Path(__file__).parents[1]
STAMP = "machine/version.txt"
"""In the package of a wheel that was built from a checkout: what :func:`version` returned there."""


def installed() -> dict[str, str]:
    """Distribution -> version of what edgetl runs on, from their metadata; nothing is imported."""
    return {name: version for name in _LIBRARIES if (version := distribution(name))}


def version(package: Path = _PACKAGE) -> str:
    """edgetl's version; with the commit, and whether the package was changed since, if it runs from a checkout.

    Returns:
        `0.1.0`, `0.1.0 (git 77719ba)` or `0.1.0 (git 77719ba, changed)`.
    """
    release, checkout = distribution("edgetl") or "unknown", package.parent
    if there(package / STAMP):
        return (package / STAMP).read_text()
    if not there(checkout / ".git"):
        return release
    commit = _git(checkout, "rev-parse", "--short", "HEAD")
    changed = _git(checkout, "status", "--porcelain", "--", package.name)
    return f"{release} (git {commit}{', changed' if changed else ''})" if commit else release


def details(family: str) -> dict[str, Any]:
    """The builds of numpy and of a runtime family's library, JSON-able; imports them, so it is for the process that uses them.

    Returns:
        `blas`: numpy's, with its configuration. Of onnxruntime `build` and `providers`; of openvino `build`, `devices` and, by device,
        `capabilities` (`BF16`, `INT8`, ...). Empty for a family that reports nothing.
    """
    describe = {"onnxruntime": _onnxruntime, "openvino": _openvino}.get(family)
    return {"blas": _blas(), **(describe() if describe else {})}


def _blas() -> str | None:
    import numpy

    try:
        blas = numpy.show_config(mode="dicts")["Build Dependencies"]["blas"]
    except (TypeError, KeyError):  # a numpy before 1.26 has no dicts
        return None
    return str(blas.get("openblas configuration") or f"{blas.get('name')} {blas.get('version')}")


def _onnxruntime() -> dict[str, Any]:
    import onnxruntime

    return {"build": onnxruntime.get_build_info(), "providers": onnxruntime.get_available_providers()}


def _openvino() -> dict[str, Any]:
    import openvino

    core = openvino.Core()
    devices = {name: str(core.get_property(name, "FULL_DEVICE_NAME")) for name in core.available_devices}
    able = {name: list(map(str, core.get_property(name, "OPTIMIZATION_CAPABILITIES"))) for name in devices}
    return {"build": openvino.get_version(), "devices": devices, "capabilities": able}


def distribution(name: str) -> str | None:
    """The version of an installed distribution; None if it is not installed, e.g. run from its folder."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _git(folder: Path, *arguments: str) -> str:
    """Git's answer about this folder, whatever repository the environment names (as it does within a hook)."""
    return output("git", "--git-dir", os.fspath(folder / ".git"), "--work-tree", os.fspath(folder), *arguments).strip()
