"""A background as a file: embeddings as int8 with a scale per row, in safetensors."""

from __future__ import annotations

import numpy as np
import safetensors.numpy

from edgetl.types import Embeddings

_LEVELS = 127


def pack(embeddings: Embeddings) -> bytes:
    """Embeddings float32 [n, d] as `values` int8 [n, d] and `scales` float32 [n]; each value within half a scale, max|row| / 254."""
    scales = (np.abs(embeddings).max(1, initial=0) / _LEVELS).astype(np.float32)
    steps = np.divide(embeddings, scales[:, None], out=np.zeros(embeddings.shape, np.float32), where=scales[:, None] > 0)
    content: bytes = safetensors.numpy.save({"values": np.clip(np.rint(steps), -_LEVELS, _LEVELS).astype(np.int8), "scales": scales})
    return content


def unpack(content: bytes, dim: int) -> Embeddings:
    """The inverse of :func:`pack`, float32 [n, d].

    Raises:
        ValueError: not such a file, or embeddings of another length than `dim`.
    """
    try:
        arrays = safetensors.numpy.load(content)
        values, scales = arrays["values"], arrays["scales"]
    except (safetensors.SafetensorError, KeyError) as error:
        raise ValueError(str(error)) from error
    if values.dtype != np.int8 or values.ndim != 2 or values.shape[1] != dim or scales.shape != (len(values),):
        raise ValueError(f"values {values.dtype} {list(values.shape)} and scales {list(scales.shape)}; expected int8 [n, {dim}] and [n]")
    if scales.dtype != np.float32 or not np.isfinite(scales).all():
        raise ValueError("scales are not finite float32 numbers")
    embeddings: Embeddings = values * scales[:, None]
    return embeddings
