"""When the state changes: not with every answer, but when enough of the last ones agree."""

from __future__ import annotations

import dataclasses
from collections import Counter, deque


@dataclasses.dataclass(frozen=True)
class Change:
    """The state has changed.

    Attributes:
        label: the class from now on; None for unknown.
        previous: the class before.
        seconds: how long that lasted.
        agreed: how many of the last answers were `label`.
    """

    label: str | None
    previous: str | None
    seconds: float
    agreed: int


class Decision:
    """The state of one camera: `agree` of the last `of` answers change it, and not before `dwell` seconds have passed.

    With `agree` more than half of `of` two classes never have enough at once, so the state does not flicker between them: it stays until
    another one has clearly won.

    Attributes:
        label: the state; None at first, and while unknown.
    """

    def __init__(self, agree: int = 3, of: int = 5, *, threshold: float = 0.0, dwell: float = 0.0) -> None:
        """Begins in the state unknown.

        Args:
            agree: answers that must agree, more than half of `of`.
            of: answers that count, the latest.
            threshold: an answer with a lower probability counts as unknown.
            dwell: seconds that a state lasts at least.

        Raises:
            ValueError: numbers that contradict each other.
        """
        if not (of >= 1 and of / 2 < agree <= of and 0 <= threshold <= 1 and dwell >= 0):
            raise ValueError(f"agree {agree} of {of}, threshold {threshold}, dwell {dwell}: agree must be more than half of the answers")
        self.label: str | None = None
        self._agree, self._threshold, self._dwell = agree, threshold, dwell
        self._answers: deque[str | None] = deque(maxlen=of)
        self._since: float | None = None

    def update(self, label: str | None, probability: float, now: float) -> Change | None:
        """Takes an answer.

        Args:
            label: the class; None for unknown.
            probability: in [0, 1].
            now: seconds, on a clock that only goes forward.

        Returns:
            The change, if the state has changed.
        """
        self._answers.append(label if probability >= self._threshold else None)
        self._since = now if self._since is None else self._since
        winner, agreed = Counter(self._answers).most_common(1)[0]
        if agreed < self._agree or winner == self.label or now - self._since < self._dwell:
            return None
        change = Change(winner, self.label, now - self._since, agreed)
        self.label, self._since = winner, now
        return change
