"""The doctor: what in a float network makes integers hard, found before anything is calibrated.

A tensor's integers span its whole range, so what one channel reaches all others have to share, and a product of two rounded factors carries
the errors of both. Each finding says where that is, in numbers, and which repair is likely to help.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from edgetl.types import Array, Pixels
from edgetl_exporters.quantise import ranges
from edgetl_exporters.quantise.ranges import Layer, Network

PHOTOS = 8
"""How many photos the network is looked at with."""

_STEPS = 255

UNEVEN = 10.0
"""Largest channel over the median one, of a layer's output: from here on it is told.

Measured on 8 photos of ImageNet: EfficientNet-Lite0, 1 and 2, which int8 suits, have at most 4.6, 5.6 and 6.9; EfficientNet-B0 and
MobileNetV3 small and large with random weights, which it does not, 34, 21 and 21.
"""

SILENT = 1e-4
"""A channel whose largest weight is below this part of its layer's median has folded to almost nothing: 128 to 225 in EfficientNet-Lite."""

_LOWEST = {"SiLU": 0.2785, "hard-swish": 0.375}
"""How far below zero each goes: SiLU at -1.2785, hard-swish at -1.5."""

LOBE = 8.0
"""Integer steps that the negative values of an activation get: from here down it is told."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """One reason why int8 may fail.

    Attributes:
        cause: `uneven channels`, `silent channels`, `smooth activations` or `gates`.
        layer: the layer where it is worst; empty where it is of the whole network.
        value: the number that was compared, see `sentence`.
        serious: whether networks with this value were seen to fail; the others are told because they explain a recipe.
        sentence: what was found, with its numbers, and what is likely to help.
    """

    cause: str
    layer: str
    value: float
    serious: bool
    sentence: str


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """What was found in a float network.

    Attributes:
        layers: how many convolutions and fully connected layers it has.
        count: photos it was looked at with.
        findings: the serious ones first.
    """

    layers: int
    count: int
    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing serious was found."""
        return not any(finding.serious for finding in self.findings)

    def lines(self) -> list[str]:
        """What is told on the screen."""
        said = [finding.sentence for finding in self.findings]
        if self.healthy:
            said.append(f"nothing in its {self.layers} layers speaks against int8 (looked at with {self.count} photos)")
        return said


def diagnose(model: bytes, photos: Pixels) -> Diagnosis:
    """Looks at a float ONNX network.

    Args:
        model: uint8 [n, h, w, 3] in.
        photos: uint8 [n, h, w, 3]; the first :data:`PHOTOS` are run.
    """
    float_ = ranges.read(model)
    largest = float_.channels(photos[:PHOTOS])
    findings = [
        *_uneven(float_.layers, largest),
        *_silent(float_.layers),
        *_smooth(float_.layers, largest),
        *_gates(float_),
    ]
    findings.sort(key=lambda finding: not finding.serious)
    return Diagnosis(len(float_.layers), min(PHOTOS, len(photos)), tuple(findings))


def _uneven(layers: tuple[Layer, ...], largest: Mapping[str, Array]) -> list[Finding]:
    ratios = {layer.name: _ratio(largest[layer.output]) for layer in layers if layer.output in largest}
    worst = sorted((name for name, ratio in ratios.items() if ratio >= UNEVEN), key=lambda name: -ratios[name])
    if not worst:
        return []
    first = worst[0]
    kind = "depthwise layer" if next(layer for layer in layers if layer.name == first).depthwise else "layer"
    return [
        Finding(
            "uneven channels",
            first,
            ratios[first],
            True,
            f"{kind} {first}: its largest channel reaches {ratios[first]:.0f} times as far as its median one, so half of the channels "
            f"share {_STEPS / ratios[first]:.0f} of {_STEPS} integer steps ({len(worst)} of {len(ratios)} layers have {UNEVEN:.0f} times "
            "or more); cutting the ranges may help, else these layers in float",
        )
    ]


def _ratio(largest: Array) -> float:
    """The largest of a layer's channels over the median one."""
    return float(largest.max() / max(float(np.median(largest)), float(np.finfo(np.float32).tiny)))


def _silent(layers: tuple[Layer, ...]) -> list[Finding]:
    counts = {layer.name: _count_silent(layer.weight) for layer in layers}
    total, most = sum(counts.values()), max(counts, key=lambda name: counts[name])
    if not total:
        return []
    return [
        Finding(
            "silent channels",
            most,
            float(total),
            False,
            f"{total} channels have folded to almost nothing (below {SILENT:.0e} of their layer's median weight; {counts[most]} of them in "
            f"{most}): their scales would overflow the integer bias, so they are given a small one",
        )
    ]


def _count_silent(weight: Array) -> int:
    rows = np.abs(weight.reshape(len(weight), -1)).max(1)
    return int((rows < SILENT * np.median(rows)).sum())


def _smooth(layers: tuple[Layer, ...], largest: Mapping[str, Array]) -> list[Finding]:
    """SiLU and hard-swish: what lies below zero is small, and what lies above may be large."""
    smooth = {layer.name: layer for layer in layers if layer.activation and layer.output in largest}
    if not smooth:
        return []
    lows = {name: _LOWEST[layer.activation] for name, layer in smooth.items()}
    steps = {name: _STEPS * lows[name] / (lows[name] + float(largest[layer.output].max())) for name, layer in smooth.items()}
    worst = min(steps, key=lambda name: steps[name])
    return [
        Finding(
            "smooth activations",
            worst,
            steps[worst],
            steps[worst] < LOBE,
            f"{len(smooth)} layers end in {smooth[worst].activation}, whose values below zero all lie above -{lows[worst]:.2f}: in {worst} "
            f"they get {steps[worst]:.0f} of {_STEPS} integer steps; cutting the ranges may help",
        )
    ]


def _gates(float_: Network) -> list[Finding]:
    """Squeeze-and-excitation: a pooled map, two layers, a sigmoid, and a product with the map."""
    pooled = [
        layer for layer in float_.layers[:-1] if any(float_.kind(name) in ("ReduceMean", "GlobalAveragePool") for name in layer.nodes)
    ]
    if not pooled:
        return []
    return [
        Finding(
            "gates",
            pooled[0].name,
            float(len(pooled)),
            False,
            f"{len(pooled)} squeeze-and-excitation gates: the rounding error of one gate is multiplied into a whole map",
        )
    ]
