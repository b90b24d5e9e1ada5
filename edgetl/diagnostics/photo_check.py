"""Possible problems with one photo that is about to be added. Limits: docs/evidence/photo-check.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from edgetl.diagnostics.finding import Finding, FindingCode
from edgetl.diagnostics.photo_history import MEASURES, RECENT, WARMTH, KeptPhoto, PhotoComparison, PhotoHistory
from edgetl.heads.bursts import CROWD, ROOTED
from edgetl.types import Array, Capture, Embeddings

_Coded = Iterator[tuple[FindingCode, dict[str, Any]]]

_DARK, _BRIGHT = 50, 210
"""Gray levels which the mean plus, or minus, two standard deviations does not reach."""
_LOW_CONTRAST = 4
"""Gray levels, standard deviation."""
_BLURRED = 0.15
"""Sharpness, whatever the photos before had."""
_LEAST_SIDE = 64
"""Pixels of the shorter side: less than a third of what a model reads."""
_LEAST_BEFORE = 20
"""Photos from which a range is known."""
_MARGIN = 0.2
"""How far outside the range of the photos before a measure must be, in widths of that range."""
_LEAST_WIDTH = 0.25
"""A range is at least this wide, as a share of its upper end (warmth is a logarithm already): a camera on a stand gives narrow ones."""
_ODDS = 20
"""How many times as likely as its own class another class must be."""
_SHARPNESS, _NEAREST = MEASURES.index("sharpness"), MEASURES.index("nearest")


def check(
    source: str,
    label: str,
    capture: Capture | None,
    embedding: Embeddings,
    history: PhotoHistory,
    probabilities: Mapping[str, float] | None = None,
    *,
    keep_as: bytes | None = None,
) -> tuple[Finding, ...]:
    """Lists possible problems with a photo that is about to be added; usually there are none.

    Args:
        source: where it came from.
        label: its class.
        capture: what was measured of it; None if nothing was.
        embedding: of the photo itself, float32 [d].
        history: the photos before it.
        probabilities: of every class that the active head knows, which was not trained on this photo.
        keep_as: the photo's sha256, to make it part of the history with the same comparison; None leaves the history as it is.
    """
    comparison = history.compare(label, capture, embedding)
    findings = judge(source, label, capture, comparison, history, probabilities)
    if keep_as is not None:
        history.keep(KeptPhoto(source, label, keep_as), capture, comparison)
    return findings


def judge(
    source: str,
    label: str,
    capture: Capture | None,
    comparison: PhotoComparison,
    history: PhotoHistory,
    probabilities: Mapping[str, float] | None = None,
) -> tuple[Finding, ...]:
    """The same as :func:`check` for a photo that was just compared."""
    outside = _outside(comparison.measures, history)
    coded = (
        *(_check_capture(capture, outside, history) if capture is not None else ()),
        *_check_embedding(comparison, outside, history),
        *_check_group(label, comparison, capture, history),
        *_check_probabilities(label, probabilities or {}),
    )
    return tuple(Finding(code, source, label, values) for code, values in coded)


def _check_capture(capture: Capture, outside: Array, history: PhotoHistory) -> _Coded:
    mean, contrast, sharpness = capture.brightness, capture.contrast, capture.sharpness
    levels = {"brightness": mean, "contrast": contrast}
    if mean + 2 * contrast < _DARK:
        yield "dark", levels
    elif mean - 2 * contrast > _BRIGHT:
        yield "overexposed", levels
    elif contrast < _LOW_CONTRAST:
        yield "low-contrast", levels
    elif sharpness < _BLURRED:
        yield "blurred", {"sharpness": sharpness, "expected": _BLURRED}
    elif history.seen[_SHARPNESS] >= _LEAST_BEFORE and outside[_SHARPNESS] < 0:
        yield "blurred", {"sharpness": sharpness, **_range_before(history, _SHARPNESS)}
    if min(capture.width, capture.height) < _LEAST_SIDE:
        yield "too-small", {"width": capture.width, "height": capture.height, "expected": _LEAST_SIDE}


def _check_embedding(comparison: PhotoComparison, outside: Array, history: PhotoHistory) -> _Coded:
    recent = comparison.cosines[:RECENT]
    nearest = int(recent.argmax())
    kept = history.kept[nearest]
    if kept is not None and recent[nearest] > ROOTED:
        yield "near-duplicate", {"other": kept.source, "ago": history.ago(nearest), "similarity": float(recent[nearest])}
        return
    outside = outside.copy()
    outside[_SHARPNESS] = max(outside[_SHARPNESS], 0)  # a blurred photo is reported as blurred
    worst = int(np.abs(outside).argmax())
    if outside[worst] and history.seen[worst] >= _LEAST_BEFORE:
        yield "unusual", {"measure": MEASURES[worst], "value": float(comparison.measures[worst]), **_range_before(history, worst)}


def _range_before(history: PhotoHistory, measure: int) -> dict[str, Any]:
    return {"low": float(history.low[measure]), "high": float(history.high[measure]), "photos": int(history.seen[measure])}


def _outside(measures: Array, history: PhotoHistory) -> Array:
    """How far each measure is beyond the range of the history and its margin, in widths of it: below 0, above it, or 0 inside."""
    known = (history.seen >= _LEAST_BEFORE) & ~np.isnan(measures)
    low, high = np.where(known, history.low, 0.0), np.where(known, history.high, 0.0)
    least = _LEAST_WIDTH * np.abs(high) + 1e-9
    least[WARMTH] = _LEAST_WIDTH if high[WARMTH] > low[WARMTH] else 1e-3  # a gray camera gives exactly 0: any colour is another camera's
    value, width = np.where(known, measures, 0.0), np.maximum(high - low, least)
    below, above = np.minimum(value - low, 0) / width, np.maximum(value - high, 0) / width
    above[_NEAREST] = 0
    beyond: Array = np.minimum(below + _MARGIN, 0) + np.maximum(above - _MARGIN, 0)
    return beyond


def _check_group(label: str, comparison: PhotoComparison, capture: Capture | None, history: PhotoHistory) -> _Coded:
    """The most similar photo of another class that is in the same near-duplicate group."""
    second = np.nan if capture is None or capture.taken is None else np.floor(capture.taken)
    same_second = history.seconds == second
    if same_second[:RECENT].sum() > CROWD or not (history.seconds[~same_second] >= 0).any():  # the clock has stopped, or not moved yet
        same_second[:] = False
    near = np.flatnonzero((comparison.cosines > ROOTED) | same_second).tolist()
    others = [
        (float(comparison.cosines[place]), kept) for place in near if (kept := history.kept[place]) is not None and kept.label != label
    ]
    if others:
        cosine, kept = max(others, key=lambda other: other[0])
        yield "two-labels", {"labels": {kept.label: kept.source}, "similarity": cosine if cosine > ROOTED else None}


def _check_probabilities(label: str, probabilities: Mapping[str, float]) -> _Coded:
    if label not in probabilities:
        return
    best = max(probabilities, key=lambda name: probabilities[name])
    own, other = probabilities[label], probabilities[best]
    if best != label and other > 0.5 and other > _ODDS * own:
        yield "mislabelled", {"looks_like": best, "probability": other, "own_probability": own}
