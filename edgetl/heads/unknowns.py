"""How well the unknown can be told from the known here: which score, at which threshold, and what it is worth.

One class after the other is left out (:mod:`edgetl.heads.absence`): its photos are then truly unknown, and those of the other classes,
each left out with its burst, are known. Reject classes (:data:`edgetl.heads.rejection.NOTHING`) are in every model that is tried; they are
neither held out, because they are no news to the head, nor counted as known, because they are not to be accepted.
"""

from __future__ import annotations

import dataclasses
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgetl.evaluation import student
from edgetl.heads.absence import Absence, Answer
from edgetl.heads.calibration import CalibrationError, calibration_error, temperature
from edgetl.heads.conformal import conformal
from edgetl.heads.reading import View
from edgetl.heads.rejection import COVERAGE, REACH, SCORES, Rejection, Score, is_nothing
from edgetl.heads.threads import single_thread
from edgetl.types import Array, Proportion

if TYPE_CHECKING:
    from edgetl.heads.head import Head
    from edgetl.heads.learner import Fit

KNOWN, TRIED, HELD, _MOST_UNKNOWN, _LONG = 256, 96, 10, 12, 256
"""The threshold is set on at most KNOWN photos. At most HELD classes are left out in turn, and at most _MOST_UNKNOWN photos of each judged
against at most TRIED known ones. Leaving out a burst costs the cube of its rows each time, so one of more than _LONG, which is a single
photo among all these, is not judged."""
LEAST_CLASSES, LEAST_AUROC, _LEAST_PHOTOS, _NEEDED, _FEW = 4, 0.7, 3, 19, 20
"""At LEAST_AUROC it begins to pay: on photos of classes truly held back, 0.65 went with 89 % of them accepted (flowers), 0.88 / 0.92 / 0.93
with 59 / 37 / 33 % (sign digits at 20 / 60 / 200 per class), where 95 % of known ones were. With fewer than _NEEDED photos no
threshold accepts a new known one with the chance COVERAGE."""
_CANNOT, _FAR = "cannot reject reliably here:", "only what is further from every class than nearly all photos taught gets no label"
LEAST_ALPHA = 0.03
"""What tells classes apart best is not what knows unknown things best. On photos of magnetic tiles held back the AUROC of `mahalanobis` was
0.70 / 0.73 / 0.73 at 20 / 60 / 200 photos per class with alpha = 0.1, and 0.70 / 0.71 / 0.70 with 0.003, which LDA chooses there; on sign
digits 0.87 / 0.90 / 0.90 against 0.87 / 0.89 / 0.89, on flowers 0.59 / 0.61 / 0.61 against 0.59 / 0.58 / 0.58. At 0.03 and 0.3 it was
within 0.03 of 0.1. All on the part that the choice saw; with all photos sign digits had 0.92 / 0.93 at 60 / 200, flowers 0.62 / 0.65."""
_ONE_SIDED, _TWO_SIDED = 1.6448536269514722, 1.959963984540054
"""The normal deviates of 95 %."""
_BITS, _ODD = 64, np.uint64(0x9E3779B97F4A7C15)


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
class RejectionReport:
    """What telling the unknown from the known is worth here.

    Attributes:
        reliable: whether a threshold on the score is active; if not, only what is out of reach of every class gets no label.
        reason: why, in a sentence.
        score: the score that was chosen; None where none could be tried.
        auroc: of every score: the chance that a known photo scores higher than one of a class the model does not know.
        coverage: known photos accepted by what is active, each scored without its burst.
        false_accept: the share of photos of an unknown class that it accepts; None where none could be tried.
        classes: classes left out in turn.
        photos: photos scored, one per burst.
    """

    reliable: bool
    reason: str
    score: Score | None
    auroc: Mapping[str, ClassMean]
    coverage: Proportion
    false_accept: ClassMean | None
    classes: int
    photos: int


def auroc(known: Array, unknown: Array) -> float:
    """The chance that a known score [m] is above an unknown one [k], ties counting half (Mann and Whitney 1947)."""
    ordered = np.sort(known)
    below = np.searchsorted(ordered, unknown, "left") + np.searchsorted(ordered, unknown, "right")
    return float(1 - below.mean() / (2 * len(known)))


