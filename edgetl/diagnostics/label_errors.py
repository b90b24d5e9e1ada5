"""Which photos are likely mislabelled, the likeliest first."""

from __future__ import annotations

import dataclasses

import numpy as np

from edgetl.heads import Fit
from edgetl.heads.linalg.threads import single_thread
from edgetl.types import Array, Embeddings

NEIGHBOURS = 20
LISTED = 0.9
"""The score above which a photo is a suspect. With 10 % of the labels changed, 52 to 54 % of the suspects among flowers were changed ones
(20 to 300 per class), 85 to 94 % among sign digits, and 34 to 42 % among magnetic tiles; of the changed ones they were 49 to 76 %, 87 to
94 % and 28 to 63 %. What is listed beside them are mostly photos hard to tell."""
_RANKED = 1024
_BLOCK = 1024


@dataclasses.dataclass(frozen=True)
class Suspect:
    """A photo that looks like another class than its own.

    Attributes:
        sample: its number in the store.
        source: where it came from.
        label: its class.
        looks: the class that it looks like.
        score: how much of the evidence for one of the two speaks for `looks`, in (0.9, 1]: 0.95 is odds of 19 to 1.
    """

    sample: int
    source: str
    label: str
    looks: str
    score: float


def suspicion(fit: Fit) -> tuple[Array, Array, Array]:
    """Ranks the photos by how much more they look like another class than like their own.

    The evidence for a class is the product of two: the probability that a head gives it that was trained without the photo's burst, and the
    mean of the same over the 20 most similar photos of other bursts. The first alone is what confident learning ranks by (Northcutt,
    Jiang and Chuang 2021, section 3.2, normalised margin). With 10 % of the labels of flowers changed at random, so many of the first 20
    were changed ones by both / by the first alone: at 20 per class 49 / 45 % (of the first 10: no more were changed), at 50 61 / 61 %
    (20 drawings each), at 100 84 / 80 % (10), at 300 95 / 95 % (4), and of 200 per class of magnetic tiles 69 / 61 % (4). Without roots,
    on flowers, neighbours' labels instead of their probabilities were 1 to 4 points worse; a head trained again without the worst ones, the
    margin over each class's mean (confident learning's thresholds), entropy-weighted confidence, and other temperatures were no better.

    Args:
        fit: with logits of photos held out; its learner has not changed since.

    Returns:
        Rows of `fit.ids`, the most suspicious first, int [k]; the class each looks like, int [k]; and its score, float64 [k] in [0, 1]. At
        most the 1024 whose own probabilities are the most suspicious are ranked. A photo whose class has no other burst is none of them.
    """
    labels = list(fit.head.labels)
    own = np.array([labels.index(label) for label in fit.truth])
    likely = _softmax(fit.held / fit.head.temperature)
    judged = np.flatnonzero(np.isfinite(fit.held[np.arange(len(own)), own]))
    first = _odds(likely, own)[1]
    rows = judged[np.argsort(-first[judged], kind="stable")[:_RANKED]]
    with single_thread():
        evidence = likely[rows] * _neighbours(likely, fit, rows)
    looks, score = _odds(evidence, own[rows])
    order = np.argsort(-score, kind="stable")
    return rows[order], looks[order], score[order]


def _odds(evidence: Array, own: Array) -> tuple[Array, Array]:
    """The likeliest other class, int [k], and its share of the evidence for it and for the own class, float64 [k]."""
    at = np.arange(len(own))
    others = evidence.copy()
    others[at, own] = -1.0
    looks = others.argmax(1)
    best, mine = evidence[at, looks], evidence[at, own]
    both = best + mine
    return looks, np.divide(best, both, out=np.full(len(own), 0.5), where=both > 0)


def _neighbours(likely: Array, fit: Fit, rows: Array) -> Array:
    """Mean of `likely` [m, c] over each row's nearest photos of other bursts, weighted by their cosine, float64 [k, c]; 1 without any.

    Cosines are between power-normalised embeddings less their mean. The photos are read in blocks, twice.
    """
    view, total = fit.whole.view, len(likely)
    first, k = np.flatnonzero(view.evidence > 0), min(NEIGHBOURS, len(likely) - 1)
    if not len(rows) or k < 1:
        return np.ones((len(rows), likely.shape[1]))
    blocks = [slice(start, start + _BLOCK) for start in range(0, total, _BLOCK)]
    mean = np.asarray(sum(view.x[first[block]].sum(0, dtype=np.float64) for block in blocks) / total, np.float32)
    asked = _directions(view.x[first[rows]] - mean)
    best, where = np.full((len(rows), k), -np.inf, np.float32), np.zeros((len(rows), k), np.intp)
    for block in blocks:
        cosines = asked @ _directions(view.x[first[block]] - mean).T
        cosines[fit.bursts[rows][:, None] == fit.bursts[block]] = 0.0
        there = np.broadcast_to(np.arange(total)[block], cosines.shape)
        cosines, there = np.concatenate([best, cosines], 1), np.concatenate([where, there], 1)
        near = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
        best, where = np.take_along_axis(cosines, near, 1), np.take_along_axis(there, near, 1)
    weight = np.maximum(best, 0).astype(np.float64)
    whole = weight.sum(1)
    made = np.einsum("nk,nkc->nc", weight, likely[where]) / np.where(whole > 0, whole, 1)[:, None]
    return np.where(whole[:, None] > 0, made, 1.0)


def _directions(x: Embeddings) -> Embeddings:
    """Rows of `x` [n, d] at length 1; those of hardly any length become zero."""
    norms = np.sqrt(np.einsum("nd,nd->n", x, x))[:, None]
    made: Embeddings = np.divide(x, norms, out=np.zeros_like(x), where=norms > 1e-6)
    return made


def _softmax(logits: Array) -> Array:
    """Softmax of float64 [m, c]; a row of nothing but -inf is even."""
    top = logits.max(1, keepdims=True)
    raised = np.exp(np.where(np.isfinite(top), logits - np.where(np.isfinite(top), top, 0), 0.0))
    shares: Array = raised / raised.sum(1, keepdims=True)
    return shares
