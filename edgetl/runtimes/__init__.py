"""Runtimes: model files -> embeddings, one module per library, each importing its library only when it opens a model."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from edgetl import machine
from edgetl.errors import RuntimeUnavailable
from edgetl.runtimes import providers
from edgetl.types import Embeddings, Pixels

FAMILIES = ("litert", "onnxruntime", "openvino", "fake")
"""Known families, in the order in which they are preferred where nobody chose one and none is measurably faster."""


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
    """Imports the library of a family, which :func:`open_runtime` does too; for who wants to know how long that takes.

    Raises:
        RuntimeUnavailable: the library is not installed.
    """
    with _explained(family):
        _adapter(family).library()


def open_runtime(family: str, files: Mapping[str, bytes], threads: int | None = None) -> Runtime:
    """Opens a model with the library of its family.

    Opening builds an interpreter, because some libraries import well and fail only then (tflite-runtime 2.14 beside numpy 2).

    Args:
        family: one of :data:`FAMILIES`.
        files: file name -> content, the one to open first.
        threads: how many threads the library may use; None is every core of this process, at most 4.

    Raises:
        RuntimeUnavailable: the library is not installed (with the pip line), does not work here (with its own words), or has not the
            provider that EDGETL_PROVIDER asks for.
    """
    adapter, provider = _adapter(family), providers.asked(family)
    count = threads if threads is not None else default_threads()
    with _explained(family):
        opened: Runtime = adapter.Model(files, count, provider)
    return opened


def default_threads() -> int:
    """Every core of this process, at most 4."""
    return min(4, machine.cores())


def _adapter(family: str) -> Any:
    if family not in FAMILIES:
        raise RuntimeUnavailable(f"unknown runtime {family!r}; known are {', '.join(FAMILIES)}")
    return importlib.import_module(f"edgetl.runtimes.{family}")


@contextmanager
def _explained(family: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise RuntimeUnavailable(f"the runtime {family} is not installed ({error}); pip install 'edgetl[{family}]'") from error
    except Exception as error:  # each library has its own exception types
        raise RuntimeUnavailable(
            f"the runtime {family} is installed but cannot open the model here: {type(error).__name__}: {error}"
        ) from error
