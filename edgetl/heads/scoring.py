"""The scores that tell known photos from unknown objects, of photos left out and of new ones."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from edgetl.heads.confidence.rejection import Rejection, Score
from edgetl.heads.leave_class_out import HeldOutScores, LeaveClassOut
from edgetl.heads.training_set import TrainingSet
from edgetl.types import Array

if TYPE_CHECKING:
    from edgetl.heads.learner import Fit

LEAST_ALPHA = 0.03
"""The least regularisation of the scores: the best one to tell classes apart is not the best for unknown objects
(docs/evidence/rejection.md, "Regularisation of the scores")."""


def auroc(known: Array, unknown: Array) -> float:
    """The chance that a known score [m] is above an unknown one [k], ties counting half (Mann and Whitney 1947)."""
    ordered = np.sort(known)
    below = np.searchsorted(ordered, unknown, "left") + np.searchsorted(ordered, unknown, "right")
    return float(1 - below.mean() / (2 * len(known)))


def prepare(fit: Fit) -> TrainingSet:
    """All photos in the coordinates of the scores: those of the head's alpha, or of LEAST_ALPHA if it is lower."""
    return fit.view(max(fit.alpha, LEAST_ALPHA))


def score_photos(held_out: HeldOutScores, heat: float, rejects: Array, reach: float) -> dict[Score, Array]:
    """Every score of each photo, [m]; -inf where it is out of reach, or the best class is a reject class, bool [c]."""
    best, near = held_out.logits.max(1), held_out.nearness.max(1)
    values_by_score: dict[Score, Array] = {"mahalanobis": held_out.background - held_out.squares + 2 * best, "distance": near}
    if held_out.logits.shape[1] > 1:
        values_by_score["probability"] = 1 / np.exp((held_out.logits - best[:, None]) / heat).sum(1)
        values_by_score["margin"] = best - np.partition(held_out.logits, -2, 1)[:, -2]
    rejected = rejects[held_out.logits.argmax(1)] | (near < reach)
    return {score: np.where(rejected, -np.inf, values) for score, values in values_by_score.items()}


def make_rejection(
    view: TrainingSet,
    score: Score,
    heat: float,
    threshold: float,
    reach: float,
    limits: tuple[float, ...],
    model: LeaveClassOut | None = None,
) -> Rejection:
    """The rejection of new photos by one score.

    Args:
        view: the training set.
        score: which score.
        heat: temperature of the logits, for `probability`.
        threshold: of the active operating point.
        reach: the lowest `distance` score of a photo that may get a label.
        limits: the threshold at each operating point.
        model: of all photos, with the background as its ground if there is one; None computes it.
    """
    space, number = view.whitening, len(view.counts)
    offset, form = np.zeros(number), np.zeros((number, number))
    weight, bias = view.means, -np.einsum("cd,cd->c", view.means, view.means) / 2
    if score != "distance":
        model = model or LeaveClassOut(view, np.empty(0, np.intp))
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
    return Rejection(score, w, b, o, f, threshold, reach, (limits[0], limits[1], limits[2]))
