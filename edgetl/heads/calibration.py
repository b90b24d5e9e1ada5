"""The softmax temperature that makes held-out probabilities honest."""

from __future__ import annotations

import numpy as np

from edgetl.types import Array


def temperature(logits: Array, classes: Array) -> float:
    """Fits the temperature on held-out logits by minimising their negative log-likelihood (Guo et al. 2017, section 4.2).

    The likelihood is convex in 1/T, so a safeguarded Newton search on log(1/T) finds its one minimum. Each target gives 1/(n+1) of its
    mass to all classes alike: a head that made no mistake in n photos is believed to err once in about n+1, and T stays above 0.

    Args:
        logits: [n, c]; a row whose own class is -inf (nothing of that class was left) says nothing and is skipped.
        classes: true class of each row, int [n].

    Returns:
        The temperature; NaN where no row is left, and 1 where all logits are equal.
    """
    own = logits[np.arange(len(classes)), classes]
    used = np.isfinite(own)
    rows, own = np.asarray(logits[used], np.float64), own[used].astype(np.float64)
    if not len(rows):
        return float("nan")
    rows, own = rows - own[:, None], np.zeros(len(rows))
    scale = float(np.abs(rows).max())
    if scale < 1e-20:
        return 1.0
    rows = rows / scale
    smooth = 1 / (len(rows) + 1)
    target = smooth * rows.mean(1)
    log_inverse = 0.0
    for _ in range(60):
        inverse = np.exp(log_inverse)
        slope, curvature = _derivatives(rows, target, inverse)
        gradient, hessian = inverse * slope, inverse * inverse * curvature + max(inverse * slope, 0.0)
        step = float(np.clip(-gradient / max(hessian, 1e-12), -2, 2))
        log_inverse = float(np.clip(log_inverse + step, -12, 25))
        if abs(step) < 1e-5:
            break
    return float(scale / np.exp(log_inverse))


def brier(logits: Array, classes: Array) -> float:
    """Brier score (1950) of held-out logits at their own best temperature, in [0, 2]; rows as in :func:`temperature`, inf without any."""
    used = np.isfinite(logits[np.arange(len(classes)), classes])
    return float(brier_of_each(logits, classes)[used].mean()) if used.any() else np.inf


def brier_of_each(logits: Array, classes: Array) -> Array:
    """What each row adds to the mean that :func:`brier` is, float64 [n]; 1 for a row that says nothing."""
    error = np.ones(len(classes))
    used = np.isfinite(logits[np.arange(len(classes)), classes])
    if used.any():
        odds = softmax(logits[used] / temperature(logits, classes))
        odds[np.arange(len(odds)), classes[used]] -= 1
        error[used] = np.einsum("nc,nc->n", odds, odds)
    return error


def softmax(logits: Array) -> Array:
    """Probabilities over the last axis."""
    odds = np.exp(logits - logits.max(-1, keepdims=True))
    return odds / odds.sum(-1, keepdims=True)  # type: ignore[no-any-return]


def _derivatives(rows: Array, target: Array, inverse: float) -> tuple[float, float]:
    """First and second derivative of the mean smoothed likelihood by the inverse temperature."""
    weight = softmax(rows * inverse)
    mean = np.einsum("nc,nc->n", weight, rows)
    square = np.einsum("nc,nc,nc->n", weight, rows, rows)
    return float((mean - target).mean()), float((square - mean * mean).mean())
