"""Qualcomm NPUs (phones, RB3): compiled per chip and run on the x86 emulator that onnxruntime-qnn carries."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from edgetl import machine
from edgetl.bundle import Bundle
from edgetl.errors import ExportError, RuntimeUnavailable
from edgetl.types import Proof
from edgetl_exporters import parity
from edgetl_exporters.targets import child
from edgetl_exporters.targets.job import Job

CHIPS: Mapping[str, tuple[str, str]] = {
    "qualcomm htp v68 qcs6490": ("68", "35"),
    "qualcomm htp v73 sm8550": ("73", "43"),
    "qualcomm htp v75 sm8650": ("75", "57"),
    "qualcomm htp v79 sm8750": ("79", "69"),
}
"""Target -> `htp_arch` and `soc_model`: RB3 Gen 2, Snapdragon 8 Gen 2, 8 Gen 3 and 8 Elite. Without a chip the compiler takes a bare NPU of
that generation, and refused EfficientNet-Lite0 with 1002 (measured with 2.7.0). The numbers are `QNN_SOC_MODEL_*` of QAIRT's QnnTypes.h."""

_MOVES = ("Transpose", "Reshape", "Identity")
"""Operators that leave pixels what they are."""


class Qnn:
    """See :class:`edgetl_exporters.targets.Target`."""

    def cells(self, bundle: Bundle) -> Sequence[tuple[str, str]]:
        """The integer ONNX variants on every chip: the NPU is made for QDQ models, float becomes float16 or the CPU's work."""
        variants = [v.name for v in bundle.variants.values() if v.format == "onnx" and v.precision == "int8"]
        return [(chip, variant) for chip in CHIPS for variant in variants]

    def prove(self, job: Job, target: str, variant: str) -> Proof:
        """Compiles, emulates and compares with float and with onnxruntime on the CPU.

        Raises:
            RuntimeUnavailable: no emulator for this machine, or it crashed.
            ExportError: a model that no NPU takes.
        """
        version = _version()
        few = job.sample()
        (content,) = job.bundle.model(job.bundle.variant(variant)).values()
        model, changes = prepared(content)
        arch, soc = CHIPS[target]
        made, cpu, report = _emulate(model, few, {"htp_arch": arch, "soc_model": soc, "threads": max(1, machine.cores() // 2)})
        beside = parity.measure(cpu, made, 0.0)
        fallen = ", ".join(node["operator"] for node in report["on_cpu"]) or "none"
        summary = (
            f"{report['nodes_on_npu']} of {report['nodes']} nodes on the NPU, on the CPU: {fallen}; "
            f"cosine to onnxruntime on this CPU {beside.cosine_mean:.4f} (worst {beside.cosine_min:.4f}); "
            f"context binary {report['context_bytes'] / 1e6:.1f} MB"
        )
        details = {
            "summary": summary,
            "cosine_to_cpu": beside.cosine_mean,
            "cosine_to_cpu_min": beside.cosine_min,
            "neighbour_agreement_with_cpu": beside.neighbour_agreement,
            "changes": changes,
            **report,
        }
        return few.proof(target, variant, f"onnxruntime-qnn {version} HTP emulator", "emulated", made, details)


def prepared(model: bytes) -> tuple[bytes, list[str]]:
    """The model as the NPU takes it, and what was changed: the numbers that onnxruntime computes from it stay the same.

    The batch is fixed to 1. The cast that turns pixels into float is written as a DequantizeLinear with scale 1 and zero point 0: the
    emulator of v73, v75 and v79 computes a Cast from uint8 wrongly (cosine 0.07 instead of 0.998: EfficientNet-Lite0, 3 photos, 2.7.0).

    Raises:
        ExportError: its input is not a batch of images.
    """
    import onnx

    parsed = onnx.load_from_string(model)
    shape = parsed.graph.input[0].type.tensor_type.shape.dim
    if len(shape) != 4:
        raise ExportError(f"the model's input {parsed.graph.input[0].name!r} has {len(shape)} dimensions, expected [n, h, w, 3]")
    changes = [*_fix_batch(parsed.graph), *_replace_cast(parsed.graph)]
    return parsed.SerializeToString(), changes


def _fix_batch(graph: Any) -> Iterator[str]:
    if graph.input[0].type.tensor_type.shape.dim[0].dim_value != 1:
        for value in (*graph.input, *graph.output):
            value.type.tensor_type.shape.dim[0].dim_value = 1
        # What was inferred for a batch of any size would contradict it.
        del graph.value_info[:]
        yield "batch fixed to 1"


def _replace_cast(graph: Any) -> Iterator[str]:
    from onnx import TensorProto, helper, numpy_helper

    if graph.input[0].type.tensor_type.elem_type != TensorProto.UINT8:
        return
    pixels = {graph.input[0].name}
    for node in graph.node:
        if not pixels & set(node.input):
            continue
        if node.op_type in _MOVES:
            pixels |= set(node.output)
        elif node.op_type == "Cast" and helper.get_node_attr_value(node, "to") == TensorProto.FLOAT:
            scale, zero = numpy_helper.from_array(np.float32(1), "pixels_scale"), numpy_helper.from_array(np.uint8(0), "pixels_zero_point")
            graph.initializer.extend([scale, zero])
            node.CopyFrom(helper.make_node("DequantizeLinear", [node.input[0], scale.name, zero.name], node.output, name=node.name))
            yield "Cast of the pixels written as DequantizeLinear(scale 1, zero point 0)"
            return


def _emulate(model: bytes, job: Job, settings: Mapping[str, Any]) -> tuple[Any, Any, Mapping[str, Any]]:
    made, report = child.embed(Path(__file__).with_name("qnn_child.py"), {"model.onnx": model}, job.tensors, settings)
    return made["embeddings"], made["cpu"], report


def _version() -> str:
    """The installed onnxruntime-qnn's.

    Raises:
        RuntimeUnavailable: it is not installed, or not for this machine.
    """
    if platform.machine() not in ("x86_64", "AMD64") or sys.platform != "linux":
        raise RuntimeUnavailable(f"the HTP emulator runs on x86-64 Linux; this is {sys.platform} on {platform.machine()}")
    if tuple(map(int, platform.python_version_tuple()[:2])) < (3, 11):
        raise RuntimeUnavailable(f"onnxruntime-qnn needs Python 3.11 or newer; this is {platform.python_version()}")
    libc, libc_version = platform.libc_ver()
    if libc == "glibc" and tuple(map(int, libc_version.split(".")[:2])) < (2, 35):
        raise RuntimeUnavailable(f"onnxruntime-qnn needs glibc 2.35 or newer; this is {libc_version}")
    try:
        return metadata.version("onnxruntime-qnn")
    except metadata.PackageNotFoundError as error:
        raise RuntimeUnavailable("onnxruntime-qnn is not installed; pip install 'edgetl[qnn]'") from error
