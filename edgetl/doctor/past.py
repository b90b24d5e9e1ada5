"""What a new photo is compared with: the range of what was measured so far, and a few hundred embeddings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from edgetl.heads.bursts import ROOTED, rooted
from edgetl.heads.normalisation import power_normalised
from edgetl.store import Samples
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
"""Photos of a store that are replayed: 0.25 s at d = 1280."""
_ACQUAINTED = 5
"""Of a class with fewer photos nothing need be near: its first photos are meant to be new."""


class Kept(NamedTuple):
    """A photo that is kept for comparison: its source and its class."""

    source: str
    label: str


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
        seconds: the whole second at which each of them was taken, float64 [RECENT + SPREAD]; NaN where unknown.
        counts: photos per class.
    """

    def __init__(self, dim: int) -> None:
        """Begins with no photo; embeddings have `dim` values."""
        self._units = np.zeros((RECENT + SPREAD, dim), np.float32)
        self._random = np.random.default_rng(0)
        self.kept: list[Kept | None] = [None] * len(self._units)
        self.seconds = np.full(len(self._units), np.nan)
        self._low, self._high = np.full(len(MEASURES), np.inf), np.full(len(MEASURES), -np.inf)
        self._warmth = np.zeros(3)  # count, sum and sum of squares
        self.seen = np.zeros(len(MEASURES), np.int64)
        self.counts: Counter[str] = Counter()
        self._added = 0

    @classmethod
    def of(cls, samples: Samples, captures: Mapping[int, Capture], sources: Mapping[int, str]) -> Past:
        """The past of a store, as if its photos were added one by one; of more than LIMIT, the last ones and as many of the others.

        Args:
            samples: all of them; of a photo's views the first one counts.
            captures: by sample id, where there is one.
            sources: by sample id, where it is known.
        """
        past, rows = cls(samples.embeddings.shape[1]), first_rows(samples.ids)
        old, new = rows[:-RECENT], rows[-RECENT:]
        if len(rows) > LIMIT:
            old = old[np.linspace(0, len(old) - 1, LIMIT - RECENT).astype(np.intp)]
        for photo in photos(samples, np.concatenate([old, new]), captures, sources):
            past.add(*photo)
        past.counts = Counter(samples.labels[row] for row in rows.tolist())
        return past

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
            ends[WARMTH] = nearer(ends[WARMTH], mean + deviations * np.sqrt(max(square - mean**2, 0)))
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
        x = np.asarray(embedding, np.float32)
        unit = rooted(power_normalised(x[None]))[0]
        cosines: Embeddings = self._units @ unit
        measures = np.full(len(MEASURES), np.nan)
        if capture is not None:
            measures[:4] = capture.brightness, capture.contrast, capture.sharpness, capture.warmth
        length = np.sqrt(np.dot(x, x))
        measures[4:6] = length, np.abs(x).sum() / np.sqrt(len(x)) / length if length > 0 else 0.0
        others = cosines[(cosines < ROOTED) & (cosines != 0)]
        if len(others) and self.counts[label] >= _ACQUAINTED:
            measures[6] = others.max()
        return Look(measures, unit, cosines)

    def add(self, source: str, label: str, capture: Capture | None, embedding: Embeddings) -> None:
        """Makes a photo part of the past."""
        self.keep(source, label, capture, self.look(label, capture, embedding))

    def keep(self, source: str, label: str, capture: Capture | None, look: Look) -> None:
        """The same for a photo that was looked at just now."""
        total = self._added
        self._low, self._high = np.fmin(self._low, look.measures), np.fmax(self._high, look.measures)
        if capture is not None:
            self._warmth += 1, capture.warmth, capture.warmth**2
        if not (look.cosines > ROOTED).any():
            self.seen += ~np.isnan(look.measures)
        self.counts[label] += 1
        self._added += 1
        photo, second = Kept(source, label), np.nan if capture is None or capture.taken is None else np.floor(capture.taken)
        self._put(total % RECENT, photo, second, look.unit)
        place = total if total < SPREAD else int(self._random.integers(total + 1))
        if place < SPREAD:
            self._put(RECENT + place, photo, second, look.unit)

    def _put(self, place: int, photo: Kept, second: float, unit: Embeddings) -> None:
        self.kept[place], self.seconds[place], self._units[place] = photo, second, unit


def photos(
    samples: Samples, rows: Array, captures: Mapping[int, Capture], sources: Mapping[int, str]
) -> Iterator[tuple[str, str, Capture | None, Embeddings]]:
    """Source, class, capture and embedding of the photos in some rows; see :meth:`Past.of`."""
    for row in rows.tolist():
        sample = int(samples.ids[row])
        yield sources.get(sample, f"sample {sample}"), samples.labels[row], captures.get(sample), samples.embeddings[row]


def first_rows(ids: Array) -> Array:
    """The row of each photo's first view, int [m], in the order of the ids, int [n]."""
    return np.unique(ids, return_index=True)[1]
