"""Photos made on the spot."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

COLOURS = {"red": (200, 40, 30), "green": (40, 190, 60), "blue": (30, 50, 210), "yellow": (220, 210, 40)}


def picture(width: int = 96, height: int = 80, *, colour: tuple[int, int, int] = (128, 128, 128), seed: int = 0) -> Image.Image:
    """A smooth random picture around a colour: photos have no pixel noise, and resampling filters differ on noise."""
    small = np.random.default_rng(seed).normal(0, 40, (6, 6, 3)) + np.array(colour)
    return Image.fromarray(np.clip(small, 0, 255).astype(np.uint8)).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, format: str = "JPEG", **options: object) -> bytes:
    """The bytes of an image file."""
    file = io.BytesIO()
    image.copy().save(file, format, **options)  # type: ignore[arg-type]  # Pillow types its options per format
    return file.getvalue()


def coloured(label: str, seed: int) -> bytes:
    """A JPEG that the fake runtime can tell from the other colours'."""
    return encoded(picture(colour=COLOURS[label], seed=seed))
