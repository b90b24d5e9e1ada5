"""Embeddings as bytes: int8 with a float32 scale per row, d + 4 bytes.

Each value is within max|row| / 254 of itself (0.4 % of the row's largest). The cosine to the original is at least sqrt(1 - d / 254^2),
which is 0.990 for any row of 1280 values; for normal and half-normal rows it is above 0.9999. The bound: rounding moves each value by at
most scale / 2, so the error's norm is at most sqrt(d) scale / 2, while the row's norm is at least its largest value, 127 scale; the
angle is widest if the error is a tangent: sin = sqrt(d) / 254.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgetl.types import Array, Embeddings

LEVELS = 127


def row_size(dim: int) -> int:
    """Bytes of one encoded embedding of `dim` values."""
    return dim + 4


def encode(embeddings: Embeddings) -> list[bytes]:
    """Packs finite embeddings float32 [n, d] into n rows of bytes."""
    scales = (np.abs(embeddings).max(axis=1, keepdims=True, initial=0) / LEVELS).astype("<f4")
    steps = np.divide(embeddings, scales, out=np.zeros_like(embeddings), where=scales > 0)
    values = np.clip(np.rint(steps), -LEVELS, LEVELS).astype(np.int8)
    return [scale.tobytes() + row.tobytes() for scale, row in zip(scales, values, strict=True)]


def decode(rows: Sequence[bytes], out: Embeddings) -> None:
    """Unpacks rows of bytes, each of one or several encoded embeddings, into `out`, float32 [n, d], n being their number in all."""
    values, scales = codes(rows, out.shape[1])
    np.multiply(values, scales, out=out)


def codes(rows: Sequence[bytes], dim: int) -> tuple[Array, Embeddings]:
    """Rows of bytes, each of one or several encoded embeddings, as they are kept: int8 [n, d] and float32 scales [n, 1]."""
    raw = np.frombuffer(b"".join(rows), np.uint8).reshape(-1, row_size(dim))
    return raw[:, 4:].view(np.int8), raw[:, :4].copy().view("<f4")
