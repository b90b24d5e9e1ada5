"""Trains in the background: soon after a change, once for many changes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from edgetl.errors import EdgetlError
from edgetl.session.reports import TrainReport

QUIET_S = 0.15
"""A training begins when nothing has changed for this long."""

log = logging.getLogger("edgetl")


class BackgroundTrainer:
    """One training at a time; what is requested meanwhile is trained afterwards, once.

    Attributes:
        running: whether a training is under way.
        report: of the latest one; None before the first.
        error: that ended the latest one; None if it ended well.
    """

    def __init__(self, train: Callable[[], TrainReport], changed: Callable[[], None]) -> None:
        """Starts the thread.

        Args:
            train: trains once.
            changed: called when a training begins and when it has ended.
        """
        self.running = False
        self.report: TrainReport | None = None
        self.error: EdgetlError | None = None
        self._train, self._changed = train, changed
        self._wanted: float | None = None
        self._closed = False
        self._condition = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="edgetl-train", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> bool:
        """Whether a training is requested and not begun."""
        return self._wanted is not None

    def request(self) -> None:
        """Asks for a training; returns at once."""
        with self._condition:
            self._wanted = time.monotonic() + QUIET_S
            self._condition.notify_all()

    def wait(self, seconds: float) -> bool:
        """Waits until nothing is requested and nothing runs; whether that is so."""
        with self._condition:
            return self._condition.wait_for(lambda: not (self.running or self.waiting), seconds)

    def close(self) -> None:
        """Ends the thread after the training under way."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while self._next():
            self._tell()
            try:
                self.report, self.error = self._train(), None
            except EdgetlError as error:
                self.error = error
            except Exception as error:  # the next training must find this thread alive
                log.error("error: the training failed", exc_info=error)
                self.error = EdgetlError("The training failed on the server; its log says why.", code="internal")
            finally:
                with self._condition:
                    self.running = False
                    self._condition.notify_all()
            self._tell()

    def _tell(self) -> None:
        try:
            self._changed()
        except EdgetlError as error:  # the state cannot be read; a page that asks for it is told so
            log.warning("warning: the pages were not told of the training (%s)", error)

    def _next(self) -> bool:
        """Waits for the next training; whether there is one."""
        with self._condition:
            while not self._closed:
                left = None if self._wanted is None else self._wanted - time.monotonic()
                if left is not None and left <= 0:
                    self._wanted, self.running = None, True
                    return True
                self._condition.wait(left)
            return False
