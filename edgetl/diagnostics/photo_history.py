"""What a new photo is compared with: the range of what was measured so far, and a few hundred embeddings."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from edgetl.heads.bursts import ROOTED, rooted
from edgetl.heads.linalg.normalisation import power_normalised
from edgetl.heads.linalg.threads import single_thread
from edgetl.store import SampleBatch, Store
from edgetl.types import Array, Capture, Embeddings

RECENT = 64
"""The last photos, each of which a new one may repeat."""
SPREAD = 256
"""Photos drawn from all before, each with the same chance (Vitter 1985, algorithm R), so that a class taught long ago is among them."""
MEASURES = ("brightness", "contrast", "sharpness", "warmth", "length", "density", "nearest")
WARMTH = MEASURES.index("warmth")
_TRIM = 3.5
"""Standard deviations from the mean at which the range of the warmth ends: of hundreds of photos one is odd, and would hide every cast.
After 300 flowers and ImageNet photos red x1.5 with blue x0.45 leaves the range, with check's margin, in 90 and 96 % and red x1.25 with blue
x0.5 in 65 and 94 %, untrimmed in 14 and 51 and in 10 and 18 %; of the same set's others 0.2 and 0.6 % leave it, untrimmed 0.2 and 0.1 %
(20 random orders, n = 2,000 each). The more varied the photos, the less: after 500 flowers, 100 of each class, it sees 57 %
of them at red x1.5 with blue x0.45 and 80 % at the reverse."""
LIMIT = 2048
"""Photos of a store that are replayed where nothing was kept: 0.1 s at d = 1280."""
_TOGETHER = 256
"""Photos that are replayed at once."""
DERIVED = "past"
"""The name under which a store keeps the summary."""
_ACQUAINTED = 5
"""Of a class with fewer photos nothing need be near: its first photos are meant to be new."""


class Kept(NamedTuple):
    """A photo that is kept for comparison: its source, its class, and its sha256 until it has a number in the store."""

    source: str
    label: str
    photo: bytes = b""


class Look(NamedTuple):
    """A new photo beside the past.

    Attributes:
        measures: what was measured of the capture; the embedding's L2 norm and its L1 norm over that of an even one of
            the same L2 norm; the cosine of its roots to the nearest kept photo that is no
            frame of the same burst. NaN where unknown. float64 [7].
        unit: the embedding power-normalised and rooted (:func:`edgetl.heads.bursts.rooted`), float32 [d].
        cosines: of it to each kept photo, float32 [RECENT + SPREAD]; 0 where there is none yet.
    """

    measures: Array
    unit: Embeddings
    cosines: Embeddings


class Past:
    """A summary of the photos added so far, of fixed size: 320 embeddings (1.6 MB at d = 1280) and the range of each measure.

    Attributes:
        seen: of how many photos, frames of the same burst counted once, int64 [7].
        kept: the photos that are kept for comparison; the first RECENT places hold the last ones, None where there is none yet.
        samples: their numbers in the store, int64 [RECENT + SPREAD]; 0 where it is not known.
        seconds: the whole second at which each of them was taken, float64 [RECENT + SPREAD]; NaN where unknown.
        counts: photos per class.
    """

    def __init__(self, dim: int) -> None:
        """Begins with no photo; embeddings have `dim` values."""
        self._units = np.zeros((RECENT + SPREAD, dim), np.float32)
        self.kept: list[Kept | None] = [None] * len(self._units)
        self.samples = np.zeros(len(self._units), np.int64)
        self.seconds = np.full(len(self._units), np.nan)
        self._low, self._high = np.full(len(MEASURES), np.inf), np.full(len(MEASURES), -np.inf)
        self._warmth = np.zeros(3)  # count, sum and sum of squares
        self.seen = np.zeros(len(MEASURES), np.int64)
        self.counts: Counter[str] = Counter()
        self._added = 0

    @classmethod
    def of(cls, store: Store) -> Past:
        """The past of a store, as if its photos were added one by one.

        What :meth:`keep_in` kept is read with the 320 photos that it names, and only photos added since are gone through. Without it the
        last photos are, and with more than LIMIT only as many of the others, spread evenly.
        """
        past = cls(store.fingerprint.dim)
        last = past._restore(store)
        fresh = store.ids(last)
        if len(fresh) > LIMIT:
            old = fresh[:-RECENT]
            fresh = np.concatenate([old[np.linspace(0, len(old) - 1, LIMIT - RECENT).astype(np.intp)], fresh[-RECENT:]])
        batches = [store.select(fresh[start : start + _TOGETHER].tolist()) for start in range(0, len(fresh), _TOGETHER)]
        counts = Counter(store.counts())
        if last:
            past.counts = counts - Counter(label for batch in batches for label in batch.labels)
        for batch in batches:
            for _ in past.replay(batch):
                pass
        past.counts = counts
        return past

    def keep_in(self, store: Store) -> None:
        """Keeps the summary in the store, without anything of the photos but their numbers and the ends of the ranges."""
        pack = (self.samples, self._low, self._high, self._warmth, self.seen, np.array([self._added], np.int64))
        store.keep_derived(DERIVED, b"".join(array.astype(array.dtype.newbyteorder("<")).tobytes() for array in pack))

    def _restore(self, store: Store) -> int:
        """Takes over what the store keeps; returns the last sample that went into it, 0 where there is nothing that fits."""
        last, content = store.derived(DERIVED) or (0, b"")
        number, measures = len(self.samples), len(MEASURES)
        if len(content) != 8 * (number + 3 * measures + 4):
            return 0
        whole, real = np.frombuffer(content, "<i8"), np.frombuffer(content, "<f8")
        at = number + 2 * measures
        batch = store.select({sample for sample in whole[:number].tolist() if sample})
        units, rows = rooted(power_normalised(batch.embeddings[batch.first])), {int(sample): row for row, sample in enumerate(batch.ids)}
        for place, sample in enumerate(whole[:number].tolist()):
            if (row := rows.get(sample)) is not None:
                self._put(place, Kept(batch.sources[row], batch.labels[row]), _second(batch.captures[row]), units[row], sample)
        self._low, self._high = real[number : number + measures].copy(), real[number + measures : at].copy()
        self._warmth, self.seen, self._added = real[at : at + 3].copy(), whole[at + 3 : -1].copy(), int(whole[-1])
        return last

    @property
    def low(self) -> Array:
        """The least of each measure so far, float64 [7], in the order of MEASURES, of warmth but for odd photos; infinite at first."""
        return self._trimmed(self._low, -_TRIM, max)

    @property
    def high(self) -> Array:
        """The greatest."""
        return self._trimmed(self._high, _TRIM, min)

    def _trimmed(self, ends: Array, deviations: float, nearer: Callable[[float, float], float]) -> Array:
        ends = ends.copy()
        if self._warmth[0]:
            mean, square = self._warmth[1:] / self._warmth[0]
            ends[WARMTH] = nearer(ends[WARMTH], mean + deviations * math.sqrt(max(square - mean**2, 0)))
        return ends

    def ago(self, place: int) -> int:
        """How many photos ago the one at a place below RECENT was added: 1 for the last."""
        return (self._added - 1 - place) % RECENT + 1

    def look(self, label: str, capture: Capture | None, embedding: Embeddings) -> Look:
        """Compares a photo that is about to be added.

        Args:
            label: its class.
            capture: what was measured of it.
            embedding: float32 [d], of any length.
        """
        x = np.asarray(embedding, np.float32)[None]
        unit = rooted(power_normalised(x))[0]
        length, density = (float(values[0]) for values in _shape(x))
        return self._look(label, capture, length, density, unit, self._units @ unit)

    def _look(self, label: str, capture: Capture | None, length: float, density: float, unit: Embeddings, cosines: Embeddings) -> Look:
        measures = np.full(len(MEASURES), np.nan)
        if capture is not None:
            measures[:4] = capture.brightness, capture.contrast, capture.sharpness, capture.warmth
        measures[4:6] = length, density
        if self.counts[label] >= _ACQUAINTED:
            others = cosines[(cosines < ROOTED) & (cosines != 0)]
            if len(others):
                measures[6] = others.max()
        return Look(measures, unit, cosines)

    def add(self, source: str, label: str, capture: Capture | None, embedding: Embeddings) -> None:
        """Makes a photo part of the past."""
        self.keep(Kept(source, label), capture, self.look(label, capture, embedding))

    def replay(self, batch: SampleBatch) -> Iterator[tuple[int, Look]]:
        """Makes the photos of a batch part of the past, one after the other; yields the place of each and its look, before it is.

        The products of all photos of the batch with those that are kept, and with each other, are made at once.
        """
        x = batch.embeddings[batch.first]
        units, column = rooted(power_normalised(x)), np.arange(len(self._units))
        with single_thread():
            cosines = units @ np.concatenate([self._units, units]).T
        lengths, densities = (values.tolist() for values in _shape(x))
        for i, (number, source, label, capture) in enumerate(zip(batch.ids.tolist(), batch.sources, batch.labels, batch.captures)):
            look = self._look(label, capture, lengths[i], densities[i], units[i], cosines[i, column])
            yield i, look
            column[self.keep(Kept(source, label), capture, look, number)] = len(self._units) + i

    def keep(self, photo: Kept, capture: Capture | None, look: Look, sample: int = 0) -> list[int]:
        """The same as :meth:`add` for a photo that was looked at just now; returns the places that it took.

        Args:
            photo: the photo.
            capture: what was measured of it.
            look: at it.
            sample: its number in the store; 0 where it has none yet, see :meth:`name`.
        """
        total = self._added
        self._low, self._high = np.fmin(self._low, look.measures), np.fmax(self._high, look.measures)
        if capture is not None:
            self._warmth += 1, capture.warmth, capture.warmth**2
        if not (look.cosines > ROOTED).any():
            self.seen += ~np.isnan(look.measures)
        self.counts[photo.label] += 1
        self._added += 1
        places = [total % RECENT]
        place = total if total < SPREAD else _draw(total)
        if place < SPREAD:
            places.append(RECENT + place)
        for place in places:
            self._put(place, photo, _second(capture), look.unit, sample)
        return places

    def name(self, numbers: Mapping[bytes, int]) -> None:
        """Says which numbers photos got in the store, by their sha256."""
        for place in np.flatnonzero(self.samples == 0).tolist():
            if (kept := self.kept[place]) is not None:
                self.samples[place] = numbers.get(kept.photo, 0)

    def _put(self, place: int, photo: Kept, second: float, unit: Embeddings, sample: int) -> None:
        self.kept[place], self.seconds[place], self._units[place], self.samples[place] = photo, second, unit, sample


def _shape(x: Embeddings) -> tuple[Array, Array]:
    """L2 norm of each row of `x` float32 [n, d], and its L1 norm over that of an even row of the same L2 norm; 0 for a zero row."""
    length = np.sqrt(np.einsum("nd,nd->n", x, x))
    return length, np.divide(np.abs(x).sum(1), np.sqrt(x.shape[1]) * length, out=np.zeros_like(length), where=length > 0)


def _second(capture: Capture | None) -> float:
    return math.nan if capture is None or capture.taken is None else math.floor(capture.taken)


def _draw(total: int) -> int:
    """A number from 0 to `total` that looks drawn by chance, the same for the same `total` (Steele, Lea and Flood 2014, splitmix64)."""
    key = total * 0x9E3779B97F4A7C15 % 2**64
    key = (key ^ key >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    key = (key ^ key >> 27) * 0x94D049BB133111EB % 2**64
    return (key ^ key >> 31) * (total + 1) >> 64
