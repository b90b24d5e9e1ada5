"""Ctrl-C, SIGTERM and a terminal that closes: the running process is ended and what was measured is kept."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from types import FrameType, TracebackType
from typing import Any


class Stop:
    """Turns SIGINT, SIGTERM and SIGHUP into a wish to stop, for as long as it is entered, so that none comes between a record and its file.

    No exception is raised, because that could come anywhere: between a process's start and the first line that knows of it. What remains
    to be done after the wish takes seconds; further signals change nothing. Outside of the main thread, where Python hands out no signals,
    and for a signal that is ignored (nohup), nothing is changed.

    Attributes:
        reason: why it should stop; empty until then.
    """

    def __init__(self) -> None:
        self.reason = ""
        self._process: subprocess.Popen[str] | None = None
        self._handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._handlers[number] = signal.signal(number, self._told)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()

    def watch(self, process: subprocess.Popen[str] | None) -> None:
        """Names the process to end, which leads a group of its own; None when it has ended."""
        self._process = process
        if self.reason:
            self._end()

    def _told(self, number: int, frame: FrameType | None) -> None:
        self.reason = self.reason or f"interrupted by {signal.Signals(number).name}"
        self._end()

    def _end(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
