"""The torch module that is exported: pixels in, pooled embedding out, normalisation inside."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from edgetl import machine
from edgetl.errors import ExportError
from edgetl.types import Embeddings, Pixels
from edgetl_exporters import pictures
from edgetl_exporters.backbones import folding
from edgetl_exporters.backbones.backbone import Backbone

_FOLDED = 1e-3
"""Largest change of an embedding by folding, relative to its length."""


class Graph(nn.Module):  # type: ignore[misc]  # torch is untyped to mypy
    """Pixels [n, h, w, 3] in [0, 255] (uint8 or float) -> embedding float32 [n, d].

    The embedding is the pooled output of the last stage, after those of the chosen middle stages, earliest first.

    The mean is a whole row [1, 1, w, 3] rather than [3], so that the inner loops of ONNX Runtime and XNNPACK run over a row instead of
    three values: docs/evidence/torch-export.md.

    Attributes:
        features: the stages, run one after the other.
        scales: number of a middle stage -> the factor of its pooled output.
        std: divides after the mean is subtracted; None if it is folded into the first convolution.
    """

    mean: torch.Tensor

    def __init__(
        self,
        features: nn.Sequential,
        mean: tuple[float, float, float],
        width: int,
        stages: Sequence[int] = (),
        std: tuple[float, float, float] | None = None,
    ) -> None:
        super().__init__()
        self.features = features
        self.scales = dict.fromkeys(stages, 1.0)
        self.register_buffer("mean", torch.tensor(mean).repeat(width, 1)[None, None])
        self.register_buffer("std", None if std is None else torch.tensor(std).repeat(width, 1)[None, None])

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """See the class."""
        levels = self.levels(image)
        return torch.cat(levels, 1) if len(levels) > 1 else levels[0]

    def levels(self, image: torch.Tensor) -> list[torch.Tensor]:
        """The parts of the embedding, float32 [n, d_l] each: the chosen middle stages, then the last."""
        centred = image.to(torch.float32) - self.mean
        maps = (centred if self.std is None else centred / self.std).permute(0, 3, 1, 2)
        levels = []
        for number, stage in enumerate(self.features):
            maps = stage(maps)
            if number in self.scales:
                levels.append(_pool(maps) * self.scales[number])
        return [*levels, _pool(maps)]


def build(backbone: Backbone, network: nn.Module, stages: Sequence[int] = ()) -> Graph:
    """Cuts the classifier off, and folds the batch normalisations and the division by std into the convolutions if that is exact.

    Args:
        backbone: which network it is.
        network: the classifier network; it is not changed.
        stages: numbers of the middle stages whose pooled outputs precede the last one's; :func:`balance` scales them.

    Raises:
        ExportError: `folding-differs`, or `embedding-shape`: not the length that the table states.
    """
    features = backbone.features(copy.deepcopy(network)).eval()
    graph = Graph(features, backbone.mean, backbone.image.width, stages, backbone.std)
    picture = pictures.scenes(1, backbone.image.width, backbone.image.height, seed=0)
    expected = embed(graph, picture)
    if folding.fold(features, torch.zeros(1, 3, backbone.image.height, backbone.image.width), backbone.std):
        graph.std = None
    _check(backbone, expected, embed(graph, picture), own=not stages)
    return graph


def _check(backbone: Backbone, expected: Embeddings, folded: Embeddings, *, own: bool) -> None:
    """Compares the embeddings [1, d] of one picture before and after folding."""
    if own and expected.shape != (1, backbone.dim):
        raise ExportError(
            f"{backbone.name}: one photo gives {expected.shape}, expected an embedding [1, {backbone.dim}]",
            code="embedding-shape", backbone=backbone.name, shape=expected.shape,
        )  # fmt: skip
    before, after = expected.astype(np.float64), folded.astype(np.float64)  # an untrained network's squares may not fit into float32
    error = float(np.linalg.norm(after - before) / np.linalg.norm(before))
    if not error <= _FOLDED:
        raise ExportError(
            f"{backbone.name}: folded batch normalisations change its embeddings (relative error {error:.1e}, at most {_FOLDED:.0e} "
            "is allowed); please report it, and choose another backbone meanwhile",
            code="folding-differs", backbone=backbone.name, relative_error=error, maximum=_FOLDED,
        )  # fmt: skip


def balance(graph: Graph, tensors: Pixels) -> tuple[int, ...]:
    """Scales every middle level to the last one's energy, the mean squared distance from the mean embedding.

    Heads read the L2-normalised whole, so only ratios count, and the last level stays as it is alone. One constant per level is enough, and
    any pictures will do: docs/evidence/levels.md.

    Args:
        graph: changed in place.
        tensors: uint8 [n, h, w, 3], the images on which the energies are measured.

    Returns:
        The lengths of the levels, the last stage's last; empty without middle levels.
    """
    if not graph.scales:
        return ()
    with torch.inference_mode():
        lengths = tuple(level.shape[1] for level in graph.levels(torch.from_numpy(np.array(tensors[:1]))))
    *middle, last = np.split(embed(graph, tensors).astype(np.float64).var(0), np.cumsum(lengths)[:-1])
    graph.scales = {stage: scale * float(np.sqrt(last.sum() / level.sum())) for (stage, scale), level in zip(graph.scales.items(), middle)}
    return lengths


def use_half_the_cores() -> None:
    """Limits torch's threads: they spin while they wait, so on a busy machine more threads are slower."""
    torch.set_num_threads(max(1, machine.cores() // 2))


def embed(graph: nn.Module, tensors: Pixels, batch: int = 16) -> Embeddings:
    """Embeds uint8 [n, h, w, 3] to float32 [n, d] with torch."""
    with torch.inference_mode():
        rows = [graph(torch.from_numpy(np.array(tensors[i : i + batch]))).numpy() for i in range(0, len(tensors), batch)]
    return np.concatenate(rows).astype(np.float32)


def _pool(maps: torch.Tensor) -> torch.Tensor:
    # Some networks pool in their own way. keepdim, then flatten: otherwise litert-torch puts a transpose before the mean.
    return maps if maps.ndim == 2 else maps.mean((2, 3), keepdim=True).flatten(1)
