"""LiteRT (TensorFlow Lite): `ai-edge-litert`, else `tflite_runtime`, else `tensorflow.lite`."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edgetl.types import Array, Embeddings, Pixels

_LIBRARIES = (
    ("ai_edge_litert.interpreter", "ai-edge-litert"),
    ("tflite_runtime.interpreter", "tflite-runtime"),
    ("tensorflow.lite", "tensorflow"),
)


class Model:
    """A TFLite model: uint8 [1, h, w, 3] in, float32 [1, d] out; full-integer models are converted on both sides here.

    Quantisation follows the TFLite specification: real = scale * (stored - zero_point).
    (See :class:`edgetl.runtimes.Runtime`.)
    """

    family = "litert"
    provider = "cpu"
    placement = "all of the model"

    def __init__(self, files: Mapping[str, bytes], threads: int) -> None:
        self.library, self._interpreter = _interpreter(next(iter(files.values())), threads)
        self._interpreter.allocate_tensors()
        given, made = self._interpreter.get_input_details()[0], self._interpreter.get_output_details()[0]
        self._input, self._output = given["index"], made["index"]
        self._encode = _encoder(given["dtype"], *given["quantization"])
        self._scale, self._zero = made["quantization"]
        self._dim = int(made["shape"][-1])
        self.threads = threads

    def embed(self, batch: Pixels) -> Embeddings:
        """See :meth:`edgetl.runtimes.Runtime.embed`."""
        made = np.empty((len(batch), self._dim), dtype=np.float32)
        for row, image in zip(made, batch):
            self._interpreter.set_tensor(self._input, self._encode(image[None]))
            self._interpreter.invoke()
            row[:] = self._interpreter.get_tensor(self._output)[0]
        if self._scale:
            made -= self._zero
            made *= self._scale
        return made

    def close(self) -> None:
        """See :meth:`edgetl.runtimes.Runtime.close`."""
        del self._interpreter


def _interpreter(model: bytes, threads: int) -> tuple[str, Any]:
    """The first library that can build an interpreter; importing is no proof (tflite-runtime 2.14 beside numpy 2)."""
    reasons = []
    for module, package in _LIBRARIES:
        try:
            library = importlib.import_module(module)
            return f"{package} {_version(package)}", library.Interpreter(model_content=model, num_threads=threads)
        except (ImportError, AttributeError) as error:
            reasons.append(f"{package}: {error}")
    raise ImportError("; ".join(reasons))


def _version(package: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # another distribution of the same module, e.g. tensorflow-cpu
        return "of unknown version"


def _encoder(dtype: Any, scale: float, zero: int) -> Callable[[Pixels], Array]:
    """How uint8 pixels become the model's input type."""
    if dtype == np.uint8:
        return lambda pixels: pixels
    if dtype == np.int8 and (scale, zero) == (1.0, -128):
        return lambda pixels: (pixels ^ np.uint8(0x80)).view(np.int8)
    if dtype == np.int8:
        table = np.clip(np.rint(np.arange(256) / scale) + zero, -128, 127).astype(np.int8)
        return lambda pixels: table[pixels]
    return lambda pixels: pixels.astype(dtype)