def calibrate(fit: Fit) -> tuple[Head, RejectionReport, CalibrationError | None]:
    """The fitted head with all that it needs to reject and to make sets of classes, on one BLAS thread; the learner may not have changed.

    Its answers stay what they were; with few photos its temperature, and so its probabilities, change.

    Returns:
        The head, what its rejection is worth, and how honest its probabilities are.
    """
    number = {label: i for i, label in enumerate(fit.head.labels)}
    classes = np.array([number[label] for label in fit.truth])
    with single_thread():
        rejection, report = reject(state(fit), fit.head.labels)
        heat = fit.head.temperature * _mended(fit)
        sets = conformal(fit.held, classes, fit.bursts, heat)
        head = dataclasses.replace(fit.head, temperature=heat, rejection=rejection, conformal=sets)
        return head, report, calibration_error(fit.held, classes, fit.bursts)


def _mended(fit: Fit) -> float:
    """By what to multiply LDA's temperature, where photos are few, because leaving one out makes its own class look worse than it is.

    With tau the expected squared distance to the true mean, that to the mean of n photos is tau (1 + 1 / n). Left out, a photo is measured
    against n - 1 of its own class and n of each other, and loses tau (1 / (n - 1) - 1 / n) / 2 in its logit. On photos never taught (8
    draws) that took the calibration error from 24 / 22 / 8 to 15 / 14 / 7 points at 3 / 5 / 10 photos per class on flowers, from 18 / 6 / 4
    to 7 / 4 / 4 on sign digits and from 16 / 17 / 13 to 12 / 14 / 12 on magnetic tiles; beyond _FEW per class it changes nothing. Where
    hardly a photo is missed the temperature says how large logits are, not how often they err; so it is only ever lowered.
    """
    view = fit.whole.view
    if fit.kind != "lda" or len(np.unique(fit.bursts)) > _FEW * len(view.counts):
        return 1.0
    photos = _photos(view, np.zeros(len(view.counts), bool))
    counts = np.bincount(view.classes[photos], minlength=len(view.counts))
    photos = photos[counts[view.classes[photos]] > 1]
    if not len(photos):
        return 1.0
    model = Absence(view, photos)
    answer, own, n = model.without(), (np.arange(len(photos)), model.classes), counts[model.classes]
    tau = float(((answer.squares - 2 * answer.logits[own]) * (n - 1) / n).mean())
    before = temperature(answer.logits, model.classes)
    answer.logits[own] += tau * (1 / (n - 1) - 1 / n) / 2
    return min(1.0, temperature(answer.logits, model.classes) / before)


def state(fit: Fit) -> View:
    """What the scores are made from: all photos in the head's coordinates, or in those of LEAST_ALPHA where its alpha is lower."""
    return fit.view(max(fit.alpha, LEAST_ALPHA))


