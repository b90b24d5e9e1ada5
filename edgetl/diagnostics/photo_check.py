"""What is wrong with one photo that is about to be added."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain

import numpy as np

from edgetl.diagnostics.finding import Finding, Kind
from edgetl.diagnostics.photo_history import MEASURES, RECENT, WARMTH, Kept, Look, Past
from edgetl.heads.bursts import CROWD, ROOTED
from edgetl.types import Array, Capture, Embeddings

Said = Iterator[tuple[Kind, str]]

_DARK, _BRIGHT = 50, 210
"""Gray levels that two standard deviations above, or below, the mean reach. Below 50 lie 0.2 % of 1,500 solar cells (they are black) and
none of 1,500 flowers, 1,500 sign digits, 592 magnetic tiles and 1,000 ImageNet photos; of the same darkened to 15 % all do, and a covered
lens. Above 210 lies none of them, and of the same three times as light 60 % of sign digits and solar cells."""
_FLAT = 4
"""Gray levels of contrast; below lie 0.1 % of the solar cells and none of the others."""
_BLURRED = 0.15
"""Sharpness; below lies none of those photos. Where the photos before were sharper than that, see _MARGIN."""
_TINY = 64
"""Pixels of the shorter side: less than a third of what a model reads."""
_ENOUGH = 20
_MARGIN = 0.2
"""How far outside the range of everything seen, in widths of that range, a measure must be. Of 300 photos of each data set (263 solar
cells) in ten random orders it speaks (`unlike` and `blurred`) of 1.4 % of the flowers, 1.6 % of the sign digits, 0.9 % of the magnetic
tiles, 1.1 % of the solar cells and 2.1 % of the ImageNet photos; class by class of 1.7, 2.0, 0.7 and 0.8 % of the first four (without a
margin of 6 to 11 %). After 60 photos it speaks of all photos darkened to 15 % and of a covered lens; blurred by a Gaussian of 3 pixels, of
44 % of the flowers, which are 32 pixels wide blown up, and 100 % of the others. Of casts it speaks, by warmth: of red x1.5 with blue x0.45
in 97 to 100 % of a set's photos, without warmth in 1 to 9; of the reverse in 100 (1 to 14), of red x1.25 with blue x0.5 in 94 to 100 (1 to
7) and of its reverse in 96 to 100 (1 to 14; n = 360 each; JPEG's chroma may hide them, see :func:`edgetl.inputs.photo.capture.warmth`).
And of every
photo of another data set (warmth sees the colour photos after gray ones), but of 6 % of the tiles after the cells, and of 22 and 67 % of
the tiles and cells after ImageNet, which holds everything."""
_LEAST_WIDTH = 0.25
"""A range is at least this wide, as a share of its upper end (warmth is a logarithm already): a camera on a stand gives narrow ones."""
_ODDS = 20
"""How many times as likely another class must be. With a head of 10 to 60 photos per class that is so of 0.9 to 1.5 % of the flowers under
their own class, 0.8 to 1.6 % of the sign digits and 0 to 0.6 % of the magnetic tiles; under a wrong one of 20 to 45, 84 to 95 and 6 to
28 %."""
_SAYS = {
    "brightness": "its brightness",
    "contrast": "its contrast",
    "sharpness": "its sharpness",
    "warmth": "its warmth (log of red over blue)",
    "length": "the length of its embedding",
    "density": "the density of its embedding",
    "nearest": "its likeness to the most similar photo",
}
_DETAIL, _NEAREST = MEASURES.index("sharpness"), MEASURES.index("nearest")


def check(
    source: str,
    label: str,
    capture: Capture | None,
    embedding: Embeddings,
    past: Past,
    probabilities: Mapping[str, float] | None = None,
) -> tuple[Finding, ...]:
    """Says what is wrong with a photo that is about to be added: of most photos, nothing.

    Args:
        source: where it came from.
        label: the class it is said to be of.
        capture: what was measured of it; None where nothing was.
        embedding: of the photo itself, float32 [d].
        past: the photos before it.
        probabilities: of every class that the active head knows, which was not taught this photo.
    """
    return judge(source, label, capture, past.look(label, capture, embedding), past, probabilities)


def admit(
    source: str,
    label: str,
    capture: Capture | None,
    embedding: Embeddings,
    past: Past,
    probabilities: Mapping[str, float] | None = None,
    photo: bytes = b"",
) -> tuple[Finding, ...]:
    """What :func:`check` says of a photo, which is then one of the past; both for one comparison. `photo` is its sha256."""
    look = past.look(label, capture, embedding)
    found = judge(source, label, capture, look, past, probabilities)
    past.keep(Kept(source, label, photo), capture, look)
    return found


def judge(
    source: str, label: str, capture: Capture | None, look: Look, past: Past, probabilities: Mapping[str, float] | None = None
) -> tuple[Finding, ...]:
    """What :func:`check` says of a photo that was looked at just now."""
    outside = _outside(look.measures, past)
    said = chain(
        _of_capture(capture, outside, past) if capture is not None else (),
        _of_embedding(look, outside, past),
        _of_label(label, look, capture, past),
        _of_head(label, probabilities or {}),
    )
    return tuple(Finding(kind, text, source, label) for kind, text in said)


def _of_capture(capture: Capture, outside: Array, past: Past) -> Said:
    mean, contrast, sharpness = capture.brightness, capture.contrast, capture.sharpness
    levels = f"brightness {mean:.0f} and contrast {contrast:.0f} of 255 gray levels"
    if mean + 2 * contrast < _DARK:
        yield "dark", f"too dark ({levels}): add light, expose longer, or take the cover off the lens"
    elif mean - 2 * contrast > _BRIGHT:
        yield "overexposed", f"overexposed ({levels}): less light, or a shorter exposure"
    elif contrast < _FLAT:
        yield "flat", f"shows nothing ({levels}): is the lens covered, or fogged?"
    elif sharpness < _BLURRED:
        yield "blurred", f"blurred (sharpness {sharpness:.2f}, at least {_BLURRED} expected): hold still, focus, wipe the lens"
    elif past.seen[_DETAIL] >= _ENOUGH and outside[_DETAIL] < 0:
        before = f"the {past.seen[_DETAIL]} different photos before had {past.low[_DETAIL]:.2f} to {past.high[_DETAIL]:.2f}"
        yield "blurred", f"blurred (sharpness {sharpness:.2f}, {before}): hold still, focus, wipe the lens"
    if min(capture.width, capture.height) < _TINY:
        yield "tiny", f"tiny ({capture.width}x{capture.height} pixels, at least {_TINY} expected): go nearer, or crop less"


def _of_embedding(look: Look, outside: Array, past: Past) -> Said:
    recent = look.cosines[:RECENT]
    nearest = int(recent.argmax())
    kept = past.kept[nearest]
    if kept is not None and recent[nearest] > ROOTED:
        ago = past.ago(nearest)
        when = "the photo before" if ago == 1 else f"{ago} photos before"
        same = f"nearly the same as {kept.source}, {when} (likeness {recent[nearest]:.3f} of 1)"
        yield "repeated", f"{same}: it counts as another frame of it; move the camera or the object"
        return
    outside = outside.copy()
    outside[_DETAIL] = max(outside[_DETAIL], 0)  # a blurred photo is named so
    worst = int(np.abs(outside).argmax())
    if outside[worst] and past.seen[worst] >= _ENOUGH:
        value, low, high = look.measures[worst], past.low[worst], past.high[worst]
        before = f"the {past.seen[worst]} different photos before {'mostly ' * (worst == WARMTH)}{low:.3g} to {high:.3g}"
        range_ = f"{_SAYS[MEASURES[worst]]} is {value:.3g}, of {before}"
        yield "unlike", f"unlike everything seen so far ({range_}): was the camera or the lamp changed, the lens covered, or is it night?"


def _outside(measures: Array, past: Past) -> Array:
    """How far each measure is beyond the range of the past and its margin, in widths of it: below 0, above it, or 0 inside."""
    known = (past.seen >= _ENOUGH) & ~np.isnan(measures)
    low, high = np.where(known, past.low, 0.0), np.where(known, past.high, 0.0)
    least = _LEAST_WIDTH * np.abs(high) + 1e-9
    least[WARMTH] = _LEAST_WIDTH if high[WARMTH] > low[WARMTH] else 1e-3  # a gray camera gives exactly 0: any colour is another's
    value, width = np.where(known, measures, 0.0), np.maximum(high - low, least)
    below, above = np.minimum(value - low, 0) / width, np.maximum(value - high, 0) / width
    above[_NEAREST] = 0
    beyond: Array = np.minimum(below + _MARGIN, 0) + np.maximum(above - _MARGIN, 0)
    return beyond


def _of_label(label: str, look: Look, capture: Capture | None, past: Past) -> Said:
    """The most similar photo of another class, where it is a frame of the same burst."""
    second = np.nan if capture is None or capture.taken is None else np.floor(capture.taken)
    same = past.seconds == second
    if same[:RECENT].sum() > CROWD or not (past.seconds[~same] >= 0).any():  # a clock that stands still, or has not moved yet
        same[:] = False
    near = np.flatnonzero((look.cosines > ROOTED) | same).tolist()
    others = [(float(look.cosines[place]), kept) for place in near if (kept := past.kept[place]) is not None and kept.label != label]
    if others:
        cosine, kept = max(others, key=lambda other: other[0])
        why = f"likeness {cosine:.3f} of 1" if cosine > ROOTED else "taken in the same second"
        yield "two-labels", f"{kept.source} is of the same burst ({why}) and was added as {kept.label!r}: one of the two labels is wrong"


def _of_head(label: str, probabilities: Mapping[str, float]) -> Said:
    if label not in probabilities:
        return
    best = max(probabilities, key=lambda name: probabilities[name])
    own, other = probabilities[label], probabilities[best]
    if best != label and other > 0.5 and other > _ODDS * own:
        yield (
            "mislabelled",
            f"likely mislabelled: it looks like {best!r} ({100 * other:.0f} %), not {label!r} ({100 * own:.1f} %); look at it again",
        )
