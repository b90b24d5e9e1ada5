"""Open-set rejection: which score tells unknown objects from known ones here, at which threshold, and how well.

One class after the other is left out (:mod:`edgetl.heads.leave_class_out`): its photos are then truly unknown, and those of the other
classes, each left out with its near-duplicates, are known. Reject classes (:data:`edgetl.heads.confidence.rejection.REJECT_CLASSES`) are in
every model that is tried, but they are neither left out, because the head knows them, nor counted as known, because they get no label.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgetl.errors import TrainError
from edgetl.heads.background import Background
from edgetl.heads.confidence.acceptance import (
    LEAST_HELD,
    LEAST_KNOWN,
    LEAST_PHOTOS,
    Rates,
    RejectionReason,
    RejectionReport,
    judge_auroc,
    judge_rates,
)
from edgetl.heads.confidence.calibration import ExpectedCalibrationError, fit_temperature, measure_calibration
from edgetl.heads.confidence.conformal import make_conformal
from edgetl.heads.confidence.limits import FEW, LOWEST, UNRELATED, pick_threshold, set_limits_beside
from edgetl.heads.confidence.rejection import COVERAGE, POINTS, REACH, SCORES, OperatingPoint, Rejection, Score, is_reject_class
from edgetl.heads.leave_class_out import LeaveClassOut
from edgetl.heads.linalg.threads import single_thread
from edgetl.heads.linalg.whitening import OutsidePoints
from edgetl.heads.photo_choice import pick_classes, pick_photos, spread, take_first
from edgetl.heads.scoring import auroc, make_rejection, prepare, score_photos
from edgetl.heads.training_set import TrainingSet
from edgetl.stats import Mean, Proportion, student
from edgetl.types import Array, Embeddings

if TYPE_CHECKING:
    from edgetl.heads.head import Head
    from edgetl.heads.learner import Fit

KNOWN, TRIED, _MOST_UNKNOWN = 256, 96, 12
"""The threshold is set on at most KNOWN photos. Of a class left out at most _MOST_UNKNOWN are scored, against TRIED known ones."""
_MANY = 20
"""Up to so many near-duplicate groups a class LDA's temperature is corrected (docs/evidence/probabilities.md)."""
_ONE_SIDED = 1.6448536269514722
"""The one-sided normal deviate of 95 %."""
_CORRECTED = 1024
"""The temperature is corrected by at most this many photos."""


def calibrate(
    fit: Fit, background: Embeddings | None = None, point: OperatingPoint = "balanced"
) -> tuple[Head, RejectionReport, ExpectedCalibrationError | None]:
    """Completes a fitted head with its rejection and its conformal prediction sets, on one BLAS thread.

    Its most probable classes stay the same; with few photos its temperature, and so its probabilities, change.

    Args:
        fit: of a learner that has not changed since.
        background: embeddings of photos of none of the classes, float32 [k, d]; None or no row without a background.
        point: the operating point to make active.

    Returns:
        The head, how well it rejects unknown objects, and the calibration error of its probabilities (None if that cannot be measured).

    Raises:
        TrainError: an unknown operating point.
    """
    if point not in POINTS:
        message = f"operating point {point!r} is unknown; choose one of {', '.join(POINTS)}"
        raise TrainError(message, code="unknown-operating-point", point=point)
    number = {label: i for i, label in enumerate(fit.head.labels)}
    classes = np.array([number[label] for label in fit.truth])
    with single_thread():
        strange = None if background is None or not len(background) else fit.head.normalise(background)
        rejection, report = reject(prepare(fit), fit.head.labels, strange, point)
        heat = fit.head.temperature * _correction(fit)
        sets = make_conformal(fit.held, classes, fit.bursts, heat)
        head = dataclasses.replace(fit.head, temperature=heat, rejection=rejection, conformal=sets)
        several = len(fit.head.labels) > 1  # the probability of a single class is 1
        return head, report, measure_calibration(fit.held, classes, fit.bursts) if several else None


def _correction(fit: Fit) -> float:
    """The factor that corrects LDA's temperature for few photos, because a photo left out looks worse to its own class than a new one.

    With tau the expected squared distance to the true mean, that to the mean of n photos is tau (1 + 1 / n). Left out, a photo is compared
    with n - 1 of its own class and n of each other, and loses tau (1 / (n - 1) - 1 / n) / 2 in its logit (docs/evidence/probabilities.md).
    If hardly a photo is missed, the temperature reflects how large logits are, not how often they err, so it is only ever lowered.
    """
    view = fit.whole.view
    if fit.kind != "lda" or len(np.unique(fit.bursts)) > _MANY * len(view.counts):
        return 1.0
    photos = spread(pick_photos(view, np.zeros(len(view.counts), bool)), view.classes, _CORRECTED)
    counts = np.bincount(view.classes[photos], minlength=len(view.counts))
    photos = photos[counts[view.classes[photos]] > 1]
    if not len(photos):
        return 1.0
    model = LeaveClassOut(view, photos)
    held_out, own, n = model.without(), (np.arange(len(photos)), model.classes), counts[model.classes]
    tau = float(((held_out.squares - 2 * held_out.logits[own]) * (n - 1) / n).mean())
    before = fit_temperature(held_out.logits, model.classes)
    held_out.logits[own] += tau * (1 / (n - 1) - 1 / n) / 2
    return min(1.0, fit_temperature(held_out.logits, model.classes) / before)


