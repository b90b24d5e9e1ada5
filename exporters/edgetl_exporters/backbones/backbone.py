"""The description of a backbone and of its weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from edgetl.types import ImageSpec


@dataclasses.dataclass(frozen=True)
class Backbone:
    """One network.

    Attributes:
        name: as given to `--backbone`.
        source: the package its network comes from.
        image: how photos become its input.
        mean: subtracted from each channel, in pixel values [0, 255].
        std: each channel is then divided by it, in pixel values.
        dim: the embedding's length d.
        int8_bound: the lowest mean cosine to the float embedding at which an int8 variant is accepted.
        build: makes the whole classifier network, untrained.
        features: the part of it that turns normalised float NCHW images into feature maps [n, d, h, w], stage by stage, or into [n, d]
            if the network pools in its own way.
        stages: the numbers in `features` of the middle stages that a multi-level embedding holds beside the last one: the last block at
            1/16 of the input's resolution, and the last of each width at 1/32; empty if there are no such stages.
            Measurements: docs/evidence/levels.md.
        classifier: the part that turns embeddings [n, d] into scores of the 1000 ImageNet classes; None if there are other parts between.
        weights_name: the pretrained weights' name, for the manifest.
        file_name: of the pretrained weights.
        fetch: returns the local file of the pretrained weights, which their library may download.
    """

    name: str
    source: str
    image: ImageSpec
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    dim: int
    int8_bound: float
    build: Callable[[], nn.Module]
    features: Callable[[Any], nn.Sequential]
    stages: tuple[int, ...]
    classifier: Callable[[Any], nn.Module | None]
    weights_name: str
    file_name: Callable[[], str]
    fetch: Callable[[], Path]


@dataclasses.dataclass(frozen=True)
class Weights:
    """The origin of a network's weights, for the manifest.

    Attributes:
        source: the package or enum, `local file NAME`, or `random, seed N`.
        sha256: the file's sha256 (hex); None for random weights.
        random: whether they are untrained, for plumbing tests only.
    """

    source: str
    sha256: str | None
    random: bool
