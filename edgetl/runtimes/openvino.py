"""OpenVINO on the CPU, or on the GPU or NPU that EDGETL_PROVIDER names."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from edgetl import machine
from edgetl.runtimes.providers import ALL, missing
from edgetl.types import Embeddings, Pixels

_WITHOUT_VNNI = ("SSE41", "AVX", "AVX2", "AVX512_CORE")


def library() -> Any:
    """Imports it."""
    # OpenVINO sends usage statistics when it is imported, unless the module for that cannot be imported. A device must send nothing.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None is how Python marks a module as absent
    import openvino

    return openvino


class Model:
    """An OpenVINO IR (graph, then weights): uint8 [n, h, w, 3] in, float32 [n, d] out (see :class:`edgetl.runtimes.Runtime`).

    The model is compiled for one device and runs there as a whole, or opening fails: AUTO and HETERO, which may use the CPU unnoticed, are
    not used.
    """

    family = "openvino"
    placement = ALL

    def __init__(self, files: Mapping[str, bytes], threads: int, provider: str | None = None) -> None:
        """Opens a model on `provider`, a device's name in lower case; None is the CPU.

        Raises:
            RuntimeUnavailable: there is no such device (`provider-missing`).
        """
        openvino = library()
        self.provider = provider or "cpu"
        core, device = openvino.Core(), self.provider.upper()
        self.library = f"openvino {openvino.__version__.split('-')[0]}"
        # Listing devices starts every plugin. Several of a kind are called GPU.0, GPU.1.
        if device != "CPU" and not any(name.split(".")[0] == device for name in core.available_devices):
            devices = ", ".join(core.available_devices)
            reason = (
                f"finds no {device} here, only {devices}. Its driver may be missing, or this user may not open it (groups render, video)."
            )
            raise missing(self.provider, self.library, reason)
        graph, *weights = files.values()
        model = core.read_model(graph, weights[0]) if weights else core.read_model(graph)
        # A camera embeds one photo at a time, and a model compiled for that is faster (docs/evidence/openvino.md).
        shape = model.input(0).partial_shape
        shape[0] = 1
        model.reshape(shape)
        self._request = core.compile_model(model, device, _settings(device, threads)).create_infer_request()
        self._pixels, self._embedding = self._request.get_input_tensor(0).data, self._request.get_output_tensor(0).data
        self.threads = threads

    def embed(self, batch: Pixels) -> Embeddings:
        """See :meth:`edgetl.runtimes.Runtime.embed`."""
        embeddings = np.empty((len(batch), self._embedding.shape[-1]), dtype=np.float32)
        for row, image in zip(embeddings, batch):
            self._pixels[0] = image
            self._request.infer(share_outputs=True)
            row[:] = self._embedding[0]
        return embeddings

    def close(self) -> None:
        """See :meth:`edgetl.runtimes.Runtime.close`."""
        del self._pixels, self._embedding, self._request


def _settings(device: str, threads: int) -> dict[str, object]:
    settings: dict[str, object] = {"PERFORMANCE_HINT": "LATENCY"}
    if device == "CPU":
        settings |= {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
        if not machine.is_x86() or saturates():
            # OpenVINO's integer kernels are wrong on Arm (docs/evidence/openvino.md) and saturate on x86 without VNNI
            # (docs/evidence/int8-instruction-sets.md). Without its low-precision transformations it computes the integers in float.
            settings["LP_TRANSFORMS_MODE"] = "NO"
    return settings


def saturates() -> bool:
    """Whether products of uint8 by int8 saturate in oneDNN, by the processor or the environment.

    ONEDNN_MAX_CPU_ISA is oneDNN's own variable; the sets up to AVX512_CORE lack VNNI.
    """
    return machine.saturates_u8s8() or os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() in _WITHOUT_VNNI
