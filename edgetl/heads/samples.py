"""What a learner was taught: normalised embeddings with their labels, and each class's count and sum."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from edgetl.errors import TrainError
from edgetl.types import Array, Embeddings


class Rows:
    """An array [n, width] that grows at its end without moving what is there each time."""

    def __init__(self, data: Array) -> None:
        self._data, self._n = data, len(data)

    @property
    def array(self) -> Array:
        """The rows; a view, valid until the next change."""
        return self._data[: self._n]

    def append(self, rows: Array) -> None:
        """Adds rows [k, width] at the end."""
        n = self._n + len(rows)
        if n > len(self._data):
            grown = np.empty((n + n // 8, self._data.shape[1]), self._data.dtype)
            grown[: self._n] = self.array
            self._data = grown
        self._data[self._n : n], self._n = rows, n

    def keep(self, kept: Array) -> None:
        """Drops the rows where `kept`, bool [n], is false."""
        self._data = self.array[kept]
        self._n = len(self._data)


class Samples:
    """Rows in the order they came, L2-normalised; an all-zero embedding stays zero.

    A class's sum is kept in float64, so that a million changes leave it equal to a batch's.

    Attributes:
        ids: the samples' numbers, int64 [n].
        labels: class name of each row.
    """

    def __init__(self, dim: int) -> None:
        self.ids = np.empty(0, np.int64)
        self._x = Rows(np.empty((0, dim), np.float32))
        self.labels: list[str] = []
        self._rows: dict[int, int] = {}
        self._counts: dict[str, int] = {}
        self._sums: dict[str, Array] = {}

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def x(self) -> Embeddings:
        """The normalised embeddings, float32 [n, d]; a view, valid until the next change."""
        return self._x.array

    def add(self, ids: Array, embeddings: Array, labels: Sequence[str]) -> Embeddings:
        """Appends samples and returns their normalised embeddings, float32 [n, d].

        Raises:
            TrainError: shapes that do not fit, a NaN or an infinity, or an id that is there already; nothing was added.
        """
        ids, x, labels = np.asarray(ids, np.int64).reshape(-1), np.asarray(embeddings, np.float32), list(labels)
        if x.shape != (len(ids), self.x.shape[1]) or len(labels) != len(ids):
            raise TrainError(
                f"{len(ids)} ids and {len(labels)} labels came with embeddings {list(x.shape)}; expected [{len(ids)}, {self.x.shape[1]}]"
            )
        new = {int(sample) for sample in ids}
        if len(new) < len(ids) or not new.isdisjoint(self._rows):
            raise TrainError("a sample with the same id was added before; remove it first")
        normal = normalised(x)
        if not np.isfinite(normal.sum()):
            broken = ids[~np.isfinite(normal).all(1)][0]
            raise TrainError(f"the embedding of sample {broken} holds a NaN or an infinity; forget that photo and add it again")
        self._rows.update({sample: len(self) + i for i, sample in enumerate(ids.tolist())})
        self.ids = np.concatenate([self.ids, ids])
        self._x.append(normal)
        self.labels += labels
        for label in dict.fromkeys(labels):
            rows = normal[[i for i, other in enumerate(labels) if other == label]]
            self._count(label, len(rows), rows.sum(0, dtype=np.float64))
        return normal

    def remove(self, ids: Iterable[int]) -> tuple[Array, Embeddings]:
        """Drops samples; returns which rows are kept, bool [n], and the embeddings that were dropped, float32 [k, d].

        Raises:
            KeyError: an id that is not there; nothing was removed.
        """
        rows = sorted({self._rows[int(sample)] for sample in ids})
        keep = np.ones(len(self), bool)
        keep[rows] = False
        gone = self.x[rows]
        for row in rows:
            self._count(self.labels[row], -1, -self.x[row].astype(np.float64))
        self.ids = self.ids[keep]
        self._x.keep(keep)
        self.labels = [label for label, kept in zip(self.labels, keep) if kept]
        self._rows = {int(sample): row for row, sample in enumerate(self.ids)}
        return keep, gone

    def relabel(self, sample: int, label: str) -> None:
        """Moves one sample to another class.

        Raises:
            KeyError: an id that is not there.
        """
        row = self._rows[int(sample)]
        vector = self.x[row].astype(np.float64)
        self._count(self.labels[row], -1, -vector)
        self._count(label, 1, vector)
        self.labels[row] = label

    def classes(self) -> tuple[tuple[str, ...], Array, Array]:
        """Class names in order, their counts int64 [c] and their means float64 [c, d]."""
        names = tuple(sorted(self._counts))
        counts = np.array([self._counts[name] for name in names], np.int64)
        return names, counts, np.array([self._sums[name] for name in names]).reshape(len(names), self.x.shape[1]) / counts[:, None]

    def _count(self, label: str, number: int, total: Array) -> None:
        self._counts[label] = self._counts.get(label, 0) + number
        self._sums[label] = self._sums.get(label, 0.0) + total
        if not self._counts[label]:
            del self._counts[label], self._sums[label]


def normalised(x: Embeddings) -> Embeddings:
    """Rows of `x` float32 [n, d] divided by their L2 norm; zero rows stay zero, and rows with a NaN or an infinity get NaN."""
    norms = np.sqrt(np.einsum("nd,nd->n", x, x))[:, None]
    # Where the squares leave float32's range there is still a direction: such rows are scaled to a largest value of 1 first.
    odd = ~((norms[:, 0] > 1e-15) & (norms[:, 0] < 1e18))
    if odd.any():
        top = np.abs(x[odd]).max(1, keepdims=True)
        x = x.copy()
        x[odd] = np.divide(x[odd], top, out=np.zeros_like(x[odd]), where=top != 0)
        norms[odd] = np.sqrt(np.einsum("nd,nd->n", x[odd], x[odd]))[:, None]
    divided: Embeddings = x / np.where(norms == 0, np.float32(1), norms)
    return divided


def places(ids: Array, classes: Array, seed: int) -> Array:
    """Each row's place in a shuffle of its own class, int [n]; it depends on the ids and the seed, never on the order of the rows."""
    key = (ids.astype(np.uint64) + np.uint64(seed)) * np.uint64(0x9E3779B97F4A7C15)
    key = (key ^ (key >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    order = np.lexsort((ids, key ^ (key >> np.uint64(32)), classes))
    counts = np.bincount(classes)
    place = np.empty(len(ids), np.int64)
    place[order] = np.arange(len(ids)) - np.repeat(np.cumsum(counts) - counts, counts)
    return place


def quota(counts: Array, limit: int) -> int:
    """The largest q, at least 1, for which the first q samples of every class are at most `limit` together."""
    return max((q for q in range(2, limit + 1) if np.minimum(counts, q).sum() <= limit), default=1)
