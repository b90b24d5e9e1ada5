"""The training set in memory: power-normalised embeddings with their labels, and each class's count and sum."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from edgetl.errors import TrainError
from edgetl.heads.linalg.normalisation import power_normalise
from edgetl.heads.linalg.rows import GrowingRows
from edgetl.types import Array, Embeddings

_LONG = 64


class LabelledEmbeddings:
    """Rows in the order they came, power-normalised; an all-zero embedding stays zero.

    A class's sum is exact (:func:`edgetl.heads.linalg.normalisation.normalise_rows`), so it is the same after any changes as of one batch.

    Attributes:
        ids: the photos, int64 [n].
        labels: class name of each row.
        taken: when each was taken, seconds since 1970 by the camera's clock, NaN if unknown, float64 [n].
    """

    def __init__(self, dim: int, rooted: int | None = None) -> None:
        """Makes an empty set of samples.

        Args:
            dim: values of an embedding.
            rooted: heads take roots of this many of its last values; None of all.
        """
        self._rooted = rooted
        self.ids = np.empty(0, np.int64)
        self._x = GrowingRows(np.empty((0, dim), np.float32))
        self.labels: list[str] = []
        self.taken = np.empty(0)
        self._rows: dict[int, int] = {}
        self._counts: dict[str, int] = {}
        self._sums: dict[str, Array] = {}

    def __len__(self) -> int:
        """How many photos."""
        return len(self._rows)

    @property
    def x(self) -> Embeddings:
        """The power-normalised embeddings, float32 [n, d]; a view, valid until the next change."""
        return self._x.array

    def reserve(self, rows: int) -> None:
        """Makes room for so many rows in all, so that adding them in parts moves none of them."""
        self._x.reserve(rows)

    def add(self, ids: Array, embeddings: Array, labels: Sequence[str], taken: Array | None = None) -> Embeddings:
        """Appends rows and returns their power-normalised embeddings, float32 [n, d].

        Raises:
            TrainError: shapes that do not fit, a NaN or an infinity, or a known id; nothing was added.
        """
        ids, x, labels = np.asarray(ids, np.int64).reshape(-1), np.asarray(embeddings, np.float32), list(labels)
        taken = np.full(len(ids), np.nan) if taken is None else np.asarray(taken, np.float64).reshape(-1)
        if x.shape != (len(ids), self.x.shape[1]) or not len(labels) == len(taken) == len(ids):
            raise TrainError(
                f"{len(ids)} ids, {len(labels)} labels and {len(taken)} times with embeddings {list(x.shape)}; "
                f"expected [{len(ids)}, {self.x.shape[1]}]",
                code="shape-mismatch", shape=list(x.shape), expected=[len(ids), self.x.shape[1]],
            )  # fmt: skip
        photos = ids.tolist()
        if len(set(photos)) < len(photos) or not self._rows.keys().isdisjoint(photos):
            raise TrainError("a photo with the same id was added before; remove it first", code="id-known")
        normal = power_normalise(x, self._rooted)
        if not np.isfinite(normal.sum()):
            broken = int(ids[~np.isfinite(normal).all(1)][0])
            message = f"the embedding of sample {broken} has a NaN or an infinity; forget that photo and add it again"
            raise TrainError(message, code="embedding-not-finite", sample=broken)
        self.ids = np.concatenate([self.ids, ids])
        self._rows.update(zip(photos, range(len(self.labels), len(self.ids))))
        self._x.append(normal)
        self.labels += labels
        self.taken = np.concatenate([self.taken, taken])
        members: dict[str, list[int]] = {}
        for i, label in enumerate(labels):
            members.setdefault(label, []).append(i)
        for label, rows in members.items():
            self._count(label, len(rows), normal[rows].sum(0, dtype=np.float64))
        return normal

    def __contains__(self, photo: int) -> bool:
        return photo in self._rows

    def remove(self, ids: Iterable[int]) -> tuple[Array, Embeddings]:
        """Drops photos; returns which rows are kept, bool [n], and the embeddings that were dropped, float32 [k, d].

        Raises:
            KeyError: an unknown id; nothing was removed.
        """
        keep = np.ones(len(self.labels), bool)
        keep[[self._rows[int(photo)] for photo in ids]] = False
        gone = self.x[~keep]
        for row in np.flatnonzero(~keep):
            self._count(self.labels[row], -1, -self.x[row].astype(np.float64))
        self.ids, self.taken = self.ids[keep], self.taken[keep]
        self._x.keep(keep)
        self.labels = [label for label, kept in zip(self.labels, keep) if kept]
        self._rows = {photo: row for row, photo in enumerate(self.ids.tolist())}
        return keep, gone

    def relabel(self, photo: int, label: str) -> None:
        """Moves one photo to another class.

        Raises:
            KeyError: an unknown id.
        """
        row = self._rows[int(photo)]
        values = self.x[row].astype(np.float64)
        self._count(self.labels[row], -1, -values)
        self._count(label, 1, values)
        self.labels[row] = label

    def classes(self) -> tuple[tuple[str, ...], Array, Array]:
        """Class names in order, their numbers of rows int64 [c] and their means float64 [c, d]."""
        names = tuple(sorted(self._counts))
        counts = np.array([self._counts[name] for name in names], np.int64)
        return names, counts, np.array([self._sums[name] for name in names]).reshape(len(names), self.x.shape[1]) / counts[:, None]

    def _count(self, label: str, number: int, total: Array) -> None:
        self._counts[label] = self._counts.get(label, 0) + number
        self._sums[label] = self._sums.get(label, 0.0) + total
        if not self._counts[label]:
            del self._counts[label], self._sums[label]


def rank_photos(ids: Array, classes: Array, bursts: Array, seed: int) -> Array:
    """Each photo's place in a shuffle of its class, int [m]: one of every near-duplicate group, then a second of every group, and so on.

    It depends on the ids and the seed, never on the order of the photos.
    """
    key = _shuffled(ids, seed)
    cells = np.unique(number_cells(classes, bursts), return_inverse=True)[1].reshape(-1)
    turn = _ranks(cells, np.lexsort((ids, key, cells)))
    return _ranks(classes, np.lexsort((ids, key, turn, classes)))


def number_cells(classes: Array, bursts: Array) -> Array:
    """A number that rows of the same class and near-duplicate group share, int [n]."""
    return classes * (bursts.max(initial=0) + 1) + bursts  # type: ignore[no-any-return]


def choose_judged(ids: Array, classes: Array, bursts: Array, seed: int, most: int, rows: int) -> Array:
    """Whole near-duplicate groups to judge a head by, as the photos in them, bool [m]: spread over the classes, small ones first.

    Args:
        ids: of the photos.
        classes: of the photos.
        bursts: near-duplicate groups of the photos, numbered from 0.
        seed: of the shuffle, which does not depend on the order of the photos.
        most: groups, beyond the first of every class.
        rows: of all groups together, beyond the first of every class.
    """
    order = np.lexsort((ids, _shuffled(ids, seed), bursts))
    speaker = order[_starts(bursts[order])]
    size, key = np.bincount(bursts), _shuffled(ids[speaker], seed)
    place = _ranks(classes[speaker], np.lexsort((ids[speaker], key, size > _LONG, classes[speaker])))
    turn = np.lexsort((ids[speaker], key, place))
    taken = np.zeros(len(speaker), bool)
    taken[turn] = (place[turn] == 0) | ((np.arange(len(turn)) < most) & (np.cumsum(size[turn]) <= rows))
    return taken[bursts]


def find_quota(counts: Array, limit: int) -> int:
    """The largest q, at least 1, for which the first q samples of every class are at most `limit` together."""
    return max((q for q in range(2, limit + 1) if np.minimum(counts, q).sum() <= limit), default=1)


def _shuffled(ids: Array, seed: int) -> Array:
    """A number for each id that looks drawn by chance, uint64 [m]."""
    key = (ids.astype(np.uint64) + np.uint64(seed)) * np.uint64(0x9E3779B97F4A7C15)
    key = (key ^ (key >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    return key ^ (key >> np.uint64(32))  # type: ignore[no-any-return]


def _ranks(groups: Array, order: Array) -> Array:
    """Each row's place within its group, int [m], where `order` sorts the rows by group first."""
    counts = np.bincount(groups)
    rank = np.empty(len(groups), np.intp)
    rank[order] = np.arange(len(groups)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rank


def _starts(values: Array) -> Array:
    """Where a run of equal values begins, int [m]."""
    return np.flatnonzero(np.append(True, values[1:] != values[:-1])[: len(values)])
