"""Embeddings as bytes: int8 with a scale per row, or float16.

========  ===========  ====================================================================================================
encoding  bytes a row  loss
========  ===========  ====================================================================================================
int8      d + 4        each value within max|row| / 254 (0.4 % of the row's largest); cosine at least sqrt(1 - d / 254^2), which is
                       0.990 for any row of 1280 values, and above 0.9999 for normal and half-normal rows
float16   2 d          each value within 2^-11 of itself (0.05 %) and never more than 2^-25 absolute below 2^-14; up to 65504
========  ===========  ====================================================================================================

The cosine bound: rounding moves each value by at most scale / 2, so the error's norm is at most sqrt(d) scale / 2, while the row's norm is
at least its largest value, 127 scale; the angle is widest where the error is a tangent: sin = sqrt(d) / 254.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from edgetl.errors import StoreError
from edgetl.types import Array, Embeddings

EncodingName = Literal["int8", "float16"]
ENCODINGS: tuple[EncodingName, ...] = get_args(EncodingName)
LEVELS = 127


def row_size(dim: int, encoding: EncodingName) -> int:
    """Bytes of one encoded embedding of `dim` values."""
    return 2 * dim if encoding == "float16" else dim + 4


def encode(embeddings: Embeddings, encoding: EncodingName) -> list[bytes]:
    """Packs finite embeddings float32 [n, d] into n rows of bytes.

    Raises:
        StoreError: a value beyond what float16 can hold.
    """
    if encoding == "float16":
        return _float16_rows(embeddings)
    scales = (np.abs(embeddings).max(axis=1, keepdims=True, initial=0) / LEVELS).astype("<f4")
    steps = np.divide(embeddings, scales, out=np.zeros_like(embeddings), where=scales > 0)
    values = np.clip(np.rint(steps), -LEVELS, LEVELS).astype(np.int8)
    return [scale.tobytes() + row.tobytes() for scale, row in zip(scales, values, strict=True)]


def decode(rows: Sequence[bytes], encoding: EncodingName, out: Embeddings) -> None:
    """Unpacks rows of bytes, each of one or several encoded embeddings, into `out`, float32 [n, d], n being their number in all."""
    values, scales = codes(rows, out.shape[1], encoding)
    np.multiply(values, scales, out=out)


def codes(rows: Sequence[bytes], dim: int, encoding: EncodingName) -> tuple[Array, Embeddings]:
    """Rows of bytes, each of one or several encoded embeddings, as they are: int8 or float16 [n, d], and float32 scales [n, 1]."""
    raw = np.frombuffer(b"".join(rows), np.uint8).reshape(-1, row_size(dim, encoding))
    if encoding == "float16":
        return raw.view("<f2"), np.ones((len(raw), 1), np.float32)
    return raw[:, 4:].view(np.int8), raw[:, :4].copy().view("<f4")


def _float16_rows(embeddings: Embeddings) -> list[bytes]:
    with np.errstate(over="ignore"):
        halves = embeddings.astype("<f2")
    if not np.isfinite(halves).all():
        largest = float(np.abs(embeddings).max())
        raise StoreError(f"an embedding value of {largest:.3g} does not fit float16 (65504 at most); make the store with encoding='int8'")
    return [row.tobytes() for row in halves]
