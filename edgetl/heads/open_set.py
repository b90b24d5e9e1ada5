"""How well the unknown can be told from the known here: which score, at which threshold, and what it is worth.

One class after the other is left out (:mod:`edgetl.heads.leave_class_out`): its photos are then truly unknown, and those of the other
classes,
each left out with its burst, are known. Reject classes (:data:`edgetl.heads.confidence.rejection.NOTHING`) are in every model that is
tried; they are
neither held out, because they are no news to the head, nor counted as known, because they are not to be accepted.
"""

from __future__ import annotations

import dataclasses
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgetl.errors import TrainError
from edgetl.heads.background import Background
from edgetl.heads.confidence.acceptance import (
    CANNOT,
    LEAST_HELD,
    LEAST_PHOTOS,
    ClassMean,
    Code,
    Rates,
    RejectionReport,
    judged,
    too_little,
    verdict,
)
from edgetl.heads.confidence.calibration import CalibrationError, calibration_error, temperature
from edgetl.heads.confidence.conformal import conformal
from edgetl.heads.confidence.limits import FEW, LOWEST, UNRELATED, limits_beside, threshold
from edgetl.heads.confidence.rejection import COVERAGE, POINTS, REACH, SCORES, Point, Rejection, Score, is_nothing
from edgetl.heads.leave_class_out import Absence, Answer
from edgetl.heads.linalg.threads import single_thread
from edgetl.heads.linalg.whitening import Strangers
from edgetl.heads.training_set import View
from edgetl.stats import Proportion, student
from edgetl.types import Array, Embeddings

if TYPE_CHECKING:
    from edgetl.heads.head import Head
    from edgetl.heads.learner import Fit

KNOWN, TRIED, HELD, _MOST_UNKNOWN, _LONG = 256, 96, 10, 12, 256
"""The threshold is set on at most KNOWN photos. At most HELD classes are left out in turn, and at most _MOST_UNKNOWN photos of each judged
against at most TRIED known ones. Leaving out a burst costs the cube of its rows each time, so one of more than _LONG, which is a single
photo among all these, is not judged."""
_NEEDED, _MANY = 19, 20
"""Without a background, with fewer than _NEEDED photos no threshold accepts a new known one with the chance COVERAGE of `balanced`."""
LEAST_ALPHA = 0.03
"""What tells classes apart best is not what knows unknown things best. On photos of magnetic tiles held back the AUROC of `mahalanobis` was
0.70 / 0.73 / 0.73 at 20 / 60 / 200 photos per class with alpha = 0.1, and 0.70 / 0.71 / 0.70 with 0.003, which LDA chooses there; on sign
digits 0.87 / 0.90 / 0.90 against 0.87 / 0.89 / 0.89, on flowers 0.59 / 0.61 / 0.61 against 0.59 / 0.58 / 0.58. At 0.03 and 0.3 it was
within 0.03 of 0.1. All on the part that the choice saw; with all photos sign digits had 0.92 / 0.93 at 60 / 200, flowers 0.62 / 0.65."""
_CROWD = 64
"""Of more classes than this fewer are left out in turn."""
_ONE_SIDED = 1.6448536269514722
"""The one-sided normal deviate of 95 %."""
_MENDING = 1024
"""The temperature is mended on at most this many photos."""
_BITS, _ODD = 64, np.uint64(0x9E3779B97F4A7C15)


def auroc(known: Array, unknown: Array) -> float:
    """The chance that a known score [m] is above an unknown one [k], ties counting half (Mann and Whitney 1947)."""
    ordered = np.sort(known)
    below = np.searchsorted(ordered, unknown, "left") + np.searchsorted(ordered, unknown, "right")
    return float(1 - below.mean() / (2 * len(known)))


