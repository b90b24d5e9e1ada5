"""What is open when a process forks: the child must not touch it, nor take it down at its exit.

ONNX Runtime and OpenVINO wait at their end for threads that a child does not have, and SQLite forbids carrying a connection over a fork
(https://sqlite.org/howtocorrupt.html, section 2.6). So a child keeps what was open for ever, and leaves without C++'s exit handlers.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import weakref
from collections.abc import Callable
from typing import Any

_libc = ctypes.CDLL(None)  # here: a child must not load anything, because another thread may have been loading when it was made
_open: weakref.WeakKeyDictionary[Any, Callable[[Any], object]] = weakref.WeakKeyDictionary()


def keep(thing: Any, in_child: Callable[[Any], object] = lambda thing: None) -> None:
    """Notes that something is open, as long as it exists.

    Args:
        thing: hashable, by its identity.
        in_child: called with it in every child, where it is never closed or deleted.
    """
    _open[thing] = in_child


def _leave_alone() -> None:
    things = list(_open.items())
    for thing, in_child in things:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))
        in_child(thing)
    if things:
        with contextlib.suppress(AttributeError):  # glibc has on_exit; the handler that is registered last runs first
            _libc.on_exit(_libc._exit, None)
    _open.clear()


os.register_at_fork(after_in_child=_leave_alone)
