"""What a piece of work needs beside time: memory and bytes written, by the kernel's own counts (proc(5))."""

from __future__ import annotations

import os
import re
from pathlib import Path

_PEAK = b"5"
"""Written to /proc/self/clear_refs it sets the peak of resident memory to what is resident now (proc_pid_clear_refs(5))."""


class Resources:
    """What this process takes from the moment at which this is made; what cannot be read is left out.

    A reading walks the process's pages and the folder, which takes a time of its own: nothing may be timed between two of them.
    """

    def __init__(self, folder: Path, root: Path = Path("/")) -> None:
        """Takes the first reading; `folder` is where files grow."""
        self._folder, self._proc = folder, root / "proc/self"
        try:
            with (self._proc / "clear_refs").open("wb", buffering=0) as file:
                file.write(_PEAK)
            self._resident = _status(self._proc, "VmRSS")
        except OSError:
            self._resident = None
        self._written, self._size = _written(self._proc), _size(folder)

    def taken(self) -> dict[str, int]:
        """What was taken since then, bytes.

        Returns:
            `memory growth`: the highest resident memory above that of the first reading.
            `written`: what this process sent to storage, journal included; left out where the kernel counts none, as in a folder that
            lies in memory.
            `file growth`: of the folder.
        """
        peak, written = _status(self._proc, "VmHWM"), _written(self._proc)
        found: dict[str, int] = {}
        if peak is not None and self._resident is not None:
            found["memory growth"] = max(0, peak - self._resident)
        if written is not None and self._written is not None and written > self._written:
            found["written"] = written - self._written
        return {**found, "file growth": max(0, _size(self._folder) - self._size)}


def _status(proc: Path, name: str) -> int | None:
    found = re.search(rf"^{name}:\s*(\d+) kB", _text(proc / "status"), re.MULTILINE)
    return int(found.group(1)) * 1024 if found else None


def _written(proc: Path) -> int | None:
    found = re.search(r"^write_bytes: (\d+)", _text(proc / "io"), re.MULTILINE)
    return int(found.group(1)) if found else None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _size(folder: Path) -> int:
    return sum(entry.stat().st_size for entry in os.scandir(folder) if entry.is_file(follow_symlinks=False))
