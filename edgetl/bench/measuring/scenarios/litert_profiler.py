"""LiteRT's profiler, which only its C library has (libLiteRt.so of ai-edge-litert from 2.3 on; litert/c/litert_profiler.h, Apache 2.0).

LiteRT does not promise to keep this C interface: the status of every call is checked, and a missing function is an error with its name.
"""

from __future__ import annotations

import ctypes
import importlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edgetl.errors import BenchError
from edgetl.types import Array

_CPU, _WRITE = 1, 1
_OPERATOR, _DELEGATED = 1 << 1, 1 << 3
"""Kinds of event that are one operator: the interpreter's own, and a delegate's."""
_LIBC = ctypes.CDLL(None)
_LIBC.strdup.restype, _LIBC.strdup.argtypes = ctypes.c_void_p, [ctypes.c_char_p]


class _Event(ctypes.Structure):
    """ProfiledEventData of litert/c/litert_profiler_event.h."""

    _fields_ = (
        ("tag", ctypes.c_char_p),
        ("kind", ctypes.c_int),
        ("start_us", ctypes.c_uint64),
        ("elapsed_us", ctypes.c_uint64),
        ("memory", ctypes.c_size_t * 6),
        ("metadata", ctypes.c_uint64 * 2),
        ("source", ctypes.c_int),
    )


class Profiled:
    """A TFLite model, compiled for the CPU (XNNPACK) with LiteRT's profiler on; it lives as long as the process."""

    def __init__(self, path: Path, threads: int) -> None:
        """Compiles a model.

        Raises:
            BenchError: `no-profiler`: this LiteRT has no such library, or a call failed.
        """
        self._library = _load()
        options, environment, model = (ctypes.c_void_p() for _ in range(3))
        self._call("LiteRtCreateEnvironment", 0, None, ctypes.byref(environment))
        self._call("LiteRtCreateModelFromFile", environment, str(path).encode(), ctypes.byref(model))
        self._call("LiteRtCreateOptions", ctypes.byref(options))
        self._call("LiteRtSetOptionsHardwareAccelerators", options, _CPU)
        self._set(options, b"runtime_options_string", b"enable_profiling = true\n")
        self._set(options, b"xnnpack", b"num_threads = %d\n" % threads)
        self._model, self._profiler, signature = (ctypes.c_void_p() for _ in range(3))
        self._call("LiteRtCreateCompiledModel", environment, model, options, ctypes.byref(self._model))
        self._call("LiteRtGetModelSignature", model, ctypes.c_size_t(0), ctypes.byref(signature))
        self._input, self._output = (self._buffer(kind, environment, signature) for kind in ("Input", "Output"))
        self._call("LiteRtCompiledModelGetProfiler", self._model, ctypes.byref(self._profiler))

    def run(self, tensor: Array) -> Counter[str]:
        """Infers once: kind of operator -> nanoseconds, of whole microseconds. `tensor` is as the model takes it."""
        address, single, first = ctypes.c_void_p(), ctypes.c_size_t(1), ctypes.c_size_t(0)
        self._call("LiteRtLockTensorBuffer", self._input, ctypes.byref(address), _WRITE)
        ctypes.memmove(address, tensor.ctypes.data, tensor.nbytes)
        self._call("LiteRtUnlockTensorBuffer", self._input)
        self._call("LiteRtStartProfiler", self._profiler)  # events before are forgotten
        self._call("LiteRtRunCompiledModel", self._model, first, single, ctypes.byref(self._input), single, ctypes.byref(self._output))
        count = ctypes.c_int()
        self._call("LiteRtGetNumProfilerEvents", self._profiler, ctypes.byref(count))
        events = (_Event * count.value)()
        self._call("LiteRtGetProfilerEvents", self._profiler, count, events)
        return summed(events)

    def _buffer(self, kind: str, environment: ctypes.c_void_p, signature: ctypes.c_void_p) -> ctypes.c_void_p:
        tensor, requirements, buffer = (ctypes.c_void_p() for _ in range(3))
        layout, first = (ctypes.c_byte * 256)(), ctypes.c_size_t(0)  # more than a LiteRtRankedTensorType, which the library fills
        self._call(f"LiteRtGetSignature{kind}TensorByIndex", signature, first, ctypes.byref(tensor))
        self._call("LiteRtGetRankedTensorType", tensor, layout)
        self._call(f"LiteRtGetCompiledModel{kind}BufferRequirements", self._model, first, first, ctypes.byref(requirements))
        self._call("LiteRtCreateManagedTensorBufferFromRequirements", environment, layout, requirements, ctypes.byref(buffer))
        return buffer

    def _set(self, options: ctypes.c_void_p, name: bytes, content: bytes) -> None:
        """Options that the library reads as TOML, and frees."""
        opaque = ctypes.c_void_p()
        copy, free = ctypes.c_void_p(_LIBC.strdup(content)), ctypes.cast(_LIBC.free, ctypes.c_void_p)
        self._call("LiteRtCreateOpaqueOptions", name, copy, free, ctypes.byref(opaque))
        self._call("LiteRtAddOpaqueOptions", options, opaque)

    def _call(self, name: str, *arguments: Any) -> None:
        function = getattr(self._library, name, None)
        status = function(*arguments) if function else "no such function"
        if status:
            message = f"LiteRT's profiler does not work here: {name} of libLiteRt.so returned {status}; ai-edge-litert 2.3 has it"
            raise BenchError(message, code="no-profiler", function=name, status=status)


def summed(events: Iterable[Any]) -> Counter[str]:
    """Kind of operator -> nanoseconds, of single operators of the interpreter and its delegate; events that enclose them do not count."""
    times: Counter[str] = Counter()
    for event in events:
        if event.kind in (_OPERATOR, _DELEGATED):
            times[event.tag.decode(errors="replace")] += 1000 * event.elapsed_us
    return times


def _load() -> ctypes.CDLL:
    try:
        package = importlib.import_module("ai_edge_litert")
        return ctypes.CDLL(str(Path(package.__path__[0]) / "libLiteRt.so"))
    except (ImportError, OSError) as error:
        message = f"LiteRT's profiler is not installed ({error}); pip install 'ai-edge-litert>=2.3'"
        raise BenchError(message, code="no-profiler") from error
