"""What a backbone is, and where its weights come from."""

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
            where the network pools in its own way.
        stages: the numbers in `features` of the middle stages that a multi-level embedding holds beside the last one: the last block at
            1/16 of the input's resolution, and the last of each width at 1/32; empty where there are no stages to choose from.
            Measured on EfficientNet-Lite0 (mean accuracy over magnetic tiles, hand signs and flowers at 5 / 20 / 60 photos per class,
            4 seeds): last stage alone 54.3/70.4/79.4; with the last middle one 54.6/71.4/80.9; with all three 55.5/73.4/83.4; with one
            at 1/8 as well 54.1/73.2/83.3; with every block from 1/16 on 54.5/73.9/83.9, for 2704 values instead of 1904.
        classifier: the part that turns embeddings [n, d] into scores of the 1000 ImageNet classes; None where other parts lie between.
        weights_name: the pretrained weights' name, for the manifest.
        file_name: what the pretrained weights' file is called.
        fetch: returns the local file of the pretrained weights, downloaded where their library does so.
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
    """Where a network's weights come from, for the manifest.

    Attributes:
        source: the package or enum, `local file NAME`, or `random, seed N`.
        sha256: the file's sha256 (hex); None for random weights.
        random: whether nothing was ever trained: for plumbing tests only.
    """

    source: str
    sha256: str | None
    random: bool
