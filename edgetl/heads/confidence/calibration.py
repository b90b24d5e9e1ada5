"""The softmax temperature that makes held-out probabilities honest, and how honest they are."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from edgetl.types import Array

_SMOOTH = 0.25
_BINS, _PER_BIN, _PHOTOS, _DRAWS = 15, 10, 1000, 200
_BLOCK = 4096


def fit_temperature(logits: Array, classes: Array) -> float:
    """Fits the temperature on held-out logits by minimising their negative log-likelihood (Guo et al. 2017, section 4.2).

    The likelihood is convex in 1/T, so a safeguarded Newton search on log(1/T) finds its one minimum. Each target spreads _SMOOTH/(n+1) of
    its mass over all classes, so that T stays above 0 for a head that made no mistake in n photos (docs/evidence/probabilities.md).

    Args:
        logits: [n, c]; a row whose own class is -inf (nothing of that class was left) is skipped, and another class that is -inf counts
            as the least likely one of its row.
        classes: true class of each row, int [n].

    Returns:
        The temperature; NaN if no row is left, and 1 if all logits are equal.
    """
    own = logits[np.arange(len(classes)), classes]
    used = np.isfinite(own)
    rows, own = np.asarray(logits[used], np.float64), own[used].astype(np.float64)  # copies, changed in place
    if not len(rows):
        return float("nan")
    rows -= own[:, None]
    missing = np.isneginf(rows)
    if missing.any():
        rows[missing] = np.inf
        np.copyto(rows, rows.min(1, keepdims=True), where=missing)
    scale = max(float(rows.max()), -float(rows.min()))
    if scale < 1e-20:
        return 1.0
    top = rows.max(1) / scale
    rows /= scale
    rows -= top[:, None]
    smooth = _SMOOTH / (len(rows) + 1)
    target = float((smooth * (rows.mean(1) + top) - top).mean())
    log_inverse = 0.0
    for _ in range(60):
        inverse = math.exp(log_inverse)
        slope, curvature = _derivatives(rows, target, inverse)
        gradient, hessian = inverse * slope, inverse * inverse * curvature + max(inverse * slope, 0.0)
        step = max(-2.0, min(-gradient / max(hessian, 1e-12), 2.0))
        before, log_inverse = log_inverse, max(-12.0, min(log_inverse + step, 25.0))
        if abs(log_inverse - before) < 1e-5:
            break
    return scale / math.exp(log_inverse)


@dataclasses.dataclass(frozen=True)
class ExpectedCalibrationError:
    """How far stated probabilities are from the share that is correct.

    Attributes:
        value: the expected calibration error (Guo et al. 2017, eq. 3) over bins of equal numbers of photos, in [0, 1].
        interval: 95 %, by the Bayesian bootstrap over near-duplicate groups (Rubin 1981), pivotal (Davison and Hinkley 1997, eq. 5.6):
            chance raises `value`, which may therefore lie above it.
        chance: the mean of what a head with perfectly honest probabilities would show on as many photos (Broecker and Smith 2007).
        n: photos.
    """

    value: float
    interval: tuple[float, float]
    chance: float
    n: int

    def __str__(self) -> str:
        low, high = (100 * end for end in self.interval)
        return f"{100 * self.value:.1f} points [{low:.1f}, {high:.1f}] n={self.n} (honest probabilities would show {100 * self.chance:.1f})"


def measure_calibration(logits: Array, classes: Array, bursts: Array, seed: int = 0) -> ExpectedCalibrationError | None:
    """The calibration error of held-out logits, each half of the near-duplicate groups at the temperature fitted to the other half.

    Args:
        logits: [n, c]; rows as in :func:`fit_temperature`. Of more than _PHOTOS as many are drawn, in whole near-duplicate groups.
        classes: true class of each row, int [n].
        bursts: near-duplicate group of each row, int [n].
        seed: of the halves, the draws and the bootstrap.

    Returns:
        The error; None with fewer than two groups whose class is still there when they are left out.
    """
    chance = np.random.default_rng(seed)
    used = np.flatnonzero(np.isfinite(logits[np.arange(len(classes)), classes]))
    numbers, number = np.unique(bursts[used], return_inverse=True)
    if len(numbers) < 2:
        return None
    place = chance.permutation(len(numbers))[number.reshape(-1)]
    order = np.argsort(place, kind="stable")[:_PHOTOS]
    used, number = used[order], place[order]
    half = number % 2 == 0
    odds = np.empty((len(used), logits.shape[1]))
    for side in (True, False):
        judged, others = used[half == side], used[half != side]
        odds[half == side] = softmax(logits[judged] / fit_temperature(logits[others], classes[others]))
    stated = odds.max(1)
    order = np.argsort(stated, kind="stable")
    stated, correct = stated[order], (odds.argmax(1) == classes[used])[order]
    bins = np.linspace(0, len(used), min(_BINS, max(1, len(used) // _PER_BIN)) + 1).astype(np.intp)[:-1]
    value = float(_gap((stated - correct)[None], bins)[0])
    weight = chance.standard_exponential((_DRAWS, number.max() + 1), np.float32)[:, number[order]]
    weight *= len(used) / weight.sum(1, keepdims=True)
    low, high = np.quantile(_gap(weight * (stated - correct), bins), (0.025, 0.975))
    honest = _gap(stated - (chance.random((_DRAWS, len(used)), np.float32) < stated), bins)
    return ExpectedCalibrationError(value, (max(0.0, 2 * value - high), max(0.0, 2 * value - low)), float(honest.mean()), len(used))


def _gap(excess: Array, bins: Array) -> Array:
    """The mean over photos of the distance between stated and true share in their bin, for rows of stated minus correct [k, n]."""
    return np.abs(np.add.reduceat(excess, bins, axis=1)).sum(1) / excess.shape[1]  # type: ignore[no-any-return]


def brier_scores(logits: Array, classes: Array) -> Array:
    """Brier score (1950) of each row's held-out logits at their own best temperature, float64 [n], in [0, 2].

    Rows are as in :func:`fit_temperature`; one whose own class is -inf scores 1.
    """
    error = np.ones(len(classes))
    used = np.isfinite(logits[np.arange(len(classes)), classes])
    if used.any():
        odds = softmax(logits[used] / fit_temperature(logits, classes))
        odds[np.arange(len(odds)), classes[used]] -= 1
        error[used] = np.einsum("nc,nc->n", odds, odds)
    return error


def softmax(logits: Array) -> Array:
    """Probabilities over the last axis."""
    odds = logits - logits.max(-1, keepdims=True)
    np.exp(odds, out=odds)
    odds /= odds.sum(-1, keepdims=True)
    return odds  # type: ignore[no-any-return]


def _derivatives(rows: Array, target: float, inverse: float) -> tuple[float, float]:
    """First and second derivative of the mean smoothed likelihood by the inverse temperature; the largest value of each row is zero."""
    mean, square, ones = np.empty(len(rows)), np.empty(len(rows)), np.ones(rows.shape[1])
    for start in range(0, len(rows), _BLOCK):
        here = slice(start, start + _BLOCK)
        odds = np.exp(rows[here] * inverse)
        total, pull = odds @ ones, odds * rows[here]
        mean[here] = pull @ ones / total
        square[here] = np.einsum("nc,nc->n", pull, rows[here]) / total
    return float(mean.mean()) - target, float((square - mean * mean).mean())
