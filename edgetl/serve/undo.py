"""What was done on the page, so that each step can be taken back."""

from __future__ import annotations

import dataclasses
import threading
from collections import deque
from collections.abc import Callable

MOST = 100
"""Steps that can be taken back."""


@dataclasses.dataclass(frozen=True)
class Step:
    """One change.

    Attributes:
        text: what was done, for the undo button: `Add 3 photos to bolt`.
        revert: takes it back.
    """

    text: str
    revert: Callable[[], object]


class Steps:
    """The changes since the server started, the newest last; safe to use from several threads."""

    def __init__(self) -> None:
        self._steps: deque[Step] = deque(maxlen=MOST)
        self._lock = threading.Lock()

    def push(self, text: str, revert: Callable[[], object]) -> None:
        """Remembers a change."""
        with self._lock:
            self._steps.append(Step(text, revert))

    def pop(self) -> Step | None:
        """The newest change, which is then no longer remembered; None without one."""
        with self._lock:
            return self._steps.pop() if self._steps else None

    @property
    def newest(self) -> str | None:
        """What undo would take back; None if nothing."""
        with self._lock:
            return self._steps[-1].text if self._steps else None
