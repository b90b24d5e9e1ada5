"""What the benchmarks of heads share: the data sets, which photos train and which are predicted, and the interval over seeds."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from scipy.stats import t as student

from edgetl.inputs.photo.folders import labelled_photos_in

SETS = ("flowers", "sign-digits", "magnetic-tiles")
MORE = ("pacs/photo", "pacs/art_painting", "pacs/sketch", "brain-mri", "synthetic/100x20")
"""Sets that heads were not tuned on. `synthetic/CLASSESxSHOTS` needs no photos: see :func:`synthetic_set`."""
ENLARGED = ("flowers",)
"""Photos of 32 pixels enlarged to 128: what holds on them need not hold on photos of a camera, so they decide nothing alone."""
KEPT = 0.3
"""The share of every class that is predicted and never trained on."""

Array = np.ndarray[Any, Any]


def photos_of(name: str) -> tuple[list[Path], Array]:
    """The photos of one data set of $EDGETL_DATA, and the number of each one's class, int [n]."""
    folder = os.environ.get("EDGETL_DATA")
    if not folder:
        raise click.UsageError(f"EDGETL_DATA is not set: the folder that holds {name}/CLASS/PHOTO")
    pairs, _ = labelled_photos_in(Path(folder) / name)
    return [path for path, _ in pairs], np.unique([label for _, label in pairs], return_inverse=True)[1]


def split(y: Array, shots: Sequence[int], seed: int) -> tuple[dict[int, list[Array]], Array]:
    """Which photos train at each number of shots, in one draw or several, and which are predicted after all of them.

    Few photos are drawn more often, 12 times one and 4 times five, because accuracy depends more on which they are; draws of one seed share
    no photo, and fewer shots are a part of more.

    Args:
        y: class number of each photo, int [n].
        shots: photos per class; a class with fewer gives what it has beyond the KEPT share.
        seed: of the shuffle.
    """
    random = np.random.default_rng(seed)
    orders = [random.permutation(np.flatnonzero(y == label)) for label in np.unique(y)]
    most = [max(1, min(max(shots), int(len(order) * (1 - KEPT)))) for order in orders]

    def draw(number: int, turn: int) -> Array:
        places = np.arange(turn * number, (turn + 1) * number)
        return np.concatenate([order[places[:top] % top] for order, top in zip(orders, most)])

    draws = {number: [draw(number, turn) for turn in range(min(12, max(1, 20 // number)))] for number in shots}
    return draws, np.concatenate([order[top:] for order, top in zip(orders, most)])


def half(values: Sequence[float]) -> float:
    """Half the 95 % t-interval of a mean of at least two values."""
    n = len(values)
    return float(student.ppf(0.975, n - 1) * np.std(values, ddof=1) / n**0.5)


def synthetic_set(name: str) -> tuple[Array, Array]:
    """The embeddings [n, 1280] and class numbers [n] of `synthetic/CLASSESxSHOTS`, so many that SHOTS are left beside the KEPT share."""
    classes, shots = (int(part) for part in name.removeprefix("synthetic/").split("x"))
    return synthetic(classes * (round(shots / (1 - KEPT)) + 1), classes, 1280, seed=0)


def synthetic(n: int, classes: int, dim: int, seed: int) -> tuple[Array, Array]:
    """Embeddings like EfficientNet-Lite0's of hand signs (10 classes, 200 photos of each).

    Alike are the pooled ReLU6 (no negative value, about half of them zero, a norm of 15), the spectrum of the normalised embeddings
    (1st, 11th, 101st and 401st share of the variance 0.15, 0.015, 0.001 and 0.0001 there, 0.25, 0.014, 0.0009 and 0.0001 here) and how hard
    the task is: logistic regression 95.8 % there, about 95 % here, with 157 steps there and about 120 here.
    """
    rng = np.random.default_rng(seed)
    place = np.arange(1, dim + 1)
    energy = place**-0.5 * np.exp(-place / 300)
    mixing = np.linalg.qr(rng.standard_normal((dim, dim)))[0] * (energy / np.linalg.norm(energy))[:, None] * np.sqrt(dim)
    y = rng.permutation(np.arange(n) % classes)
    centres = rng.standard_normal((classes, dim)) * (0.22 + 0.8 * np.exp(-place / 10))
    factors = centres[y] + rng.standard_normal((n, dim))
    x = np.clip(factors @ mixing / 2 + rng.standard_normal(dim) - 0.15, 0, 6)
    return np.asarray(x * 15 / np.linalg.norm(x, axis=1).mean(), np.float32), y
