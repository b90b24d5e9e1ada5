"""What this computer is and how it fares, as far as it changes numbers or latencies; read from the operating system, never guessed.

`facts` are what edgetl itself decides by and all that is imported at once; `description` is what a record says, `libraries` what the
library in use says of itself, and `sensors` are read before and after a measurement. Each is read below a root, which tests replace by a
folder of their own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgetl.machine.facts import cores, features, instruction_set, is_x86, saturates_u8s8
from edgetl.machine.files import ROOT

__all__ = ["cores", "describe", "features", "instruction_set", "is_x86", "saturates_u8s8"]


def describe(root: Path = ROOT, folder: Path | None = None) -> dict[str, Any]:
    """The machine for a record: :func:`edgetl.machine.description.describe`, imported only when it is asked for."""
    from edgetl.machine import description

    return description.describe(root, folder)
