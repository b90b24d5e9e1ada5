"""The page cache: which parts of files are in memory, and out with them before a cold load is measured.

Only the files of the measurement are let go, with posix_fadvise(POSIX_FADV_DONTNEED); /proc/sys/vm/drop_caches would slow down everything
else on the machine, needs root, and lets go no more of these files. What is left is asked of mincore (man 2 mincore), which, unlike
reading with RWF_NOWAIT, starts no read-ahead. Both leave alone what a running process has mapped, and this process itself is one; and
mincore tells about files of another user that everything is there (Linux >= 5.2), so that what cannot be seen counts as not let go.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import mmap
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np


@dataclasses.dataclass(frozen=True)
class Evicted:
    """What became of files in the page cache, bytes.

    Attributes:
        before: of them in it.
        after: of them in it when they had been let go.
    """

    before: int
    after: int

    @property
    def share(self) -> float:
        """What was let go, of what was there; 1 where nothing was there."""
        return 1 - self.after / self.before if self.before else 1.0


def evict(paths: Iterable[Path]) -> Evicted:
    """Lets go of files, as far as that is possible.

    Raises:
        OSError: this system cannot.
    """
    if not hasattr(os, "posix_fadvise"):
        raise OSError("this system has no posix_fadvise, which lets go of files in the page cache")
    readable = [path for path in {path.resolve() for path in paths} if path.is_file() and os.access(path, os.R_OK)]
    before = sum(map(resident, readable))
    return Evicted(before, sum(map(_let_go, readable)))


def resident(path: Path) -> int:
    """How much of a file is in the page cache, bytes; whole pages.

    Raises:
        OSError: it cannot be read, or this system cannot tell.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if not size:
            return 0
        pages = np.zeros(-(-size // mmap.PAGESIZE), np.uint8)
        with mmap.mmap(file.fileno(), size, prot=mmap.PROT_READ) as mapped:
            view = np.frombuffer(mapped, np.uint8)
            failed = _mincore(view.ctypes.data, size, pages.ctypes.data)
            del view  # a mapping with a view on it cannot be closed
    if failed:
        raise OSError(failed, f"{path}: mincore: {os.strerror(failed)}")
    # The other bits of a page's byte are undefined.
    return int((pages & 1).sum()) * mmap.PAGESIZE


def _let_go(path: Path) -> int:
    """What is left of it, bytes."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        left = resident(path)
        if left:
            # What is not on the disk yet stays until it is. A disk that is read-only has nothing of that kind, and refuses to be asked.
            with contextlib.suppress(OSError):
                os.fdatasync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            left = resident(path)
    return left


def _mincore(address: int, size: int, pages: int) -> int:
    """The error number; 0 where it went well."""
    library = ctypes.CDLL(None, use_errno=True)
    call = library.mincore
    call.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
    return ctypes.get_errno() if call(address, size, pages) else 0
