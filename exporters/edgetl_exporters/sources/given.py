"""What a person says of an own file: where it becomes an embedding, and which pixels it takes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from edgetl.errors import ExportError
from edgetl.types import ColorOrder, ImageSpec

CROP = 0.875
"""The part of the short side that the crop shows where nobody says another: what most classifiers of 224 pixels were tested with."""

LARGEST = 2048
"""How long a side of the input may be, pixels, and half of how long the side before the crop: 200 photos of it take 2.5 GB."""

Channels = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class Given:
    """What is not given is None, and is read from the file's metadata as far as they tell.

    Attributes:
        cut: `none`, the output is the embedding; `auto`, before the last layer; or the name of what is the embedding: a tensor, in a
            `.keras` file a layer.
        size: width and height of the input, pixels, where the file leaves them free.
        resize: the short side that photos are scaled to before the crop, pixels; without it the crop shows 0.875 of it.
        filter: how they are scaled.
        mean: what normalisation subtracts from red, green and blue, in pixel values [0, 255]; one number counts for all.
        std: what it divides by then.
        order: of the channels that the network takes; `rgb` where nobody says another.
    """

    cut: str = "none"
    size: tuple[int, int] | None = None
    resize: int | None = None
    filter: Literal["bilinear", "bicubic"] | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    order: ColorOrder | None = None

    def options(self) -> list[str]:
        """The command line's options for what was given."""
        plain = Given()
        return [f"--{field.name}" for field in dataclasses.fields(self) if getattr(self, field.name) != getattr(plain, field.name)]

    def spec(
        self, name: str, own: tuple[int, int], stated: ImageSpec | None = None, usual: Literal["bilinear", "bicubic"] = "bilinear"
    ) -> ImageSpec:
        """The image spec.

        Args:
            name: the file's, for errors.
            own: width and height of its input, pixels; 0 where it leaves one free.
            stated: what its metadata say.
            usual: the filter where nobody says another.

        Raises:
            ExportError: a size that nobody says, that is not the file's own, or that no photo can follow.
        """
        size = self.size or ((stated.width, stated.height) if stated is not None and not all(own) else own)
        if not all(size):
            raise ExportError(f"{name}: its input's width and height are free; choose them with --size WIDTHxHEIGHT, e.g. --size 224x224")
        if any(there and there != wanted for there, wanted in zip(own, size)):
            raise ExportError(f"{name}: its input is {own[0]}x{own[1]}, not {size[0]}x{size[1]}; leave --size away")
        told = stated if stated is not None and (stated.width, stated.height) == size else None
        short = self.resize or (told.resize if told else math.ceil(max(size) / CROP))
        if max(size) > LARGEST or short > 2 * LARGEST:
            raise ExportError(
                f"{name}: its input of {size[0]}x{size[1]}, cut out of a short side of {short}, is too large; expected at most "
                f"{LARGEST}x{LARGEST}, cut out of {2 * LARGEST}"
            )
        try:
            return ImageSpec(*size, short, self.filter or (told.filter if told else usual))
        except ValueError as error:
            raise ExportError(f"{name}: {error}; see --size, --resize and --filter") from error


def channels(name: str, option: str, values: Sequence[float]) -> Channels:
    """Three numbers, of red, green and blue, from one or three.

    Raises:
        ExportError: another number of them, not finite, or a std that is not above 0.
    """
    numbers = [float(value) for value in values]
    if len(numbers) not in (1, 3) or not np.isfinite(numbers).all() or (option == "--std" and min(numbers) <= 0):
        raise ExportError(f"{name}: {option} {numbers}: expected one number or three, finite, and std above 0")
    return numbers[0], numbers[len(numbers) // 2], numbers[-1]
