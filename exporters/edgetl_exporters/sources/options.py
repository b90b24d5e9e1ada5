"""The options for your own file: where it is cut to yield an embedding, and which pixels it takes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from edgetl.types import ColorOrder, ImageSpec
from edgetl_exporters.errors import file_error

CROP = 0.875
"""Default crop, as a share of the short side: what most classifiers of 224 pixels were tested with."""

LARGEST = 2048
"""Longest side of the input, pixels, and half of the longest side before the crop: 200 such photos take 2.5 GB."""

Channels = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class FileOptions:
    """Options for a file; None is read from the file's metadata, if it states it.

    Attributes:
        cut: `none`, the output is the embedding; `auto`, cut before the last layer; or the name of the embedding: a tensor, in a `.keras`
            file a layer.
        size: width and height of the input, pixels, if they are free in the file.
        resize: the short side that photos are scaled to before the crop, pixels; the default makes the crop 0.875 of it.
        filter: resampling filter.
        mean: subtracted from red, green and blue, in pixel values [0, 255]; one number counts for all.
        std: red, green and blue are then divided by it.
        order: of the channels that the network takes; the default is `rgb`.
    """

    cut: str = "none"
    size: tuple[int, int] | None = None
    resize: int | None = None
    filter: Literal["bilinear", "bicubic"] | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    order: ColorOrder | None = None

    def names(self) -> list[str]:
        """The command line's names of the options that are set."""
        plain = FileOptions()
        return [f"--{field.name}" for field in dataclasses.fields(self) if getattr(self, field.name) != getattr(plain, field.name)]

    def spec(
        self, name: str, own: tuple[int, int], stated: ImageSpec | None = None, usual: Literal["bilinear", "bicubic"] = "bilinear"
    ) -> ImageSpec:
        """The image spec.

        Args:
            name: of the file, for errors.
            own: width and height of its input, pixels; 0 if free.
            stated: by its metadata.
            usual: the default filter.

        Raises:
            ExportError: `size-missing`, `size-differs`, `size-too-large`, or `image-spec-unusable`.
        """
        size = self.size or ((stated.width, stated.height) if stated is not None and not all(own) else own)
        if not all(size):
            raise file_error(
                name,
                "its input's width and height are free; choose them with --size WIDTHxHEIGHT, e.g. --size 224x224", code="size-missing",
            )  # fmt: skip
        if any(fixed and fixed != wanted for fixed, wanted in zip(own, size)):
            raise file_error(
                name, f"its input is {own[0]}x{own[1]}, not {size[0]}x{size[1]}; omit --size", code="size-differs", size=size, expected=own
            )
        metadata = stated if stated is not None and (stated.width, stated.height) == size else None
        short = self.resize or (metadata.resize if metadata else math.ceil(max(size) / CROP))
        if max(size) > LARGEST or short > 2 * LARGEST:
            raise file_error(
                name,
                f"its input of {size[0]}x{size[1]}, cropped from a short side of {short}, is too large; expected at most "
                f"{LARGEST}x{LARGEST}, cropped from {2 * LARGEST}", code="size-too-large", size=size, resize=short, maximum=LARGEST,
            )  # fmt: skip
        try:
            return ImageSpec(*size, short, self.filter or (metadata.filter if metadata else usual))
        except ValueError as error:
            raise file_error(name, f"{error}; see --size, --resize and --filter", code="image-spec-unusable") from error


def channels(name: str, option: str, values: Sequence[float]) -> Channels:
    """Values for red, green and blue, from one number or three.

    Raises:
        ExportError: `normalisation-unusable`: another count, not finite, or a std that is not above 0.
    """
    numbers = [float(value) for value in values]
    if len(numbers) not in (1, 3) or not np.isfinite(numbers).all() or (option == "--std" and min(numbers) <= 0):
        raise file_error(
            name,
            f"{option} {numbers}: expected one number or three, finite, and std above 0",
            code="normalisation-unusable", option=option, given=numbers,
        )  # fmt: skip
    return numbers[0], numbers[len(numbers) // 2], numbers[-1]
