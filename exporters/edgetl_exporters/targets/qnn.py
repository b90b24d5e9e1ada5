"""Qualcomm NPUs (phones, RB3): compiled per chip and run on the x86 emulator that onnxruntime-qnn carries."""

from __future__ import annotations

import platform
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

from edgetl import machine
from edgetl.bundle.bundle import Bundle
from edgetl.bundle.proofs import Proof
from edgetl.errors import RuntimeUnavailable
from edgetl_exporters import parity
from edgetl_exporters.targets import child
from edgetl_exporters.targets.job import ProofJob

CHIPS: Mapping[str, tuple[str, str]] = {
    "qualcomm htp v68 qcs6490": ("68", "35"),
    "qualcomm htp v73 sm8550": ("73", "43"),
    "qualcomm htp v75 sm8650": ("75", "57"),
    "qualcomm htp v79 sm8750": ("79", "69"),
}
"""Target -> `htp_arch` and `soc_model`: RB3 Gen 2, Snapdragon 8 Gen 2, 8 Gen 3 and 8 Elite (`QNN_SOC_MODEL_*` of QAIRT's QnnTypes.h).

Without a chip the compiler compiles for a bare NPU of that generation, and failed on EfficientNet-Lite0 with error 1002 (version 2.7.0)."""


class Qnn:
    """See :class:`edgetl_exporters.targets.ProofTarget`."""

    def cells(self, bundle: Bundle) -> Sequence[tuple[str, str]]:
        """The integer ONNX variants on every chip: the NPU is for QDQ models; float runs in float16 or on the CPU."""
        variants = [v.name for v in bundle.variants.values() if v.format == "onnx" and v.precision == "int8"]
        return [(chip, variant) for chip in CHIPS for variant in variants]

    def prove(self, job: ProofJob, target: str, variant: str) -> Proof:
        """Compiles, emulates and compares with float and with onnxruntime on the CPU.

        Raises:
            RuntimeUnavailable: no emulator for this machine.
            ExportError: the model does not compile, or the emulator crashed.
        """
        version = _version()
        few = job.sample()
        (model,) = job.bundle.model(job.bundle.variant(variant)).values()
        arch, soc = CHIPS[target]
        settings = {"htp_arch": arch, "soc_model": soc, "threads": max(1, machine.cores() // 2)}
        embeddings, report = child.embed(Path(__file__).with_name("qnn_child.py"), {"model.onnx": model}, few.tensors, settings)
        beside = parity.measure(embeddings["cpu"], embeddings["embeddings"], 0.0)
        fallen = Counter(node["operator"] for node in report["on_cpu"])
        left = ", ".join(f"{n} {operator}" for operator, n in fallen.items()) or "none"
        summary = (
            f"{report['nodes_on_npu']} of {report['nodes']} nodes on the NPU, on the CPU: {left}; "
            f"cosine to onnxruntime on this CPU {beside.cosine_mean:.4f} (worst {beside.cosine_min:.4f}); "
            f"context binary {report['context_bytes'] / 1e6:.1f} MB"
        )
        details = {
            "summary": summary,
            "cosine_to_cpu": beside.cosine_mean,
            "cosine_to_cpu_min": beside.cosine_min,
            "neighbour_agreement_with_cpu": beside.neighbour_agreement,
            **report,
        }
        return few.proof(target, variant, f"onnxruntime-qnn {version} HTP emulator", "emulated", embeddings["embeddings"], details)


def _version() -> str:
    """The installed onnxruntime-qnn's.

    Raises:
        RuntimeUnavailable: it is not installed, or not for this machine.
    """
    if not machine.is_x86() or sys.platform != "linux":
        raise RuntimeUnavailable(
            f"the HTP emulator runs on x86-64 Linux; this is {sys.platform} on {platform.machine()}", code="emulator-missing"
        )
    if tuple(map(int, platform.python_version_tuple()[:2])) < (3, 11):
        raise _missing(f"onnxruntime-qnn needs Python 3.11 or newer; this is {platform.python_version()}")
    libc, libc_version = platform.libc_ver()
    if libc == "glibc" and tuple(map(int, libc_version.split(".")[:2])) < (2, 35):
        raise _missing(f"onnxruntime-qnn needs glibc 2.35 or newer; this is {libc_version}")
    try:
        return metadata.version("onnxruntime-qnn")
    except metadata.PackageNotFoundError as error:
        raise RuntimeUnavailable(
            "onnxruntime-qnn is not installed; pip install 'edgetl[qnn]'", code="library-missing", library="onnxruntime-qnn"
        ) from error


def _missing(reason: str) -> RuntimeUnavailable:
    return RuntimeUnavailable(reason, code="emulator-missing")
