"""Why this answer: the stored photos most like it, and whether the photo, or what was taught, is the trouble."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from statistics import NormalDist
from typing import Literal

import numpy as np

from edgetl.heads.bursts import ROOTED, Bursts, compared, rooted
from edgetl.heads.linalg.normalisation import directions, power_normalised
from edgetl.heads.linalg.threads import single_thread
from edgetl.stats import student
from edgetl.store import SampleBatch
from edgetl.store.captures import LAYOUT
from edgetl.types import Array, Capture, Embeddings, Prediction

Code = Literal["differs", "outside", "few", "two", "clear"]

FEW = 5
"""With fewer bursts of a class its probability says little."""
MARGIN = 0.5
"""Two classes whose probabilities differ by less are hard to tell apart: 38 to 52 % of such answers were wrong with 10 and 20 photos per
class of sign digits, magnetic tiles and flowers (EfficientNet-Lite0), 28 to 50 % with 50; of the others 3 to 18 %, and 2 to 11 %."""
OUTSIDE = 0.02
"""A photo is outside where its nearest cosine is below this quantile of the stored photos' own, each without its burst. With 5, 20 and 60
photos per class it found 96 to 100 % of the photos of three other data sets and 1 to 5 % of the same one's, on flowers, sign digits and
magnetic tiles. Without roots, centred embeddings found 2 to 100 %. A new class of the same kind of photo is nearer: it is for the head's
own rejection."""
_LEAST_OUTSIDE = 10
UNUSUAL = 0.01
"""Light, contrast, sharpness and colour differ where one of them leaves the interval that holds a new photo with a chance of 1 - 1 % / 4,
Student's t for a normal distribution of log brightness, log contrast, sharpness and warmth. With 10, 30, 100 and 150 stored photos of
flowers, sign digits, magnetic tiles, solar cells and ImageNet (mean; worst set) 4.2 (7.1), 3.0 (4.6), 2.4 (5.2) and 2.1 (4.5) % of the same
set's others left it (n = 1,000 each), 61 to 82 % of those darkened to 0.35, 90 to 100 % to 0.2, 58 to 64 % of those blurred by 2 pixels and
27 to 29 % of those brightened (gamma 0.45). Of casts, red x1.5 with blue x0.45: 95 to 99 % (least set 82 to 97), the reverse 97 to 100 (87
to 100), red x1.25 with blue x0.5 90 to 98 (63 to 91), its reverse 91 to 98 (66 to 93); without warmth 0 to 33 % in each set. After 30 gray
tiles or cells 91 to 99 % of the photos of the three sets in colour leave it by their warmth alone."""
_LEAST_CAPTURES = 10
_WIDER = np.array([1, 1, 1, 1.25])
"""Warmth has heavier tails than a normal distribution: its interval is this much wider. Without, 5.4 % of the ImageNet photos and 5.1 % of
the sign digits would differ from their own set (n = 4,000 each), with it 4.9 and 3.3 %."""
_NEW_SIZE = 0.05
_QUERIES, _MATES, _BLOCK, _LOOKED_AT = 256, 32, 1024, 64
_MAY_REPEAT, _DOUBT = 0.9, 1e-4
"""Near-duplicates (:data:`edgetl.heads.bursts.ROOTED`) had a cosine of at least 0.953 in every data set (docs/evidence/scale.md)."""


@dataclasses.dataclass(frozen=True, eq=False)
class Taught:
    """What the store knows, ready to be compared with: d + 500 bytes a photo, about 35 MB for 20,000 photos of 1280 values.

    Attributes:
        ids: sample of each row, int64 [n]; the views of a photo are several rows.
        codes: embeddings as the store keeps them, of any length, int8 or float16 [n, d].
        taken: when each row's photo was taken, float64 [n], seconds since 1970; NaN where unknown.
        labels: class by sample.
        sources: where each sample came from.
        captures: what was measured, :data:`edgetl.store.captures.LAYOUT` [k]; photos without are not here.
        usual: nearest cosine of some photos among those of other bursts, lowest first, float64 [q]; at most 256 of them.
    """

    ids: Array
    codes: Array
    taken: Array
    labels: Mapping[int, str]
    sources: Mapping[int, str]
    captures: Array
    usual: Array

    @classmethod
    def of(cls, batches: Iterable[SampleBatch]) -> Taught:
        """Prepares what a store holds, which is read once."""
        ids, codes, taken = [np.empty(0, np.int64)], [], [np.empty(0)]
        labels: dict[int, str] = {}
        sources: dict[int, str] = {}
        measured = [np.empty(0, LAYOUT)]
        for batch in batches:
            numbers = batch.ids.tolist()
            ids.append(np.repeat(batch.ids, batch.views))
            codes.append(batch.codes)
            taken.append(np.repeat(batch.taken, batch.views))
            labels.update(zip(numbers, batch.labels))
            sources.update(zip(numbers, batch.sources))
            measured.append(batch.measured[batch.measured["width"] > 0])
        rows = np.concatenate(codes) if codes else np.empty((0, 0), np.int8)
        made = cls(np.concatenate(ids), rows, np.concatenate(taken), labels, sources, np.concatenate(measured), np.empty(0))
        with single_thread():
            return dataclasses.replace(made, usual=_usual(made))

    @property
    def first(self) -> Array:
        """The row of each photo itself, int64 [m]."""
        return np.flatnonzero(np.diff(self.ids, prepend=-1))

    def x(self, rows: Array | slice) -> Embeddings:
        """Some rows, power-normalised, float32 [k, d]."""
        return directions(self.codes[rows])

    def blocks(self) -> Iterator[tuple[slice, Embeddings]]:
        """All rows, power-normalised, some at a time."""
        for start in range(0, len(self.codes), _BLOCK):
            block = slice(start, start + _BLOCK)
            yield block, self.x(block)

    def bursts(self, label: str) -> int:
        """How many bursts the photos of a class are; of a large class only so many photos are looked at that there are FEW."""
        rows = self.first[[self.labels[sample] == label for sample in self.ids[self.first].tolist()]]
        for some in (rows[:_LOOKED_AT], rows):
            finder = Bursts()
            finder.add(len(some))
            number = int(finder.find(self.x(some), self.taken[some], self.ids[some]).max(initial=-1)) + 1
            if number >= FEW:
                break
        return number


@dataclasses.dataclass(frozen=True)
class Neighbour:
    """A stored photo.

    Attributes:
        sample: its number.
        label: its class.
        source: where it came from.
        cosine: how like the photo it is, in [-1, 1]; 1 is the same.
    """

    sample: int
    label: str
    source: str
    cosine: float


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that explains the answer.

    Attributes:
        code: `differs` (input differs from what was taught), `outside` (everything taught), `few` (too few photos), `two` (looks like two
            classes), or `clear`.
        sentence: what was found, with its numbers.
        advice: what to do; empty for `clear`.
        numbers: those that led to it, by name.
    """

    code: Code
    sentence: str
    advice: str
    numbers: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Why a photo gets its answer.

    Attributes:
        label: the answer; None where there is none.
        top: classes with their probabilities, best first.
        margin: by how much the first probability exceeds the second, in [0, 1].
        neighbours: the stored photos most like it, the nearest first.
        findings: what explains the answer, what explains most first; never empty.
    """

    label: str | None
    top: tuple[tuple[str, float], ...]
    margin: float
    neighbours: tuple[Neighbour, ...]
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Code:
        """The code of the first finding."""
        return self.findings[0].code


def explain(
    guess: Prediction, embedding: Embeddings, capture: Capture | None, taught: Taught, k: int = 5, itself: int | None = None
) -> Explanation:
    """Explains an answer.

    Args:
        guess: what the head said, with at least its two best classes in `top`.
        embedding: of the photo, float32 [d].
        capture: what was measured of it; None where nothing was.
        taught: what the store knows.
        k: how many stored photos to show.
        itself: the sample that is this very photo, which is no evidence for itself; None where it was not taught.
    """
    with single_thread():
        neighbours = _nearest(embedding, taught, k, itself)
        found = [_differs(capture, taught), _outside(guess, neighbours, taught), _few(guess, taught), _two(guess, neighbours)]
    findings = tuple(finding for finding in found if finding is not None) or (_clear(guess, neighbours),)
    return Explanation(guess.label, guess.top, _margin(guess), neighbours, findings)


def _margin(guess: Prediction) -> float:
    return guess.top[0][1] - (guess.top[1][1] if len(guess.top) > 1 else 0.0)


def _nearest(embedding: Embeddings, taught: Taught, k: int, itself: int | None) -> tuple[Neighbour, ...]:
    asked = power_normalised(np.asarray(embedding, np.float32)[None])[0]
    cosines = np.concatenate([np.empty(0, np.float32), *(x @ asked for _, x in taught.blocks())])
    order = np.argsort(-cosines, kind="stable")
    found: dict[int, float] = {}
    for row in order[taught.ids[order] != (-1 if itself is None else itself)].tolist():
        found.setdefault(int(taught.ids[row]), float(np.clip(cosines[row], -1, 1)))
        if len(found) >= k:
            break
    return tuple(Neighbour(sample, taught.labels[sample], taught.sources[sample], cosine) for sample, cosine in found.items())


def _usual(taught: Taught) -> Array:
    """The nearest cosine of some photos among those of other bursts, sorted; without those whose _MATES nearest are all of their burst.

    A photo's burst is sought among the _MATES photos nearest to it.
    """
    first = taught.first
    asked = first[np.linspace(0, len(first) - 1, min(len(first), _QUERIES)).astype(np.intp)] if len(first) else first
    x = taught.x(asked)
    best, where = np.full((len(asked), 0), -np.inf, np.float32), np.zeros((len(asked), 0), np.intp)
    for block, others in taught.blocks():
        cosines = x @ others.T
        there = np.broadcast_to(np.arange(block.start, block.start + len(others)), cosines.shape)
        best, where = np.concatenate([best, cosines], 1), np.concatenate([where, there], 1)
        if best.shape[1] > _MATES:
            near = np.argpartition(-best, _MATES - 1, axis=1)[:, :_MATES]
            best, where = np.take_along_axis(best, near, 1), np.take_along_axis(where, near, 1)
    nearest = (_nearest_other(taught, row, cosines, rows) for row, cosines, rows in zip(asked.tolist(), best, where))
    return np.sort(np.array([cosine for cosine in nearest if cosine is not None], np.float64))


def _nearest_other(taught: Taught, row: int, cosines: Array, rows: Array) -> float | None:
    """The highest of some `cosines` [k] between a row and `rows` [k] that are not of its burst; None where all are."""
    photo, ids = taught.ids[row], taught.ids[rows]
    mates = ids == photo
    near = ~mates & ((cosines > _MAY_REPEAT) | (np.floor(taught.taken[rows]) == np.floor(taught.taken[row])))
    if near.any():
        photos = np.unique(np.append(ids, photo))
        first, itself = np.searchsorted(taught.ids, photos), int(np.searchsorted(photos, photo))
        x, taken = taught.x(first), taught.taken[first]
        if _linked(x, taken, itself):
            finder = Bursts()
            finder.add(len(photos))
            number = finder.find(x, taken, photos)
            mates |= number[np.searchsorted(photos, ids)] == number[itself]
    return None if mates.all() else float(cosines[~mates].max())


def _linked(x: Embeddings, taken: Array, itself: int) -> bool:
    """Whether any other photo may be in the burst of one: without a link of its own it is in none, whatever links the others."""
    alike = rooted(compared(x))
    near = (alike @ alike[itself] > ROOTED - _DOUBT) | (np.floor(taken) == np.floor(taken[itself])) | ~x.any(1)
    near[itself] = False
    return bool(near.any())


def _outside(guess: Prediction, neighbours: tuple[Neighbour, ...], taught: Taught) -> Finding | None:
    advice = "If it was never taught, teach it as a class of its own, or as 'unknown'. If it was, add photos of it that look like this one."
    n, nearest = len(taught.usual), neighbours[0].cosine if neighbours else math.nan
    if n >= _LEAST_OUTSIDE and nearest < (limit := float(np.quantile(taught.usual, OUTSIDE))):
        usual = float(np.median(taught.usual))
        said = f"it is outside everything taught: the stored photo most like it has a cosine of {nearest:.2f}"
        said += f"; among the stored ones it is {usual:.2f} usually, and below {limit:.2f} for {100 * OUTSIDE:g} % (n={n})"
        return Finding("outside", said, advice, {"cosine": nearest, "limit": limit, "usual": usual, "n": n})
    if guess.label is None:
        return Finding("outside", guess.reason or "the head gives it no label", advice, {"cosine": nearest, "score": guess.probability})
    return None


def _few(guess: Prediction, taught: Taught) -> Finding | None:
    """The best class has too few photos, or the second where it is a rival."""
    rivals = [guess.top[0][0]] + [label for label, _ in guess.top[1:2] if _margin(guess) < MARGIN]
    few = {label: number for label in rivals if (number := taught.bursts(label)) < FEW}
    if not few:
        return None
    counts = " and ".join(f"{n} of {label!r}" for label, n in few.items())
    advice = "Add photos of " + " and ".join(f"{label!r} (at least {FEW - n} more)" for label, n in few.items())
    said = f"there are too few photos: {counts}, where frames of one burst count once; the answer says little"
    return Finding("few", said, f"{advice}, each from another view, and train again.", dict(few))


def _two(guess: Prediction, neighbours: tuple[Neighbour, ...]) -> Finding | None:
    if len(guess.top) < 2 or _margin(guess) >= MARGIN:
        return None
    (first, p), (second, q) = guess.top[:2]
    near = Counter(neighbour.label for neighbour in neighbours)
    said = f"it looks like two classes: {first!r} with {100 * p:.0f} % and {second!r} with {100 * q:.0f} %"
    said += f"; of the {len(neighbours)} stored photos most like it {near[first]} are {first!r} and {near[second]} {second!r}"
    advice = (
        f"Look whether a photo below has the wrong label; else add photos of {first!r} and {second!r} where they look alike, this one too."
    )
    return Finding("two", said, advice, {first: p, second: q, "margin": p - q})


def _clear(guess: Prediction, neighbours: tuple[Neighbour, ...]) -> Finding:
    label, p = guess.top[0]
    same = sum(neighbour.label == label for neighbour in neighbours)
    said = f"it is clear: {label!r} with {100 * p:.0f} %, {100 * _margin(guess):.0f} points before the next class"
    said += f"; of the {len(neighbours)} stored photos most like it {same} are {label!r}"
    return Finding("clear", said, "", {"score": p, "margin": _margin(guess), "same": same, "n": len(neighbours)})


_NAMES = ("brightness", "contrast", "sharpness", "warmth")
_WORDS = (("darker", "brighter"), ("flatter (less contrast)", "richer in contrast"), ("more blurred", "sharper"), ("bluer", "redder"))
_DIGITS = (0, 0, 2, 3)
_ADVICE = (
    ("Give it light or a longer exposure.", "Shade it or shorten the exposure."),
    ("Look for fog, glare or a dirty lens.", "Look for hard shadows or a lamp in the picture."),
    ("Clean the lens, hold still, focus.", "Look whether the photos taught were blurred."),
    ("Look for daylight, a cold lamp or another white balance.", "Look for evening light, a warm lamp or another white balance."),
)


def _differs(capture: Capture | None, taught: Taught) -> Finding | None:
    stored = taught.captures
    if capture is None or len(stored) < _LEAST_CAPTURES:
        return None
    values, this = _statistics(*(stored[name] for name in _NAMES)), _statistics(*(getattr(capture, name) for name in _NAMES))
    n = len(values)
    normal = NormalDist().inv_cdf(1 - UNUSUAL / 2 / len(this))
    half = student(normal, n - 1) * math.sqrt(1 + 1 / n) * np.maximum(_WIDER * values.std(0, ddof=1), 1e-3)
    away = (this - values.mean(0)) / half
    limits = [_measures(values.mean(0) + side * half) for side in (-1, 1)]
    said, advice, numbers = [], [], {}
    for i in np.flatnonzero(np.abs(away) > 1):
        up = bool(away[i] > 0)
        name, low, high = _NAMES[i], limits[0][i], limits[1][i]
        value = getattr(capture, name)
        digits = _DIGITS[i]
        said.append(f"it is {_WORDS[i][up]}: {name} {value:.{digits}f}, {low:.{digits}f} to {high:.{digits}f} is usual (n={n})")
        advice.append(_ADVICE[i][up])
        numbers.update({name: value, f"{name}_low": low, f"{name}_high": high})
    if (odd := _odd_size(capture, stored)) is not None:
        said.append(odd)
        advice.append("Is it another camera, or another setting of it?")
        numbers.update({"width": capture.width, "height": capture.height})
    if not said:
        return None
    advice.append("If photos will look like this from now on, add some of every class.")
    return Finding("differs", "the input differs from what was taught: " + "; ".join(said), " ".join(advice), {**numbers, "n": n})


def _statistics(brightness: Array | float, contrast: Array | float, sharpness: Array | float, warmth: Array | float) -> Array:
    """Log brightness, log contrast, sharpness and warmth, float64 [..., 4]; the offsets keep black and flat photos finite."""
    return np.stack([np.log(np.asarray(brightness) + 4), np.log(np.asarray(contrast) + 2), sharpness, warmth], -1)


def _measures(statistics: Array) -> tuple[float, float, float, float]:
    """The inverse of :func:`_statistics`."""
    brightness, contrast, sharpness, warmth = statistics.tolist()
    return max(0.0, math.exp(brightness) - 4), max(0.0, math.exp(contrast) - 2), max(0.0, sharpness), warmth


def _odd_size(capture: Capture, stored: Array) -> str | None:
    """A size, upright or not, that no stored photo has, where the chance of a new one is small.

    That chance is estimated by the share of photos whose size is the only one of its kind (Good 1953, the missing mass).
    """
    long, short = np.maximum(stored["width"], stored["height"]), np.minimum(stored["width"], stored["height"])
    sizes, counts = np.unique(long.astype(np.uint64) << np.uint64(32) | short, return_counts=True)
    own = max(capture.width, capture.height) << 32 | min(capture.width, capture.height)
    if own in sizes.tolist() or (counts == 1).sum() > _NEW_SIZE * len(stored):
        return None
    count, most = int(counts.max()), int(sizes[counts.argmax()])
    shape = f"{most >> 32} x {most & 0xFFFFFFFF}"
    return f"its size is {capture.width} x {capture.height}, which no photo taught has ({count} of {len(stored)} have {shape})"
