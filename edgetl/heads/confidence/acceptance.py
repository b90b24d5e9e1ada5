"""How well unknown objects are rejected: the rates at each operating point, and what they mean for the user."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

from edgetl.heads.confidence.rejection import OperatingPoint, Score
from edgetl.stats import Mean, Proportion

LEAST_CLASSES, LEAST_AUROC, LEAST_PHOTOS = 4, 0.7, 3
"""What a reliable rejection without a background takes (docs/evidence/rejection.md, "Without a background")."""
LEAST_KNOWN = 19
"""Without a background, no threshold of fewer photos accepts a new known one as often as `balanced` states."""
RELIABLE = 0.3
"""The largest share of photos of a left-out class that may get a label where the rejection counts as reliable."""
LEAST_HELD = 4
"""With a background, the classes left out that the same needs (docs/evidence/rejection.md, "What the report promises")."""
RejectionCode = Literal["reliable", "unreliable", "unrelated-only", "cannot-measure"]
RejectionReason = Literal[
    "measured", "similar-accepted", "low-auroc", "one-class", "not-left-out", "few-classes", "few-photos", "few-photos-per-class"
]


@dataclasses.dataclass(frozen=True)
class Rates:
    """What one operating point accepts.

    Attributes:
        coverage: known photos, each scored without its near-duplicates.
        false_accept: the share of photos of an unknown class that get a label, mean over the classes, each left out in turn (a single new
            class may lie outside the interval: docs/evidence/rejection.md); None if none could be left out.
        background: unrelated photos: those of the background that no head has seen; n is 0 without a background.
    """

    coverage: Proportion
    false_accept: Mean | None
    background: Proportion


@dataclasses.dataclass(frozen=True)
class RejectionReport:
    """How well unknown objects are rejected; :func:`edgetl.heads.text.rejection_text` words it.

    Attributes:
        code: `reliable`: similar unknown objects are rejected too; `unreliable`: they were measured, and too many get a label;
            `unrelated-only`: unrelated objects are rejected, similar ones were not measured or on too few classes; `cannot-measure`: too
            few photos or classes, and no background.
        reason: of the code. `measured`: the rates say so; `similar-accepted`: more than RELIABLE of similar objects get a label;
            `low-auroc`: the lower end of the AUROC's interval is below LEAST_AUROC; `one-class`: nothing similar can be left out;
            `not-left-out`: fewer than 2 classes have LEAST_PHOTOS photos; `few-classes`: fewer than LEAST_CLASSES classes;
            `few-photos`: fewer than LEAST_KNOWN photos; `few-photos-per-class`: fewer than 3 classes have LEAST_PHOTOS photos.
        point: the active operating point.
        points: what each operating point accepts; empty if there is no choice.
        score: the chosen score; None if none could be tried.
        auroc: of every score tried: the chance that a known photo scores higher than one of an unknown class.
        trained: classes of the head.
        eligible: classes with at least LEAST_PHOTOS photos, near-duplicates counted once.
        classes: classes left out in turn.
        photos: photos scored, one per near-duplicate group.
        background: background photos that were used.
        near: background photos that were left out because they look like a trained class.
    """

    code: RejectionCode
    reason: RejectionReason
    point: OperatingPoint
    points: Mapping[OperatingPoint, Rates]
    score: Score | None
    auroc: Mapping[str, Mean]
    trained: int
    eligible: int
    classes: int
    photos: int
    background: int = 0
    near: int = 0

    @property
    def reliable(self) -> bool:
        """Whether similar unknown objects are rejected too."""
        return self.code == "reliable"

    @property
    def _active(self) -> Rates:
        return self.points.get(self.point, Rates(Proportion(0, 0), None, Proportion(0, 0)))

    @property
    def coverage(self) -> Proportion:
        """Known photos that the active operating point accepts."""
        return self._active.coverage

    @property
    def false_accept(self) -> Mean | None:
        """The share of photos of an unknown class that it accepts; None if that could not be measured."""
        return self._active.false_accept

    @property
    def unrelated_accept(self) -> Proportion:
        """Background photos that it accepts."""
        return self._active.background


def judge_auroc(area: Mean, eligible: int) -> tuple[RejectionCode, RejectionReason]:
    """Whether the scores, tried on left-out classes without a background, tell enough to reject by them."""
    if eligible < LEAST_CLASSES:
        return "unreliable", "few-classes"
    return ("unreliable", "low-auroc") if area.interval[0] < LEAST_AUROC else ("reliable", "measured")


def judge_rates(rates: Rates, trained: int) -> tuple[RejectionCode, RejectionReason]:
    """What the rates of the active operating point mean with a background, for a head of `trained` classes."""
    if rates.false_accept is None:
        return "unrelated-only", "one-class" if trained == 1 else "not-left-out"
    if rates.false_accept.value > RELIABLE:
        return "unreliable", "similar-accepted"
    return ("unrelated-only", "few-classes") if rates.false_accept.n < LEAST_HELD else ("reliable", "measured")
