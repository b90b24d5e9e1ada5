"""A trained head as plain arrays and class names."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from edgetl.types import Embeddings

INPUT, OUTPUT = "image", "probabilities"
"""The names of a fused file's input and output; an unchanged input keeps its name."""


@dataclasses.dataclass(frozen=True, eq=False)
class Classes:
    """A trained head as plain arrays: softmax((z / |z|) W' / T + b / T), where z is the embedding with signed roots of its last values.

    If roots are taken of some values only, they are scaled to the L2 norm of those values.

    Attributes:
        labels: class names, in the order of the rows.
        weight: W, float32 [c, d].
        bias: b, float32 [c].
        temperature: T, above 0.
        rooted: of how many of the last values of an embedding signed roots are taken.
        probabilities: the head itself, embeddings float32 [n, d] -> float32 [n, c]; the fused file is compared with it.
        about: where the head comes from, for a sentence in the file's metadata, e.g. `head 3 (lda) of parts.db`.
        left_out: what edgetl does and this file cannot, in sentences.
    """

    labels: tuple[str, ...]
    weight: Embeddings
    bias: Embeddings
    temperature: float
    rooted: int
    probabilities: Callable[[Embeddings], Embeddings]
    about: str = ""
    left_out: tuple[str, ...] = ()

    @property
    def dim(self) -> int:
        """The embedding's length d, values."""
        return int(self.weight.shape[1])

    def layer(self) -> tuple[Embeddings, Embeddings]:
        """Weight float32 [c, d] and bias float32 [c] of the logits that the softmax takes: the temperature is inside."""
        scale = 1 / self.temperature
        return (self.weight * scale).astype(np.float32), (self.bias * scale).astype(np.float32)
