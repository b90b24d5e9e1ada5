"""Explains a prediction: the stored photos most like the photo, and what is wrong with the photo or with the training photos."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from edgetl.diagnostics import capture_check
from edgetl.diagnostics.stored_photos import Neighbour, StoredPhotos
from edgetl.heads.linalg.threads import single_thread
from edgetl.types import Capture, Embeddings, Prediction

ReasonCode = Literal["input-differs", "unfamiliar", "few-photos", "two-classes", "clear"]

FEW = 5
"""Near-duplicate groups of a class below which its probability is not reliable."""
MARGIN = 0.5
"""Two classes whose probabilities differ by less are hard to tell apart: docs/evidence/explanation.md."""
UNFAMILIAR = 0.02
"""A photo is unfamiliar if its nearest cosine is below this quantile of the stored photos' own: docs/evidence/explanation.md."""
_LEAST_USUAL = 10


@dataclasses.dataclass(frozen=True)
class Reason:
    """One reason for a prediction. :mod:`edgetl.diagnostics.text` puts it, and what to do about it, into words.

    Attributes:
        code: `input-differs` (the photo's light, contrast, sharpness, colour or size differs from the training photos), `unfamiliar` (no
            stored photo is similar, or the head rejects the photo), `few-photos` (of the class or its closest rival), `two-classes` (the
            photo looks like two classes), or `clear`.
        values: the numbers and names that led to it, by name.
    """

    code: ReasonCode
    values: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Why a photo gets its label.

    Attributes:
        label: the prediction; None if the photo is rejected.
        top: classes with their probabilities, best first.
        margin: by how much the first probability exceeds the second, in [0, 1].
        neighbours: the stored photos most like it, the nearest first.
        reasons: what explains the prediction, the most important first; never empty.
    """

    label: str | None
    top: tuple[tuple[str, float], ...]
    margin: float
    neighbours: tuple[Neighbour, ...]
    reasons: tuple[Reason, ...]

    @property
    def verdict(self) -> ReasonCode:
        """The code of the first reason."""
        return self.reasons[0].code


def explain(
    prediction: Prediction,
    embedding: Embeddings,
    capture: Capture | None,
    photos: StoredPhotos,
    k: int = 5,
    itself: int | None = None,
) -> Explanation:
    """Explains a prediction.

    Args:
        prediction: with at least its two best classes in `top`.
        embedding: of the photo, float32 [d].
        capture: what was measured of it; None if nothing was.
        photos: all stored photos.
        k: how many stored photos to list.
        itself: the sample id of this very photo, which is not compared with itself; None if it is not stored.
    """
    with single_thread():
        neighbours = photos.find_nearest(embedding, k, itself)
        difference = None if capture is None else capture_check.compare(capture, photos.captures)
        reasons = [
            None if difference is None else Reason("input-differs", difference),
            _check_familiarity(prediction, neighbours, photos),
            _check_counts(prediction, photos),
            _check_margin(prediction, neighbours),
        ]
    remaining = tuple(reason for reason in reasons if reason is not None) or (_clear(prediction, neighbours),)
    return Explanation(prediction.label, prediction.top, _margin(prediction), neighbours, remaining)


def _margin(prediction: Prediction) -> float:
    return prediction.top[0][1] - (prediction.top[1][1] if len(prediction.top) > 1 else 0.0)


def _check_familiarity(prediction: Prediction, neighbours: tuple[Neighbour, ...], photos: StoredPhotos) -> Reason | None:
    n, nearest = len(photos.usual), neighbours[0].cosine if neighbours else math.nan
    if n >= _LEAST_USUAL and nearest < (limit := float(np.quantile(photos.usual, UNFAMILIAR))):
        values = {"cosine": nearest, "limit": limit, "usual": float(np.median(photos.usual)), "share": UNFAMILIAR, "n": n}
        return Reason("unfamiliar", values)
    if prediction.label is None:
        return Reason("unfamiliar", {"cosine": nearest, "label": prediction.top[0][0], "rejected": prediction.code})
    return None


def _check_counts(prediction: Prediction, photos: StoredPhotos) -> Reason | None:
    """Whether the best class has too few photos, or the second if it is a close rival."""
    rivals = [prediction.top[0][0]] + [label for label, _ in prediction.top[1:2] if _margin(prediction) < MARGIN]
    few = {label: count for label in rivals if (count := photos.count_groups(label, FEW)) < FEW}
    return Reason("few-photos", {"groups": few, "needed": FEW}) if few else None


def _check_margin(prediction: Prediction, neighbours: tuple[Neighbour, ...]) -> Reason | None:
    if len(prediction.top) < 2 or _margin(prediction) >= MARGIN:
        return None
    near = Counter(neighbour.label for neighbour in neighbours)
    values = {"probabilities": dict(prediction.top[:2]), "neighbours": {label: near[label] for label, _ in prediction.top[:2]}}
    return Reason("two-classes", {**values, "n": len(neighbours)})


def _clear(prediction: Prediction, neighbours: tuple[Neighbour, ...]) -> Reason:
    label, probability = prediction.top[0]
    same = sum(neighbour.label == label for neighbour in neighbours)
    values = {"label": label, "probability": probability, "margin": _margin(prediction), "same": same, "n": len(neighbours)}
    return Reason("clear", values)