def reject(
    view: TrainingSet, labels: Sequence[str], strange: Embeddings | None = None, point: OperatingPoint = "balanced"
) -> tuple[Rejection | None, RejectionReport]:
    """Chooses the score and the thresholds, and measures both.

    Args:
        view: the training set, in coordinates of its own scatter.
        labels: the classes' names.
        strange: the background, power-normalised, float32 [k, d].
        point: the operating point to make active.

    Returns:
        The rejection, only of what is out of reach if no score is reliable, and None with fewer photos than a threshold needs.
    """
    rejects = np.array([is_reject_class(label) for label in labels])
    photos = pick_photos(view, rejects)
    background = None if strange is None or rejects.all() else Background.select(strange, view, spread(photos, view.classes, KNOWN))
    counts = np.bincount(view.classes[photos], minlength=len(labels))
    photos = photos[counts[view.classes[photos]] > 1]  # the only group of a class leaves nothing of it behind
    if background is not None and len(background):
        return _reject_beside(view, photos, rejects, background, point)
    rejection, report = _reject_alone(view, photos, rejects, point)
    return rejection, report if background is None else dataclasses.replace(report, near=background.near)


@dataclasses.dataclass(frozen=True)
class _Tried:
    """The relative Mahalanobis distance, with or without background photos in the total scatter.

    Attributes:
        model: of the whole training set.
        reach: photos that are further from every class are not accepted.
        known: scores of known photos, each from a model without its near-duplicates, [m].
        far: scores of background photos that no model has seen, [j].
        limits: the threshold at each of POINTS.
        wrong: for each class left out, the share of its photos that each operating point accepts, [h, 3].
        areas: for each class left out, the AUROC, [h].
    """

    model: LeaveClassOut
    reach: float
    known: Array
    far: Array
    limits: tuple[float, ...]
    wrong: Array
    areas: Array


def _try(view: TrainingSet, photos: Array, rejects: Array, held: Array, ground: OutsidePoints | None, others: OutsidePoints) -> _Tried:
    """Scores known photos, those of classes left out, and `others`; `ground` is in the total scatter."""
    score: Score = "mahalanobis"
    rows = spread(photos, view.classes, KNOWN)
    model = LeaveClassOut(view, rows, ground, others)
    held_out, reach = model.without(), LOWEST
    if ground is None and len(rows) >= LEAST_KNOWN:  # then nothing else in the score tells what is far from everything
        reach = pick_threshold(held_out.nearness[: len(rows)].max(1), REACH)
    known, far = np.split(score_photos(held_out, 1.0, rejects, reach)[score], [len(rows)])
    few = len(photos) < FEW * (~rejects).sum()
    pairs = [pair[score] for pair in _leave_out(view, photos, held, rejects, 1.0, reach, ground, others)]
    wrong = np.array([[(other >= limit).mean() for limit in set_limits_beside(apart, own, few)] for own, other, apart in pairs])
    areas = np.array([auroc(own, other) for own, other, _ in pairs])
    return _Tried(model, reach, known, far, set_limits_beside(far, known, few), wrong, areas)


def _reject_beside(
    view: TrainingSet, photos: Array, rejects: Array, background: Background, point: OperatingPoint
) -> tuple[Rejection, RejectionReport]:
    """The relative Mahalanobis distance; docs/evidence/rejection.md compares it with others.

    The background widens its total scatter, unless classes left out are rejected better without, by more than chance, and unrelated photos
    are rejected anyway.
    """
    score: Score = "mahalanobis"
    held = pick_classes(view, photos, 2)
    ground, others = view.whitening.locate_outside(background.ground), view.whitening.locate_outside(background.held_out)
    tried = _try(view, photos, rejects, held, ground, others)
    if len(tried.areas) >= LEAST_HELD:
        narrow, balanced = _try(view, photos, rejects, held, None, others), POINTS.index("balanced")
        far_rejected = _share(narrow.far, narrow.limits[balanced]).value <= UNRELATED["balanced"]
        if far_rejected and len(narrow.areas) == len(tried.areas) and _is_better(narrow.areas, tried.areas):
            tried = narrow
    wrong, limits, known = tried.wrong, tried.limits, len(tried.known)
    points = {
        name: Rates(_share(tried.known, limits[i]), Mean.estimate_shares(wrong[:, i]) if len(wrong) else None, _share(tried.far, limits[i]))
        for i, name in enumerate(POINTS)
    }
    code, reason = judge_rates(points[point], len(rejects))
    areas: dict[str, Mean] = {score: Mean.estimate_shares(tried.areas)} if len(wrong) else {}
    counts = len(rejects), _eligible(view, photos), len(wrong), known, len(background), background.near
    report = RejectionReport(code, reason, point, points, score, areas, *counts)
    return make_rejection(view, score, 1.0, limits[POINTS.index(point)], tried.reach, limits, tried.model), report


