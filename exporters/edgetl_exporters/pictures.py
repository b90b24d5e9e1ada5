"""Pictures made by arithmetic: the self-test images, and scenes for parity without photos."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from edgetl.types import Pixels

_FLAME_SIZE, _ZONE_SIZE = (640, 448), (416, 600)


def charts() -> list[bytes]:
    """The self-test images: JPEGs, one wide and one tall, larger than the input of every backbone.

    The wide one is a flame (black, red, yellow, white), whose embedding changes much with colours and value ranges. The tall one is a gray
    zone plate, rings that get finer outwards up to two pixels, which changes with the resampling filter. Both have unequal sides, so that a
    squash differs from a crop. What they detect: docs/evidence/self-test-images.md.
    """
    return [_jpeg(_flame(*_FLAME_SIZE)), _jpeg(_zone_plate(*_ZONE_SIZE))]


def scenes(count: int, width: int, height: int, seed: int) -> Pixels:
    """Coloured gradients under random shapes, uint8 [count, height, width, 3]."""
    rng = np.random.default_rng(seed)
    return np.stack([np.asarray(_scene(rng, width, height)) for _ in range(count)])


def _flame(width: int, height: int) -> Image.Image:
    """Waves of eight wavelengths and directions, hotter towards the bottom, in the colours of a glowing body."""
    x, y = np.meshgrid(np.arange(width) / height, np.arange(height) / height)
    waves = sum(np.sin(6 * 2 ** (i / 2) * (np.cos(i) * x + np.sin(i) * y) + i * i) / 2 ** (i / 2) for i in range(1, 9))
    heat = 0.25 + 0.5 * y + 0.3 * waves
    return Image.fromarray((255 * np.clip(3 * heat[..., None] - np.arange(3), 0, 1)).round().astype(np.uint8))


def _zone_plate(width: int, height: int) -> Image.Image:
    """Rings whose width falls with the radius, to one pixel at the ends of the longer side."""
    x, y = np.meshgrid(np.arange(width) - width / 2, np.arange(height) - height / 2)
    return Image.fromarray((127.5 + 127.5 * np.cos(np.pi * (x * x + y * y) / max(width, height))).round().astype(np.uint8))


def _scene(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    picture = _gradient((width, height), rng.uniform(0, 255, (4, 3)))
    draw = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(4, 12))):
        x, y = rng.uniform(-0.2, 1, 2) * (width, height)
        w, h = rng.uniform(0.05, 0.6, 2) * (width, height)
        shape = (draw.ellipse, draw.rectangle)[int(rng.integers(2))]
        shape((x, y, x + w, y + h), fill=tuple(int(v) for v in rng.integers(0, 256, 3)))
    return picture


def _gradient(size: tuple[int, int], corners: npt.NDArray[np.float64]) -> Image.Image:
    """Bilinear between four corner colours [4, 3]: top left, top right, bottom left, bottom right."""
    x, y = np.meshgrid(np.linspace(0, 1, size[0]), np.linspace(0, 1, size[1]))
    parts = np.stack([(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y], axis=-1)
    return Image.fromarray((parts @ corners).round().astype(np.uint8))


def _jpeg(picture: Image.Image) -> bytes:
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=92)
    return content.getvalue()
