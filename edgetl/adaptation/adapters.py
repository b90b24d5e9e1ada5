"""Adapters: a head that was taught in one light reads photos of another, from photos without labels.

An affine adapter sends the power-normalised embedding x of the new place to D x + t, where it looks like an embedding of the old place. A
head is linear there, so the adapter folds into it: w' = D' w, b' = b + w t. An adapted head is a head like any other, and taking it back is
activating the one before.

- `mean`: the new photos' mean becomes that of the photos taught.
- `scale`: so do the mean and the variance of every value.
- `coral`: so do the mean and the whole covariance (Sun, Feng and Saenko 2016, algorithm 1, from target to source: the photos taught stay as
  they are, and so does the head).
- `t3a`: each weight row becomes the mean of itself and of the new photos that the head takes for its class, the surest ones, all of unit
  length, and there is no bias (Iwasawa and Matsuo 2021, eq. 4 to 7).
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
"""Weight float64 [k, d] and bias float64 [k] for embeddings of the place taught -> those for embeddings of the new place."""
Fit = Callable[[Array], Fold]
"""Power-normalised embeddings of new photos, float64 [m, d] -> the adapter to them."""

COVARIANCE = 1e-2
"""Added to both covariances' diagonals by `coral`, in units of squared power-normalised embeddings (Sun et al. add 1 to unnormalised ones).
With 100 new photos in the dark, warm and night light of `tools/bench_adapt` the gain was 5.4 points at 0.01, 5.7 at 0.003, 4.8 at 0.03 and
5.1 at 0.001; without the night, where little is left to see, 4.9, 4.6, 4.8 and 3.4 (flowers, sign digits, magnetic tiles; 5 seeds)."""
VARIANCE = 1e-2
"""Added to every variance by `scale`, in units of the mean variance of the photos taught: a value that is always zero is not blown up."""
SUPPORTS = 20
"""New photos that `t3a` takes per class (the M of Iwasawa and Matsuo 2021, one of the values that they try)."""


class Adapter:
    """One kind of adapter to one set of photos taught; what needs only those is computed once."""

    def __init__(self, kind: AdapterKind, head: Head, source: Embeddings) -> None:
        """Prepares it.

        Args:
            kind: which.
            head: the head for photos like `source`.
            source: power-normalised embeddings of the photos taught, float [n, d].
        """
        self._head = head
        self._fit = None if kind == "t3a" else FITS[kind](source.astype(np.float64))

    def to(self, target: Embeddings) -> Head:
        """The head for new photos.

        A rejection of unknown things begins with a linear map too, so an affine adapter folds into it; `t3a` moves no photo, and takes it
        off. Conformal sets hold for photos like those left out in training only, so they are taken off.

        Args:
            target: their power-normalised embeddings, float [m, d].
        """
        if self._fit is None:
            return _t3a(self._head, target)
        fold = self._fit(target.astype(np.float64))
        weight, bias = _folded(fold, self._head.weight, self._head.bias)
        rejection = self._head.rejection
        if rejection is not None:
            far, offset = _folded(fold, rejection.weight, rejection.bias)
            rejection = dataclasses.replace(rejection, weight=far, bias=offset)
        return dataclasses.replace(self._head, weight=weight, bias=bias, rejection=rejection, conformal=None)


def mean(source: Array) -> Fit:
    """Moves the new photos as a whole."""
    before = source.mean(0)

    def fit(target: Array) -> Fold:
        offset = before - target.mean(0)
        return lambda weight, bias: (weight, bias + weight @ offset)

    return fit


def scale(source: Array) -> Fit:
    """Moves the new photos and scales every value."""
    before, spread = source.mean(0), source.var(0)
    least = VARIANCE * spread.mean()

    def fit(target: Array) -> Fold:
        factor = np.sqrt((spread + least) / (target.var(0) + least))
        return lambda weight, bias: (weight * factor, bias + weight @ (before - factor * target.mean(0)))

    return fit


def coral(source: Array) -> Fit:
    """Moves the new photos, takes their covariance off and puts that of the photos taught on: D = C_s^1/2 C_t^-1/2."""
    before = source.mean(0)
    colour = _power(source - before, 0.5)

    def fit(target: Array) -> Fold:
        after = target.mean(0)
        whiten = _power(target - after, -0.5)

        def fold(weight: Array, bias: Array) -> tuple[Array, Array]:
            made = whiten(colour(weight))
            return made, bias + weight @ before - made @ after

        return fold

    return fit


FITS: Mapping[str, Callable[[Array], Fit]] = {"mean": mean, "scale": scale, "coral": coral}


def _power(centred: Array, exponent: float) -> Callable[[Array], Array]:
    """Rows @ (covariance + COVARIANCE I)^exponent, by way of the smaller of covariance and Gram matrix."""
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


def _folded(fold: Fold, weight: Embeddings, bias: Embeddings) -> tuple[Embeddings, Embeddings]:
    made, offset = fold(weight.astype(np.float64), bias.astype(np.float64))
    return made.astype(np.float32), offset.astype(np.float32)


def _t3a(head: Head, target: Embeddings) -> Head:
    logits = head.linear(target)
    sure = softmax(logits / head.temperature)
    entropy, said = -(sure * np.log(np.maximum(sure, 1e-30))).sum(1), logits.argmax(1)
    rows = []
    for number, weight in enumerate(head.weight):
        own = np.flatnonzero(said == number)
        surest = target[own[np.argsort(entropy[own], kind="stable")[:SUPPORTS]]]
        rows.append(np.concatenate([[weight / max(float(np.linalg.norm(weight)), 1e-30)], surest]).mean(0))
    made = np.array(rows, np.float32)
    # The paper needs no temperature. The new logits get the spread that the old ones had, so that probabilities stay about as sure.
    spread = float(np.std(target @ made.T, axis=1).mean()) / max(float(np.std(logits, axis=1).mean()), 1e-30)
    temperature = head.temperature * max(spread, 1e-30)
    return dataclasses.replace(head, weight=made, bias=np.zeros_like(head.bias), temperature=temperature, rejection=None, conformal=None)