def _reject_alone(view: TrainingSet, photos: Array, rejects: Array, point: OperatingPoint) -> tuple[Rejection | None, RejectionReport]:
    """Without a background: the score that tells left-out classes best, if that is reliable; otherwise what is out of reach."""
    rows, none = spread(photos, view.classes, KNOWN), Proportion(0, 0)
    trained, eligible = len(rejects), _eligible(view, photos)
    if len(rows) < LEAST_KNOWN:
        return None, RejectionReport("cannot-measure", "few-photos", point, {}, None, {}, trained, eligible, 0, len(rows))
    model = LeaveClassOut(view, rows)
    held_out = model.without()
    reach = pick_threshold(held_out.nearness.max(1), REACH)
    far_only = make_rejection(view, "distance", 1.0, reach, reach, (reach,) * len(POINTS))
    few_classes = (~rejects).sum() < 3
    if few_classes or eligible < 3:
        points = dict.fromkeys(POINTS, Rates(_share(held_out.nearness.max(1), reach), None, none))
        reason: RejectionReason = "few-classes" if few_classes else "few-photos-per-class"
        return far_only, RejectionReport("cannot-measure", reason, point, points, None, {}, trained, eligible, 0, len(rows))
    heat = fit_temperature(held_out.logits, model.classes)
    pairs = _leave_out(view, photos, pick_classes(view, photos, 3), rejects, heat, reach)
    areas = {score: np.array([auroc(pair[score][0], pair[score][1]) for pair in pairs]) for score in SCORES}
    chosen = _pick_score(areas)
    code, reason = judge_auroc(Mean.estimate_shares(areas[chosen]), eligible)
    known = score_photos(held_out, heat, rejects, reach)[chosen]

    def set_limits(own: Array) -> tuple[float, ...]:
        return tuple(pick_threshold(own, COVERAGE[point]) for point in POINTS) if code == "reliable" else (LOWEST,) * len(POINTS)

    limits = set_limits(known)
    wrong = np.array([[(other >= limit).mean() for limit in set_limits(own)] for own, other, _ in (pair[chosen] for pair in pairs)])
    points = {name: Rates(_share(known, limits[i]), Mean.estimate_shares(wrong[:, i]), none) for i, name in enumerate(POINTS)}
    measured: dict[str, Mean] = {score: Mean.estimate_shares(values) for score, values in areas.items()}
    report = RejectionReport(code, reason, point, points, chosen, measured, trained, eligible, len(pairs), len(rows))
    if code != "reliable":
        return far_only, report
    return make_rejection(view, chosen, heat, limits[POINTS.index(point)], reach, limits, model), report


def _leave_out(
    view: TrainingSet,
    photos: Array,
    held: Array,
    rejects: Array,
    heat: float,
    reach: float,
    ground: OutsidePoints | None = None,
    others: OutsidePoints | None = None,
) -> list[dict[Score, tuple[Array, Array, Array]]]:
    """For each class of `held`: the scores of known photos, of its own, and of `others`, from models without it."""
    if not len(held):
        return []
    known = spread(photos, view.classes, TRIED)
    more = take_first(photos[np.isin(view.classes[photos], held)], view.classes, _MOST_UNKNOWN)
    rows = np.concatenate([known, np.setdiff1d(more, known)])
    model, pairs = LeaveClassOut(view, rows, ground, others), []
    for drop in held:
        unknown = model.classes == drop
        fair = np.flatnonzero(~unknown & (np.arange(len(rows)) < len(known)))
        values_by_score = score_photos(model.without(int(drop)), heat, rejects, reach)
        if len(fair):
            pairs.append(
                {name: (values[fair], values[: len(rows)][unknown], values[len(rows) :]) for name, values in values_by_score.items()}
            )
    return pairs


def _eligible(view: TrainingSet, photos: Array) -> int:
    """How many classes have the photos to be left out."""
    return int((np.bincount(view.classes[photos]) >= LEAST_PHOTOS).sum())


def _pick_score(areas: Mapping[Score, Array]) -> Score:
    """`mahalanobis`, unless another is better."""
    chosen = SCORES[0]
    for rival in SCORES[1:]:
        if _is_better(areas[rival], areas[chosen]):
            chosen = rival
    return chosen


def _is_better(rival: Array, chosen: Array) -> bool:
    """Whether it is better by more than chance over the classes left out, [h] each (a one-sided t test at 5 %)."""
    gain = rival - chosen
    return bool(gain.mean() > student(_ONE_SIDED, len(gain) - 1) * gain.std(ddof=1) / math.sqrt(len(gain)))


def _share(values: Array, limit: float) -> Proportion:
    return Proportion(int((values >= limit).sum()), len(values))