def calibrate(
    fit: Fit, background: Embeddings | None = None, point: Point = "balanced"
) -> tuple[Head, RejectionReport, CalibrationError | None]:
    """The fitted head with all that it needs to reject and to make sets of classes, on one BLAS thread; the learner may not have changed.

    Its answers stay what they were; with few photos its temperature, and so its probabilities, change.

    Args:
        fit: of the learner.
        background: embeddings of photos of none of the classes, float32 [k, d]; None or no row where there are none.
        point: the operating point to make active.

    Returns:
        The head, what its rejection is worth, and how honest its probabilities are (None where that cannot be said).

    Raises:
        TrainError: an unknown operating point.
    """
    if point not in POINTS:
        raise TrainError(f"operating point {point!r} is unknown; choose one of {', '.join(POINTS)}")
    number = {label: i for i, label in enumerate(fit.head.labels)}
    classes = np.array([number[label] for label in fit.truth])
    with single_thread():
        strange = None if background is None or not len(background) else fit.head.normalised(background)
        rejection, report = reject(state(fit), fit.head.labels, strange, point)
        heat = fit.head.temperature * _mended(fit)
        sets = conformal(fit.held, classes, fit.bursts, heat)
        head = dataclasses.replace(fit.head, temperature=heat, rejection=rejection, conformal=sets)
        several = len(fit.head.labels) > 1  # the probability of a single class is 1
        return head, report, calibration_error(fit.held, classes, fit.bursts) if several else None


def _mended(fit: Fit) -> float:
    """By what to multiply LDA's temperature, where photos are few, because leaving one out makes its own class look worse than it is.

    With tau the expected squared distance to the true mean, that to the mean of n photos is tau (1 + 1 / n). Left out, a photo is measured
    against n - 1 of its own class and n of each other, and loses tau (1 / (n - 1) - 1 / n) / 2 in its logit. On photos never taught (8
    draws) that took the calibration error from 24 / 22 / 8 to 15 / 14 / 7 points at 3 / 5 / 10 photos per class on flowers, from 18 / 6 / 4
    to 7 / 4 / 4 on sign digits and from 16 / 17 / 13 to 12 / 14 / 12 on magnetic tiles; beyond _MANY per class it changes nothing. Where
    hardly a photo is missed the temperature says how large logits are, not how often they err; so it is only ever lowered.
    """
    view = fit.whole.view
    if fit.kind != "lda" or len(np.unique(fit.bursts)) > _MANY * len(view.counts):
        return 1.0
    photos = _spread(_photos(view, np.zeros(len(view.counts), bool)), view.classes, _MENDING)
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


def reject(
    view: View, labels: Sequence[str], strange: Embeddings | None = None, point: Point = "balanced"
) -> tuple[Rejection | None, RejectionReport]:
    """Chooses the score and the thresholds, and measures both.

    Args:
        view: everything that was taught, in coordinates of its own scatter.
        labels: the classes' names.
        strange: the background, power-normalised, float32 [k, d].
        point: the operating point to make active.

    Returns:
        The rejection, of what is out of reach only where no score is reliable, and None with fewer photos than a threshold needs.
    """
    nothing = np.array([is_nothing(label) for label in labels])
    photos = _photos(view, nothing)
    background = None if strange is None or nothing.all() else Background.of(strange, view, _spread(photos, view.classes, KNOWN))
    counts = np.bincount(view.classes[photos], minlength=len(labels))
    photos = photos[counts[view.classes[photos]] > 1]  # of a class with one burst nothing is left when it is left out
    if background is not None and len(background):
        return _with_background(view, photos, nothing, background, point)
    rejection, report = _without_background(view, photos, nothing, point)
    if background is None:
        return rejection, report
    advice = "`edgetl export --background FOLDER` gives others"
    why = f"{report.reason}; {background.near} photos of the background look like what is trained: {advice}"
    return rejection, dataclasses.replace(report, reason=why, near=background.near)


@dataclasses.dataclass(frozen=True)
class _Tried:
    """The relative Mahalanobis distance, with or without background photos in the total scatter.

    Attributes:
        model: of everything that was trained.
        reach: photos that are further from every class are not accepted.
        known: scores of known photos, each from a model without its burst, [m].
        far: scores of background photos that no model has seen, [j].
        limits: the threshold at each of POINTS.
        wrong: for each class left out, the share of its photos that each operating point accepts, [h, 3].
        areas: for each class left out, the AUROC, [h].
    """

    model: Absence
    reach: float
    known: Array
    far: Array
    limits: tuple[float, ...]
    wrong: Array
    areas: Array


