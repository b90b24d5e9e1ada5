"""Heads by their textbook formulas, from samples that are read once: they prove what a learner fits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from edgetl.ahead import ahead
from edgetl.errors import TrainError
from edgetl.heads.linalg.threads import single_thread
from edgetl.types import Array, Embeddings, HeadKind

KINDS: tuple[HeadKind, ...] = ("lda", "ridge", "ncm")


def fit(kind: HeadKind, alpha: float, names: Sequence[str], blocks: Iterable[tuple[Embeddings, Sequence[str]]]) -> tuple[Array, Array]:
    """A head of one kind at one regularisation, without choosing, leaving out or calibrating anything.

    It shares no code with the learner: sums and products of all rows, and one solve (Hastie, Tibshirani and Friedman 2009,
    sections 4.2 and 4.3; Hoerl and Kennard 1970).

    Args:
        kind: one of KINDS.
        alpha: in units of squared power-normalised embeddings.
        names: of the classes, in the order of the head's rows.
        blocks: power-normalised embeddings float32 [k, d] and the class of each row.

    Returns:
        Weight float64 [c, d] and bias float64 [c], so that a row's logits sum to zero.

    Raises:
        TrainError: a kind without a formula, or a class without a photo.
    """
    if kind not in KINDS:
        raise TrainError(f"{kind} has no formula; expected one of {', '.join(KINDS)}", code="no-formula", kind=kind)
    number = {name: i for i, name in enumerate(names)}

    def moments(block: tuple[Embeddings, Sequence[str]]) -> tuple[Array, Array, Array]:
        x, labels = block
        member, rows = np.eye(len(names))[[number[label] for label in labels]], x.astype(np.float64)
        return member.sum(0), member.T @ rows, rows.T @ rows

    counts, sums, squares = np.zeros(len(names)), np.zeros(1), np.zeros(1)
    from concurrent.futures import ThreadPoolExecutor

    with single_thread(), ThreadPoolExecutor(2, thread_name_prefix="edgetl-proof") as pool:
        for _, future in ahead(pool, moments, blocks, 1):  # the next rows are read meanwhile
            count, total, square = future.result()
            counts, sums, squares = counts + count, sums + total, squares + square
        if not counts.all():
            label = names[int(counts.argmin())]
            raise TrainError(f"no photo of {label!r} is left", code="class-empty", label=label)
        weight, bias = _solve(kind, alpha, counts, sums / counts[:, None], squares)
    return weight - weight.mean(0), bias - bias.mean()


def _solve(kind: HeadKind, alpha: float, counts: Array, means: Array, squares: Array) -> tuple[Array, Array]:
    if kind == "ncm":
        return means, -np.square(means).sum(1) / 2
    ridge = alpha * np.eye(means.shape[1])
    if kind == "lda":
        weight = np.linalg.solve(squares - (means.T * counts) @ means + ridge, means.T).T
        return weight, -(weight * means).sum(1) / 2
    mean = counts @ means / counts.sum()
    weight = np.linalg.solve(squares - counts.sum() * np.outer(mean, mean) + ridge, (counts[:, None] * (means - mean)).T).T
    return weight, counts / counts.sum() - weight @ mean
