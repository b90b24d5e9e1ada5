"""What a new photo is compared with: the range of each measure so far, and a few hundred embeddings."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from edgetl.heads.bursts import ROOTED, take_roots
from edgetl.heads.linalg.normalisation import power_normalise
from edgetl.heads.linalg.threads import single_thread
from edgetl.store import SampleBatch, Store
from edgetl.types import Array, Capture, Embeddings

RECENT = 64
"""The last photos, each of which a new one may repeat."""
SPREAD = 256
"""Photos drawn from all before, each with the same chance (Vitter 1985, algorithm R), so that classes added long ago are among them."""
MEASURES = ("brightness", "contrast", "sharpness", "warmth", "length", "density", "nearest")
WARMTH = MEASURES.index("warmth")
_TRIM = 3.5
"""Standard deviations from the mean at which the range of the warmth ends, so that a single odd photo does not hide every colour cast:
docs/evidence/photo-check.md."""
LIMIT = 2048
"""Photos of a store that are replayed if it has no saved summary: 0.1 s at d = 1280."""
_TOGETHER = 256
"""Photos that are replayed at once."""
DERIVED = "past"
"""The name under which a store saves the summary."""
_FIRST_PHOTOS = 5
"""The first photos of a class need not be similar to any other."""


class KeptPhoto(NamedTuple):
    """A photo that is kept for comparison: its source, its class, and its sha256 until it has a sample id in the store."""

    source: str
    label: str
    photo: bytes = b""


class PhotoComparison(NamedTuple):
    """A new photo compared with the photos before it.

    Attributes:
        measures: brightness, contrast, sharpness and warmth of the capture; the embedding's L2 norm, and its L1 norm divided by the L1 norm
            of a constant embedding with the same L2 norm; the cosine of its roots to the nearest kept photo that is not in the same
            near-duplicate group. NaN if unknown. float64 [7].
        unit: the embedding power-normalised and rooted (:func:`edgetl.heads.bursts.take_roots`), float32 [d].
        cosines: of it to each kept photo, float32 [RECENT + SPREAD]; 0 for an empty place.
    """

    measures: Array
    unit: Embeddings
    cosines: Embeddings


class PhotoHistory:
    """A summary of the photos added so far, of fixed size: 320 embeddings (1.6 MB at d = 1280) and the range of each measure.

    Attributes:
        seen: how many photos each range comes from, near-duplicates counted once, int64 [7].
        kept: the photos that are kept for comparison; the first RECENT places hold the last ones; None for an empty place.
        samples: their sample ids in the store, int64 [RECENT + SPREAD]; 0 if not known.
        seconds: the whole second at which each of them was taken, float64 [RECENT + SPREAD]; NaN if unknown.
        counts: photos per class.
    """

    def __init__(self, dim: int) -> None:
        """Starts without photos; embeddings have `dim` values."""
        self._units = np.zeros((RECENT + SPREAD, dim), np.float32)
        self.kept: list[KeptPhoto | None] = [None] * len(self._units)
        self.samples = np.zeros(len(self._units), np.int64)
        self.seconds = np.full(len(self._units), np.nan)
        self._low, self._high = np.full(len(MEASURES), np.inf), np.full(len(MEASURES), -np.inf)
        self._warmth = np.zeros(3)  # count, sum and sum of squares
        self.seen = np.zeros(len(MEASURES), np.int64)
        self.counts: Counter[str] = Counter()
        self._added = 0

    @classmethod
    def load(cls, store: Store) -> PhotoHistory:
        """The history of a store, as if its photos were added one by one.

        What :meth:`save` saved is read with the 320 photos that it refers to, and only photos added since are replayed. Without it, all
        photos are replayed; of more than LIMIT, the last ones and an even selection of the others.
        """
        history = cls(store.fingerprint.dim)
        last = history._restore(store)
        fresh = store.ids(last)
        if len(fresh) > LIMIT:
            old = fresh[:-RECENT]
            fresh = np.concatenate([old[np.linspace(0, len(old) - 1, LIMIT - RECENT).astype(np.intp)], fresh[-RECENT:]])
        batches = [store.select(fresh[start : start + _TOGETHER].tolist()) for start in range(0, len(fresh), _TOGETHER)]
        counts = Counter(store.counts())
        if last:
            history.counts = counts - Counter(label for batch in batches for label in batch.labels)
        for batch in batches:
            for _ in history.replay(batch):
                pass
        history.counts = counts
        return history

    def save(self, store: Store) -> None:
        """Saves the summary in the store: of the photos it contains only their sample ids and the ends of the ranges."""
        pack = (self.samples, self._low, self._high, self._warmth, self.seen, np.array([self._added], np.int64))
        store.keep_derived(DERIVED, b"".join(array.astype(array.dtype.newbyteorder("<")).tobytes() for array in pack))

    def _restore(self, store: Store) -> int:
        """Restores what the store saved; returns the last sample id that went into it, 0 if nothing could be restored."""
        last, content = store.derived(DERIVED) or (0, b"")
        number, measures = len(self.samples), len(MEASURES)
        if len(content) != 8 * (number + 3 * measures + 4):
            return 0
        whole, real = np.frombuffer(content, "<i8"), np.frombuffer(content, "<f8")
        at = number + 2 * measures
        batch = store.select({sample for sample in whole[:number].tolist() if sample})
        units, rows = take_roots(power_normalise(batch.embeddings)), {int(sample): row for row, sample in enumerate(batch.ids)}
        for place, sample in enumerate(whole[:number].tolist()):
            if (row := rows.get(sample)) is not None:
                self._put(place, KeptPhoto(batch.sources[row], batch.labels[row]), _second(batch.captures[row]), units[row], sample)
        self._low, self._high = real[number : number + measures].copy(), real[number + measures : at].copy()
        self._warmth, self.seen, self._added = real[at : at + 3].copy(), whole[at + 3 : -1].copy(), int(whole[-1])
        return last

    @property
    def low(self) -> Array:
        """The lowest value of each measure so far, float64 [7], in the order of MEASURES, of warmth without outliers; infinite at first."""
        return self._trimmed(self._low, -_TRIM, max)

    @property
    def high(self) -> Array:
        """The highest value of each, likewise."""
        return self._trimmed(self._high, _TRIM, min)

    def _trimmed(self, ends: Array, deviations: float, nearer: Callable[[float, float], float]) -> Array:
        ends = ends.copy()
        if self._warmth[0]:
            mean, square = self._warmth[1:] / self._warmth[0]
            ends[WARMTH] = nearer(ends[WARMTH], mean + deviations * math.sqrt(max(square - mean**2, 0)))
        return ends

    def ago(self, place: int) -> int:
        """How many photos ago the photo at a place below RECENT was added: 1 for the last."""
        return (self._added - 1 - place) % RECENT + 1

    def compare(self, label: str, capture: Capture | None, embedding: Embeddings) -> PhotoComparison:
        """Compares a photo that is about to be added.

        Args:
            label: its class.
            capture: what was measured of it.
            embedding: float32 [d], of any length.
        """
        x = np.asarray(embedding, np.float32)[None]
        unit = take_roots(power_normalise(x))[0]
        length, density = (float(values[0]) for values in _shape(x))
        return self._compare(label, capture, length, density, unit, self._units @ unit)

    def _compare(
        self, label: str, capture: Capture | None, length: float, density: float, unit: Embeddings, cosines: Embeddings
    ) -> PhotoComparison:
        measures = np.full(len(MEASURES), np.nan)
        if capture is not None:
            measures[:4] = capture.brightness, capture.contrast, capture.sharpness, capture.warmth
        measures[4:6] = length, density
        if self.counts[label] >= _FIRST_PHOTOS:
            others = cosines[(cosines < ROOTED) & (cosines != 0)]
            if len(others):
                measures[6] = others.max()
        return PhotoComparison(measures, unit, cosines)

    def add(self, source: str, label: str, capture: Capture | None, embedding: Embeddings) -> None:
        """Adds a photo to the history."""
        self.keep(KeptPhoto(source, label), capture, self.compare(label, capture, embedding))

    def replay(self, batch: SampleBatch) -> Iterator[tuple[int, PhotoComparison]]:
        """Adds the photos of a batch one after the other; yields the index of each and its comparison with those before it.

        The products of all photos of the batch with the kept ones, and with each other, are computed at once.
        """
        x = batch.embeddings
        units, column = take_roots(power_normalise(x)), np.arange(len(self._units))
        with single_thread():
            cosines = units @ np.concatenate([self._units, units]).T
        lengths, densities = (values.tolist() for values in _shape(x))
        for i, (number, source, label, capture) in enumerate(zip(batch.ids.tolist(), batch.sources, batch.labels, batch.captures)):
            comparison = self._compare(label, capture, lengths[i], densities[i], units[i], cosines[i, column])
            yield i, comparison
            column[self.keep(KeptPhoto(source, label), capture, comparison, number)] = len(self._units) + i

    def keep(self, photo: KeptPhoto, capture: Capture | None, comparison: PhotoComparison, sample: int = 0) -> list[int]:
        """The same as :meth:`add` for a photo that was just compared; returns the places that it took.

        Args:
            photo: the photo.
            capture: what was measured of it.
            comparison: of it with the photos before.
            sample: its sample id in the store; 0 if it has none yet, see :meth:`assign_ids`.
        """
        total = self._added
        self._low, self._high = np.fmin(self._low, comparison.measures), np.fmax(self._high, comparison.measures)
        if capture is not None:
            self._warmth += 1, capture.warmth, capture.warmth**2
        if not (comparison.cosines > ROOTED).any():
            self.seen += ~np.isnan(comparison.measures)
        self.counts[photo.label] += 1
        self._added += 1
        places = [total % RECENT]
        place = total if total < SPREAD else _draw(total)
        if place < SPREAD:
            places.append(RECENT + place)
        for place in places:
            self._put(place, photo, _second(capture), comparison.unit, sample)
        return places

    def assign_ids(self, ids: Mapping[bytes, int]) -> None:
        """Takes over the sample ids that photos got in the store, by their sha256."""
        for place in np.flatnonzero(self.samples == 0).tolist():
            if (kept := self.kept[place]) is not None:
                self.samples[place] = ids.get(kept.photo, 0)

    def _put(self, place: int, photo: KeptPhoto, second: float, unit: Embeddings, sample: int) -> None:
        self.kept[place], self.seconds[place], self._units[place], self.samples[place] = photo, second, unit, sample


def _shape(x: Embeddings) -> tuple[Array, Array]:
    """L2 norm of each row of `x` float32 [n, d], and its L1 norm over that of a constant row of the same L2 norm; 0 for a zero row."""
    length = np.sqrt(np.einsum("nd,nd->n", x, x))
    return length, np.divide(np.abs(x).sum(1), np.sqrt(x.shape[1]) * length, out=np.zeros_like(length), where=length > 0)


def _second(capture: Capture | None) -> float:
    return math.nan if capture is None or capture.taken is None else math.floor(capture.taken)


def _draw(total: int) -> int:
    """A pseudorandom number from 0 to `total`, the same for the same `total` (Steele, Lea and Flood 2014, splitmix64)."""
    key = total * 0x9E3779B97F4A7C15 % 2**64
    key = (key ^ key >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    key = (key ^ key >> 27) * 0x94D049BB133111EB % 2**64
    return (key ^ key >> 31) * (total + 1) >> 64