def _try(view: View, photos: Array, nothing: Array, held: Array, ground: Strangers | None, others: Strangers) -> _Tried:
    """Scores known photos, those of classes left out, and `others`; `ground` is in the total scatter."""
    score: Score = "mahalanobis"
    rows = _spread(photos, view.classes, KNOWN)
    model = Absence(view, rows, ground, others)
    answer, reach = model.without(), LOWEST
    if ground is None and len(rows) >= _NEEDED:  # then nothing else in the score tells what is far from everything
        reach = threshold(answer.nearness[: len(rows)].max(1), REACH)
    known, far = np.split(scores(answer, 1.0, nothing, reach)[score], [len(rows)])
    few = len(photos) < FEW * (~nothing).sum()
    pairs = [pair[score] for pair in _leave_out(view, photos, held, nothing, 1.0, reach, ground, others)]
    wrong = np.array([[(other >= limit).mean() for limit in limits_beside(apart, own, few)] for own, other, apart in pairs])
    areas = np.array([auroc(own, other) for own, other, _ in pairs])
    return _Tried(model, reach, known, far, limits_beside(far, known, few), wrong, areas)


def _with_background(view: View, photos: Array, nothing: Array, background: Background, point: Point) -> tuple[Rejection, RejectionReport]:
    """The relative Mahalanobis distance; docs/evidence/rejection.md compares it with others.

    The background widens its total scatter, unless classes left out are rejected better without, by more than chance, and unrelated photos
    are rejected anyway.
    """
    score: Score = "mahalanobis"
    held = _held(view, photos, 2)
    ground, others = view.whitening.strangers(background.ground), view.whitening.strangers(background.held_out)
    tried = _try(view, photos, nothing, held, ground, others)
    if len(tried.areas) >= LEAST_HELD:
        narrow, balanced = _try(view, photos, nothing, held, None, others), POINTS.index("balanced")
        rejects = _share(narrow.far, narrow.limits[balanced]).value <= UNRELATED["balanced"]
        if rejects and len(narrow.areas) == len(tried.areas) and _better(narrow.areas, tried.areas):
            tried = narrow
    wrong, limits = tried.wrong, tried.limits
    points = {
        name: Rates(_share(tried.known, limits[i]), ClassMean.of(wrong[:, i]) if len(wrong) else None, _share(tried.far, limits[i]))
        for i, name in enumerate(POINTS)
    }
    code, reason = judged(points[point], len(nothing))
    areas: dict[str, ClassMean] = {score: ClassMean.of(tried.areas)} if len(wrong) else {}
    known = len(tried.known)
    report = RejectionReport(code, reason, point, points, score, areas, len(wrong), known, len(background), background.near)
    return fitted(view, score, 1.0, limits[POINTS.index(point)], tried.reach, limits, tried.model), report


