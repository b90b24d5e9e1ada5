"""The stored photos, ready to be compared with a photo whose prediction is to be explained."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from edgetl.heads.bursts import ROOTED, Bursts, select_values, take_roots
from edgetl.heads.linalg.normalisation import power_normalise, power_normalise_int8
from edgetl.heads.linalg.threads import single_thread
from edgetl.store import SampleBatch
from edgetl.store.captures import LAYOUT
from edgetl.types import Array, Embeddings

_BLOCK = 1024
_QUERIES = 256
"""Photos from which the usual cosine to the nearest other photo is estimated."""
_MATES = 32
"""Nearest photos among which the rest of a photo's near-duplicate group is searched."""
_COUNTED = 64
"""Photos of a class of which the groups are counted first."""
_MAY_REPEAT, _ROUNDING = 0.9, 1e-4
"""Near-duplicates (:data:`edgetl.heads.bursts.ROOTED`) had a cosine of at least 0.953 in every data set (docs/evidence/scale.md)."""


@dataclasses.dataclass(frozen=True)
class Neighbour:
    """A stored photo.

    Attributes:
        sample: its sample id.
        label: its class.
        source: where it came from.
        cosine: similarity to the photo, in [-1, 1]; 1 is the same.
    """

    sample: int
    label: str
    source: str
    cosine: float


@dataclasses.dataclass(frozen=True, eq=False)
class StoredPhotos:
    """All photos of a store in memory: d + 500 bytes a photo, about 35 MB for 20,000 photos of 1280 values.

    Attributes:
        ids: sample ids, int64 [n].
        codes: embeddings as the store keeps them, of any length, int8 [n, d].
        taken: when each photo was taken, float64 [n], seconds since 1970; NaN if unknown.
        labels: class by sample id.
        sources: where each came from, by sample id.
        captures: what was measured, :data:`edgetl.store.captures.LAYOUT` [k], without the photos of which nothing was measured.
        usual: cosine of some photos to the nearest photo of another near-duplicate group, lowest first, float64 [q], q at most 256.
    """

    ids: Array
    codes: Array
    taken: Array
    labels: Mapping[int, str]
    sources: Mapping[int, str]
    captures: Array
    usual: Array

    @classmethod
    def load(cls, batches: Iterable[SampleBatch]) -> StoredPhotos:
        """Reads a whole store, once."""
        ids, codes, taken = [np.empty(0, np.int64)], [], [np.empty(0)]
        labels: dict[int, str] = {}
        sources: dict[int, str] = {}
        measured = [np.empty(0, LAYOUT)]
        for batch in batches:
            numbers = batch.ids.tolist()
            ids.append(batch.ids)
            codes.append(batch.codes)
            taken.append(batch.taken)
            labels.update(zip(numbers, batch.labels))
            sources.update(zip(numbers, batch.sources))
            measured.append(batch.measured[batch.measured["width"] > 0])
        rows = np.concatenate(codes) if codes else np.empty((0, 0), np.int8)
        photos = cls(np.concatenate(ids), rows, np.concatenate(taken), labels, sources, np.concatenate(measured), np.empty(0))
        with single_thread():
            return dataclasses.replace(photos, usual=_usual_cosines(photos))

    def normalise(self, rows: Array | slice) -> Embeddings:
        """Rows, power-normalised, float32 [k, d]."""
        return power_normalise_int8(self.codes[rows])

    def blocks(self) -> Iterator[tuple[slice, Embeddings]]:
        """All rows, power-normalised, a block at a time."""
        for start in range(0, len(self.codes), _BLOCK):
            block = slice(start, start + _BLOCK)
            yield block, self.normalise(block)

    def count_groups(self, label: str, enough: int) -> int:
        """Near-duplicate groups of a class; no longer exact from `enough` on."""
        rows = np.flatnonzero([self.labels[sample] == label for sample in self.ids.tolist()])
        for some in (rows[:_COUNTED], rows):
            finder = Bursts()
            finder.add(len(some))
            count = int(finder.find(self.normalise(some), self.taken[some], self.ids[some]).max(initial=-1)) + 1
            if count >= enough:
                break
        return count

    def find_nearest(self, embedding: Embeddings, k: int, itself: int | None = None) -> tuple[Neighbour, ...]:
        """The `k` photos most similar to an embedding float32 [d], each once, the most similar first; without the sample `itself`."""
        query = power_normalise(np.asarray(embedding, np.float32)[None])[0]
        cosines = np.concatenate([np.empty(0, np.float32), *(x @ query for _, x in self.blocks())])
        order = np.argsort(-cosines, kind="stable")
        others = order[self.ids[order] != (-1 if itself is None else itself)][:k]
        nearest = {int(self.ids[row]): float(np.clip(cosines[row], -1, 1)) for row in others.tolist()}
        return tuple(Neighbour(sample, self.labels[sample], self.sources[sample], cosine) for sample, cosine in nearest.items())


def _usual_cosines(photos: StoredPhotos) -> Array:
    """The cosine of some photos to the nearest photo of another near-duplicate group, sorted.

    The rest of a photo's group is searched among the _MATES photos nearest to it; a photo whose group fills them is left out.
    """
    count = len(photos.ids)
    queries = np.linspace(0, count - 1, min(count, _QUERIES)).astype(np.intp) if count else np.empty(0, np.intp)
    x = photos.normalise(queries)
    best, where = np.full((len(queries), 0), -np.inf, np.float32), np.zeros((len(queries), 0), np.intp)
    for block, others in photos.blocks():
        cosines = x @ others.T
        there = np.broadcast_to(np.arange(block.start, block.start + len(others)), cosines.shape)
        best, where = np.concatenate([best, cosines], 1), np.concatenate([where, there], 1)
        if best.shape[1] > _MATES:
            near = np.argpartition(-best, _MATES - 1, axis=1)[:, :_MATES]
            best, where = np.take_along_axis(best, near, 1), np.take_along_axis(where, near, 1)
    nearest = (_nearest_other(photos, row, cosines, rows) for row, cosines, rows in zip(queries.tolist(), best, where))
    return np.sort(np.array([cosine for cosine in nearest if cosine is not None], np.float64))


def _nearest_other(photos: StoredPhotos, row: int, cosines: Array, rows: Array) -> float | None:
    """The highest of the `cosines` [k] of a row to `rows` [k] of other near-duplicate groups; None if all are of its own group."""
    sample, ids = photos.ids[row], photos.ids[rows]
    mates = ids == sample
    near = ~mates & ((cosines > _MAY_REPEAT) | (np.floor(photos.taken[rows]) == np.floor(photos.taken[row])))
    if near.any():
        samples = np.unique(np.append(ids, sample))
        first, itself = np.searchsorted(photos.ids, samples), int(np.searchsorted(samples, sample))
        x, taken = photos.normalise(first), photos.taken[first]
        if _is_linked(x, taken, itself):
            finder = Bursts()
            finder.add(len(samples))
            group = finder.find(x, taken, samples)
            mates |= group[np.searchsorted(samples, ids)] == group[itself]
    return None if mates.all() else float(cosines[~mates].max())


def _is_linked(x: Embeddings, taken: Array, itself: int) -> bool:
    """Whether any other photo can be in the group of photo `itself`; a photo without a link of its own is alone."""
    alike = take_roots(select_values(x))
    near = (alike @ alike[itself] > ROOTED - _ROUNDING) | (np.floor(taken) == np.floor(taken[itself])) | ~x.any(1)
    near[itself] = False
    return bool(near.any())
