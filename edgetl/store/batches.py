"""Samples with all that is known of them, some at a time, so that a large store is read in little memory."""

from __future__ import annotations

import dataclasses
import functools
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgetl.store import captures, samples
from edgetl.store.encoding import codes
from edgetl.types import Array, Capture, Embeddings


@dataclasses.dataclass(frozen=True, eq=False)
class SampleBatch:
    """Some photos in the order of their ids.

    Attributes:
        ids: int64 [m].
        labels: class of each.
        sources: where each came from.
        measured: what was measured of each, :data:`edgetl.store.captures.LAYOUT` [m]; a width of 0 if nothing was.
        codes: the embeddings as the store keeps them, int8 [m, d]: their direction, and with `scales` their length.
        scales: what each row is multiplied with, float32 [m, 1].
    """

    ids: npt.NDArray[np.int64]
    labels: Sequence[str]
    sources: Sequence[str]
    measured: Array
    codes: Array
    scales: Embeddings

    @property
    def embeddings(self) -> Embeddings:
        """Of every photo, float32 [m, d]."""
        return self.codes * self.scales

    @functools.cached_property
    def captures(self) -> Sequence[Capture | None]:
        """What was measured of each, as values, without thumbnails; None if nothing was."""
        return captures.as_values(self.measured)

    @property
    def taken(self) -> Array:
        """When each photo was taken, float64 [m], seconds since 1970; NaN if unknown."""
        taken: Array = self.measured["taken"]
        return taken


@dataclasses.dataclass(frozen=True)
class StoredSamples:
    """Many samples in the order of their ids.

    Attributes:
        ids: int64 [n].
        labels: n classes.
        embeddings: float32 [n, d], rounded as :mod:`edgetl.store.encoding` says.
        taken: float64 [n], seconds since 1970 by the camera's clock; NaN if unknown.
    """

    ids: npt.NDArray[np.int64]
    labels: list[str]
    embeddings: Embeddings
    taken: npt.NDArray[np.float64]


def read_all(db: sqlite3.Connection, path: Path, after: int, dim: int) -> StoredSamples:
    """All samples with an id above `after`.

    Raises:
        StoreCorrupt: a row fails its check, or is missing.
    """
    embeddings = np.empty((samples.count(db, after), dim), np.float32)
    ids, taken = [np.empty(0, np.int64)], [np.empty(0)]
    labels: list[str] = []
    for batch in (_batch(chunk, dim) for chunk in samples.chunks(db, path, after)):
        start = len(labels)
        labels += batch.labels
        embeddings[start : len(labels)] = batch.embeddings
        ids.append(batch.ids)
        taken.append(batch.taken)
    return StoredSamples(np.concatenate(ids), labels, embeddings, np.concatenate(taken))


def read(db: sqlite3.Connection, path: Path, after: int, dim: int, most: int = samples.CHUNK) -> Iterator[SampleBatch]:
    """All samples with an id above `after`, at most `most` at a time, without damaged ones, which are logged.

    Raises:
        StoreCorrupt: a row is missing.
    """
    for chunk in samples.chunks(db, path, after, most, whole=False):
        if chunk:
            yield _batch(chunk, dim)


def select(db: sqlite3.Connection, path: Path, ids: Sequence[int], dim: int) -> SampleBatch:
    """The samples with these numbers that are there, in the order of the numbers.

    Raises:
        StoreCorrupt: a row fails its check.
    """
    rows = (samples.row(db, path, sample) for sample in sorted(ids))
    return _batch([row for row in rows if row is not None], dim)


def _batch(rows: Sequence[samples.RawRow], dim: int) -> SampleBatch:
    if not rows:
        return SampleBatch(np.empty(0, np.int64), [], [], captures.unpack([]), *codes([], dim))
    numbers, _, _, classes, sources, embeddings, measured = zip(*rows)
    names = {label: label.decode() for label in set(classes)}
    return SampleBatch(
        np.array(numbers, np.int64),
        [names[label] for label in classes],
        [source.decode() for source in sources],
        captures.unpack(measured),
        *codes(embeddings, dim),
    )
