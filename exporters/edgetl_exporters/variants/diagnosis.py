"""Finds what in a float network makes int8 hard, before anything is calibrated.

The integers of a tensor span its whole range, so one channel with large values leaves few steps to the others, and a product of two rounded
factors carries the errors of both. :mod:`edgetl_exporters.report` turns what is found into text.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from edgetl.types import Array, Pixels
from edgetl_exporters.quantise import ranges
from edgetl_exporters.quantise.ranges import FloatNetwork, Layer

PHOTOS = 8
"""Photos on which the network is run."""

STEPS = 255
"""Steps between the smallest and the largest value of an 8-bit integer."""

UNEVEN = 10.0
"""Ratio of a layer's largest channel to its median one from which int8 is at risk: docs/evidence/int8-diagnosis.md."""

SILENT = 1e-4
"""A channel whose largest weight is below this part of its layer's median counts as silent: docs/evidence/int8-diagnosis.md."""

_LOWEST = {"SiLU": 0.2785, "hard-swish": 0.375}
"""Lowest value of each, below zero: SiLU at -1.2785, hard-swish at -1.5."""

LOBE = 8.0
"""Integer steps for the negative values of an activation below which int8 is at risk."""


@dataclasses.dataclass(frozen=True)
class Int8Risk:
    """One property of a network that makes int8 hard.

    Attributes:
        code: `uneven-channels`, `silent-channels`, `smooth-activations` or `gates`.
        layer: the layer where it is strongest.
        value: the number that decides: the ratio of the largest channel to the median one, the number of silent channels, the integer steps
            left for negative values, or the number of gates.
        serious: whether networks with this value failed in int8; the others explain why a recipe was chosen.
        values: what else the text states; JSON-able.
    """

    code: str
    layer: str
    value: float
    serious: bool
    values: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Int8Diagnosis:
    """What makes int8 hard for a float network.

    Attributes:
        layers: how many convolutions and fully connected layers it has.
        count: photos it was run on.
        risks: the serious ones first.
    """

    layers: int
    count: int
    risks: tuple[Int8Risk, ...]

    @property
    def healthy(self) -> bool:
        """Whether no risk is serious."""
        return not any(risk.serious for risk in self.risks)


def diagnose(model: bytes, photos: Pixels) -> Int8Diagnosis:
    """Diagnoses a float ONNX network.

    Args:
        model: uint8 [n, h, w, 3] in.
        photos: uint8 [n, h, w, 3]; the first :data:`PHOTOS` are run.
    """
    network = ranges.read(model)
    largest = network.channels(photos[:PHOTOS])
    risks = [
        *_uneven(network.layers, largest),
        *_silent(network.layers),
        *_smooth(network.layers, largest),
        *_gates(network),
    ]
    risks.sort(key=lambda risk: not risk.serious)
    return Int8Diagnosis(len(network.layers), min(PHOTOS, len(photos)), tuple(risks))


def _uneven(layers: tuple[Layer, ...], largest: Mapping[str, Array]) -> list[Int8Risk]:
    ratios = {layer.name: _ratio(largest[layer.output]) for layer in layers if layer.output in largest}
    uneven = sorted((name for name, ratio in ratios.items() if ratio >= UNEVEN), key=lambda name: -ratios[name])
    if not uneven:
        return []
    worst = uneven[0]
    depthwise = next(layer for layer in layers if layer.name == worst).depthwise
    return [Int8Risk("uneven-channels", worst, ratios[worst], True, {"depthwise": depthwise, "count": len(uneven), "of": len(ratios)})]


def _ratio(largest: Array) -> float:
    """The largest of a layer's channels over the median one."""
    return float(largest.max() / max(float(np.median(largest)), float(np.finfo(np.float32).tiny)))


def _silent(layers: tuple[Layer, ...]) -> list[Int8Risk]:
    counts = {layer.name: _count_silent(layer.weight) for layer in layers}
    total, worst = sum(counts.values()), max(counts, key=lambda name: counts[name])
    return [Int8Risk("silent-channels", worst, float(total), False, {"count": counts[worst]})] if total else []


def _count_silent(weight: Array) -> int:
    rows = np.abs(weight.reshape(len(weight), -1)).max(1)
    return int((rows < SILENT * np.median(rows)).sum())


def _smooth(layers: tuple[Layer, ...], largest: Mapping[str, Array]) -> list[Int8Risk]:
    """SiLU and hard-swish: values below zero are small, values above it may be large."""
    smooth = {layer.name: layer for layer in layers if layer.activation and layer.output in largest}
    if not smooth:
        return []
    lows = {name: _LOWEST[layer.activation] for name, layer in smooth.items()}
    steps = {name: STEPS * lows[name] / (lows[name] + float(largest[layer.output].max())) for name, layer in smooth.items()}
    worst = min(steps, key=lambda name: steps[name])
    values = {"activation": smooth[worst].activation, "lowest": -lows[worst], "count": len(smooth)}
    return [Int8Risk("smooth-activations", worst, steps[worst], steps[worst] < LOBE, values)]


def _gates(network: FloatNetwork) -> list[Int8Risk]:
    """Squeeze-and-excitation: a pooled map, two layers, a sigmoid, and a product with the map."""
    pooled = [
        layer for layer in network.layers[:-1] if any(network.kind(name) in ("ReduceMean", "GlobalAveragePool") for name in layer.nodes)
    ]
    return [Int8Risk("gates", pooled[0].name, float(len(pooled)), False)] if pooled else []
