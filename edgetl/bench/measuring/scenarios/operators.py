"""Time per kind of operator, as the runtime's own profiler says: which layers a model spends its time in, and where they ran."""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgetl.bench.measuring.loop import Loop, Measured
from edgetl.bench.measuring.scenarios import litert_events
from edgetl.bench.measuring.stand import Stand
from edgetl.errors import BenchError
from edgetl.runtimes import litert
from edgetl.runtimes import onnxruntime as ort
from edgetl.runtimes import openvino as ov
from edgetl.types import Pixels

_WARM_UP = 8
Times = Mapping[str, int]
"""Kind of operator, e.g. `Conv`, or kind and provider where that is not the one asked for -> nanoseconds of one query."""
Profile = Callable[[Stand, Sequence[Pixels], Path], Sequence[Times]]


def operators(stand: Stand, loop: Loop) -> Measured:
    """A tensor -> its embedding, with the library's profiler: nanoseconds of each kind of operator, and their sum.

    The profiler takes time itself and a fused operator is named after its first one, so that these are shares to look at and not a
    latency to compare with `backbone`.

    Raises:
        BenchError: the runtime has no profiler, or not this version of it.
    """
    family = stand.embedder.runtime.family
    profile = _PROFILES.get(family)
    if profile is None:
        raise BenchError(f"{family} has no profiler; {', '.join(_PROFILES)} have one: measure another variant of the bundle")
    count = _WARM_UP + loop.queries
    tensors = [stand.tensors[number % len(stand.tensors)][None] for number in range(count)]
    times = profile(stand, tensors, stand.folder)[_WARM_UP:]
    kinds = sorted({kind for one in times for kind in one}, key=lambda kind: -sum(one.get(kind, 0) for one in times))
    samples: dict[str | None, array[int]] = {kind: array("q", (one.get(kind, 0) for one in times)) for kind in kinds}
    whole = array("q", (sum(one.values()) for one in times))
    note = "by the library's profiler, which takes time itself: shares, not a latency"
    samples = {None: whole, **samples}
    return Measured(dict(samples), warm_up=_WARM_UP, note=note)


def _onnxruntime(stand: Stand, tensors: Sequence[Pixels], folder: Path) -> Sequence[Times]:
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


def read_trace(events: Sequence[Mapping[str, object]], provider: str) -> list[Times]:
    """A query's events lie between the beginnings of one `model_run` and the next.

    Args:
        events: of ONNX Runtime's profile, `ts` and `dur` in microseconds.
        provider: the execution provider that was asked for; others are named beside the operator.
    """
    starts = sorted(_whole(one, "ts") for one in events if one.get("name") == "model_run")
    made: list[Counter[str]] = [Counter() for _ in starts]
    for one in events:
        told = one.get("args")
        if one.get("cat") != "Node" or not str(one.get("name")).endswith("_kernel_time") or not isinstance(told, Mapping):
            continue
        number = sum(start <= _whole(one, "ts") for start in starts) - 1
        there = str(told.get("provider", provider))
        kind = str(told.get("op_name")) + ("" if there == provider else f" on {there.removesuffix('ExecutionProvider')}")
        if number >= 0:
            made[number][kind] += 1000 * _whole(one, "dur")
    return list(made)


def _openvino(stand: Stand, tensors: Sequence[Pixels], folder: Path) -> Sequence[Times]:
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
    made = []
    for tensor in tensors:
        request.infer([tensor])
        times: Counter[str] = Counter()
        for one in request.profiling_info:
            times[one.node_type] += round(one.real_time.total_seconds() * 1e9)
        made.append(Counter({kind: taken for kind, taken in times.items() if taken}))
    return made


def _litert(stand: Stand, tensors: Sequence[Pixels], folder: Path) -> Sequence[Times]:
    """LiteRT's profiler counts in whole microseconds; the model is compiled for XNNPACK, as the adapter's is unless it says `builtin`."""
    runtime: Any = stand.embedder.runtime
    if runtime.provider != "xnnpack":
        raise BenchError(f"LiteRT's profiler is read for the provider xnnpack only, and this is {runtime.provider}; leave --provider out")
    path = folder / "profile.tflite"
    path.write_bytes(next(iter(stand.embedder.bundle.model(stand.embedder.variant).values())))
    told = runtime._interpreter.get_input_details()[0]
    encode = litert._encoder(told["dtype"], *told["quantization"])
    model = litert_events.Profiled(path, runtime.threads)
    times = [model.run(np.ascontiguousarray(encode(tensor))) for tensor in tensors]
    path.unlink()
    return times


def _whole(event: Mapping[str, object], name: str) -> int:
    value = event[name]
    assert isinstance(value, (int, float)), f"{name} is a number"
    return round(value)


_PROFILES: Mapping[str, Profile] = {"onnxruntime": _onnxruntime, "openvino": _openvino, "litert": _litert}
