"""Arm Ethos-U (i.MX93 and microcontrollers): the Vela compiler's report on a full-integer TFLite model.

The model is not run, because Vela's output needs the NPU, and no document promises that it equals TFLite's reference kernels bit by bit; so
no cosine is given. Cycles, times and memory are Vela's own estimates for its default system of each NPU; real boards differ
(https://pypi.org/project/ethos-u-vela/: "performance estimates (EXPERIMENTAL)").
"""

from __future__ import annotations

import collections
import csv
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from edgetl.bundle.bundle import Bundle
from edgetl.bundle.proofs import Proof
from edgetl.errors import ExportError, RuntimeUnavailable
from edgetl_exporters.targets.job import ProofJob

NPUS = ("ethos-u55-128", "ethos-u55-256", "ethos-u65-256", "ethos-u65-512", "ethos-u85-256")
"""As Vela names its accelerator configurations; the NPU of NXP's i.MX93 is ethos-u65-256."""

_KIB = 1024
_TIMEOUT = 600
"""Seconds; EfficientNet-Lite0 takes 1.2 s (Vela 5.2)."""


class Ethos:
    """See :class:`edgetl_exporters.targets.ProofTarget`."""

    def cells(self, bundle: Bundle) -> Sequence[tuple[str, str]]:
        """The integer TFLite variants on every NPU, which computes only with integers."""
        variants = [v.name for v in bundle.variants.values() if v.format == "tflite" and v.precision == "int8"]
        return [(npu, variant) for npu in NPUS for variant in variants]

    def prove(self, job: ProofJob, target: str, variant: str) -> Proof:
        """Compiles it and reads Vela's report.

        Raises:
            RuntimeUnavailable: Vela is not installed.
            ExportError: Vela cannot compile the model.
        """
        try:
            version = metadata.version("ethos-u-vela")
        except metadata.PackageNotFoundError as error:
            raise RuntimeUnavailable(
                "ethos-u-vela is not installed; pip install 'edgetl[ethos]'", code="library-missing", library="ethos-u-vela"
            ) from error
        (model,) = job.bundle.model(job.bundle.variant(variant)).values()
        details = compile_for(target, model)
        return Proof(target, variant, f"ethos-u-vela {version}", "estimated", 0, None, None, None, details)


def compile_for(npu: str, model: bytes) -> dict[str, Any]:
    """Vela's report on a TFLite model.

    Returns:
        `npu_operators` and `cpu_operators` (type -> count), `sram_bytes`, `dram_bytes` and `flash_bytes` in use, `file_bytes` of the
        compiled model, `cycles`, `clock_hz`, `inference_seconds`, the `system` and `memory` that Vela assumed, and a `summary`.

    Raises:
        ExportError: `vela-failed`, with Vela's last output.
    """
    with tempfile.TemporaryDirectory(prefix="edgetl-") as scratch:
        folder = Path(scratch)
        (folder / "model.tflite").write_bytes(model)
        options = ["--accelerator-config", npu, "--output-dir", scratch, "--show-cpu-operations"]
        try:
            done = subprocess.run(
                [sys.executable, "-m", "ethosu.vela", str(folder / "model.tflite"), *options],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_TIMEOUT,
            )
        except subprocess.TimeoutExpired as error:
            raise ExportError(f"Vela was still compiling for {npu} after {_TIMEOUT} s", code="vela-failed", npu=npu) from error
        reports, compiled = list(folder.glob("*_summary_*.csv")), folder / "model_vela.tflite"
        if done.returncode or not reports or not compiled.exists():
            raise ExportError(
                f"Vela cannot compile it for {npu}: {(done.stderr.strip() or done.stdout.strip())[-600:]}", code="vela-failed", npu=npu
            )
        with reports[0].open(newline="") as opened:
            report = next(csv.DictReader(opened))
        size = compiled.stat().st_size
    on = {place: _operators(done.stdout, place) for place in ("NPU", "CPU")}
    sram, dram, flash = (_bytes(report, f"{name}_memory_used") for name in ("sram", "dram", "off_chip_flash"))
    seconds, clock, cycles = float(report["inference_time"]), float(report["core_clock"]), int(float(report["cycles_total"]))
    beside = f"DRAM {dram / 1e6:.2f} MB" if dram else f"flash {flash / 1e6:.2f} MB"
    summary = (
        f"{sum(on['NPU'].values())} operators on the NPU, {sum(on['CPU'].values())} on the CPU; SRAM {sram / 1e6:.2f} MB, {beside}; "
        f"{cycles / 1e6:.2f} M cycles, {1e3 * seconds:.1f} ms at {clock / 1e6:.0f} MHz (estimates)"
    )
    return {
        "summary": summary,
        "npu_operators": on["NPU"],
        "cpu_operators": on["CPU"],
        "sram_bytes": sram,
        "dram_bytes": dram,
        "flash_bytes": flash,
        "file_bytes": size,
        "cycles": cycles,
        "clock_hz": clock,
        "inference_seconds": seconds,
        "system": report["system_config"],
        "memory": report["memory_mode"],
    }


def _operators(report: str, place: str) -> dict[str, int]:
    return dict(collections.Counter(re.findall(rf"^\s*{place}: (\w+)", report, re.MULTILINE)))


def _bytes(report: dict[str, str], name: str) -> int:
    """Vela counts memory in KiB."""
    return round(float(report[name]) * _KIB)
