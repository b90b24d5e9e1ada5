"""What a training needs of the memory, and whether it is there: said before it begins, because the kernel kills without a word."""

from __future__ import annotations

import os
from bisect import bisect_right
from pathlib import Path

from edgetl.errors import OutOfMemory
from edgetl.heads.selection import LIMIT, ROWS
from edgetl.machine import cgroup, sensors
from edgetl.machine.files import ROOT, text

_BASE = 70e6
"""Python, numpy and edgetl, bytes; this and the factors below from tools/bench_scale (docs/evidence/scale.md)."""
_EMBEDDINGS, _SQUARES, _LOGITS, _JUDGED = 4.5, 48, 16, 150
"""Bytes for each value of every embedding, for each of d x d, for each class of every photo, and of every photo that candidates are judged
by."""


def needed(photos: int, dim: int, classes: int) -> int:
    """The most memory that a training has resident, bytes; within a tenth for 1,000 to 100,000 photos of 50 classes and 2,000 of 1,000."""
    judged = min(photos, ROWS * max(LIMIT, classes))
    return int(_BASE + photos * (_EMBEDDINGS * dim + _LOGITS * classes) + _JUDGED * judged * classes + _SQUARES * dim**2)


def fitting(room: int, dim: int, classes: int) -> int:
    """How many photos a training in so many bytes can take, rounded down to two digits."""
    most = max(0, room // int(_EMBEDDINGS * dim))
    photos = max(0, bisect_right(range(most + 1), room, key=lambda number: needed(number, dim, classes)) - 1)
    step = int(10 ** max(0, len(str(photos)) - 2))
    return photos // step * step


def room(root: Path = ROOT) -> int | None:
    """What this process may have resident, what it has already included, bytes; None where the system does not say.

    Memory and swap that are free, but no more than what the control group around this process allows it.
    """
    free, swap = sensors.memory(root, "MemAvailable"), sensors.memory(root, "SwapFree")
    if free is None:
        return None
    pages = (text(root / "proc/self/statm") or "0 0").split()[1]  # size and resident set, proc(5)
    whole, allowed = free + (swap or 0) + int(pages) * os.sysconf("SC_PAGE_SIZE"), cgroup.describe(root)["memory_bytes"]
    return whole if allowed is None else min(whole, int(allowed))


def check(store: Path, photos: int, dim: int, classes: int, root: Path = ROOT) -> None:
    """Refuses a training that does not fit.

    Raises:
        OutOfMemory: it needs more than there is; the message says how many photos fit.
    """
    there, need = room(root), needed(photos, dim, classes)
    if there is not None and need > there:
        raise OutOfMemory(
            f"{store}: training from {photos:,} photos of {dim} values takes about {need / 1e6:.0f} MB of memory and "
            f"{there / 1e6:.0f} MB are free: about {fitting(there, dim, classes):,} photos fit. End other programs, add swap, "
            "or train a copy of the store on another machine and bring the head here: edgetl head export, edgetl head import"
        )
