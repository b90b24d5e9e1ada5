"""What this computer is and how busy it is, as far as that changes numbers or latencies; read from the operating system, never guessed.

`facts` are what edgetl itself decides by, the only module that is imported at once; `description` goes into records, `libraries` describes
the library in use, and `sensors` are read before and after a measurement. All read below a root, which tests replace by a folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgetl.machine.facts import cores, features, instruction_set, is_x86, saturates_u8s8
from edgetl.machine.files import ROOT

__all__ = ["cores", "describe", "features", "instruction_set", "is_x86", "saturates_u8s8"]


def describe(root: Path = ROOT, folder: Path | None = None) -> dict[str, Any]:
    """The machine for a record: :func:`edgetl.machine.description.describe`, imported by the first call."""
    from edgetl.machine import description

    return description.describe(root, folder)
