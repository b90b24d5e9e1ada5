"""Reads a store's file beside SQLite, without breaking SQLite's locks.

POSIX drops every lock of a process on a file as soon as the process closes any descriptor of it (https://sqlite.org/howtocorrupt.html,
section 2.2). Another process would then take a store in use for one that nobody has open, and delete its journal. So a descriptor of a
file that a connection has open is closed with the last connection, not before.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Generator
from pathlib import Path

_lock = threading.Lock()
_users: Counter[tuple[int, int]] = Counter()
_descriptors: dict[tuple[int, int], int] = {}


def opened(path: Path) -> tuple[int, int]:
    """Notes a user of a file, before it opens it; returns what :func:`closed` takes.

    Raises:
        OSError: the file is missing.
    """
    status = path.stat()
    file = status.st_dev, status.st_ino
    with _lock:
        _users[file] += 1
    return file


def is_same(path: Path, file: tuple[int, int]) -> bool:
    """Whether a path still leads to the file that :func:`opened` returned."""
    try:
        status = path.stat()
    except OSError:
        return False
    return (status.st_dev, status.st_ino) == file


def closed(file: tuple[int, int]) -> None:
    """Notes that a user of a file has closed it."""
    with _lock:
        _users[file] -= 1
        if _users[file] <= 0:
            del _users[file]
            if (descriptor := _descriptors.pop(file, None)) is not None:
                os.close(descriptor)


def read(path: Path, size: int) -> Generator[bytes, None, None]:
    """Yields a file's content, `size` bytes at a time.

    Raises:
        OSError: it is missing or cannot be read.
    """
    file = opened(path)
    try:
        with _lock:
            if file not in _descriptors:
                _descriptors[file] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            descriptor = _descriptors[file]
        start = 0
        while block := os.pread(descriptor, size, start):
            yield block
            start += len(block)
    finally:
        closed(file)
