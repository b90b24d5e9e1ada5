"""Time per kind of operator, as the runtime's own profiler reports it: in which layers a model spends its time, and where they ran."""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgetl.bench.measuring.loop import Loop, Measured
from edgetl.bench.measuring.scenarios import litert_profiler
from edgetl.bench.measuring.stand import Stand
from edgetl.errors import BenchError
from edgetl.runtimes import litert
from edgetl.runtimes import onnxruntime as ort
from edgetl.runtimes import openvino as ov
from edgetl.types import Pixels

_WARM_UP = 8
OperatorTimes = Mapping[str, int]
"""Kind of operator, e.g. `Conv`, or kind and provider if that is not the requested one -> nanoseconds of one query."""


def operators(stand: Stand, loop: Loop) -> Measured:
    """A tensor -> its embedding, with the library's profiler: nanoseconds of each kind of operator, and their sum.

    The profiler takes time itself and a fused operator is named after its first one, so these are shares and not a latency to compare with
    `backbone`.

    Raises:
        BenchError: the runtime has no profiler.
    """
    family = stand.embedder.runtime.family
    profile = _PROFILES.get(family)
    if profile is None:
        message = f"{family} has no profiler in Python; {' and '.join(_PROFILES)} have one: measure another variant of the bundle"
        raise BenchError(message, code="no-profiler", family=family, available=list(_PROFILES))
    count = _WARM_UP + loop.queries
    tensors = [stand.tensors[number % len(stand.tensors)][None] for number in range(count)]
    queries = profile(stand, tensors, stand.folder)[_WARM_UP:]
    kinds = sorted({kind for times in queries for kind in times}, key=lambda kind: -sum(times.get(kind, 0) for times in queries))
    samples: dict[str | None, array[int]] = {None: array("q", (sum(times.values()) for times in queries))}
    samples |= {kind: array("q", (times.get(kind, 0) for times in queries)) for kind in kinds}
    return Measured(dict(samples), warm_up=_WARM_UP, note="by the library's profiler, which takes time itself: shares, not a latency")


def _onnxruntime(stand: Stand, tensors: Sequence[Pixels], folder: Path) -> Sequence[OperatorTimes]:
    """ONNX Runtime writes a trace in whole microseconds (https://onnxruntime.ai/docs/performance/tune-performance/profiling-tools.html)."""
    library, runtime = ort.library(), stand.embedder.runtime
    options = library.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = runtime.threads, 1, 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_profiling, options.profile_file_prefix = True, str(folder / "profile")
    model = next(iter(stand.embedder.bundle.model(stand.embedder.variant).values()))
    session = library.InferenceSession(model, options, providers=list(ort.EXECUTION[runtime.provider]))
    name = session.get_inputs()[0].name
    for tensor in tensors:
        session.run(None, {name: tensor})
    path = Path(session.end_profiling())
    events = json.loads(path.read_text())
    path.unlink()
    return read_trace(events, ort.EXECUTION[runtime.provider][0])


def read_trace(events: Sequence[Mapping[str, Any]], provider: str) -> list[OperatorTimes]:
    """A query's events lie between the beginnings of one `model_run` and the next.

    Args:
        events: of ONNX Runtime's profile, `ts` and `dur` in microseconds.
        provider: the requested execution provider; others are named beside the operator.
    """
    starts = sorted(round(event["ts"]) for event in events if event.get("name") == "model_run")
    times: list[Counter[str]] = [Counter() for _ in starts]
    for event in events:
        arguments = event.get("args")
        if event.get("cat") != "Node" or not str(event.get("name")).endswith("_kernel_time") or not isinstance(arguments, Mapping):
            continue
        number = sum(start <= round(event["ts"]) for start in starts) - 1
        where = str(arguments.get("provider", provider))
        kind = str(arguments.get("op_name")) + ("" if where == provider else f" on {where.removesuffix('ExecutionProvider')}")
        if number >= 0:
            times[number][kind] += 1000 * round(event["dur"])
    return list(times)


def _openvino(stand: Stand, tensors: Sequence[Pixels], folder: Path) -> Sequence[OperatorTimes]:
    """OpenVINO counts while it infers (https://docs.openvino.ai, performance counters)."""
    library, runtime = ov.library(), stand.embedder.runtime
    graph, *weights = stand.embedder.bundle.model(stand.embedder.variant).values()
    core, device = library.Core(), runtime.provider.upper()
    model = core.read_model(graph, weights[0]) if weights else core.read_model(graph)
    shape = model.input(0).partial_shape
    shape[0] = 1
    model.reshape(shape)
    settings = {**ov._settings(device, runtime.threads), "PERF_COUNT": True}
    request = core.compile_model(model, device, settings).create_infer_request()
    queries = []
    for tensor in tensors:
        request.infer([tensor])
        times: Counter[str] = Counter()
        for entry in request.profiling_info:
            times[entry.node_type] += round(entry.real_time.total_seconds() * 1e9)
        queries.append(Counter({kind: taken for kind, taken in times.items() if taken}))
    return queries


def _litert(stand: Stand, tensors: Sequence[Pixels], folder: Path) -> Sequence[OperatorTimes]:
    """LiteRT's profiler counts in whole microseconds; the model is compiled for XNNPACK, as the adapter's is unless it is `builtin`."""
    runtime: Any = stand.embedder.runtime
    if runtime.provider != "xnnpack":
        message = f"LiteRT's profiler works with the provider xnnpack only, not {runtime.provider}; leave --provider out"
        raise BenchError(message, code="no-profiler", provider=runtime.provider)
    path = folder / "profile.tflite"
    path.write_bytes(next(iter(stand.embedder.bundle.model(stand.embedder.variant).values())))
    details = runtime._interpreter.get_input_details()[0]
    encode = litert._encoder(details["dtype"], *details["quantization"])
    model = litert_profiler.Profiled(path, runtime.threads)
    times = [model.run(np.ascontiguousarray(encode(tensor))) for tensor in tensors]
    path.unlink()
    return times


_PROFILES: Mapping[str, Callable[[Stand, Sequence[Pixels], Path], Sequence[OperatorTimes]]] = {
    "onnxruntime": _onnxruntime, "openvino": _openvino, "litert": _litert,
}  # fmt: skip
