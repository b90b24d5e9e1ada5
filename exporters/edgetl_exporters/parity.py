"""Parity: how close a variant's embeddings, on the runtime that will run it, are to the float ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgetl import machine
from edgetl.bundle.proofs import Parity
from edgetl.errors import ParityError
from edgetl.types import Array, Embeddings, to_json


def measure(expected: Embeddings, embeddings: Embeddings, bound: float) -> Parity:
    """Compares embeddings [n, d] of the same n photos, row by row.

    Nearest-neighbour agreement is the share of photos whose nearest other photo (by cosine) is the same among the float embeddings and
    among the variant's, which is what matters to a classifier.
    """
    expected_unit, unit = _unit(expected), _unit(embeddings)
    cosine = cosines(expected, embeddings)
    agreement = float((_nearest(expected_unit) == _nearest(unit)).mean())
    return Parity(
        cosine_mean=float(cosine.mean()),
        cosine_min=float(cosine.min()),
        max_abs=float(np.abs(expected - embeddings).max()),
        neighbour_agreement=agreement,
        count=len(expected),
        bound=bound,
        machine=machine.instruction_set(),
    )


def cosines(expected: Embeddings, embeddings: Embeddings) -> Array:
    """The cosine of every row of [n, d] to its partner, float64 [n]."""
    result: Array = (_unit(expected) * _unit(embeddings)).sum(1)
    return result


def check(name: str, parity: Parity, hint: str) -> None:
    """Checks that a variant is within its bound.

    Raises:
        ParityError: with all numbers and `hint`, what to try instead.
    """
    if not parity.cosine_mean >= parity.bound:  # also true for NaN
        raise ParityError(
            f"{name}: embeddings are too far from the float ones: mean cosine {parity.cosine_mean:.5f}, at least {parity.bound} is allowed "
            f"(worst photo {parity.cosine_min:.5f}, largest difference {parity.max_abs:.4g}, nearest neighbour the same for "
            f"{100 * parity.neighbour_agreement:.0f} % of {parity.count} photos, on {parity.machine}). {hint}",
            variant=name, hint=hint, **to_json(parity),
        )  # fmt: skip


def levels(name: str, expected: Embeddings, embeddings: Embeddings, lengths: Sequence[int], bound: float, hint: str) -> tuple[Parity, ...]:
    """Compares embeddings [n, d] level by level: a wrong level can be hidden in a good whole.

    Args:
        name: the variant's.
        expected: the float embeddings.
        embeddings: the variant's.
        lengths: of the levels; they add up to d.
        bound: the lowest mean cosine, of every level as of the whole.
        hint: what to try instead.

    Raises:
        ParityError: naming the level.
    """
    ends = np.cumsum(lengths)[:-1]
    measured = [measure(*pair, bound) for pair in zip(np.split(expected, ends, axis=1), np.split(embeddings, ends, axis=1))]
    for number, parity in enumerate(measured, 1):
        check(f"{name}, level {number} of {len(lengths)}", parity, hint)
    return tuple(measured)


def _unit(embeddings: Embeddings) -> Array:
    rows = embeddings.astype(np.float64)
    unit: Array = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    return unit


def _nearest(unit: Array) -> Array:
    likeness = unit @ unit.T
    np.fill_diagonal(likeness, -np.inf)
    nearest: Array = likeness.argmax(1)
    return nearest
