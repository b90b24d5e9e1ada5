"""Which frames teach most when they are labelled."""

from __future__ import annotations

import numpy as np

from edgetl.types import Array, Embeddings


def rank(units: Embeddings, probabilities: Array, unknown: Array, near: Array, n: int) -> Array:
    """Orders frames by doubt and by difference from the training photos and from the frames before them (docs/evidence/inbox.md).

    Doubt is 1 minus the margin between the two best classes (Scheffer 2001, IDA), and 1 for a frame that was rejected as unknown.
    Difference is the cosine distance to the nearest training photo or frame chosen before (greedy k-center: Sener 2018, ICLR). Each frame
    in turn is the one with the largest product.

    Args:
        units: rows of length 1, float32 [m, d].
        probabilities: of each class, float [m, c].
        unknown: which were rejected, bool [m].
        near: cosine to the nearest training photo, float [m].
        n: how many to choose.

    Returns:
        Row numbers, int64 [min(n, m)], the first to label first.
    """
    best = -np.sort(-probabilities, axis=1)
    margin = best[:, 0] - (best[:, 1] if best.shape[1] > 1 else 0)
    doubt = np.where(unknown, 1.0, 1 - margin) + 1e-6
    apart = np.maximum(1 - near, 0)
    chosen: list[int] = []
    for _ in range(min(n, len(units))):
        score = doubt * apart
        score[chosen] = -1
        chosen.append(int(score.argmax()))
        apart = np.minimum(apart, np.maximum(1 - units @ units[chosen[-1]], 0))
    return np.array(chosen, np.int64)
