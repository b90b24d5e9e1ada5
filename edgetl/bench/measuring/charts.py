"""Photos that the bench makes itself, so that it runs without data: classes of striped charts that any backbone can tell apart."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from edgetl.machine import cores

WIDTH, HEIGHT = 640, 480
_GOLDEN_TURN = 0.618033988749895


def draw(kind: int, number: int) -> Image.Image:
    """The chart of class `kind` with this number: its class's colour and stripes, with its own phase, light and noise."""
    random = np.random.Generator(np.random.PCG64([kind, number]))
    hue, angle = (kind * _GOLDEN_TURN) % 1.0, math.pi * ((kind * _GOLDEN_TURN * 2) % 1.0)
    y, x = np.ogrid[0:HEIGHT, 0:WIDTH]
    waves = 2 * math.pi * (4 + kind % 5 * 3) / WIDTH
    ramp = (x * (math.cos(angle) * waves) + y * (math.sin(angle) * waves) + random.uniform(0, 2 * math.pi)).astype(np.float32)
    light = (0.75 + 0.25 * np.sin(ramp)) * np.float32(random.uniform(0.8, 1.2))
    colour = (127.5 + 90.0 * np.cos(2 * math.pi * (hue + np.array([0.0, 1 / 3, 2 / 3])))).astype(np.float32)
    noise = 8 * random.standard_normal((HEIGHT, WIDTH), dtype=np.float32)
    pixels = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    for channel, strength in enumerate(colour):  # one after the other, which takes half as long as all at once
        pixels[:, :, channel] = np.clip(light * strength + noise, 0, 255)
    return Image.fromarray(pixels)


def write(folder: Path, kind: int, count: int) -> list[Path]:
    """Writes the first `count` charts of a class as JPEGs of 640x480 pixels and returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{kind}-{number}.jpg" for number in range(count)]
    with ThreadPoolExecutor(cores()) as threads:
        list(threads.map(lambda number: draw(kind, number).save(paths[number], quality=90), range(count)))
    return paths
