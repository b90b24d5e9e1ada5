"""ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgetl.types import Embeddings, Pixels


class Model:
    """An ONNX model: uint8 [n, h, w, 3] in, float32 [n, d] out (see :class:`edgetl.runtimes.Runtime`)."""

    family = "onnxruntime"

    def __init__(self, files: Mapping[str, bytes], threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # A device that waits for the next photo must not burn its cores while it waits.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(next(iter(files.values())), options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        self.library = f"onnxruntime {onnxruntime.__version__}"
        self.threads = threads

    def embed(self, batch: Pixels) -> Embeddings:
        """See :meth:`edgetl.runtimes.Runtime.embed`."""
        (made,) = self._session.run(None, {self._input: batch})
        return np.asarray(made, dtype=np.float32)

    def close(self) -> None:
        """See :meth:`edgetl.runtimes.Runtime.close`."""
        del self._session
