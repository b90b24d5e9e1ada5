"""Rounds weights to the integer grid before they are exported, and corrects the bias of each convolution for it.

Rounding shifts the mean of a convolution's outputs, and depthwise layers have too few weights per output for the shifts to
cancel. A convolution is linear, so the shift is exactly the convolution of the mean input with the rounding error; taking it from
the bias undoes it (Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", section 4.2, with
means measured on the calibration photos). Every exporter then gets weights that are already on its grid, and rounds nothing.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import nn

from edgetl.types import Pixels
from edgetl_exporters.backbones.graph import Graph
from edgetl_exporters.quantise.equalisation import on_grid

_SILENT = 1e-4
"""A channel whose largest weight is below this part of the layer's median counts as silent: docs/evidence/int8-diagnosis.md."""

_LINEAR = 1e-3
"""Largest difference, relative, between the response to a weight and the sum of the responses to its two parts."""

_IMAGES = 64
"""Images for the mean inputs: a mean needs fewer than a range, and each costs a pass of the float graph."""


def rounded(graph: Graph, tensors: Pixels, levels: int) -> Graph:
    """A copy whose convolution weights lie on a symmetric grid per output channel.

    A convolution that computes its weights in every pass (weight standardisation) is not changed here; the exporter rounds it.

    Args:
        graph: the float graph.
        tensors: calibration images uint8 [n, h, w, 3].
        levels: the largest integer weight: 127 for 8 bits, 64 for 7 bits as ONNX Runtime reduces the range.
    """
    copied = copy.deepcopy(graph)
    for convolution, mean in _mean_inputs(copied, tensors[:_IMAGES]):
        weight = convolution.weight.data
        kept = _round(weight, levels)
        whole, rest, shift = (_response(convolution, part, mean) for part in (weight, kept, weight - kept))
        if not torch.allclose(rest + shift, whole, rtol=0, atol=_LINEAR * float(whole.abs().max())):
            convolution.weight.data = weight
            continue
        convolution.weight.data = kept
        convolution.bias = nn.Parameter(shift if convolution.bias is None else convolution.bias.data + shift)
    return copied


def _round(weight: torch.Tensor, levels: int) -> torch.Tensor:
    floor = _SILENT * weight.flatten(1).abs().amax(1).median()
    return torch.from_numpy(on_grid(weight.numpy(), levels, np.full(len(weight), float(floor) / levels, np.float32)))


def _response(convolution: Any, weight: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    """The mean output [c] of a convolution with this weight and without its bias, for a mean input [1, c, h, w]."""
    bias, convolution.bias = convolution.bias, None
    convolution.weight.data = weight
    with torch.no_grad():
        response = convolution(mean).mean((0, 2, 3))
    convolution.bias = bias
    return response


def _mean_inputs(graph: Graph, tensors: Pixels, batch: int = 8) -> list[tuple[Any, torch.Tensor]]:
    """Every convolution with its mean input [1, c, h, w] over the images, as the float graph computes it."""
    convolutions = [module for module in graph.modules() if isinstance(module, nn.Conv2d)]
    sums: dict[Any, torch.Tensor] = {}

    def before(module: Any, taken: Any) -> None:
        total = taken[0].sum(0, keepdim=True)
        sums[module] = sums[module] + total if module in sums else total

    hooks = [module.register_forward_pre_hook(before) for module in convolutions]
    with torch.inference_mode():
        for start in range(0, len(tensors), batch):
            graph(torch.from_numpy(np.array(tensors[start : start + batch])))
    for hook in hooks:
        hook.remove()
    # Clones, because a tensor of inference mode must not be used outside it.
    return [(module, sums[module].clone() / len(tensors)) for module in convolutions]
