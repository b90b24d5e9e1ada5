"""Imports TensorFlow and Keras when they are needed: without output, on the CPU, with half of its cores."""

from __future__ import annotations

import contextlib
import functools
import os
from importlib import metadata
from typing import Any

from edgetl import machine
from edgetl.errors import ExportError
from edgetl_exporters.quiet import quiet

_DISTRIBUTIONS = ("tensorflow", "tensorflow-cpu", "tensorflow-macos", "tensorflow-intel")


@functools.lru_cache(None)
def load() -> tuple[Any, Any]:
    """The modules `tensorflow` and `keras`.

    Raises:
        ExportError: they are not installed, or Keras runs on another library than TensorFlow.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    try:
        with quiet():
            import keras
            import tensorflow
    except ImportError as error:
        raise ExportError(
            f"Keras networks need TensorFlow, which does not load here ({error}); pip install 'edgetl[keras]'",
            code="library-missing", library="tensorflow",
        ) from error  # fmt: skip
    if keras.backend.backend() != "tensorflow":
        raise ExportError(
            f"Keras runs on {keras.backend.backend()} here, but only TensorFlow converts to TFLite; export with KERAS_BACKEND=tensorflow",
            code="keras-backend", backend=keras.backend.backend(),
        )  # fmt: skip
    threads = max(1, machine.cores() // 2)  # as for torch: on a busy machine more threads are slower
    with contextlib.suppress(RuntimeError), quiet():  # TensorFlow has already run here and keeps its settings
        tensorflow.config.set_visible_devices([], "GPU")
        tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
        tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    return tensorflow, keras


def distribution() -> str:
    """The name under which TensorFlow is installed."""
    for name in _DISTRIBUTIONS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            metadata.version(name)
            return name
    return _DISTRIBUTIONS[0]
