"""Groups frames by likeness, so that one tap labels many."""

from __future__ import annotations

import dataclasses

import numpy as np

from edgetl.types import Array, Embeddings

FRAMES_OF_A_GROUP, MOST = 8, 20
"""Frames of a group on average, and groups at most: smaller groups are purer, and each costs a tap (docs/evidence/inbox.md)."""


@dataclasses.dataclass(frozen=True)
class Group:
    """Frames that look alike.

    Attributes:
        ids: their numbers in the inbox, the most typical first.
        label: the class that most of them were taken for; None if most were unknown.
    """

    ids: tuple[int, ...]
    label: str | None


def group(units: Embeddings) -> Array:
    """Groups rows by Ward's method on their directions from the mean of all (Ward 1963, J. Am. Stat. Assoc. 58).

    Args:
        units: rows of length 1, float32 [m, d].

    Returns:
        The group of each row, int64 [m], numbered from 0 by size, the largest first; equal sizes by their first row.
    """
    m = len(units)
    count = min(max(m // FRAMES_OF_A_GROUP, 2), MOST, m)
    if m < 3:
        return np.zeros(m, np.int64)
    centred = units - units.mean(axis=0)
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    return _by_size(_merge(np.maximum(2 - 2 * (centred @ centred.T).astype(np.float64), 0), count))


def typical(units: Embeddings) -> Array:
    """The order of rows by their likeness to the mean of all, int64 [m]."""
    return np.argsort(-(units @ units.mean(axis=0)), kind="stable")


def _merge(squared: Array, count: int) -> Array:
    """Merges the nearest two groups until `count` are left, by the update formula of Lance and Williams (1967, Comput. J. 9).

    Args:
        squared: squared distances of all rows, float64 [m, m].
        count: groups to leave.

    Returns:
        A number per row, int64 [m], the same for rows of one group.
    """
    m = len(squared)
    np.fill_diagonal(squared, np.inf)
    sizes, member = np.ones(m), np.arange(m)
    for _ in range(m - count):
        kept, gone = sorted(divmod(int(squared.argmin()), m))
        total = sizes[kept] + sizes[gone] + sizes
        merged = ((sizes[kept] + sizes) * squared[kept] + (sizes[gone] + sizes) * squared[gone] - sizes * squared[kept, gone]) / total
        merged[[kept, gone]] = np.inf
        squared[kept], squared[:, kept] = merged, merged
        squared[gone], squared[:, gone] = np.inf, np.inf
        sizes[kept] += sizes[gone]
        member[member == gone] = kept
    return member


def _by_size(member: Array) -> Array:
    """Numbers groups from 0, the largest first, equal ones by their first row."""
    _, first, groups, counts = np.unique(member, return_index=True, return_inverse=True, return_counts=True)
    place = np.empty(len(first), np.int64)
    place[np.lexsort((first, -counts))] = np.arange(len(first))
    numbered: Array = place[groups]
    return numbered
