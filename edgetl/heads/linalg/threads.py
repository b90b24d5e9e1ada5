"""One BLAS thread while a head is trained; docs/evidence/blas-threads.md says why not by threadpoolctl."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.util
import threading
from collections.abc import Callable, Iterator

_SPELLINGS = ("scipy_openblas_{}64_", "scipy_openblas_{}", "openblas_{}64_", "openblas_{}")
_lock = threading.Lock()
_inside = 0
_before = 1


@functools.cache
def _openblas() -> tuple[Callable[[], int], Callable[[int], None]] | None:
    """OpenBLAS' getter and setter of the thread count; None if numpy uses another BLAS.

    The search starts at numpy's own extension module, because the loader then looks through everything that module links to:
    the wheel's bundled library as well as a distribution's.
    """
    spec = importlib.util.find_spec("numpy.linalg._umath_linalg")
    if spec is None or not spec.origin:
        return None
    try:
        library = ctypes.CDLL(spec.origin)
    except OSError:
        return None
    for spelling in _SPELLINGS:
        with contextlib.suppress(AttributeError):
            return library[spelling.format("get_num_threads")], library[spelling.format("set_num_threads")]
    return None


@contextlib.contextmanager
def single_thread() -> Iterator[None]:
    """Runs the block with one BLAS thread, then restores the count; does nothing if numpy's BLAS is not OpenBLAS.

    The count belongs to the whole process: among threads that train at once, the first one saves it and the last one restores it.
    """
    global _inside, _before
    blas = _openblas()
    if blas is None:
        yield
        return
    get, put = blas
    with _lock:
        if not _inside:
            _before = get()
            put(1)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                put(_before)
