"""LogME: the evidence of the labels under a Bayesian linear regression on the embeddings, without training a head."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgetl.types import Array

_LOWEST, _HIGHEST, _STEPS, _ROUNDS = -10.0, 6.0, 65, 60


def logme(embeddings: Array, labels: Sequence[str]) -> float:
    """The maximum log evidence per photo, mean over the classes' one-hot targets (You et al. 2021, algorithm 1); higher is better.

    With weights of precision a and noise of precision b, a target y of n photos is normal with covariance (F F^T / l + I) / b for
    l = a / b (their equation 2 with the weights integrated out). The best b is then known, b = n / y^T (F F^T / l + I)^-1 y, and the
    evidence is a function of l alone, found on a grid and by golden section from there; their fixed point for a and b ends at the
    same place, but converges slowly with more values than photos. If the embeddings explain a target without noise, the evidence has no
    maximum; l is then the lowest value tried, 1e-10 of the largest squared singular value.

    Args:
        embeddings: float [n, d], from the backbone.
        labels: class of each.

    Returns:
        In nats; always finite.
    """
    features = np.asarray(embeddings, np.float64)
    top = float(np.abs(features).max(initial=0))
    left, sigma, _ = np.linalg.svd(features / top if top else features, full_matrices=False)
    kept = sigma > max(features.shape) * np.finfo(float).eps * sigma.max(initial=0)
    left, energy = left[:, kept], (sigma[kept] / sigma.max(initial=1e-300)) ** 2
    known = np.array(labels)
    return float(np.mean([_evidence((known == label).astype(np.float64), left, energy) for label in np.unique(known)])) / len(known)


def _evidence(target: Array, left: Array, energy: Array) -> float:
    """The maximum log evidence of a target float64 [n], from the features' left singular vectors [n, r] and squared singular values [r]."""
    n, along = len(target), (left.T @ target) ** 2
    # Computed as the length of the residual: a difference of squares would leave rounding errors where the residual is zero.
    outside = float(((target - left @ (left.T @ target)) ** 2).sum())

    def evidence(exponent: float) -> float:
        ratio = 10.0**exponent
        unexplained = outside + float((along * (ratio / (ratio + energy))).sum())
        volume = float(np.log1p(energy / ratio).sum())
        return -(n * math.log(2 * math.pi * max(unexplained, 1e-300) / n) + n + volume) / 2

    grid = np.linspace(_LOWEST, _HIGHEST, _STEPS)
    best = int(np.argmax([evidence(exponent) for exponent in grid]))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, _STEPS - 1)]
    golden = (math.sqrt(5) - 1) / 2
    for _ in range(_ROUNDS):
        a, b = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, b) if evidence(a) >= evidence(b) else (a, high)
    return max(evidence((low + high) / 2), evidence(float(grid[best])))
