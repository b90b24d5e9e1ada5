"""OpenVINO on the CPU, or on the GPU or NPU that EDGETL_PROVIDER names."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from edgetl import machine
from edgetl.runtimes.providers import ALL
from edgetl.types import Embeddings, Pixels

_WITHOUT_VNNI = ("SSE41", "AVX", "AVX2", "AVX512_CORE")


def library() -> Any:
    """Imports it."""
    # OpenVINO sends usage statistics when it is imported, unless their module cannot be; a device in the field sends nothing.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None is how Python marks a module as absent
    import openvino

    return openvino


class Model:
    """An OpenVINO IR (graph, then weights): uint8 [n, h, w, 3] in, float32 [n, d] out (see :class:`edgetl.runtimes.Runtime`).

    The model is compiled for one device and runs there as a whole, or opening fails: AUTO and HETERO, which share it out or begin on the
    CPU without a word, are not asked for.
    """

    family = "openvino"
    placement = ALL

    def __init__(self, files: Mapping[str, bytes], threads: int, provider: str | None = None) -> None:
        """Opens a model on `provider`, a device's name in lower case; None is the CPU.

        Raises:
            OSError: there is no such device.
        """
        openvino = library()
        self.provider = provider or "cpu"
        core, device = openvino.Core(), self.provider.upper()
        # Asking costs the start of every plugin. Where there are several of a kind they are called GPU.0, GPU.1.
        if device != "CPU" and not any(name.split(".")[0] == device for name in core.available_devices):
            raise OSError(
                f"provider {self.provider}: this openvino {openvino.__version__.split('-')[0]} sees no {device} here, only "
                f"{', '.join(core.available_devices)}; its driver may be missing, or this user may not open it (groups render, video)"
            )
        graph, *weights = files.values()
        model = core.read_model(graph, weights[0]) if weights else core.read_model(graph)
        # A camera asks one photo at a time. Compiled for that, EfficientNet-Lite0 takes 11 % (int8) and 19 % (float32) less than with the
        # batch left open, on one core of an AVX-512 machine (p50 of 300 each, in turns), and gives the same embeddings to the bit.
        shape = model.input(0).partial_shape
        shape[0] = 1
        model.reshape(shape)
        self._request = core.compile_model(model, device, _settings(device, threads)).create_infer_request()
        self._pixels, self._embedding = self._request.get_input_tensor(0).data, self._request.get_output_tensor(0).data
        self.library = f"openvino {openvino.__version__.split('-')[0]}"
        self.threads = threads

    def embed(self, batch: Pixels) -> Embeddings:
        """See :meth:`edgetl.runtimes.Runtime.embed`."""
        made = np.empty((len(batch), self._embedding.shape[-1]), dtype=np.float32)
        for row, image in zip(made, batch):
            self._pixels[0] = image
            self._request.infer(share_outputs=True)
            row[:] = self._embedding[0]
        return made

    def close(self) -> None:
        """See :meth:`edgetl.runtimes.Runtime.close`."""
        del self._pixels, self._embedding, self._request


def _settings(device: str, threads: int) -> dict[str, object]:
    settings: dict[str, object] = {"PERFORMANCE_HINT": "LATENCY"}
    if device == "CPU":
        settings |= {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
        if not machine.is_x86() or saturates():
            # OpenVINO's integer kernels for Arm are wrong (2026.4 on an emulated Cortex-A72: no embedding; on a Cortex-A76: mean cosine
            # 0.977 to float instead of 0.997), and on x86 without VNNI they saturate (docs/evidence/int8-instruction-sets.md). Without its
            # low-precision transformations the integers are computed in float.
            settings["LP_TRANSFORMS_MODE"] = "NO"
    return settings


def saturates() -> bool:
    """Whether products of uint8 by int8 saturate in oneDNN, as the processor or the environment has it.

    ONEDNN_MAX_CPU_ISA is oneDNN's own variable; VNNI is missing from the sets that it names up to AVX512_CORE.
    """
    return machine.saturates_u8s8() or os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() in _WITHOUT_VNNI
