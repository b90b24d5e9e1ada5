"""What telling the unknown from the known is worth: both rates at each operating point, and what a person may rely on."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Literal

import numpy as np

from edgetl.heads.confidence.rejection import Point, Score
from edgetl.stats import Proportion, student
from edgetl.types import Array

LEAST_CLASSES, LEAST_AUROC, LEAST_PHOTOS = 4, 0.7, 3
"""Without a background. At LEAST_AUROC it begins to pay: on photos of classes truly held back, 0.65 went with 89 % of them accepted
(flowers), 0.88 / 0.92 / 0.93 with 59 / 37 / 33 % (sign digits at 20 / 60 / 200 per class), where 95 % of known ones were."""
RELIABLE = 0.3
"""Where more photos of a class left out get a label, a person is told not to rely on it."""
LEAST_HELD = 4
"""With a background. Fewer classes left out tell too little: beside three that were all rejected stood a fourth of which 7 of 15 got a
label."""
CANNOT, FAR = "cannot reject reliably here:", "only what is further from every class than nearly all photos taught gets no label"
_TWO_SIDED = 1.959963984540054
"""The two-sided normal deviate of 95 %."""
Code = Literal["reliable", "unreliable", "unrelated-only", "cannot-measure"]


@dataclasses.dataclass(frozen=True)
class ClassMean:
    """A mean over classes with its 95 % t interval: classes are what varies, however many photos each has.

    A single class yet to come may lie outside: in 60 trials of `tools/bench_rejection` the farthest was 0.24 from the mean.

    Attributes:
        value: the mean.
        interval: within [0, 1]; all of it for fewer than 3 classes.
        n: classes.
    """

    value: float
    interval: tuple[float, float]
    n: int

    @classmethod
    def of(cls, values: Array) -> ClassMean:
        """The mean of one value per class, each in [0, 1]."""
        n, value = len(values), float(np.mean(values))
        if n < 3:
            return cls(value, (0.0, 1.0), n)
        half = student(_TWO_SIDED, n - 1) * float(np.std(values, ddof=1)) / math.sqrt(n)
        return cls(value, (max(0.0, value - half), min(1.0, value + half)), n)

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.interval[0]:.2f}, {self.interval[1]:.2f}] over {self.n} classes"


@dataclasses.dataclass(frozen=True)
class Rates:
    """What one operating point accepts.

    Attributes:
        coverage: known photos, each scored without its burst.
        false_accept: the share of photos of an unknown class, each class left out in turn; None where none could be.
        background: unrelated photos: those of the background that no head has seen; n is 0 without a background.
    """

    coverage: Proportion
    false_accept: ClassMean | None
    background: Proportion


@dataclasses.dataclass(frozen=True)
class RejectionReport:
    """What telling the unknown from the known is worth here.

    Attributes:
        code: `reliable`: also things similar to those trained; `unreliable`: those were measured, and too many get a label;
            `unrelated-only`: unrelated things are rejected, similar ones were not measured or on too few classes; `cannot-measure`: too
            few photos or classes, and no background.
        reason: why, in a sentence.
        point: the operating point that is active.
        points: what each operating point accepts; empty if there is no choice.
        score: the score that was chosen; None where none could be tried.
        auroc: of every score tried: the chance that a known photo scores higher than one of a class the model does not know.
        classes: classes left out in turn.
        photos: photos scored, one per burst.
        background: photos of the background that were used.
        near: photos of the background that were left out because they look like a class.
    """

    code: Code
    reason: str
    point: Point
    points: Mapping[Point, Rates]
    score: Score | None
    auroc: Mapping[str, ClassMean]
    classes: int
    photos: int
    background: int = 0
    near: int = 0

    @property
    def reliable(self) -> bool:
        """Whether things similar to those trained are rejected too."""
        return self.code == "reliable"

    @property
    def _active(self) -> Rates:
        return self.points.get(self.point, Rates(Proportion(0, 0), None, Proportion(0, 0)))

    @property
    def coverage(self) -> Proportion:
        """Known photos that the active operating point accepts."""
        return self._active.coverage

    @property
    def false_accept(self) -> ClassMean | None:
        """The share of photos of an unknown class that it accepts; None where that could not be measured."""
        return self._active.false_accept

    @property
    def unrelated_accept(self) -> Proportion:
        """Photos of the background that it accepts."""
        return self._active.background


def too_little(classes: int, possible: int) -> str | None:
    """Why nothing can be tried, if so."""
    if classes < 3:
        return f"{CANNOT} with {classes} classes, leaving one out leaves nothing to compare; {LEAST_CLASSES} are needed; {FAR}"
    if possible < 3:
        few = f"{possible} of {classes} classes have {LEAST_PHOTOS} photos or more (a burst counts once); {LEAST_CLASSES} are needed"
        return f"{CANNOT} {few}; {FAR}"
    return None


def verdict(area: ClassMean, classes: int) -> tuple[bool, str]:
    """Whether leaving classes out tells enough to reject by, and why, without a background."""
    worth = f"a known photo scores higher than one of a class left out with a chance of {area}"
    if classes < LEAST_CLASSES:
        return False, f"{CANNOT} {classes} classes have enough photos, and at least {LEAST_CLASSES} are needed; {worth}; {FAR}"
    if area.interval[0] < LEAST_AUROC:
        return False, f"{CANNOT} {worth}, and the lower end should be {LEAST_AUROC} at least; {FAR}"
    return True, f"what is like nothing taught gets no label: {worth}"


def judged(rates: Rates, classes: int) -> tuple[Code, str]:
    """What a person may rely on, with a background and this many classes."""
    refused = Proportion(rates.background.n - rates.background.hits, rates.background.n)
    unrelated = f"{100 * refused.value:.0f} % of unrelated things are rejected (n={refused.n})"
    if classes == 1:
        return "unrelated-only", f"{unrelated}; similar things were not measured and may get the label: add them as a second class"
    if rates.false_accept is None:
        return "unrelated-only", f"{unrelated}; similar things were not measured: that takes 2 classes with {LEAST_PHOTOS} photos each"
    similar = f"{_tenths(rates.false_accept.value)} similar things you never taught get a wrong label"
    if rates.false_accept.value > RELIABLE:
        return "unreliable", f"{unrelated}, but {similar}: do not rely on 'unknown' for those"
    if rates.false_accept.n < LEAST_HELD:
        return "unrelated-only", f"{unrelated}; {similar}, as far as {rates.false_accept.n} classes tell"
    return "reliable", f"{unrelated}; {similar}"


def _tenths(share: float) -> str:
    tenths = round(10 * share)
    return f"about {tenths} of 10" if 0 < tenths < 10 else "nearly all" if tenths else "fewer than 1 of 20"