def _without_background(view: View, photos: Array, nothing: Array, point: Point) -> tuple[Rejection | None, RejectionReport]:
    """The score that tells classes left out best, where that is reliable; otherwise what is out of reach of every class."""
    rows, none = _spread(photos, view.classes, KNOWN), Proportion(0, 0)
    if len(rows) < _NEEDED:
        few = f"a threshold needs {_NEEDED} photos, of classes with 2 or more (a burst counts once), not {len(rows)}"
        return None, RejectionReport("cannot-measure", f"{CANNOT} {few}", point, {}, None, {}, 0, len(rows))
    model = Absence(view, rows)
    answer = model.without()
    near = answer.nearness.max(1)
    reach = threshold(near, REACH)
    far_only = fitted(view, "distance", 1.0, reach, reach, (reach,) * len(POINTS))
    possible = int((np.bincount(view.classes[photos]) >= LEAST_PHOTOS).sum())
    if (why := too_little(int((~nothing).sum()), possible)) is not None:
        points = dict.fromkeys(POINTS, Rates(_share(near, reach), None, none))
        return far_only, RejectionReport("cannot-measure", why, point, points, None, {}, 0, len(rows))
    heat = temperature(answer.logits, model.classes)
    pairs = _leave_out(view, photos, _held(view, photos, 3), nothing, heat, reach)
    areas = {score: np.array([auroc(pair[score][0], pair[score][1]) for pair in pairs]) for score in SCORES}
    chosen = _best(areas)
    reliable, why = verdict(ClassMean.of(areas[chosen]), possible)
    known = scores(answer, heat, nothing, reach)[chosen]

    def limits_of(own: Array) -> tuple[float, ...]:
        return tuple(threshold(own, COVERAGE[point]) for point in POINTS) if reliable else (LOWEST,) * len(POINTS)

    limits = limits_of(known)
    wrong = np.array([[(other >= limit).mean() for limit in limits_of(own)] for own, other, _ in (pair[chosen] for pair in pairs)])
    points = {name: Rates(_share(known, limits[i]), ClassMean.of(wrong[:, i]), none) for i, name in enumerate(POINTS)}
    measured: dict[str, ClassMean] = {score: ClassMean.of(values) for score, values in areas.items()}
    code: Code = "reliable" if reliable else "unreliable"
    report = RejectionReport(code, why, point, points, chosen, measured, len(pairs), len(rows))
    return fitted(view, chosen, heat, limits[POINTS.index(point)], reach, limits, model) if reliable else far_only, report


def scores(answer: Answer, heat: float, nothing: Array, reach: float) -> dict[Score, Array]:
    """Every score of each photo, [m]; -inf where it is out of reach, or the best class is one that stands for nothing, bool [c]."""
    best, near = answer.logits.max(1), answer.nearness.max(1)
    made: dict[Score, Array] = {"mahalanobis": answer.background - answer.squares + 2 * best, "distance": near}
    if answer.logits.shape[1] > 1:
        made["probability"] = 1 / np.exp((answer.logits - best[:, None]) / heat).sum(1)
        made["margin"] = best - np.partition(answer.logits, -2, 1)[:, -2]
    refused = nothing[answer.logits.argmax(1)] | (near < reach)
    return {score: np.where(refused, -np.inf, values) for score, values in made.items()}


def fitted(
    view: View,
    score: Score,
    heat: float,
    threshold: float,
    reach: float,
    limits: tuple[float, ...] | None = None,
    model: Absence | None = None,
) -> Rejection:
    """The rejection by one score, of the model that lacks nothing; `heat` is the temperature of its logits.

    With a background `model` has it as its ground; without it may be given because it has been worked out already.
    """
    space, number = view.whitening, len(view.counts)
    offset, form = np.zeros(number), np.zeros((number, number))
    weight, bias = view.means, -np.einsum("cd,cd->c", view.means, view.means) / 2
    if score != "distance":
        model = model or Absence(view, np.empty(0, np.intp))
        beyond = np.concatenate([np.zeros((number, model.beyond.shape[1])), model.beyond])
        counts = np.append(view.counts, np.ones(len(model.beyond)))
        share = counts / counts.sum()
        along = share @ model.cross
        cross = model.cross - along - along[:, None] + along @ share
        scale = 1 / heat if score == "probability" else 1.0
        own, level = space.unproject((model.means - share @ model.means) * scale, (along @ share - along - np.diag(cross) / 2) * scale)
        if beyond.size:
            beyond = (beyond - share @ beyond) / math.sqrt(space.alpha)
            own, level = own + beyond, level - beyond @ space.origin
        weight, bias = np.concatenate([own, weight]), np.concatenate([level, bias])
        if score == "mahalanobis":
            offset, form = np.diag(cross) / 2, np.linalg.inv(np.diag(1 / counts) + cross)
    w, b, o, f = (np.asarray(array, np.float32) for array in (weight, bias, offset, form))
    return Rejection(score, w, b, o, f, threshold, reach, None if limits is None else (limits[0], limits[1], limits[2]))


