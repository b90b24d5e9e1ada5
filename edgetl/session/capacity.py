"""Whether a training fits into memory, checked before it begins: the kernel would kill the process without an error."""

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


def estimate(photos: int, dim: int, classes: int) -> int:
    """The most memory that a training takes, bytes; within a tenth for 1,000 to 100,000 photos of 50 classes and 2,000 of 1,000."""
    judged = min(photos, ROWS * max(LIMIT, classes))
    return int(_BASE + photos * (_EMBEDDINGS * dim + _LOGITS * classes) + _JUDGED * judged * classes + _SQUARES * dim**2)


def count_fitting(room: int, dim: int, classes: int) -> int:
    """How many photos a training in so many bytes can take, rounded down to two digits."""
    most = max(0, room // int(_EMBEDDINGS * dim))
    photos = max(0, bisect_right(range(most + 1), room, key=lambda number: estimate(number, dim, classes)) - 1)
    step = int(10 ** max(0, len(str(photos)) - 2))
    return photos // step * step


def measure_room(root: Path = ROOT) -> int | None:
    """The memory that this process may have in total, bytes; None if the system does not say.

    What it has now, and free memory and swap, but at most what its control group allows.
    """
    free, swap = sensors.memory(root, "MemAvailable"), sensors.memory(root, "SwapFree")
    if free is None:
        return None
    pages = (text(root / "proc/self/statm") or "0 0").split()[1]  # size and resident set, proc(5)
    whole, allowed = free + (swap or 0) + int(pages) * os.sysconf("SC_PAGE_SIZE"), cgroup.describe(root)["memory_bytes"]
    return whole if allowed is None else min(whole, int(allowed))


def check(store: Path, photos: int, dim: int, classes: int, root: Path = ROOT) -> None:
    """Checks that a training fits.

    Raises:
        OutOfMemory: it needs more than there is; the message says how many photos fit.
    """
    room, need = measure_room(root), estimate(photos, dim, classes)
    if room is None or need <= room:
        return
    fit = count_fitting(room, dim, classes)
    raise OutOfMemory(
        f"{store}: training from {photos:,} photos of {dim} values takes about {need / 1e6:.0f} MB of memory and {room / 1e6:.0f} MB are "
        f"free: about {fit:,} photos fit. End other programs, add swap, or train a copy of the store on another machine and bring the head "
        "here: `edgetl head export`, `edgetl head import`.",
        path=str(store), photos=photos, needed=need, available=room, fitting=fit,
    )  # fmt: skip
