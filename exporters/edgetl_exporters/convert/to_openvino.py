"""OpenVINO IR by OpenVINO's own ONNX frontend; int8 from the QDQ model of ONNX Runtime's quantiser (docs/evidence/int8-quantisers.md)."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgetl_exporters.quiet import quiet


def export(model: bytes, *, compress: bool = False) -> Mapping[str, bytes]:
    """Converts an ONNX model to `model.xml` and `model.bin`.

    Args:
        model: the ONNX model.
        compress: store the weights as float16.
    """
    with quiet(), tempfile.TemporaryDirectory() as folder:
        openvino, graph = library(), Path(folder) / "model.xml"
        openvino.save_model(openvino.Core().read_model(model), graph, compress_to_fp16=compress)
        return {name: (Path(folder) / name).read_bytes() for name in ("model.xml", "model.bin")}


def library() -> Any:
    """Imports OpenVINO without its telemetry.

    OpenVINO sends usage data at its import unless the user opted out; it works without the package that sends them, so that one is blocked.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None is how Python marks a module that must not load
    import openvino

    return openvino
