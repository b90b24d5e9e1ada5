"""Coral's two ways to train the last layer on a device, written from their documentation: the benchmarks compare edgetl with them.

Weight imprinting is Qi, Brown and Lowe 2018, section 3.2. Softmax regression is minibatch SGD with the values of Coral's own example:
weight scale 0.05, rate 0.01, batch 100, 500 steps, no regularisation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

Predict = Callable[[Array], Array]
"""Embeddings [m, d] -> class numbers [m]."""


def unit(x: Array) -> Array:
    """Rows of length 1."""
    return np.asarray(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12))


def imprinting(x: Array, y: Array) -> Predict:
    """A class's weight is the normalised mean of its normalised embeddings.

    Args:
        x: embeddings, float32 [n, d].
        y: class numbers, int [n].
    """
    rows = unit(x)
    names = np.unique(y)
    weights = unit(np.stack([rows[y == name].mean(0) for name in names]))
    return lambda asked: names[(asked @ weights.T).argmax(1)]


def softmax_sgd(x: Array, y: Array, seed: int) -> Predict:
    """Softmax regression by plain minibatch SGD from small random weights, batches drawn with replacement.

    Args:
        x: embeddings as they come, float32 [n, d].
        y: class numbers, int [n].
        seed: of the weights and the batches.
    """
    random = np.random.default_rng(seed)
    names, classes = np.unique(y, return_inverse=True)
    weight, bias = 0.05 * random.standard_normal((x.shape[1], len(names))), np.zeros(len(names))
    for _ in range(500):
        batch = random.integers(0, len(classes), 100)
        rows = x[batch]
        scores = rows @ weight + bias
        share = np.exp(scores - scores.max(1, keepdims=True))
        share /= share.sum(1, keepdims=True)
        share[np.arange(100), classes[batch]] -= 1
        weight -= 0.01 * (rows.T @ share) / 100
        bias -= 0.01 * share.mean(0)
    return lambda asked: names[(asked @ weight + bias).argmax(1)]
