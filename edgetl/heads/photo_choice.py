"""Which photos stand for the training set when the rejection of unknown objects is measured."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np

from edgetl.heads.confidence.acceptance import LEAST_PHOTOS
from edgetl.heads.training_set import TrainingSet
from edgetl.types import Array

HELD, _CROWD = 10, 64
"""At most HELD classes are left out in turn, and of more than _CROWD classes fewer: each costs the cube of the number of classes."""
_LONG = 256
"""A near-duplicate group of more rows is not used: leaving it out costs the cube of its rows, and it is a single photo among hundreds."""
_BITS, _ODD = 64, np.uint64(0x9E3779B97F4A7C15)


def pick_photos(view: TrainingSet, rejects: Array) -> Array:
    """One photo per near-duplicate group, int [k], shuffled; not of reject classes, nor of groups with two labels or more than _LONG rows.

    The shuffle follows the embeddings' bits, so that it does not depend on the order of the photos.
    """
    bits = np.zeros(len(view.x), np.uint64)
    for column in range(min(_BITS, view.x.shape[1])):  # one by one, because all at once take twice their memory twice
        bits += view.x[:, column].view(np.uint32).astype(np.uint64) * (np.uint64(2 * column) + _ODD)
    key = (bits ^ (bits >> np.uint64(29))) * _ODD
    order = np.argsort(key, kind="stable")
    bursts, first, number = np.unique(view.bursts[order], return_index=True, return_inverse=True)
    classes, number = view.classes[order], number.reshape(-1)
    low, high = np.full(len(bursts), len(rejects)), np.full(len(bursts), -1)
    np.minimum.at(low, number, classes)
    np.maximum.at(high, number, classes)
    short = np.bincount(number) <= _LONG
    rows: Array = order[np.sort(first[(low == high) & ~rejects[low] & short])]
    return rows


def spread(rows: Array, classes: Array, limit: int) -> Array:
    """The first rows of every class, as many of each as fit into `limit` together; of more classes than that, one of some of them."""
    counts = np.bincount(classes[rows])
    quota = max(1, bisect_right(range(limit + 1), limit, key=lambda each: int(np.minimum(counts, each).sum())) - 1)
    some = take_first(rows, classes, quota)
    return some if len(some) <= limit else some[np.linspace(0, len(some) - 1, limit).astype(np.intp)]


def pick_classes(view: TrainingSet, photos: Array, least: int) -> Array:
    """The classes that are left out in turn, int [h]; none if fewer than `least` have LEAST_PHOTOS photos."""
    number = len(view.counts)
    possible = np.flatnonzero(np.bincount(view.classes[photos], minlength=number) >= LEAST_PHOTOS)
    most = HELD if number <= _CROWD else max(3, HELD * _CROWD // number)
    return possible[np.linspace(0, len(possible) - 1, min(most, len(possible))).astype(np.intp)] if len(possible) >= least else possible[:0]


def take_first(rows: Array, classes: Array, quota: int) -> Array:
    """The first `quota` rows of every class."""
    order = np.argsort(classes[rows], kind="stable")
    own = classes[rows[order]]
    rank = np.arange(len(rows)) - np.searchsorted(own, own)
    return rows[order[rank < quota]]
