"""Runs in a process of its own (see child.py): compiles a QDQ model for a Qualcomm NPU and emulates it.

https://github.com/onnxruntime/onnxruntime-qnn/blob/main/docs/execution_providers/QNN-ExecutionProvider.md
"""

import json
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import onnxruntime
import onnxruntime_qnn
import safetensors.numpy

EP = "QNNExecutionProvider"
folder = Path(sys.argv[1])
settings = json.loads((folder / "settings.json").read_text())
model = folder / "model.onnx"
onnxruntime.register_execution_provider_library(EP, onnxruntime_qnn.get_library_path())
devices = [device for device in onnxruntime.get_ep_devices() if device.ep_name == EP]
exact = onnxruntime.SessionOptions()
exact.add_session_config_entry("session.x64quantprecision", "1")  # as edgetl's own adapter: no saturation on x86 without VNNI
on_cpu = onnxruntime.InferenceSession(model, exact, providers=["CPUExecutionProvider"])
(image,) = on_cpu.get_inputs()
batch = image.shape[0]


def options(**entries: str) -> Any:
    """Session options with the chip's NPU; an entry's `.` is written `__`."""
    result = onnxruntime.SessionOptions()
    result.log_severity_level = 4
    result.intra_op_num_threads = settings["threads"]
    result.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if isinstance(batch, str):  # an NPU has no free sizes
        result.add_free_dimension_override_by_name(batch, 1)
    for name, value in entries.items():
        result.add_session_config_entry(name.replace("__", "."), value)
    provider = {
        "backend_path": onnxruntime_qnn.get_qnn_htp_path(),
        "htp_arch": settings["htp_arch"],
        "soc_model": settings["soc_model"],
        "enable_framework_op_trace": "1",
        "framework_op_trace_dir": str(folder),
    }
    result.add_provider_for_devices(devices, provider)
    return result


def embed(session: Any, tensors: Any) -> Any:
    """Embeddings of tensors uint8 [n, h, w, 3], one at a time."""
    return np.concatenate([session.run(None, {image.name: tensor[None]})[0] for tensor in tensors])


try:
    onnxruntime.InferenceSession(model, options(session__disable_cpu_ep_fallback="1"))
    whole = True
except Exception as error:
    if "fallback to CPU EP has been explicitly disabled" not in str(error):
        sys.exit(f"onnxruntime-qnn does not compile it: {error}")
    whole = False
start = perf_counter()
session = onnxruntime.InferenceSession(
    model, options(ep__context_enable="1", ep__context_embed_mode="0", ep__context_file_path=str(folder / "context.onnx"))
)
compiled = perf_counter() - start
trace = json.loads((folder / "qnn_op_trace.json").read_text())
binaries = list(folder.glob("*.bin"))
if not binaries:
    left = trace["unsupported_nodes"][0]
    sys.exit(f"nothing of it runs on the NPU: {left['op_type']} {left['node_name']}: {left['reason']}")
tensors = safetensors.numpy.load_file(folder / "tensors.safetensors")["tensors"]
start = perf_counter()
embeddings = embed(session, tensors)
seconds = (perf_counter() - start) / len(embeddings)
safetensors.numpy.save_file({"embeddings": embeddings, "cpu": embed(on_cpu, tensors)}, folder / "embeddings.safetensors")
report = {
    "changes": [f"batch {batch!r} fixed to 1 by the session"] if isinstance(batch, str) else [],
    "whole_on_npu": whole,
    "nodes_on_npu": trace["summary"]["supported_nodes"],
    "nodes": trace["summary"]["total_onnx_nodes"],
    "on_cpu": [{"operator": node["op_type"], "name": node["node_name"], "reason": node["reason"]} for node in trace["unsupported_nodes"]],
    "npu_graphs": trace["summary"]["qnn_subgraphs"],
    "context_bytes": sum(path.stat().st_size for path in binaries),
    "compile_seconds": compiled,
    "seconds_per_photo": seconds,
}
(folder / "report.json").write_text(json.dumps(report))
