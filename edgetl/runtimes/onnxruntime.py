"""ONNX Runtime on the CPU, or on the execution provider that EDGETL_PROVIDER names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgetl import machine
from edgetl.runtimes.providers import ALL, missing
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
"""Value of EDGETL_PROVIDER -> the execution providers that share a model's nodes, in this order."""
_THREADS = {"openvino": "num_of_threads", "xnnpack": "intra_op_num_threads"}
"""Providers that have threads of their own -> the option for their count."""
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

    A provider is used for the whole model, or opening fails: a node on the CPU would cost the time that the provider saves, unnoticed. The
    self-test checks its arithmetic, as on any CPU; the fingerprint's family stays `onnxruntime`.
    """

    family = "onnxruntime"
    placement = ALL

    def __init__(self, files: Mapping[str, bytes], threads: int, provider: str | None = None) -> None:
        """Opens a model on `provider`, a name in :data:`EXECUTION`; None is the CPU.

        Raises:
            RuntimeUnavailable: the provider is not built in or finds no device (`provider-missing`).
            Exception: onnxruntime's own, if the provider does not take the whole model.
        """
        onnxruntime, chosen = library(), provider or "cpu"
        wanted, available = EXECUTION[chosen], onnxruntime.get_available_providers()
        version = f"onnxruntime {onnxruntime.__version__}"
        if absent := [name for name in wanted if name not in available]:
            cure = _WHEELS.get(chosen, "install a build of onnxruntime that has it")
            raise missing(chosen, version, f"has no {absent[0]}, only {', '.join(available)}. To get it, {cure}.")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # While a device waits for the next photo, its cores must idle.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        keep_integers_exact(options)
        if chosen != "cpu":
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        own = [{_THREADS[chosen]: str(threads)}] if chosen in _THREADS else None
        self._session = onnxruntime.InferenceSession(next(iter(files.values())), options, providers=list(wanted), provider_options=own)
        # onnxruntime leaves out a provider whose libraries or device are missing, with a warning, and uses the CPU.
        if self._session.get_providers()[0] != wanted[0]:
            raise missing(chosen, version, f"could not use {wanted[0]}: no device, or a library that it needs is missing")
        self._input = self._session.get_inputs()[0].name
        self.library = version if chosen == "cpu" else f"{version} {chosen}"
        self.provider = chosen
        self.threads = threads

    def embed(self, batch: Pixels) -> Embeddings:
        """See :meth:`edgetl.runtimes.Runtime.embed`."""
        (embeddings,) = self._session.run(None, {self._input: batch})
        return np.asarray(embeddings, dtype=np.float32)

    def close(self) -> None:
        """See :meth:`edgetl.runtimes.Runtime.close`."""
        del self._session
