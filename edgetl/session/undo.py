"""Changes that can be taken back, the newest first, as long as the program runs: a photo that was deleted is gone when it ends."""

from __future__ import annotations

import dataclasses
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from edgetl.errors import StoreError
from edgetl.session import editing

if TYPE_CHECKING:
    from edgetl.session.reports import Added
    from edgetl.session.stored import StoredClassifier

MOST = 100
"""Steps that can be taken back."""

_OVERTAKEN = frozenset({"sample-missing", "photo-known", "head-missing"})

Revert = Callable[["StoredClassifier"], object]


@dataclasses.dataclass(frozen=True)
class Step:
    """One change.

    Attributes:
        text: what was done, for the undo button: `Add 3 photos to bolt`.
        revert: takes it back.
    """

    text: str
    revert: Revert


@dataclasses.dataclass(frozen=True)
class Undone:
    """A change that was taken back.

    Attributes:
        text: what it was.
        differs: whether the store holds other photos, labels or another background now, so that a training gives another head.
    """

    text: str
    differs: bool


class Steps:
    """The changes since the program started, the newest last; safe to use from several threads."""

    def __init__(self) -> None:
        self._steps: deque[Step] = deque(maxlen=MOST)
        self._lock = threading.Lock()

    def push(self, text: str, revert: Revert) -> None:
        """Remembers a change."""
        with self._lock:
            self._steps.append(Step(text, revert))

    def push_added(self, text: str, added: Sequence[Added], also: Callable[[], object] = lambda: None) -> None:
        """Remembers photos that were added or moved, if any; `also` takes back what else was done."""
        new = [each.sample for each in added if each.status == "added"]
        moved: dict[int, str] = {}
        for each in added:  # one photo may be there twice, under two labels
            if each.status == "relabelled" and each.previous and each.sample not in new:
                moved.setdefault(each.sample, each.previous)

        def revert(classifier: StoredClassifier) -> None:
            editing.take(classifier.session, new)
            for sample, previous in moved.items():
                editing.relabel(classifier.session, sample, previous)
            also()

        if new or moved:
            self.push(text, revert)

    def undo(self, classifier: StoredClassifier) -> Undone:
        """Takes the newest change back, all of it or nothing.

        A change that fails now stays the newest. One that something else has overtaken can never be taken back: it is dropped, so that the
        ones before it still can.

        Raises:
            StoreError: there is none (`nothing-to-undo`), or its photos or its head are no longer what they were.
        """
        with self._lock:
            step = self._steps.pop() if self._steps else None
        if step is None:
            raise StoreError("there is nothing to undo", code="nothing-to-undo")
        try:
            with classifier.session.changing("undoing a step"):
                before = classifier.store.digest()
                step.revert(classifier)
                return Undone(step.text, classifier.store.digest() != before)
        except BaseException as error:
            if getattr(error, "code", "") not in _OVERTAKEN:
                self.push(step.text, step.revert)
            raise

    @property
    def newest(self) -> str | None:
        """What undo would take back; None if nothing."""
        with self._lock:
            return self._steps[-1].text if self._steps else None


def photos(count: int) -> str:
    """A number of photos in words."""
    return f"{count} photo" + ("" if count == 1 else "s")
