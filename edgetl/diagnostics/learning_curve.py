"""The learning curve: the accuracy with more photos of every class, and its uncertainty.

The odds of an error fall with the number of photos n about as an inverse power law, e / (1 - e) = a n^-b: the law of Cortes et al. (1993,
eq. 1; see Viering and Loog 2022, section 4), extended to large errors. The level is the leave-one-out accuracy. The exponent b is measured
with the fit's own algorithm and regularisation at a quarter, a half and all of the photos; if few errors leave it uncertain, it moves
towards the exponent of other data sets. The uncertainty is known from other data sets too: the constants below come from
`tools/bench_forecast --fit`, and docs/evidence/forecast.md has the accuracy of the forecasts on data sets that were not used for them.

Only all classes together are forecast. More photos of one class alone raise its own accuracy at the cost of the classes that look like it,
and the number of photos that a target needs cannot be estimated within a factor of 4 from 8 to 50 photos a class
(docs/evidence/forecast.md).
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from edgetl.heads.learner import Fit
from edgetl.heads.linalg.threads import single_thread
from edgetl.heads.linalg.whitening import whiten_few
from edgetl.heads.samples import find_quota, rank_photos
from edgetl.heads.selection import ALGORITHMS
from edgetl.heads.training_set import TrainingSet
from edgetl.stats import Proportion
from edgetl.types import Array, Embeddings

_PARTS = (4, 2)
_POOL, _EACH, _CLASSES = 256, 4, 100
"""The curve is measured on at most _POOL near-duplicate groups, or on _EACH of the _CLASSES largest classes if that is more."""


@dataclasses.dataclass(frozen=True)
class Law:
    """The constants of the forecast; all levels are logarithms of the odds of an error.

    Attributes:
        level: added to the measured level if few errors leave it uncertain: with few photos leave-one-out reads low.
        shrink: share of the measured level that is added as well.
        exponent: b without a measurement.
        trust: weight of the measured exponent if it is certain, in [0, 1].
        doubt: variance of the level at which that weight is halved.
        base: standard deviation that remains with any number of photos.
        noise: factor of the level's own standard deviation.
        spread: standard deviation of the true exponent around the estimated one.
    """

    level: float
    shrink: float
    exponent: float
    trust: float
    doubt: float
    base: float
    noise: float
    spread: float


LAW = Law(level=-0.36, shrink=-0.16, exponent=0.42, trust=0.69, doubt=0.07, base=0.25, noise=1.1, spread=0.3)
"""Fitted to eight data sets: docs/evidence/forecast.md."""
_CERTAIN = 0.01
"""Variance of the level at which half of the correction for few photos is applied."""
_TENTH = 1.2816
"""Standard deviations above which a tenth of a normal distribution lies."""


@dataclasses.dataclass(frozen=True)
class Curve:
    """Share of photos that were misclassified at several sizes of the training set.

    Attributes:
        sizes: groups of near-duplicates per class, mean over the classes, float64 [s]; the last is all.
        errors: share misclassified, in [0, 1], float64 [s]; of the photos that were tested at every size.
        photos: tested, count.
    """

    sizes: Array
    errors: Array
    photos: int

    @property
    def exponent(self) -> float:
        """The least-squares exponent b of the power law; 0 if nothing was tested."""
        if not self.photos:
            return 0.0
        away = np.log(self.sizes) - np.log(self.sizes).mean()
        errors = (self.errors * self.photos + 0.5) / (self.photos + 1)
        return -float(away @ np.log(errors / (1 - errors))) / max(float(away @ away), 1e-9)


def measure(fit: Fit, classes: Array) -> Curve:
    """Measures the curve on one photo of each near-duplicate group.

    Args:
        fit: the training; its learner has not changed since.
        classes: class number of each photo, int [m].
    """
    number = len(fit.head.labels)
    _, first = np.unique(classes * (fit.bursts.max() + 1) + fit.bursts, return_index=True)
    bursts = np.bincount(classes[first], minlength=number)
    among = np.argsort(-bursts, kind="stable")[:_CLASSES]
    first = first[np.isin(classes[first], among)]
    place = rank_photos(fit.ids[first], classes[first], fit.bursts[first], 0)
    limit = max(_POOL, _EACH * len(among))
    if len(first) > limit:
        kept = place < find_quota(bursts[among], limit)
        first, place = first[kept], place[kept]
    own, y = np.unique(classes[first], return_inverse=True)
    x = fit.whole.view.x[first]
    # Heads use inner products only, so the rows of the Gram matrix's factor give the same predictions as the embeddings, with fewer values.
    # In float64, because a float32 product of near-duplicates has eigenvalues below zero.
    with single_thread():
        gram = (doubled := x.astype(np.float64)) @ doubled.T
        x = np.linalg.cholesky(gram + 1e-6 * np.eye(len(x))).astype(np.float32)
        parts = [_test_on_parts(fit, x, y, place, part) for part in _PARTS]
    last = fit.held[np.ix_(first, own)].argmax(1) != y
    errors = np.array([*(errors for errors, _ in parts), last])
    sizes = np.array([*(size.mean() for _, size in parts), bursts[own].mean()])
    tested = ~np.isnan(errors).any(0)
    return Curve(sizes, errors[:, tested].mean(1) if tested.any() else np.zeros(len(sizes)), int(tested.sum()))


def _test_on_parts(fit: Fit, x: Embeddings, y: Array, place: Array, part: int) -> tuple[Array, Array]:
    """Trains on each of `part` parts of the photos; returns how often each other photo was misclassified, and the mean size."""
    bursts = np.bincount(y)
    wrong, tried, size = np.zeros(len(y)), np.zeros(len(y)), np.zeros(len(bursts))
    for number in range(part):
        # A class with fewer photos than there are parts gives them to several parts, so that every part has every class.
        inside = place % part == (number % np.minimum(bursts, part))[y]
        weight, bias = _train(fit, x[inside], y[inside])
        predicted = (x @ weight.T + bias).argmax(1)
        wrong += ~inside & (predicted != y)
        tried += ~inside
        size += np.bincount(y[inside])
    return np.divide(wrong, tried, out=np.full(len(y), np.nan), where=tried > 0), size / part


def _train(fit: Fit, x: Embeddings, y: Array) -> tuple[Array, Array]:
    counts = np.bincount(y)
    average = np.eye(len(counts))[y].T / counts[:, None]
    space = whiten_few(x, fit.alpha)
    each = np.arange(len(y))
    view = TrainingSet(x, y, counts, average @ x, average @ space.changes, each, each, space)
    return ALGORITHMS[fit.kind](view).linear()


Range = tuple[float, float, float]
"""10 %, 50 % and 90 % quantile: the 80 % interval with its median."""


@dataclasses.dataclass(frozen=True)
class AccuracyForecast:
    """The accuracy on new photos, all classes together: an inverse power law with normally distributed level and exponent.

    Attributes:
        level: logarithm of the odds of an error now.
        variance: of the measured level.
        exponent: b, the slope of the level against the logarithm of the number of photos of every class.
        law: the constants.
    """

    level: float
    variance: float
    exponent: float
    law: Law = LAW

    @classmethod
    def estimate(cls, accuracy: Proportion, exponent: float, law: Law = LAW) -> AccuracyForecast:
        """The forecast from a leave-one-out accuracy and the exponent of its :class:`Curve`."""
        missed, hits = accuracy.n - accuracy.hits + 0.5, accuracy.hits + 0.5
        level, variance = math.log(missed / hits), 1 / missed + 1 / hits
        level += (law.level + law.shrink * level) * variance / (variance + _CERTAIN)
        trust = law.trust * law.doubt / (law.doubt + variance)
        return cls(level, variance, max(0.0, law.exponent + trust * (exponent - law.exponent)), law)

    def predict(self, times: float) -> Range:
        """The accuracy with `times` as many photos of every class, in [0, 1]."""
        further = math.log(times)
        law, middle = self.law, self.level - self.exponent * further
        spread = _TENTH * math.sqrt(law.base**2 + law.noise**2 * self.variance + (law.spread * further) ** 2)
        low, half, high = (1 / (1 + math.exp(middle + away)) for away in (spread, 0.0, -spread))
        return low, half, high
