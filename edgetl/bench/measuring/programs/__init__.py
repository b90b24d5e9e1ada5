"""Programs of the processes that must not import the bench before what is measured.

Their text is given to Python with -c: importing one of them as a module would import `edgetl.bench`, and with it what a camera never
loads. Each is ordinary code, and imports only within its `main`, when its time has come.
"""

from __future__ import annotations

import inspect
import os
import shlex
import sys
from types import ModuleType

PYTHON = "EDGETL_PYTHON"
"""The words that start Python, where `sys.executable` alone cannot: under an emulator."""


def python() -> list[str]:
    """The words that start Python."""
    return shlex.split(os.environ.get(PYTHON, "")) or [sys.executable]


def command(program: ModuleType, *arguments: str) -> list[str]:
    """The command line of one of this package's modules."""
    return [*python(), "-c", inspect.getsource(program), *arguments]
