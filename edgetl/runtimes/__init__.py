"""Runtimes: model files -> embeddings, one module per library, each importing its library only when it opens a model."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from edgetl import forks, machine
from edgetl.errors import RuntimeUnavailable
from edgetl.runtimes import providers
from edgetl.types import Embeddings, Pixels

FAMILIES = ("litert", "onnxruntime", "openvino", "fake")
"""Known families, in the order of preference if nobody chose one and none is measurably faster."""


class Runtime(Protocol):
    """One opened model.

    Attributes:
        family: `litert`, `onnxruntime`, `openvino` or `fake`.
        library: the library that computes and its version, e.g. `ai-edge-litert 2.3.0`.
        provider: the execution provider or delegate that computes: `cpu`, `xnnpack`, `cuda`, ... (see :data:`providers.PROVIDERS`).
        placement: `all of the model`, or how many of its operators the provider took: `mixed 60/64 operators`.
        threads: how many threads it was given, count.
    """

    family: str
    library: str
    provider: str
    placement: str
    threads: int

    def embed(self, batch: Pixels) -> Embeddings:
        """Embeds uint8 RGB tensors [n, h, w, 3] to float32 [n, d]; the result is the caller's own copy."""
        ...

    def close(self) -> None:
        """Releases the model."""
        ...


def load_library(family: str) -> None:
    """Imports the library of a family, to measure how long that takes; :func:`open_runtime` does it too.

    Raises:
        RuntimeUnavailable: the library is not installed (`runtime-not-installed`).
    """
    with _translated(family):
        _adapter(family).library()


def open_runtime(family: str, files: Mapping[str, bytes], threads: int | None = None) -> Runtime:
    """Opens a model with the library of its family.

    Opening builds an interpreter: some libraries import without an error and fail only then (tflite-runtime 2.14 beside numpy 2).

    Args:
        family: one of :data:`FAMILIES`.
        files: file name -> content, the one to open first.
        threads: how many threads the library may use; None is every core of this process, at most 4.

    Raises:
        RuntimeUnavailable: an unknown family (`runtime-unknown`), or the library is not installed (`runtime-not-installed`), cannot open
            the model here (`runtime-failed`), or lacks the provider that EDGETL_PROVIDER names (`provider-unknown`, `provider-missing`).
    """
    adapter, provider = _adapter(family), providers.requested(family)
    count = threads if threads is not None else default_threads()
    with _translated(family):
        opened: Runtime = adapter.Model(files, count, provider)
    forks.keep(opened)
    return opened


def default_threads() -> int:
    """Every core of this process, at most 4."""
    return min(4, machine.cores())


def _adapter(family: str) -> Any:
    if family not in FAMILIES:
        message = f"unknown runtime {family!r}. Known runtimes: {', '.join(FAMILIES)}."
        raise RuntimeUnavailable(message, code="runtime-unknown", runtime=family, families=list(FAMILIES))
    return importlib.import_module(f"edgetl.runtimes.{family}")


@contextmanager
def _translated(family: str) -> Iterator[None]:
    try:
        yield
    except RuntimeUnavailable:
        raise
    except ImportError as error:
        message = f"the runtime {family} is not installed ({error}). Run: pip install 'edgetl[{family}]'"
        raise RuntimeUnavailable(message, code="runtime-not-installed", runtime=family, reason=str(error)) from error
    except Exception as error:  # each library has its own exception types
        reason = f"{type(error).__name__}: {error}"
        message = f"the runtime {family} is installed but cannot open the model here: {reason}"
        raise RuntimeUnavailable(message, code="runtime-failed", runtime=family, reason=reason) from error
