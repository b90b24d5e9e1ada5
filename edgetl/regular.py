"""Reads files of others: regular ones only, and none larger than expected. A pipe would be waited for, and a device never ends."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def read(path: Path, most: int) -> bytes:
    """A file's bytes.

    Args:
        path: the file; links are followed.
        most: the most bytes that it may have.

    Raises:
        OSError: it is missing, a folder, a pipe or device (EINVAL), or larger (EFBIG).
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        check(path, os.fstat(handle), most)
    except OSError:
        os.close(handle)
        raise
    with os.fdopen(handle, "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise _too_large(path, most)
    return content


def check(path: Path, status: os.stat_result, most: int) -> None:
    """Rejects what :func:`read` does not read.

    Raises:
        OSError: as :func:`read`.
    """
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
    if status.st_size > most:
        raise _too_large(path, most)


def _too_large(path: Path, most: int) -> OSError:
    return OSError(errno.EFBIG, f"larger than {most // 2**20} MiB", os.fspath(path))
