"""What every algorithm takes, and what it gives."""

from __future__ import annotations

import dataclasses

import numpy as np

from edgetl.heads.whitening import Whitening
from edgetl.types import Array, Embeddings

FOLDS = 5


@dataclasses.dataclass(frozen=True)
class View:
    """The state that all heads read.

    Attributes:
        x: L2-normalised embeddings, float32 [n, d].
        classes: class of each row, int [n].
        counts: samples per class, int [c].
        means: class means, float64 [c, d].
        centres: the same means in the whitened coordinates, float64 [c, r].
        folds: fold of each row for an algorithm without an exact leave-one-out, int [n] in 0 to FOLDS - 1, spread over each class.
        whitening: the same samples where their regularised scatter is the identity.
        alpha: the regularisation to use. LDA and ridge can only use the whitening's own; logistic regression takes any, and another one
            costs it a few more steps.
    """

    x: Embeddings
    classes: Array
    counts: Array
    means: Array
    centres: Array
    folds: Array
    whitening: Whitening
    alpha: float


@dataclasses.dataclass(frozen=True)
class Reading:
    """One algorithm's answer: a linear classifier, and its logits for samples it did not see.

    Attributes:
        weight: float64 [c, r], of the coordinates in `space`; [c, d] without one.
        bias: float64 [c].
        space: the whitening whose coordinates it reads, or None if it reads the normalised embedding.
        held: logits of each sample from a head that was trained without it, float64 [n, c]; -inf for a class of which none was left.
    """

    weight: Array
    bias: Array
    space: Whitening | None
    held: Array

    def linear(self) -> tuple[Array, Array]:
        """Weight float64 [c, d] and bias float64 [c] for the normalised embedding, so that a row's logits sum to zero.

        What all logits share says nothing, and without it the same samples give the same logits whatever the coordinates' origin is.
        """
        weight, bias = (self.weight, self.bias) if self.space is None else self.space.unproject(self.weight, self.bias)
        return weight - weight.mean(0), bias - bias.mean()

    def predicted(self) -> Array:
        """The predicted class of each sample when it was left out, int [n]."""
        return self.held.argmax(1)  # type: ignore[no-any-return]


def without_own(held: Array, classes: Array, own: Array, left: Array) -> Array:
    """Puts `own` [n] in the place of each row's own class, or -inf where `left` [n], the number of samples left in it, is zero."""
    held[np.arange(len(classes)), classes] = np.where(left > 0, own, -np.inf)
    return held
