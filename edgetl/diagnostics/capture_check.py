"""Whether light, contrast, sharpness, colour or size of a photo differ from those of the stored photos."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np

from edgetl.stats import student
from edgetl.types import Array, Capture

UNUSUAL = 0.01
"""The chance that a new photo of the same kind differs in one of the four measures: docs/evidence/explanation.md."""
_LEAST_CAPTURES = 10
_WIDER = np.array([1, 1, 1, 1.25])
"""Warmth has heavier tails than a normal distribution, so its interval is this much wider: docs/evidence/explanation.md."""
_NEW_SIZE = 0.05
_MEASURES = ("brightness", "contrast", "sharpness", "warmth")


def compare(capture: Capture, stored: Array) -> dict[str, Any] | None:
    """What is different about a photo; None if nothing is, or if too few photos were measured.

    A measure differs if it is outside the interval that contains a new photo's with a chance of 1 - UNUSUAL / 4: Student's t for a normal
    distribution of log brightness, log contrast, sharpness and warmth.

    Args:
        capture: what was measured of the photo.
        stored: what was measured of the stored photos, :data:`edgetl.store.captures.LAYOUT` [n].

    Returns:
        `measures`: {measure: {value, low, high, higher}}; `size`: {width, height, usual: (long, short side), count} if no stored photo has
        this size, else None; `n`.
    """
    if len(stored) < _LEAST_CAPTURES:
        return None
    values, this = _transform(*(stored[name] for name in _MEASURES)), _transform(*(getattr(capture, name) for name in _MEASURES))
    n = len(values)
    normal = NormalDist().inv_cdf(1 - UNUSUAL / 2 / len(this))
    half = student(normal, n - 1) * math.sqrt(1 + 1 / n) * np.maximum(_WIDER * values.std(0, ddof=1), 1e-3)
    away = (this - values.mean(0)) / half
    low, high = (_transform_back(values.mean(0) + side * half) for side in (-1, 1))
    measures = {
        _MEASURES[i]: {"value": getattr(capture, _MEASURES[i]), "low": low[i], "high": high[i], "higher": bool(away[i] > 0)}
        for i in np.flatnonzero(np.abs(away) > 1).tolist()
    }
    size = _compare_size(capture, stored)
    return {"measures": measures, "size": size, "n": n} if measures or size else None


def _transform(brightness: Array | float, contrast: Array | float, sharpness: Array | float, warmth: Array | float) -> Array:
    """Log brightness, log contrast, sharpness and warmth, float64 [..., 4]; the offsets keep black and flat photos finite."""
    return np.stack([np.log(np.asarray(brightness) + 4), np.log(np.asarray(contrast) + 2), sharpness, warmth], -1)


def _transform_back(values: Array) -> tuple[float, float, float, float]:
    """The inverse of :func:`_transform`, with brightness in [0, 255]."""
    brightness, contrast, sharpness, warmth = values.tolist()
    return min(255.0, max(0.0, math.exp(brightness) - 4)), max(0.0, math.exp(contrast) - 2), max(0.0, sharpness), warmth


def _compare_size(capture: Capture, stored: Array) -> dict[str, Any] | None:
    """A size, upright or not, that no stored photo has, if the chance of a new size is small.

    That chance is estimated by the share of photos whose size occurs once (Good 1953, the missing mass).
    """
    long, short = np.maximum(stored["width"], stored["height"]), np.minimum(stored["width"], stored["height"])
    sizes, counts = np.unique(long.astype(np.uint64) << np.uint64(32) | short, return_counts=True)
    own = max(capture.width, capture.height) << 32 | min(capture.width, capture.height)
    if own in sizes.tolist() or (counts == 1).sum() > _NEW_SIZE * len(stored):
        return None
    usual = int(sizes[counts.argmax()])
    return {
        "width": capture.width,
        "height": capture.height,
        "usual": (usual >> 32, usual & 0xFFFFFFFF),
        "count": int(counts.max()),
    }
