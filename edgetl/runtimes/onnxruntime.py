"""ONNX Runtime on the CPU, or on the execution provider that EDGETL_PROVIDER names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgetl import machine
from edgetl.runtimes.providers import ALL
from edgetl.types import Embeddings, Pixels

EXECUTION: Mapping[str, tuple[str, ...]] = {
    "cpu": ("CPUExecutionProvider",),
    "cuda": ("CUDAExecutionProvider",),
    "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider"),
    "coreml": ("CoreMLExecutionProvider",),
    "nnapi": ("NnapiExecutionProvider",),
    "openvino": ("OpenVINOExecutionProvider",),
    "qnn": ("QNNExecutionProvider",),
    "xnnpack": ("XnnpackExecutionProvider",),
}
"""What EDGETL_PROVIDER may say -> the execution providers that share a model's nodes, in this order."""
_THREADS = {"openvino": "num_of_threads", "xnnpack": "intra_op_num_threads"}
"""Providers that have threads of their own -> the option that says how many."""
_WHEELS = {
    "cuda": "pip install onnxruntime-gpu in place of onnxruntime (Jetson: NVIDIA's wheel for its JetPack)",
    "openvino": "pip install onnxruntime-openvino in place of onnxruntime",
}
_WHEELS["tensorrt"] = _WHEELS["cuda"]


def keep_integers_exact(options: Any) -> None:
    """Keeps products of uint8 by int8 from saturating on x86 without VNNI: the session opens int8 weights as uint8.

    With VNNI the same entry changes no value and doubles the time (docs/evidence/int8-instruction-sets.md).

    Args:
        options: an `onnxruntime.SessionOptions`, changed in place.
    """
    if machine.saturates_u8s8():
        options.add_session_config_entry("session.x64quantprecision", "1")


def library() -> Any:
    """Imports it."""
    import onnxruntime

    return onnxruntime


class Model:
    """An ONNX model: uint8 [n, h, w, 3] in, float32 [n, d] out (see :class:`edgetl.runtimes.Runtime`).

    A provider is used for the whole model, or opening fails: a node on the CPU would cost what was to be won, and nobody would see it. That
    its arithmetic is near enough is proved by the golden photos, as on any CPU; the fingerprint's family stays `onnxruntime`.
    """

    family = "onnxruntime"
    placement = ALL

    def __init__(self, files: Mapping[str, bytes], threads: int, provider: str | None = None) -> None:
        """Opens a model on `provider`, a name in :data:`EXECUTION`; None is the CPU.

        Raises:
            OSError: the provider is not there, or does not take the whole model.
        """
        onnxruntime, chosen = library(), provider or "cpu"
        wanted, there = EXECUTION[chosen], onnxruntime.get_available_providers()
        if missing := [name for name in wanted if name not in there]:
            raise OSError(
                f"provider {chosen}: this onnxruntime {onnxruntime.__version__} has no {missing[0]}, only {', '.join(there)}; "
                + _WHEELS.get(chosen, "install a build of onnxruntime that has it")
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # A device that waits for the next photo must not burn its cores while it waits.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        keep_integers_exact(options)
        if chosen != "cpu":
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        own = [{_THREADS[chosen]: str(threads)}] if chosen in _THREADS else None
        self._session = onnxruntime.InferenceSession(next(iter(files.values())), options, providers=list(wanted), provider_options=own)
        # A provider whose libraries or device are missing is left out with a warning, and the CPU takes its place.
        if self._session.get_providers()[0] != wanted[0]:
            raise OSError(f"provider {chosen}: onnxruntime could not use {wanted[0]}: no device, or not the libraries that it needs")
        self._input = self._session.get_inputs()[0].name
        self.library = f"onnxruntime {onnxruntime.__version__}" + ("" if chosen == "cpu" else f" {chosen}")
        self.provider = chosen
        self.threads = threads

    def embed(self, batch: Pixels) -> Embeddings:
        """See :meth:`edgetl.runtimes.Runtime.embed`."""
        (made,) = self._session.run(None, {self._input: batch})
        return np.asarray(made, dtype=np.float32)

    def close(self) -> None:
        """See :meth:`edgetl.runtimes.Runtime.close`."""
        del self._session
