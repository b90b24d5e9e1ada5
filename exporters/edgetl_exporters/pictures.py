"""Pictures made by arithmetic: the golden test charts, and scenes for parity where no photos were given."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from edgetl.types import Pixels

_CHART_SIZES = ((352, 256), (240, 368))
_COLOURS = ((230, 25, 30), (20, 200, 60), (25, 60, 225), (250, 210, 20), (240, 240, 240), (15, 15, 20))


def charts() -> list[bytes]:
    """The golden photos: JPEGs of a test chart, one wide and one tall.

    Strong and different red, green and blue, gradients over the whole range, and unequal sides, so that swapped colours, another
    value range, another resize or a squash instead of a crop each move the embedding.
    """
    return [_jpeg(_chart(*size)) for size in _CHART_SIZES]


def scenes(count: int, width: int, height: int, seed: int) -> Pixels:
    """Coloured gradients under random shapes, uint8 [count, height, width, 3]."""
    rng = np.random.default_rng(seed)
    return np.stack([np.asarray(_scene(rng, width, height)) for _ in range(count)])


def _chart(width: int, height: int) -> Image.Image:
    picture = _gradient((width, height), np.array([[255.0, 60, 0], [0, 255, 120], [60, 0, 255], [255, 230, 60]]))
    draw = ImageDraw.Draw(picture)
    unit = min(width, height) // 8
    for i, colour in enumerate(_COLOURS):
        left, top = unit + (i % 3) * 2 * unit, unit + (i // 3) * 3 * unit
        draw.rectangle((left, top, left + 1.5 * unit, top + 1.5 * unit), fill=colour)
        draw.ellipse((left + unit // 2, top + unit, left + 2 * unit, top + 2.5 * unit), outline=_COLOURS[(i + 2) % 6], width=unit // 6)
    for x in range(0, width, max(4, unit // 4)):
        draw.line((x, height - unit, x + unit, height), fill=_COLOURS[x // 4 % 6], width=2)
    return picture


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
    made = io.BytesIO()
    picture.save(made, "JPEG", quality=92)
    return made.getvalue()
