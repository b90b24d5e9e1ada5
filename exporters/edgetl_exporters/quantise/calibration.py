"""Calibration photos: chosen by a seed, checked, counted and hashed. Those held back for parity do not calibrate."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Union

import numpy as np

from edgetl.errors import CalibrationError, PhotoError
from edgetl.inputs.photo import folders, preprocess, source
from edgetl.inputs.photo.folders import Progress
from edgetl.types import ImageSpec, Pixels

COUNT = 200
"""Photos that calibrate, if there are enough."""

MINIMUM = 80
CHOOSING = 40
HELD_BACK = 50
MINIMUM_APART = 20
"""Least number of photos that choose among recipes, and of those that prove one."""

NEEDED = MINIMUM + 2 * MINIMUM_APART
_ALL = COUNT + CHOOSING + HELD_BACK

BACKGROUND = 200
"""Most photos whose embeddings a bundle carries as its background: docs/evidence/rejection.md."""
FEWEST = 60
"""Least number of background photos: with fewer, the rejection of unknown objects cannot be measured."""

FLAT = 1.0
"""Standard deviation, gray levels, below which a photo is of one colour; the flattest solar cell has 2.4."""

NOISE = 0.3
"""Correlation of neighbouring pixels below which a photo is noise: docs/evidence/int8-diagnosis.md."""

_CHUNK = 32


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Decoded calibration photos.

    Attributes:
        tensors: uint8 [n, h, w, 3]: they set the integer ranges.
        choosing: uint8 [c, h, w, 3]: they choose among recipes, and show whether the n photos are enough.
        held_back: uint8 [m, h, w, 3]: parity is proved on them; nothing is chosen on them.
        digests: sha256 (hex) of the contents of the n calibrating and the c choosing photos, sorted.
        seed: of the choice.
        skipped: (file, reason) per chosen photo that could not be used.
    """

    tensors: Pixels
    choosing: Pixels
    held_back: Pixels
    digests: tuple[str, ...]
    seed: int
    skipped: tuple[tuple[str, str], ...]

    def manifest(self) -> dict[str, Any]:
        """What the bundle states: hash, counts and seed, but no file names, which may tell who is in a photo."""
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
    progress: Progress | None = None,
) -> Calibration:
    """Chooses photos below a folder and decodes them once.

    A photo that cannot be read, has the bytes of another one, is of one colour or is noise is skipped and replaced.

    Args:
        folder: with photos, in any subfolders.
        spec: the model's image spec.
        seed: of the choice.
        count: how many calibrate if the folder has enough; never fewer than 80.
        progress: called with (done, of how many).

    Raises:
        CalibrationError: the folder is missing, or `too-few-photos`: it holds fewer than 120 usable photos.
    """
    paths = _paths(folder, f"int8 is calibrated with {NEEDED} or more photos like those the camera will see")
    random.Random(seed).shuffle(paths)
    used, skipped = _decode(paths, spec, count + CHOOSING + HELD_BACK, progress)
    held_back, choosing = (min(most, max(MINIMUM_APART, most * len(used) // _ALL)) for most in (HELD_BACK, CHOOSING))
    if len(used) < NEEDED:
        reasons = "".join(f"\n  {name}: {reason}" for name, reason in skipped[:5])
        raise CalibrationError(
            f"{folder}: {len(used)} usable of {len(paths)} photos, at least {NEEDED} are needed ({MINIMUM} calibrate, {MINIMUM_APART} "
            f"choose the recipe, {MINIMUM_APART} are held back to prove it); {len(skipped)} skipped{reasons}",
            code="too-few-photos", path=os.fspath(folder), usable=len(used), count=len(paths), minimum=NEEDED, skipped=skipped,
        )  # fmt: skip
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


def missing() -> CalibrationError:
    """The error of int8 without photos."""
    return CalibrationError(
        f"int8 is calibrated with photos; give a folder of {NEEDED} or more with --calibrate FOLDER (or --precision fp32)",
        code="photos-missing", minimum=NEEDED,
    )  # fmt: skip


def others(folder: str | os.PathLike[str], spec: ImageSpec, *, seed: int = 0) -> Pixels:
    """Decodes the photos of a background, at most :data:`BACKGROUND`, uint8 [n, h, w, 3], chosen and checked as :func:`collect` does.

    Raises:
        CalibrationError: the folder is missing, or `too-few-photos`.
    """
    paths = _paths(folder, f"A background takes {FEWEST} or more photos of anything but the classes to train")
    random.Random(seed).shuffle(paths)
    used, skipped = _decode(paths, spec, BACKGROUND, None)
    if len(used) < FEWEST:
        raise CalibrationError(
            f"{folder}: {len(used)} usable of {len(paths)} photos, a background takes {FEWEST} or more ({len(skipped)} skipped); give "
            "more, or leave it out with --no-background",
            code="too-few-photos", path=os.fspath(folder), usable=len(used), count=len(paths), minimum=FEWEST, skipped=skipped,
        )  # fmt: skip
    return np.stack([tensor for _, tensor in used])


def _paths(folder: str | os.PathLike[str], advice: str) -> list[Path]:
    try:
        return list(folders.photos_in(folder)[0])
    except PhotoError as error:
        raise CalibrationError(f"{error} {advice}", code="folder-unusable", path=os.fspath(folder)) from error


def _decode(
    paths: list[Path], spec: ImageSpec, wanted: int, progress: Progress | None
) -> tuple[list[tuple[str, Pixels]], list[tuple[str, str]]]:
    used: dict[str, Pixels] = {}
    skipped: list[tuple[str, str]] = []
    rest = iter(paths)
    with ThreadPoolExecutor(4) as pool:
        while chunk := list(itertools.islice(rest, min(_CHUNK, wanted - len(used)))):
            for path, (digest, result) in zip(chunk, pool.map(lambda path: _tensor(path, spec), chunk)):
                if isinstance(result, str):
                    skipped.append((str(path), result))
                elif digest in used:
                    skipped.append((str(path), "the same bytes as another photo"))
                else:
                    used[digest] = result
            if progress:
                progress(len(used), wanted)
    return list(used.items()), skipped


def _tensor(path: Path, spec: ImageSpec) -> tuple[str, Union[Pixels, str]]:
    """A photo's digest with its tensor, or with the reason why it cannot calibrate."""
    try:
        photo = source.load(path)
        tensor = preprocess.tensor(photo, spec)
        check(tensor)
    except PhotoError as error:
        return "", str(error)
    return photo.digest.hex(), tensor


def check(tensor: Pixels) -> None:
    """Checks that an image [h, w, 3] can calibrate: ranges measured on flat colour or noise fit no photo.

    Raises:
        PhotoError: `one-colour` or `noise`, with the value and its limit.
    """
    gray = tensor.mean(2)
    if (deviation := float(gray.std())) < FLAT:
        raise PhotoError(
            f"of one colour (standard deviation {deviation:.1f} gray levels, photos have {FLAT} or more)",
            code="one-colour", deviation=deviation, minimum=FLAT,
        )  # fmt: skip
    centred = gray - gray.mean()
    power = (centred**2).mean()
    correlation = float(min((centred[1:] * centred[:-1]).mean(), (centred[:, 1:] * centred[:, :-1]).mean()) / power)
    if correlation < NOISE:
        raise PhotoError(
            f"noise (neighbouring pixels correlate {correlation:.2f}, photos {NOISE} or more)",
            code="noise", correlation=correlation, minimum=NOISE,
        )  # fmt: skip
