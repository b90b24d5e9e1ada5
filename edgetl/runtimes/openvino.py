"""OpenVINO on the CPU."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import numpy as np

from edgetl import machine
from edgetl.types import Embeddings, Pixels


class Model:
    """An OpenVINO IR (graph, then weights): uint8 [n, h, w, 3] in, float32 [n, d] out (see :class:`edgetl.runtimes.Runtime`)."""

    family = "openvino"
    provider = "cpu"
    placement = "all of the model"

    def __init__(self, files: Mapping[str, bytes], threads: int) -> None:
        # OpenVINO sends usage statistics when it is imported, unless their module cannot be; a device in the field sends nothing.
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None is how Python marks a module as absent
        import openvino

        graph, *weights = files.values()
        core = openvino.Core()
        model = core.read_model(graph, weights[0]) if weights else core.read_model(graph)
        settings: dict[str, object] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
        if not machine.is_x86():
            # OpenVINO's integer kernels for Arm are wrong (2026.4 on an emulated Cortex-A72: no embedding; on a Cortex-A76: mean cosine
            # 0.977 to float instead of 0.997). Without its low-precision transformations the integers are computed in float: 0.996.
            settings["LP_TRANSFORMS_MODE"] = "NO"
        self._request = core.compile_model(model, "CPU", settings).create_infer_request()
        self.library = f"openvino {openvino.__version__.split('-')[0]}"
        self.threads = threads

    def embed(self, batch: Pixels) -> Embeddings:
        """See :meth:`edgetl.runtimes.Runtime.embed`."""
        self._request.infer([batch], share_inputs=True)
        return np.array(self._request.get_output_tensor(0).data, dtype=np.float32)

    def close(self) -> None:
        """See :meth:`edgetl.runtimes.Runtime.close`."""
        del self._request