def reject(view: View, labels: Sequence[str]) -> tuple[Rejection | None, RejectionReport]:
    """Chooses the score and the threshold, and measures both.

    Args:
        view: everything that was taught, in coordinates of its own scatter.
        labels: the classes' names.

    Returns:
        The rejection, of what is out of reach only where no score is reliable, and None with fewer photos than a threshold needs.
    """
    nothing = np.array([is_nothing(label) for label in labels])
    photos = _photos(view, nothing)
    counts = np.bincount(view.classes[photos], minlength=len(labels))
    photos = photos[counts[view.classes[photos]] > 1]  # of a class with one burst nothing is left when it is left out
    rows = _balanced(photos, view.classes, KNOWN)
    if len(rows) < _NEEDED:
        few = f"a threshold needs {_NEEDED} photos, of classes with 2 or more (a burst counts once), not {len(rows)}"
        return None, RejectionReport(False, f"{_CANNOT} {few}", None, {}, Proportion(0, 0), None, 0, len(rows))
    model = Absence(view, rows)
    answer = model.without()
    reach = _threshold(answer.nearness.max(1), REACH)
    possible = np.flatnonzero(counts >= _LEAST_PHOTOS)
    if (why := _too_little(int((~nothing).sum()), len(possible))) is not None:
        near = Proportion(int((answer.nearness.max(1) >= reach).sum()), len(rows))
        return fitted(view, "distance", 1.0, reach, reach), RejectionReport(False, why, None, {}, near, None, 0, len(rows))
    heat = temperature(answer.logits, model.classes)
    held = possible[np.linspace(0, len(possible) - 1, min(HELD, len(possible))).astype(np.intp)]
    pairs = _leave_out(view, photos, held, nothing, heat, reach)
    areas = {score: np.array([auroc(*pair[score]) for pair in pairs]) for score in SCORES}
    chosen = _best(areas)
    known = scores(answer, heat, nothing, reach)[chosen]
    reliable, reason = _verdict(ClassMean.of(areas[chosen]), len(possible))
    limit = _threshold if reliable else _lowest
    accepted = np.array([(pair[chosen][1] >= limit(pair[chosen][0])).mean() for pair in pairs])
    report = RejectionReport(
        reliable,
        reason,
        chosen,
        {score: ClassMean.of(values) for score, values in areas.items()},
        Proportion(int((known >= limit(known)).sum()), len(known)),
        ClassMean.of(accepted),
        len(held),
        len(rows),
    )
    return fitted(view, *((chosen, heat, limit(known)) if reliable else ("distance", 1.0, reach)), reach), report


def scores(answer: Answer, heat: float, nothing: Array, reach: float) -> dict[Score, Array]:
    """Every score of each photo, [m]; -inf where it is out of reach, or the best class is one that stands for nothing, bool [c]."""
    second, best = np.partition(answer.logits, -2, 1)[:, -2:].T
    near = answer.nearness.max(1)
    made: dict[Score, Array] = {
        "mahalanobis": answer.background - answer.squares + 2 * best,
        "probability": 1 / np.exp((answer.logits - best[:, None]) / heat).sum(1),
        "margin": best - second,
        "distance": near,
    }
    refused = nothing[answer.logits.argmax(1)] | (near < reach)
    return {score: np.where(refused, -np.inf, values) for score, values in made.items()}


def fitted(view: View, score: Score, heat: float, threshold: float, reach: float) -> Rejection:
    """The rejection by one score, of the model that lacks nothing; `heat` is the temperature of its logits."""
    number = len(view.counts)
    offset, form = np.zeros(number), np.zeros((number, number))
    weight, bias = view.means, -np.einsum("cd,cd->c", view.means, view.means) / 2
    if score != "distance":
        solve = view.whitening.inverse(view.centres * np.sqrt(view.counts)[:, None], -np.ones(number))
        origin = view.counts @ view.centres / view.counts.sum()
        centred = view.centres - origin
        solved = solve.apply(centred)
        cross = centred @ solved.T
        scale = 1 / heat if score == "probability" else 1.0
        own, level = view.whitening.unproject(solved * scale, (-solved @ origin - np.diag(cross) / 2) * scale)
        weight, bias = np.concatenate([own, weight]), np.concatenate([level, bias])
        if score == "mahalanobis":
            offset, form = np.diag(cross) / 2, np.linalg.inv(np.diag(1 / view.counts) + cross)
    w, b, o, f = (np.asarray(array, np.float32) for array in (weight, bias, offset, form))
    return Rejection(score, w, b, o, f, threshold, reach)


def _photos(view: View, nothing: Array) -> Array:
    """One photo per burst, int [k], without those of reject classes and of bursts that have two labels or more than _LONG rows, shuffled.

    The shuffle follows the embeddings' bits, so that it is the same in whatever order the photos came.
    """
    bits = view.x[:, :_BITS].view(np.uint32).astype(np.uint64) * (2 * np.arange(view.x[:, :_BITS].shape[1], dtype=np.uint64) + _ODD)
    key = (bits.sum(1) ^ (bits.sum(1) >> np.uint64(29))) * _ODD
    order = np.lexsort((key, view.evidence <= 0))
    bursts, first, number = np.unique(view.bursts[order], return_index=True, return_inverse=True)
    classes, number = view.classes[order], number.reshape(-1)
    low, high = np.full(len(bursts), len(nothing)), np.full(len(bursts), -1)
    np.minimum.at(low, number, classes)
    np.maximum.at(high, number, classes)
    short = np.bincount(number) <= _LONG
    rows: Array = order[np.sort(first[(low == high) & ~nothing[low] & short])]
    return rows


