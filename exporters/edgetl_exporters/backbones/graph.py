"""The graph that is exported: pixels in, pooled embedding out, normalisation inside."""

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
"""How far folding may move an embedding, of its length."""


class Graph(nn.Module):  # type: ignore[misc]  # torch is untyped to mypy
    """Pixels [n, h, w, 3] in [0, 255] (uint8 or float) -> embedding float32 [n, d].

    The embedding is the pooled output of the last stage; where middle stages were chosen, theirs come before it, earliest first.

    The mean is a whole row [1, 1, w, 3] rather than [3]: ONNX Runtime's and XNNPACK's inner loop then runs over a row instead of three
    values (measured in ONNX Runtime: 0.07 ms instead of 0.62 ms for 224x224).

    Attributes:
        features: the stages, run one after the other.
        scales: number of a middle stage -> what its pooled output is multiplied by.
        std: divides after the mean was subtracted; None where the first convolution holds it.
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
        made = []
        for number, stage in enumerate(self.features):
            maps = stage(maps)
            if number in self.scales:
                made.append(_pool(maps) * self.scales[number])
        return [*made, _pool(maps)]


def build(backbone: Backbone, network: nn.Module, stages: Sequence[int] = ()) -> Graph:
    """Cuts the classifier off, folds the batch normalisations and the division by std into the convolutions where that is exact.

    Args:
        backbone: which network it is.
        network: the classifier network; it is not changed.
        stages: numbers of the middle stages whose pooled outputs precede the last one's; :func:`balance` scales them.

    Raises:
        ExportError: the folded graph computes something else, or not an embedding of the length that the table states.
    """
    features = backbone.features(copy.deepcopy(network)).eval()
    graph = Graph(features, backbone.mean, backbone.image.width, stages, backbone.std)
    picture = pictures.scenes(1, backbone.image.width, backbone.image.height, seed=0)
    expected = embed(graph, picture)
    if folding.fold(features, torch.zeros(1, 3, backbone.image.height, backbone.image.width), backbone.std):
        graph.std = None
    _check(backbone, expected, embed(graph, picture), own=not stages)
    return graph


def _check(backbone: Backbone, expected: Embeddings, made: Embeddings, *, own: bool) -> None:
    """Compares the embeddings [1, d] of one picture before and after folding."""
    if own and expected.shape != (1, backbone.dim):
        raise ExportError(f"{backbone.name}: gives {expected.shape} for one photo, expected an embedding [1, {backbone.dim}]")
    before, after = expected.astype(np.float64), made.astype(np.float64)  # an untrained network's squares may not fit into float32
    error = float(np.linalg.norm(after - before) / np.linalg.norm(before))
    if not error <= _FOLDED:
        raise ExportError(
            f"{backbone.name}: with its batch normalisations folded it computes something else (relative error {error:.1e}, at most "
            f"{_FOLDED:.0e} is allowed); please report it, and choose another backbone meanwhile"
        )


def balance(graph: Graph, tensors: Pixels) -> tuple[int, ...]:
    """Scales every middle level to the last one's energy, the mean squared distance from the mean embedding.

    Heads read the L2-normalised whole, the last level as signed roots of the length that it has here, so that only ratios count, and the
    last level stays what it is alone. One constant per level is enough, and any pictures will do: on magnetic tiles, hand signs and flowers
    (5, 20, 60 photos per class, 5 seeds, without roots) levels that were
    also centred, or normalised photo by photo, or scaled by photos of solar cells, by drawn scenes or by the data set's own photos
    instead of ImageNet's were within 0.8 point of each other; unscaled ones lost up to 1.1.

    Args:
        graph: changed in place.
        tensors: uint8 [n, h, w, 3], the images on which the energies are measured.

    Returns:
        The levels' lengths, the last one's last; nothing where there is no middle level.
    """
    if not graph.scales:
        return ()
    with torch.inference_mode():
        lengths = tuple(level.shape[1] for level in graph.levels(torch.from_numpy(np.array(tensors[:1]))))
    *middle, last = np.split(embed(graph, tensors).astype(np.float64).var(0), np.cumsum(lengths)[:-1])
    graph.scales = {stage: scale * float(np.sqrt(last.sum() / level.sum())) for (stage, scale), level in zip(graph.scales.items(), middle)}
    return lengths


def use_half_the_cores() -> None:
    """Limits torch's threads: they spin while they wait, and where the machine does something else too, all of them are slower."""
    torch.set_num_threads(max(1, machine.cores() // 2))


def embed(graph: nn.Module, tensors: Pixels, batch: int = 16) -> Embeddings:
    """Embeds uint8 [n, h, w, 3] to float32 [n, d] with torch."""
    with torch.inference_mode():
        rows = [graph(torch.from_numpy(np.array(tensors[i : i + batch]))).numpy() for i in range(0, len(tensors), batch)]
    return np.concatenate(rows).astype(np.float32)


def _pool(maps: torch.Tensor) -> torch.Tensor:
    # Some networks pool in their own way; keepdim, then flatten: litert-torch otherwise puts a transpose before the mean.
    return maps if maps.ndim == 2 else maps.mean((2, 3), keepdim=True).flatten(1)
