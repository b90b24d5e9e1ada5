"""Calibration photos: chosen by a seed, judged, counted and hashed; those held back for parity calibrate nothing."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import os
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Union

import numpy as np

from edgetl.errors import CalibrationError, PhotoError
from edgetl.inputs.photo import folders, preprocess, source
from edgetl.types import ImageSpec, Pixels

COUNT = 200
"""Photos that calibrate, where there are enough."""

MINIMUM = 80
CHOOSING = 40
HELD_BACK = 50
MINIMUM_APART = 20
"""The fewest photos that choose among recipes, and the fewest that prove one."""

NEEDED = MINIMUM + 2 * MINIMUM_APART
_ALL = COUNT + CHOOSING + HELD_BACK

BACKGROUND = 200
"""Photos whose embeddings a bundle carries as its background: docs/evidence/rejection.md."""
FEWEST = 60
"""Of fewer, too few are left to measure by."""

FLAT = 1.0
"""A photo whose values deviate less than this (standard deviation, gray levels) is of one colour; the flattest solar cell has 2.4."""

NOISE = 0.3
"""A photo whose neighbouring pixels correlate less than this is noise.

Measured: of 4,467 photos (ImageNet, flowers, hand signs, steel, solar cells) the lowest had 0.43; white noise of any size at most 0.16.
"""

_CHUNK = 32


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Decoded calibration photos.

    Attributes:
        tensors: uint8 [n, h, w, 3]: they set the integer ranges.
        choosing: uint8 [c, h, w, 3]: they choose among recipes, and show whether the n photos were enough.
        held_back: uint8 [m, h, w, 3]: parity is proved on them; nothing was chosen on them.
        digests: sha256 (hex) of the contents of the n calibrating and the c choosing photos, sorted.
        seed: what chose them.
        skipped: (file, reason) per photo that was not used although it was chosen.
    """

    tensors: Pixels
    choosing: Pixels
    held_back: Pixels
    digests: tuple[str, ...]
    seed: int
    skipped: tuple[tuple[str, str], ...]

    def manifest(self) -> dict[str, Any]:
        """What the bundle states: hash, counts and seed; no names, because a name may tell who is in a photo."""
        digest = hashlib.sha256("".join(self.digests).encode()).hexdigest()
        return {
            "sha256": digest,
            "photos": len(self.tensors),
            "choosing": len(self.choosing),
            "held_back": len(self.held_back),
            "skipped": len(self.skipped),
            "seed": self.seed,
        }


def collect(
    folder: str | os.PathLike[str],
    spec: ImageSpec,
    *,
    seed: int = 0,
    count: int = COUNT,
    progress: Callable[[int, int], None] | None = None,
) -> Calibration:
    """Chooses photos below a folder and decodes them once.

    A photo that cannot be read, has been chosen before (same bytes), is of one colour or is noise is skipped and replaced.

    Args:
        folder: with photos, in any subfolders.
        spec: the model's image spec.
        seed: of the choice.
        count: how many shall calibrate; fewer where the folder has fewer, but never below 80.
        progress: told (done, of how many).

    Raises:
        CalibrationError: the folder is missing, or holds fewer than 120 usable photos.
    """
    try:
        paths, _ = folders.photos_in(folder)
    except PhotoError as error:
        raise CalibrationError(f"{error}; int8 is calibrated with {NEEDED} or more photos like those the camera will see") from error
    random.Random(seed).shuffle(paths)
    used, skipped = _decode(paths, spec, count + CHOOSING + HELD_BACK, progress)
    held_back, choosing = (min(most, max(MINIMUM_APART, most * len(used) // _ALL)) for most in (HELD_BACK, CHOOSING))
    if len(used) < NEEDED:
        reasons = "".join(f"\n  {name}: {reason}" for name, reason in skipped[:5])
        raise CalibrationError(
            f"{folder}: {len(used)} usable of {len(paths)} photos; {NEEDED} or more are needed ({MINIMUM} calibrate, {MINIMUM_APART} "
            f"choose the recipe, {MINIMUM_APART} are held back to prove it); {len(skipped)} skipped{reasons}"
        )
    digests, tensors = zip(*used)
    apart = held_back + choosing
    return Calibration(
        tensors=np.stack(tensors[apart:]),
        choosing=np.stack(tensors[held_back:apart]),
        held_back=np.stack(tensors[:held_back]),
        digests=tuple(sorted(digests[held_back:])),
        seed=seed,
        skipped=tuple(skipped),
    )


def others(folder: str | os.PathLike[str], spec: ImageSpec, *, seed: int = 0) -> Pixels:
    """Decodes photos of a background, uint8 [n, h, w, 3]: chosen and judged as :func:`collect` does, at most BACKGROUND.

    Raises:
        CalibrationError: the folder is missing, or holds too few usable photos.
    """
    try:
        paths, _ = folders.photos_in(folder)
    except PhotoError as error:
        raise CalibrationError(f"{error}; a background takes {FEWEST} or more photos of anything but what will be trained") from error
    random.Random(seed).shuffle(paths)
    used, skipped = _decode(paths, spec, BACKGROUND, None)
    if len(used) < FEWEST:
        raise CalibrationError(
            f"{folder}: {len(used)} usable of {len(paths)} photos; a background takes {FEWEST} or more ({len(skipped)} skipped); give "
            "more, or leave it out with --no-background"
        )
    return np.stack([tensor for _, tensor in used])


def _decode(
    paths: list[Path], spec: ImageSpec, wanted: int, progress: Callable[[int, int], None] | None
) -> tuple[list[tuple[str, Pixels]], list[tuple[str, str]]]:
    used: dict[str, Pixels] = {}
    skipped: list[tuple[str, str]] = []
    rest = iter(paths)
    with ThreadPoolExecutor(4) as pool:
        while chunk := list(itertools.islice(rest, min(_CHUNK, wanted - len(used)))):
            for path, (digest, result) in zip(chunk, pool.map(lambda path: _one(path, spec), chunk)):
                if isinstance(result, str):
                    skipped.append((str(path), result))
                elif digest in used:
                    skipped.append((str(path), "the same bytes as another photo"))
                else:
                    used[digest] = result
            if progress:
                progress(len(used), wanted)
    return list(used.items()), skipped


def _one(path: Path, spec: ImageSpec) -> tuple[str, Union[Pixels, str]]:
    """A photo's digest with its tensor, or with the reason why it cannot calibrate."""
    try:
        photo = source.load(path)
        tensor = preprocess.tensor(photo, spec)
    except PhotoError as error:
        return "", str(error)
    reason = judge(tensor)
    return photo.digest.hex(), tensor if reason is None else reason


def judge(tensor: Pixels) -> str | None:
    """Why an image [h, w, 3] cannot calibrate, or None: ranges measured on flat colour or noise fit no photo."""
    gray = tensor.mean(2)
    if (deviation := float(gray.std())) < FLAT:
        return f"of one colour (standard deviation {deviation:.1f} gray levels, photos have {FLAT} or more)"
    centred = gray - gray.mean()
    power = (centred**2).mean()
    likeness = float(min((centred[1:] * centred[:-1]).mean(), (centred[:, 1:] * centred[:, :-1]).mean()) / power)
    if likeness < NOISE:
        return f"noise (neighbouring pixels correlate {likeness:.2f}, photos {NOISE} or more)"
    return None
