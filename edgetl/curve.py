"""The learning curve: how a class's error falls with its photos, and what may be expected of more.

The odds of an error fall with a class's number of photos n about as an inverse power law, e / (1 - e) = a n^-b: the law of Cortes et al.
(1993, eq. 1; see Viering and Loog 2022, section 4) for errors that are not small beside 1. It is measured with the fit's own algorithm and
regularisation at a quarter and a half of the bursts of every class, each tested on the rest, and at all of them, which is the fit's
leave-one-out. What is uncertain is drawn: which photos there are by the Bayesian bootstrap (Rubin 1981), the level by a Beta posterior,
and the exponent of a class from its own and from all classes' together (Efron and Morris 1975), with a spread for curves that are no
power law.

Measured on EfficientNet-Lite0 embeddings with 8 to 128 photos per class, one of each burst, targets of 70 to 95 %, 5 draws, against
held-out accuracy at larger sizes: the number needed lay in the 80 % interval in 93 % of 775 forecasts on sign digits, 92 % of 496 on
flowers and 95 % of 375 on magnetic tiles, and below it in 4 % of all. Much of that safety is that 59 % of the intervals are open at the
top: a few photos do not tell more. Where a number was forecast and the truth known, it was 1.5 times the truth in the median, half of them
within a factor of 1.6 of it.

A forecast supposes that all classes grow alike. Four times the photos of all took a class's error, with plain L2 normalisation, from 17 to
6 % (sign digits), 39 to 30 % (flowers) and 45 to 22 % (tiles); of that class alone to 4, 15 and 15 %, but at the others' cost: the mean
error of the classes went from 17, 39 and 41 % to 17, 39 and 37 %, and with all to 6, 30 and 21 %.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from edgetl.heads.learner import Fit
from edgetl.heads.reading import FOLDS, View
from edgetl.heads.samples import places, quota
from edgetl.heads.selection import READERS
from edgetl.heads.threads import single_thread
from edgetl.heads.whitening import scaled
from edgetl.types import Array, Embeddings, Proportion

HORIZON = 10
"""A curve is not followed beyond this many times the bursts there are."""
_PARTS = (4, 2)
_POOL, _EACH, _CLASSES = 256, 4, 100
"""The curve is measured on at most _POOL bursts, or _EACH of the _CLASSES largest classes, where that is more."""
_DRAWS = 200
_WEIGHT, _HALF = 2.0, 0.5
"""A class's curve counts as _WEIGHT further photos that are like those of all classes together; its level as one of them and as Jeffreys's
half a miss and half a hit."""
_EXPONENT, _EXPONENT_SPREAD, _CLASS_SPREAD, _LAW_SPREAD = 0.8, 0.2, 0.2, 0.2
"""The exponent before anything is measured, its spread, that of one class about all, and that of what comes about what was. All classes'
was 0.2 to 0.4 on flowers, 0.6 on sign digits and 0.5 to 0.9 on magnetic tiles."""


@dataclasses.dataclass(frozen=True)
class Curve:
    """Errors of some photos at several sizes of the training set.

    Attributes:
        classes: class of each photo, int [p].
        sizes: bursts per class at each size, float64 [s, c]; the last is all.
        errors: how often each photo was missed at each size, in [0, 1], float64 [s, p]; only photos that were tested at every size.
        method: in words.
    """

    classes: Array
    sizes: Array
    errors: Array
    method: str


def measure(fit: Fit, classes: Array) -> Curve:
    """The curve on one photo of each burst.

    Args:
        fit: the training; its learner has not changed since.
        classes: of its photos, int [m].
    """
    number = len(fit.head.labels)
    _, first = np.unique(classes * (fit.bursts.max() + 1) + fit.bursts, return_index=True)
    bursts = np.bincount(classes[first], minlength=number)
    among = np.argsort(-bursts, kind="stable")[:_CLASSES]
    first = first[np.isin(classes[first], among)]
    place = places(fit.ids[first], classes[first], fit.bursts[first], 0)
    limit = max(_POOL, _EACH * len(among))
    if len(first) > limit:
        kept = place < quota(bursts[among], limit)
        first, place = first[kept], place[kept]
    own, y = np.unique(classes[first], return_inverse=True)
    x = fit.whole.view.x[np.flatnonzero(fit.whole.view.evidence)[first]]
    # The heads see inner products only, so the rows of the Gram matrix's factor give the same answers as the embeddings, in fewer values.
    # In float64: near-duplicates would leave a float32 product with eigenvalues below zero.
    with single_thread():
        gram = (doubled := x.astype(np.float64)) @ doubled.T
        x = np.linalg.cholesky(gram + 1e-6 * np.eye(len(x))).astype(np.float32)
        steps = [_part(fit, x, y, place, part) for part in _PARTS]
    last = fit.held[np.ix_(first, own)].argmax(1) != y
    errors = np.array([*(step[0] for step in steps), last])
    sizes = np.array([*(bursts / part for part in _PARTS), bursts], np.float64)
    for row, (_, counts) in zip(sizes, steps):
        row[own] = counts
    tested = ~np.isnan(errors).any(0)
    method = f"the learning curve was measured on {len(first)} of {len(fit.ids)} photos of {len(own)} classes, at a quarter, a half and all"
    return Curve(classes[first][tested], sizes, errors[:, tested], method)


def _part(fit: Fit, x: Embeddings, y: Array, place: Array, part: int) -> tuple[Array, Array]:
    """Trains on each of `part` parts of the photos; returns how often each of the others was missed, and the mean bursts per class."""
    bursts = np.bincount(y)
    wrong, tried, size = np.zeros(len(y)), np.zeros(len(y)), np.zeros(len(bursts))
    for number in range(part):
        # A class with fewer photos than there are parts lends them to several, so that none lacks a class.
        inside = place % part == (number % np.minimum(bursts, part))[y]
        weight, bias = _train(fit, x[inside], y[inside])
        said = (x @ weight.T + bias).argmax(1)
        wrong += ~inside & (said != y)
        tried += ~inside
        size += np.bincount(y[inside])
    return np.divide(wrong, tried, out=np.full(len(y), np.nan), where=tried > 0), size / part


def _train(fit: Fit, x: Embeddings, y: Array) -> tuple[Array, Array]:
    counts = np.bincount(y)
    average = np.eye(len(counts))[y].T / counts[:, None]
    space = scaled(x, fit.alpha)
    each = np.arange(len(y))
    view = View(x, y, counts, average @ x, average @ space.changes, each, np.ones(len(y)), each % FOLDS, each, space, fit.alpha)
    return READERS[fit.kind](view).linear()


@dataclasses.dataclass(frozen=True)
class Forecast:
    """What one class may expect.

    Attributes:
        more: 10 %, 50 % and 90 % quantile of the further bursts it needs; inf beyond the horizon.
        twice: its accuracy with twice the bursts, the same quantiles, in [0, 1].
        flat: whether 8 times the bursts would not halve the odds of an error.
    """

    more: tuple[float, float, float]
    twice: tuple[float, float, float]
    flat: bool


@dataclasses.dataclass(frozen=True)
class Draws:
    """Draws of what may be true.

    Attributes:
        odds: of an error now, float64 [draws, c].
        exponent: b, above 0, float64 [draws, c].
        bursts: per class, int [c].
    """

    odds: Array
    exponent: Array
    bursts: Array

    def accuracy(self, more: Array | int) -> Array:
        """Of each draw and class with so many further bursts, int or [c]; float64 [draws, c]."""
        return 1 / (1 + self.odds * (1 + more / self.bursts) ** -self.exponent)

    def gains(self, more: int) -> Array:
        """By how much so many further bursts of a class raise its accuracy: 10 %, 50 % and 90 % quantile, float64 [3, c]."""
        return _quantiles(self.accuracy(more) - self.accuracy(0))

    def forecasts(self, target: float) -> list[Forecast]:
        """What every class may expect."""
        ratio = np.log(np.maximum(self.odds * target / (1 - target), 1)) / self.exponent
        times = np.where(ratio > math.log(HORIZON), np.inf, np.exp(np.minimum(ratio, math.log(HORIZON))))
        more = (_quantiles(times) - 1) * self.bursts
        flat = np.median(self.exponent, axis=0) < 1 / 3
        rows = zip(more.T.tolist(), _quantiles(self.accuracy(self.bursts)).T.tolist(), flat.tolist())
        return [Forecast((low, middle, high), (least, half, most), hardly) for (low, middle, high), (least, half, most), hardly in rows]


def _quantiles(draws: Array) -> Array:
    """The 10 %, 50 % and 90 % quantile, each one of the draws [draws, c], so that infinite ones do no harm; [3, c]."""
    return np.sort(draws, axis=0)[[_DRAWS // 10, _DRAWS // 2, _DRAWS - _DRAWS // 10]]


def draw(curve: Curve, accuracy: list[Proportion], seed: int) -> Draws:
    """Draws what may be true, given the curve and each class's accuracy now."""
    random = np.random.default_rng(seed)
    bursts = np.array([one.n for one in accuracy])
    missed = bursts - np.array([one.hits for one in accuracy])
    mean = (missed.sum() + 0.5) / (bursts.sum() + 1)
    level = random.beta(missed + _HALF + mean, bursts - missed + _HALF + 1 - mean, (_DRAWS, len(bursts)))
    level = np.clip(level, 1e-6, 1 - 1e-6)
    return Draws(level / (1 - level), _exponents(curve, random), bursts)


