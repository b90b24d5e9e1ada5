"""Which photos are likely mislabelled, the most likely first. Accuracy: docs/evidence/label-errors.md."""

from __future__ import annotations

import dataclasses

import numpy as np

from edgetl.heads import Fit
from edgetl.heads.linalg.threads import single_thread
from edgetl.types import Array, Embeddings

NEIGHBOURS = 20
REPORTED = 0.9
"""The score above which a photo is reported: docs/evidence/label-errors.md."""
_RANKED = 1024
_BLOCK = 1024


@dataclasses.dataclass(frozen=True)
class LikelyLabelError:
    """A photo that looks like another class than its own.

    Attributes:
        sample: its sample id in the store.
        source: where it came from.
        label: its class.
        looks_like: the class that it looks like.
        score: share of the evidence for either of the two that is for `looks_like`, in (0.9, 1]: 0.95 means odds of 19 to 1.
    """

    sample: int
    source: str
    label: str
    looks_like: str
    score: float


def rank_label_errors(fit: Fit) -> tuple[Array, Array, Array]:
    """Ranks the photos by how much more they look like another class than like their own.

    The evidence for a class is the product of two numbers: the probability that it gets from a head trained without the photo's
    near-duplicate group, and the mean of the same over the 20 most similar photos of other groups. The first alone is what confident
    learning ranks by (Northcutt, Jiang and Chuang 2021, section 3.2, normalised margin); docs/evidence/label-errors.md compares both.

    Args:
        fit: with the held-out logits of its photos; its learner has not changed since.

    Returns:
        Rows of `fit.ids`, the most likely errors first, int [k]; the class that each looks like, int [k]; and its score, float64 [k] in
        [0, 1]. Only the 1024 photos whose own probabilities are the most suspicious are ranked, and no photo whose class has a single
        group.
    """
    labels = list(fit.head.labels)
    own = np.array([labels.index(label) for label in fit.truth])
    likely = _softmax(fit.held / fit.head.temperature)
    judged = np.flatnonzero(np.isfinite(fit.held[np.arange(len(own)), own]))
    first = _compare_with_own(likely, own)[1]
    rows = judged[np.argsort(-first[judged], kind="stable")[:_RANKED]]
    with single_thread():
        evidence = likely[rows] * _average_neighbours(likely, fit, rows)
    looks_like, score = _compare_with_own(evidence, own[rows])
    order = np.argsort(-score, kind="stable")
    return rows[order], looks_like[order], score[order]


def _compare_with_own(evidence: Array, own: Array) -> tuple[Array, Array]:
    """The most likely other class, int [k], and its share of the evidence for it and for the own class, float64 [k]."""
    row = np.arange(len(own))
    others = evidence.copy()
    others[row, own] = -1.0
    looks_like = others.argmax(1)
    best, mine = evidence[row, looks_like], evidence[row, own]
    both = best + mine
    return looks_like, np.divide(best, both, out=np.full(len(own), 0.5), where=both > 0)


def _average_neighbours(likely: Array, fit: Fit, rows: Array) -> Array:
    """Mean of `likely` [m, c] over each row's nearest photos of other groups, weighted by their cosine, float64 [k, c]; 1 without any.

    The cosines are between power-normalised embeddings minus their mean. The photos are read in blocks, twice.
    """
    view, total = fit.whole.view, len(likely)
    k = min(NEIGHBOURS, len(likely) - 1)
    if not len(rows) or k < 1:
        return np.ones((len(rows), likely.shape[1]))
    blocks = [slice(start, start + _BLOCK) for start in range(0, total, _BLOCK)]
    mean = np.asarray(sum(view.x[block].sum(0, dtype=np.float64) for block in blocks) / total, np.float32)
    queries = _directions(view.x[rows] - mean)
    best, where = np.full((len(rows), k), -np.inf, np.float32), np.zeros((len(rows), k), np.intp)
    for block in blocks:
        cosines = queries @ _directions(view.x[block] - mean).T
        cosines[fit.bursts[rows][:, None] == fit.bursts[block]] = 0.0
        there = np.broadcast_to(np.arange(total)[block], cosines.shape)
        cosines, there = np.concatenate([best, cosines], 1), np.concatenate([where, there], 1)
        near = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
        best, where = np.take_along_axis(cosines, near, 1), np.take_along_axis(there, near, 1)
    weight = np.maximum(best, 0).astype(np.float64)
    whole = weight.sum(1)
    average = np.einsum("nk,nkc->nc", weight, likely[where]) / np.where(whole > 0, whole, 1)[:, None]
    return np.where(whole[:, None] > 0, average, 1.0)


def _directions(x: Embeddings) -> Embeddings:
    """Rows of `x` [n, d] scaled to length 1; very short ones become zero."""
    norms = np.sqrt(np.einsum("nd,nd->n", x, x))[:, None]
    directions: Embeddings = np.divide(x, norms, out=np.zeros_like(x), where=norms > 1e-6)
    return directions


def _softmax(logits: Array) -> Array:
    """Softmax of float64 [m, c]; a row of only -inf gives equal shares."""
    top = logits.max(1, keepdims=True)
    raised = np.exp(np.where(np.isfinite(top), logits - np.where(np.isfinite(top), top, 0), 0.0))
    shares: Array = raised / raised.sum(1, keepdims=True)
    return shares