def _photos(view: View, nothing: Array) -> Array:
    """One photo per burst, int [k], without those of reject classes and of bursts that have two labels or more than _LONG rows, shuffled.

    The shuffle follows the embeddings' bits, so that it is the same in whatever order the photos came.
    """
    bits = np.zeros(len(view.x), np.uint64)
    for column in range(min(_BITS, view.x.shape[1])):  # one by one, because all at once take twice their memory twice
        bits += view.x[:, column].view(np.uint32).astype(np.uint64) * (np.uint64(2 * column) + _ODD)
    key = (bits ^ (bits >> np.uint64(29))) * _ODD
    order = np.lexsort((key, view.evidence <= 0))
    bursts, first, number = np.unique(view.bursts[order], return_index=True, return_inverse=True)
    classes, number = view.classes[order], number.reshape(-1)
    low, high = np.full(len(bursts), len(nothing)), np.full(len(bursts), -1)
    np.minimum.at(low, number, classes)
    np.maximum.at(high, number, classes)
    short = np.bincount(number) <= _LONG
    rows: Array = order[np.sort(first[(low == high) & ~nothing[low] & short])]
    return rows


def _spread(rows: Array, classes: Array, limit: int) -> Array:
    """The first rows of every class, as many of each as fit into `limit` together; of more classes than that, one of some of them."""
    counts = np.bincount(classes[rows])
    quota = max(1, bisect_right(range(limit + 1), limit, key=lambda each: int(np.minimum(counts, each).sum())) - 1)
    some = _first(rows, classes, quota)
    return some if len(some) <= limit else some[np.linspace(0, len(some) - 1, limit).astype(np.intp)]


def _held(view: View, photos: Array, least: int) -> Array:
    """The classes that are left out in turn, int [h]; none where fewer than `least` have the photos for it, fewer of many classes.

    Leaving one out costs the cube of the number of classes.
    """
    number = len(view.counts)
    possible = np.flatnonzero(np.bincount(view.classes[photos], minlength=number) >= LEAST_PHOTOS)
    most = HELD if number <= _CROWD else max(3, HELD * _CROWD // number)
    return possible[np.linspace(0, len(possible) - 1, min(most, len(possible))).astype(np.intp)] if len(possible) >= least else possible[:0]


def _first(rows: Array, classes: Array, quota: int) -> Array:
    """The first `quota` rows of every class."""
    order = np.argsort(classes[rows], kind="stable")
    own = classes[rows[order]]
    rank = np.arange(len(rows)) - np.searchsorted(own, own)
    return rows[order[rank < quota]]


def _leave_out(
    view: View,
    photos: Array,
    held: Array,
    nothing: Array,
    heat: float,
    reach: float,
    ground: Strangers | None = None,
    others: Strangers | None = None,
) -> list[dict[Score, tuple[Array, Array, Array]]]:
    """For each class of `held`: the scores of known photos, of its own, and of `others`, from models without it."""
    if not len(held):
        return []
    known = _spread(photos, view.classes, TRIED)
    more = _first(photos[np.isin(view.classes[photos], held)], view.classes, _MOST_UNKNOWN)
    rows = np.concatenate([known, np.setdiff1d(more, known)])
    some, pairs = Absence(view, rows, ground, others), []
    for drop in held:
        unknown = some.classes == drop
        fair = np.flatnonzero(~unknown & (np.arange(len(rows)) < len(known)))
        made = scores(some.without(int(drop)), heat, nothing, reach)
        if len(fair):
            pairs.append({name: (values[fair], values[: len(rows)][unknown], values[len(rows) :]) for name, values in made.items()})
    return pairs


def _best(areas: Mapping[Score, Array]) -> Score:
    """`mahalanobis`, unless another is better."""
    chosen = SCORES[0]
    for rival in SCORES[1:]:
        if _better(areas[rival], areas[chosen]):
            chosen = rival
    return chosen


def _better(rival: Array, chosen: Array) -> bool:
    """Whether it is better by more than chance over the classes left out, [h] each (a one-sided t test at 5 %)."""
    gain = rival - chosen
    return bool(gain.mean() > student(_ONE_SIDED, len(gain) - 1) * gain.std(ddof=1) / math.sqrt(len(gain)))


def _share(values: Array, limit: float) -> Proportion:
    return Proportion(int((values >= limit).sum()), len(values))