def _exponents(curve: Curve, random: np.random.Generator) -> Array:
    """Draws of every class's exponent, float64 [draws, c]."""
    classes = curve.sizes.shape[1]
    noise = random.standard_normal((3, _DRAWS, classes))
    common = _EXPONENT + _EXPONENT_SPREAD * noise[0, :, :1]
    slope, certain = np.zeros((_DRAWS, classes)), np.zeros(classes)
    if len(curve.classes):
        weight = random.standard_exponential((_DRAWS, len(curve.classes)))
        member = np.eye(classes)[curve.classes]
        half = 0.5 / len(curve.classes)
        overall = np.clip(np.stack([weight @ errors for errors in curve.errors]) / weight.sum(1), half, 1 - half)[..., None]
        shares = np.stack([weight @ (errors[:, None] * member) for errors in curve.errors])
        own = (shares + _WEIGHT * overall) / (weight @ member + _WEIGHT)
        pooled = _slope(curve.sizes.mean(1, keepdims=True), overall)
        trust = _trust(_EXPONENT_SPREAD, pooled)
        common = trust * pooled + (1 - trust) * common
        slope = _slope(curve.sizes, own)
        certain = _trust(_CLASS_SPREAD, slope)
    drawn = certain * slope + (1 - certain) * (common + _CLASS_SPREAD * noise[1]) + _LAW_SPREAD * noise[2]
    return np.clip(drawn, 0.02, 3)  # type: ignore[no-any-return]


def _slope(sizes: Array, errors: Array) -> Array:
    """The least-squares exponent of each draw and class, [draws, c], of errors [s, draws, c] at sizes [s, c]."""
    away = np.log(sizes) - np.log(sizes).mean(0)
    spread = (away**2).sum(0)
    return -np.einsum("sc,src->rc", away, np.log(errors / (1 - errors))) / np.maximum(spread, 1e-9)  # type: ignore[no-any-return]


def _trust(spread: float, slope: Array) -> Array:
    """The weight of what was measured, whose variance is seen over the draws, beside a prior of this spread."""
    return spread**2 / (spread**2 + slope.var(0))  # type: ignore[no-any-return]