def _balanced(rows: Array, classes: Array, limit: int) -> Array:
    """The first rows of every class, as many of each as fit into `limit` together, but at least two."""
    counts = np.bincount(classes[rows])
    quota = max(2, bisect_right(range(limit + 1), limit, key=lambda each: int(np.minimum(counts, each).sum())) - 1)
    return _first(rows, classes, quota)


def _first(rows: Array, classes: Array, quota: int) -> Array:
    """The first `quota` rows of every class."""
    order = np.argsort(classes[rows], kind="stable")
    own = classes[rows[order]]
    rank = np.arange(len(rows)) - np.searchsorted(own, own)
    return rows[order[rank < quota]]


def _leave_out(view: View, photos: Array, held: Array, nothing: Array, heat: float, reach: float) -> list[dict[Score, tuple[Array, Array]]]:
    """For each class of `held`: the scores of known photos and of its own, from models without it."""
    known = _balanced(photos, view.classes, TRIED)
    more = _first(photos[np.isin(view.classes[photos], held)], view.classes, _MOST_UNKNOWN)
    rows = np.concatenate([known, np.setdiff1d(more, known)])
    some, pairs = Absence(view, rows), []
    for drop in held:
        answer = some.without(int(drop))
        unknown = some.classes == drop
        fair = ~unknown & (np.arange(len(rows)) < len(known))
        pairs.append({score: (values[fair], values[unknown]) for score, values in scores(answer, heat, nothing, reach).items()})
    return pairs


def _best(areas: Mapping[Score, Array]) -> Score:
    """`mahalanobis`, unless another is better by more than chance over the classes left out (a one-sided t test at 5 %)."""
    chosen = SCORES[0]
    for rival in SCORES[1:]:
        gain = areas[rival] - areas[chosen]
        if gain.mean() > student(_ONE_SIDED, len(gain) - 1) * gain.std(ddof=1) / math.sqrt(len(gain)):
            chosen = rival
    return chosen


def _threshold(known: Array, coverage: float = COVERAGE) -> float:
    """The k-th lowest of n scores, k = (1 - coverage)(n + 1): a new known photo is below it with a chance of at most k / (n + 1).

    With too few scores it is the lowest, for which that is 1 / (n + 1).
    """
    k = max(1, int((1 - coverage) * (len(known) + 1) + 1e-9))
    return float(np.sort(known)[k - 1])


def _lowest(known: Array) -> float:
    """What every photo in reach exceeds."""
    return float(np.finfo(np.float64).min)


def _too_little(classes: int, possible: int) -> str | None:
    """Why nothing can be tried, if so."""
    if classes < 3:
        return f"{_CANNOT} with {classes} classes, leaving one out leaves nothing to compare; {LEAST_CLASSES} are needed; {_FAR}"
    if possible < 3:
        few = f"{possible} of {classes} classes have {_LEAST_PHOTOS} photos or more (a burst counts once); {LEAST_CLASSES} are needed"
        return f"{_CANNOT} {few}; {_FAR}"
    return None


def _verdict(area: ClassMean, classes: int) -> tuple[bool, str]:
    worth = f"a known photo scores higher than one of a class left out with a chance of {area}"
    if classes < LEAST_CLASSES:
        return False, f"{_CANNOT} {classes} classes have enough photos, and at least {LEAST_CLASSES} are needed; {worth}; {_FAR}"
    if area.interval[0] < LEAST_AUROC:
        return False, f"{_CANNOT} {worth}, and the lower end should be {LEAST_AUROC} at least; {_FAR}"
    return True, f"what is like nothing taught gets no label: {worth}"
