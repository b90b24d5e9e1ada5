"""Adapters: change a head so that it works in another light, from new photos without labels.

An affine adapter maps the power-normalised embedding x of a new photo to D x + t, where it looks like an embedding of a training photo. A
head is linear in x, so the adapter is folded into it: w' = D' w, b' = b + w t. An adapted head is a head like any other; activating the
earlier head undoes it.

- `mean`: gives the new photos the mean of the training photos.
- `scale`: gives them the mean and the variance of every value.
- `coral`: gives them the mean and the covariance (Sun, Feng and Saenko 2016, algorithm 1, from target to source, so that training photos
  and head stay as they are).
- `t3a`: each weight row becomes the mean of itself and of the new photos that the head most confidently assigns to its class, all of unit
  length, without bias (Iwasawa and Matsuo 2021, eq. 4 to 7).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np

from edgetl.heads import Head
from edgetl.heads.confidence.calibration import softmax
from edgetl.types import Array, Embeddings

AdapterKind = Literal["mean", "scale", "coral", "t3a"]
KINDS: tuple[AdapterKind, ...] = ("mean", "scale", "coral", "t3a")
Fold = Callable[[Array, Array], tuple[Array, Array]]
"""Weight float64 [k, d] and bias float64 [k] for embeddings like the training photos' -> those for embeddings like the new photos'."""
AffineAdapter = Callable[[Array], Fold]
"""Power-normalised embeddings of new photos, float64 [m, d] -> what adapts a head to them."""

COVARIANCE = 1e-2
"""Added to the diagonals of both covariances by `coral`, in units of squared power-normalised embeddings (Sun et al. add 1 to unnormalised
ones): docs/evidence/adaptation.md."""
VARIANCE = 1e-2
"""Added to every variance by `scale`, in units of the mean variance of the training photos: a value that is always zero stays small."""
SUPPORTS = 20
"""New photos that `t3a` uses per class: M of Iwasawa and Matsuo 2021, one of the values that they try."""


class Adapter:
    """One kind of adapter for one training set; what depends on the training set only is computed once."""

    def __init__(self, kind: AdapterKind, head: Head, source: Embeddings) -> None:
        """Prepares an adapter.

        Args:
            kind: which one.
            head: the head to adapt.
            source: power-normalised embeddings of the training photos, float [n, d].
        """
        self._head = head
        self._affine = None if kind == "t3a" else AFFINE[kind](source.astype(np.float64))

    def adapt(self, target: Embeddings) -> Head:
        """Adapts the head to new photos.

        The rejection of unknown objects starts with a linear map too, so an affine adapter is folded into it; `t3a` has no such map and
        removes it. Conformal prediction sets are only valid for photos like the training photos, so they are removed.

        Args:
            target: their power-normalised embeddings, float [m, d].
        """
        if self._affine is None:
            return _adapt_t3a(self._head, target)
        fold = self._affine(target.astype(np.float64))
        weight, bias = _fold(fold, self._head.weight, self._head.bias)
        rejection = self._head.rejection
        if rejection is not None:
            far, offset = _fold(fold, rejection.weight, rejection.bias)
            rejection = dataclasses.replace(rejection, weight=far, bias=offset)
        return dataclasses.replace(self._head, weight=weight, bias=bias, rejection=rejection, conformal=None)


def match_mean(source: Array) -> AffineAdapter:
    """Moves the new photos to the mean of the training photos."""
    before = source.mean(0)

    def fit(target: Array) -> Fold:
        offset = before - target.mean(0)
        return lambda weight, bias: (weight, bias + weight @ offset)

    return fit


def match_variance(source: Array) -> AffineAdapter:
    """Moves the new photos to the mean of the training photos and scales every value to its variance."""
    before, spread = source.mean(0), source.var(0)
    least = VARIANCE * spread.mean()

    def fit(target: Array) -> Fold:
        factor = np.sqrt((spread + least) / (target.var(0) + least))
        return lambda weight, bias: (weight * factor, bias + weight @ (before - factor * target.mean(0)))

    return fit


def match_covariance(source: Array) -> AffineAdapter:
    """Gives the new photos the mean and the covariance of the training photos: D = C_s^1/2 C_t^-1/2."""
    before = source.mean(0)
    colour = _power(source - before, 0.5)

    def fit(target: Array) -> Fold:
        after = target.mean(0)
        whiten = _power(target - after, -0.5)

        def fold(weight: Array, bias: Array) -> tuple[Array, Array]:
            adapted = whiten(colour(weight))
            return adapted, bias + weight @ before - adapted @ after

        return fold

    return fit


AFFINE: Mapping[str, Callable[[Array], AffineAdapter]] = {"mean": match_mean, "scale": match_variance, "coral": match_covariance}


def _power(centred: Array, exponent: float) -> Callable[[Array], Array]:
    """Multiplies rows by (covariance + COVARIANCE I)^exponent, from the smaller of covariance and Gram matrix."""
    n, dim = centred.shape
    if n < dim:
        energy, left = np.linalg.eigh(centred @ centred.T / n)
        kept = energy > 1e-9 * COVARIANCE
        energy, basis = energy[kept], left[:, kept].T @ centred / np.sqrt(n * energy[kept])[:, None]
    else:
        energy, right = np.linalg.eigh(centred.T @ centred / n)
        energy, basis = np.maximum(energy, 0), right.T
    level = COVARIANCE**exponent
    extra = (energy + COVARIANCE) ** exponent - level
    return lambda rows: level * rows + ((rows @ basis.T) * extra) @ basis


def _fold(fold: Fold, weight: Embeddings, bias: Embeddings) -> tuple[Embeddings, Embeddings]:
    adapted, offset = fold(weight.astype(np.float64), bias.astype(np.float64))
    return adapted.astype(np.float32), offset.astype(np.float32)


def _adapt_t3a(head: Head, target: Embeddings) -> Head:
    logits = head.linear(target)
    probabilities = softmax(logits / head.temperature)
    entropy, predicted = -(probabilities * np.log(np.maximum(probabilities, 1e-30))).sum(1), logits.argmax(1)
    rows = []
    for number, weight in enumerate(head.weight):
        own = np.flatnonzero(predicted == number)
        confident = target[own[np.argsort(entropy[own], kind="stable")[:SUPPORTS]]]
        rows.append(np.concatenate([[weight / max(float(np.linalg.norm(weight)), 1e-30)], confident]).mean(0))
    adapted = np.array(rows, np.float32)
    # The paper needs no temperature. Here the new logits get the spread of the old ones, so that probabilities stay about as confident.
    spread = float(np.std(target @ adapted.T, axis=1).mean()) / max(float(np.std(logits, axis=1).mean()), 1e-30)
    temperature = head.temperature * max(spread, 1e-30)
    return dataclasses.replace(head, weight=adapted, bias=np.zeros_like(head.bias), temperature=temperature, rejection=None, conformal=None)
