"""One writer per store."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from pathlib import Path

from edgetl import forks
from edgetl.errors import StoreError, StoreLocked


class WriterLock:
    """Holds `NAME.lock` beside a store; the kernel releases it when the process ends, however it ends.

    The file stays after the release: removing it would let two processes lock two files of the same name.
    """

    def __init__(self, store: Path) -> None:
        """Takes the lock.

        Raises:
            StoreLocked: another `Store`, here or in another process, is open for writing.
            StoreError: the lock file cannot be made (`store-not-writable`).
        """
        path = store.with_name(store.name + ".lock")
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            message = f"{store} cannot be opened for writing: {path.name} cannot be made beside it ({error.strerror})"
            raise StoreError(message, code="store-not-writable", path=str(store), reason=error.strerror) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(self._file, 32, 0).strip().decode("ascii", "replace")
            holder = "this process" if pid == str(os.getpid()) else f"another process (pid {pid or 'unknown'})"
            # From Python: read_only=True. On the command line the verbs that only read do so.
            url = _server_of(store, pid)
            cure = "Close it there, or wait; reading (read_only=True) works beside it."
            message = f"{store} is open for writing in {holder}. {f'It is the field station: {url}' if url else cure}"
            os.close(self._file)
            raise StoreLocked(message, path=str(store), pid=int(pid) if pid.isdigit() else None, url=url) from None
        forks.keep(self, WriterLock._let_go_in_child)
        with contextlib.suppress(OSError):  # the number only informs, and a full disk must not stop photos from being forgotten
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        """Lets the next writer in; a second call does nothing, nor does one in a forked process."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _let_go_in_child(self) -> None:
        """A child keeps nobody out; the parent's lock stays."""
        self.release()


def _server_of(store: Path, pid: str) -> str | None:
    """The address of the field station with this process id, from `NAME.serve`, which it leaves beside the store; None if it is not one."""
    try:
        server = json.loads(store.with_name(store.name + ".serve").read_text("utf-8"))
        return str(server["url"]) if str(server["pid"]) == pid else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
