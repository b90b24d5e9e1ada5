"""The photos of a bench: the person's or charts for the queries, and charts for training, because those have classes."""

from __future__ import annotations

import dataclasses
import math
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from edgetl.bench.method import Method
from edgetl.inputs.photo.folders import photos_in
from edgetl.inputs.photo.source import load
from edgetl.machine import cores

WIDTH, HEIGHT = 640, 480
CLASSES, TRAINING, NEW = 5, 20, 20
"""Classes that are trained before, photos of each, and of the new class."""
_FEWEST = 16
_GOLDEN_TURN = 0.618033988749895


def draw(kind: int, number: int) -> Image.Image:
    """A striped chart of class `kind`: its class's colour and stripes, with its own phase, light and noise."""
    random = np.random.Generator(np.random.PCG64([kind, number]))
    hue, angle = (kind * _GOLDEN_TURN) % 1.0, math.pi * ((kind * _GOLDEN_TURN * 2) % 1.0)
    y, x = np.ogrid[0:HEIGHT, 0:WIDTH]
    waves = 2 * math.pi * (4 + kind % 5 * 3) / WIDTH
    ramp = (x * (math.cos(angle) * waves) + y * (math.sin(angle) * waves) + random.uniform(0, 2 * math.pi)).astype(np.float32)
    light = (0.75 + 0.25 * np.sin(ramp)) * np.float32(random.uniform(0.8, 1.2))
    colour = (127.5 + 90.0 * np.cos(2 * math.pi * (hue + np.array([0.0, 1 / 3, 2 / 3])))).astype(np.float32)
    noise = 8 * random.standard_normal((HEIGHT, WIDTH), dtype=np.float32)
    pixels = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    for channel, strength in enumerate(colour):  # one after the other takes half as long as all at once
        pixels[:, :, channel] = np.clip(light * strength + noise, 0, 255)
    return Image.fromarray(pixels)


def write(folder: Path, kind: int, count: int) -> list[Path]:
    """Writes the first `count` charts of a class as JPEGs of 640x480 pixels and returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{kind}-{number}.jpg" for number in range(count)]
    with ThreadPoolExecutor(cores()) as threads:
        list(threads.map(lambda number: draw(kind, number).save(paths[number], quality=90), range(count)))
    return paths


@dataclasses.dataclass(frozen=True)
class BenchPhotos:
    """Files.

    Attributes:
        folder: the person's, or None.
        files: to rotate over.
        classes: charts, one list per class; the last is the new class, whose last photo is the query.
    """

    folder: str | None
    files: tuple[str, ...]
    classes: tuple[tuple[str, ...], ...]

    @classmethod
    def make(cls, folder: str | os.PathLike[str] | None, method: Method, scratch: Path) -> BenchPhotos:
        """Finds or draws them; charts are written to `scratch`.

        Raises:
            PhotoError: the folder is missing or holds no photo, or one that cannot be decoded.
        """
        photos = [] if folder is None else photos_in(folder)[0]
        charts = [write(scratch, kind, TRAINING if kind < CLASSES else NEW + 1) for kind in range(CLASSES + 1)]
        photos = photos or [path for kind in charts for path in kind]
        count = min(len(photos), method.photos)
        files = [photos[number * len(photos) // count] for number in range(count)]
        for path in files:
            load(path).image()
        return cls(None if folder is None else os.fspath(folder), tuple(map(str, files)), tuple(tuple(map(str, kind)) for kind in charts))

    def warnings(self) -> tuple[str, ...]:
        """What a reader must know of them."""
        if len(self.files) >= _FEWEST:
            return ()
        few = f"the queries rotate over only {len(self.files)} photos, which caches may hold, unlike a camera's"
        return (f"{few}. Pass {_FEWEST} or more",)

    def described(self) -> dict[str, Any]:
        """For the record."""
        size = f"{WIDTH}x{HEIGHT}"
        return {
            "queries": f"{len(self.files)} " + (f"of {Path(self.folder).name}" if self.folder else f"synthetic, {size} pixels"),
            "training": f"{CLASSES} classes of {TRAINING}, then {NEW} of a new one; synthetic, {size} pixels",
        }
