"""Cross-layer equalisation: scales the channels of a tensor so that all use its integers well, without changing the network's function.

A quantised tensor has one step for all its channels, so a channel of small values that the next layer multiplies by large weights is lost.
Scaling it up in the layer that computes it and down in the layer that reads it costs nothing: weights have a scale per output channel
(Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", section 4.1). Here the scales come from
measured ranges, and must lower the modelled rounding noise of activations and weights.

A scale passes homogeneous operators: Relu, pooling, sums (whose operands then share it), and products with a gate. Hard-swish is not one,
but `s * hard-swish(x / s)` is `x * clip(x / 6s + 0.5, 0, 1)`: a depthwise 1x1 convolution, a clip and a product, all of them integers.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from edgetl.types import Array, Pixels
from edgetl_exporters.quantise import calibration, ranges, swish
from edgetl_exporters.quantise.ranges import FloatNetwork, PhotoKey
from edgetl_exporters.quantise.recipes import Recipe

PHOTOS = 24
"""Photos for ranges and means; the function of the network does not depend on them."""

_PASS = ("Relu", "GlobalAveragePool", "AveragePool", "MaxPool", "ReduceMean", "Reshape", "Flatten", "Identity")
_LARGEST = 64.0
"""The largest factor: a bias is an integer of 32 bits, whose step is the product of two scales."""

_WORTH = 1.05
"""Least factor by which scaling must lower the noise of a group."""

_SPANS = np.geomspace(1 / 16, 16, 17)
_STRENGTHS = (0.25, 0.5, 0.75, 1.0)
_LOBE = 3.0
"""Below -3 hard-swish is zero, so no integers are needed there."""

_DEAD = 1e-6
_BIAS = 2.0**28
"""The largest integer bias, with room to 31 bits for ranges that are cut later."""
_WEIGHT_LEVELS, _STEPS = 127, 255


@dataclasses.dataclass
class Group:
    """Tensors that must share their channels' scales.

    Attributes:
        tensors: their names.
        producers: the layers that compute them.
        consumers: the layers that read them.
        swishes: (HardSigmoid, Mul) per hard-swish between two of them.
        fixed: whether an operator that no scale passes reads or computes them.
    """

    tensors: list[str]
    producers: list[Any] = dataclasses.field(default_factory=list)
    consumers: list[Any] = dataclasses.field(default_factory=list)
    swishes: list[tuple[Any, Any]] = dataclasses.field(default_factory=list)
    fixed: bool = False


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Per channel over photos and places, float64 [channels] each: the extremes, the mean, and the mean square."""

    low: Array
    high: Array
    mean: Array
    square: Array


def network_for(recipe: Recipe, model: bytes, photos: Pixels | None) -> bytes:
    """The network that a recipe quantises: the model, or the same with channels equalised and biases corrected.

    Args:
        recipe: its `equalised` and `levels` are used.
        model: the float ONNX model, uint8 [n, h, w, 3] in.
        photos: uint8 [n, h, w, 3] that calibrate.

    Raises:
        CalibrationError: `photos-missing`.
    """
    if not recipe.equalised:
        return model
    if photos is None:
        raise calibration.missing()
    return _repaired(model, PhotoKey(photos[:PHOTOS]), recipe.levels or _WEIGHT_LEVELS)


@functools.lru_cache(2)  # the same for every format
def _repaired(model: bytes, photos: PhotoKey, levels: int) -> bytes:
    return correct(equalise(model, photos.pixels), photos.pixels, levels)


def equalise(model: bytes, photos: Pixels) -> bytes:
    """The same function with scaled channels, as far as that lowers the rounding noise.

    Args:
        model: the float ONNX model, uint8 [n, h, w, 3] in.
        photos: uint8 [n, h, w, 3]; the first :data:`PHOTOS` are run.
    """
    float_ = ranges.read(swish.recognise(ranges.read(model).model))
    statistics = _measure(float_, photos[:PHOTOS])
    editor = _Editor(float_)
    for group in groups(float_):
        if group.fixed or not group.producers or not group.consumers:
            continue
        noise = _Noise(group, editor, statistics)
        if noise.known:
            scale = noise.best()
            if scale is not None:
                editor.scale(group, scale)
    return editor.model()


def correct(model: bytes, photos: Pixels, levels: int = _WEIGHT_LEVELS) -> bytes:
    """Rounds weights to their integer grid, and corrects each bias for the mean shift of that (see `rounding`).

    Args:
        model: the float ONNX model, uint8 [n, h, w, 3] in.
        photos: uint8 [n, h, w, 3]; the first :data:`PHOTOS` are run.
        levels: the largest integer weight.
    """
    float_ = ranges.read(model)
    statistics = _measure(float_, photos[:PHOTOS])
    editor = _Editor(float_)
    for node in editor.nodes:
        weight = editor.rows(node) if node.op_type == "Conv" else None
        if weight is None or node.input[0] not in statistics:
            continue
        source, bias = statistics[node.input[0]], editor.biased(node)
        step = max(float(source.high.max() - min(source.low.min(), 0)), _DEAD) / _STEPS
        rounded = on_grid(editor.values[node.input[1]], levels, np.abs(editor.values[bias]) / (_BIAS * step))
        mean = source.mean
        lost = (weight - rounded.reshape(weight.shape)).sum(2)
        shift = lost[:, 0] * mean if editor.depthwise(node) else lost @ mean
        editor.set(node.input[1], rounded)
        editor.set(bias, editor.values[bias] + shift)
    return editor.model()


def on_grid(weight: Array, levels: int, least: Array) -> Array:
    """Weights rounded to a symmetric grid per output channel.

    Args:
        weight: [c, ...].
        levels: the largest integer.
        least: the smallest step of each channel, [c]. The own step of a silent channel would be so small that its integer bias overflows,
            so it gets one weight that is large enough for this step, and negligible against its bias.
    """
    rows = weight.reshape(len(weight), -1).copy()
    step = np.abs(rows).max(1) / levels
    silent = step <= least
    rows[silent] = 0
    rows[silent, 0] = least[silent] * levels
    step = np.maximum(np.maximum(step, least), np.finfo(np.float32).tiny)[:, None]
    rounded: Array = (np.round(rows / step) * step).astype(np.float32).reshape(weight.shape)
    return rounded


def groups(float_: FloatNetwork) -> list[Group]:
    """The groups of a network's tensors, in the order of computation."""
    finder = _Finder(float_)
    for node in float_.graph.node:
        finder.visit(node)
    for output in float_.graph.output:
        finder.fix(output.name)
    return finder.groups()


class _Finder:
    """Joins the tensors that must share scales (union-find over names)."""

    def __init__(self, float_: FloatNetwork) -> None:
        self._constants = {tensor.name for tensor in float_.graph.initializer}
        self._parents: dict[str, str] = {}
        self._groups: dict[str, Group] = {}
        self._gates = {node.output[0]: node for node in float_.graph.node if node.op_type == "HardSigmoid"}
        reads: dict[str, list[Any]] = {}
        for node in float_.graph.node:
            for name in node.input:
                reads.setdefault(name, []).append(node)
        # The gate of hard-swish is read by one product only, which also reads the gate's input.
        self._inner = {name for name, node in self._gates.items() if [set(r.input) for r in reads.get(name, [])] == [{name, node.input[0]}]}
        self._flat = {name for node in float_.graph.node if node.op_type == "GlobalAveragePool" for name in node.output}

    def groups(self) -> list[Group]:
        return list(self._groups.values())

    def visit(self, node: Any) -> None:
        kind, moving = node.op_type, [name for name in node.input if name and name not in self._constants]
        if kind in ("Conv", "Gemm") and moving == [node.input[0]]:
            self._at(node.input[0]).consumers.append(node)
            self._new(node.output[0]).producers.append(node)
        elif (kind in _PASS and len(moving) == 1) or (kind == "Add" and len(moving) == 2):
            self._new(node.output[0])
            for name in moving:
                self._join(node.output[0], name)
        elif kind == "Mul" and len(moving) == 2 and any(name in self._gates for name in moving):
            self._product(node, moving)
        elif not (kind == "HardSigmoid" and node.output[0] in self._inner):
            for name in moving:
                self.fix(name)
            for name in node.output:
                self._new(name).fixed = True

    def _product(self, node: Any, moving: list[str]) -> None:
        gate = next((name for name in moving if name in self._inner), None) or next(name for name in moving if name in self._gates)
        map_ = moving[1 - moving.index(gate)]
        self._new(node.output[0])
        self._join(node.output[0], map_)
        if gate in self._inner:
            self._at(map_).swishes.append((self._gates[gate], node))

    def fix(self, name: str) -> None:
        self._at(name).fixed = True

    def _root(self, name: str) -> str:
        while self._parents[name] != name:
            name = self._parents[name]
        return name

    def _at(self, name: str) -> Group:
        if name not in self._parents:
            self._new(name).fixed = True  # an input
        return self._groups[self._root(name)]

    def _new(self, name: str) -> Group:
        self._parents[name] = name
        return self._groups.setdefault(name, Group([name]))

    def _join(self, new: str, old: str) -> None:
        kept, gone = self._at(old), self._at(new)
        if kept is gone:
            return
        for field in ("tensors", "producers", "consumers", "swishes"):
            getattr(kept, field).extend(getattr(gone, field))
        kept.fixed |= gone.fixed
        del self._groups[self._root(new)]
        self._parents[self._root(new)] = self._root(old)


class _Editor:
    """A copy of a network with changed constants, whose hard-swishes have scaled gates."""

    def __init__(self, float_: FloatNetwork) -> None:
        from onnx import numpy_helper

        self._proto = float_.copy()
        self._stored = {tensor.name: tensor for tensor in self._proto.graph.initializer}
        self.values = {name: np.asarray(numpy_helper.to_array(tensor)) for name, tensor in self._stored.items()}
        self.nodes = list(self._proto.graph.node)
        self._reads: dict[str, int] = {}
        for node in self.nodes:
            for name in node.input:
                self._reads[name] = self._reads.get(name, 0) + 1
        for node in self.nodes:
            if node.op_type in ("Conv", "Gemm"):
                self._own(node)
        self._gates: dict[str, list[Any]] = {}

    def _own(self, node: Any) -> None:
        """Gives a layer weights and a bias of its own: a file may store equal ones once."""
        for i, name in enumerate(node.input):
            if i and name in self.values and self._reads[name] > 1:
                node.input[i] = f"{name} of {node.name}"
                self.values[node.input[i]] = self.values[name]

    def biased(self, node: Any) -> str:
        """The name of a layer's bias; adds a zero one if it has none."""
        if len(node.input) < 3:
            node.input.append(f"{node.input[1]}.bias")
            self.set(node.input[2], np.zeros(len(self.values[node.input[1]])))
        return str(node.input[2])

    def depthwise(self, node: Any) -> bool:
        """Whether every output channel of a layer reads one input channel of its own."""
        return node.op_type == "Conv" and _attribute(node, "group", 1) == len(self.values[node.input[1]]) > 1

    def rows(self, node: Any) -> Array | None:
        """A layer's weights [out, in, places], [channels, 1, places] of a depthwise one; None if they cannot be scaled."""
        weight = self.values[node.input[1]]
        if any(name not in self.values for name in node.input[1:]) or (node.op_type == "Gemm" and not _attribute(node, "transB", 0)):
            return None
        if node.op_type == "Conv" and _attribute(node, "group", 1) != 1 and not (self.depthwise(node) and weight.shape[1] == 1):
            return None
        return weight.reshape(*weight.shape[:2], -1).astype(np.float64)

    def set(self, name: str, value: Array) -> None:
        self.values[name] = value.astype(np.float32)

    def scale(self, group: Group, scale: Array) -> None:
        """Multiplies every channel of a group's tensors."""
        for node in group.producers:
            for name in node.input[1:]:
                value = self.values[name]
                self.set(name, value * scale.reshape(-1, *[1] * (value.ndim - 1)))
        for node in group.consumers:
            value = self.values[node.input[1]]
            along = (-1, 1) if self.depthwise(node) else (1, -1)
            self.set(node.input[1], value / scale.reshape(*along, *[1] * (value.ndim - 2)))
        for gate, _ in group.swishes:
            self._gates[gate.name] = self._scaled_gate(gate, scale)

    def _scaled_gate(self, gate: Any, scale: Array) -> list[Any]:
        """clip(x / 6s + 0.5, 0, 1)."""
        from onnx import helper

        name, count = gate.output[0], len(scale)
        constants = {
            "weight": (1 / (6 * scale)).reshape(count, 1, 1, 1),
            "bias": np.full(count, 0.5),
            "low": np.zeros(()),
            "high": np.ones(()),
        }
        for part, value in constants.items():
            self.set(f"{name}.{part}", value)
        layer = helper.make_node(
            "Conv",
            [gate.input[0], f"{name}.weight", f"{name}.bias"],
            [f"{name}.line"],
            name=f"{name}.line",
            group=count,
            kernel_shape=[1, 1],
        )
        return [layer, helper.make_node("Clip", [f"{name}.line", f"{name}.low", f"{name}.high"], [name], name=gate.name)]

    def model(self) -> bytes:
        from onnx import numpy_helper

        graph = self._proto.graph
        nodes = [new for node in self.nodes for new in self._gates.get(node.name, [node])]
        del graph.value_info[:], graph.initializer[:]
        kept = [type(node).FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(kept)
        graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in self.values.items())
        return bytes(self._proto.SerializeToString())


class _Noise:
    """The rounding noise in the outputs of a group's consumers, relative to their energy, as a function of the scales."""

    def __init__(self, group: Group, editor: _Editor, statistics: Mapping[str, Statistics]) -> None:
        weights = [editor.rows(node) for node in (*group.producers, *group.consumers)]
        self._count = count = len(editor.values[group.producers[0].input[1]])
        self.known = all(weight is not None for weight in weights) and all(
            node.input[0] in statistics and node.output[0] in statistics for node in group.consumers
        )
        if not self.known:
            return
        self._spans = _spans(group, editor.nodes, statistics, count)
        makers = {name: node for node in editor.nodes for name in node.output}
        self._consumers = []
        for node, weight in zip(group.consumers, weights[len(group.producers) :]):
            assert weight is not None
            depthwise = editor.depthwise(node)
            self.known = self.known and weight.shape[0 if depthwise else 1] == count
            energy = max(float(statistics[node.output[0]].square.sum()), np.finfo(np.float64).tiny)
            above = {name for name in _above(node.input[0], makers, set(group.tensors)) if name in self._spans}
            self._consumers.append((above, weight, depthwise, energy, statistics[node.input[0]].square))
        low, high = (np.max([span[i] for span in self._spans.values()] or [np.zeros(count)], axis=0) for i in (0, 1))
        self._live = np.maximum(low, high) > _DEAD
        self._low, self._high = low, high
        self.known = self.known and int(self._live.sum()) > 1

    def best(self) -> Array | None:
        """The scales with the least noise, float32 [channels]; None if none lowers it enough."""
        candidates = [(self._of(scale), scale) for scale in self._candidates()]
        least, scale = min(candidates, key=lambda pair: pair[0])
        return scale.astype(np.float32) if self._of(np.ones(self._count)) > _WORTH * least else None

    def _candidates(self) -> Iterable[Array]:
        with np.errstate(divide="ignore"):
            for span in _SPANS:
                whole = np.minimum(1 / self._high, span / self._low)
                whole[~self._live] = np.median(whole[self._live])
                whole /= np.exp(np.log(whole).mean())
                for strength in _STRENGTHS:
                    yield np.clip(whole**strength, 1 / _LARGEST, _LARGEST)

    def _of(self, scale: Array) -> float:
        live, total = self._live, 0.0
        steps = {name: ((scale * low)[live].max() + (scale * high)[live].max()) / _STEPS for name, (low, high) in self._spans.items()}
        for above, weight, depthwise, energy, square in self._consumers:
            # A uniform error of one step has a variance of step² / 12.
            rounding = sum(steps[name] ** 2 for name in above) / 12
            gain = (weight**2).sum((1, 2)) if depthwise else (weight**2).sum((0, 2))
            total += rounding * float((gain / scale**2)[live].sum()) / energy
            if not depthwise:
                step = np.abs(weight / scale[None, :, None]).max((1, 2)) / _WEIGHT_LEVELS
                total += float((step**2).sum()) / 12 * float((scale**2 * square).sum()) * weight.shape[2] / energy
        return total


def _spans(group: Group, nodes: list[Any], statistics: Mapping[str, Statistics], count: int) -> dict[str, tuple[Array, Array]]:
    """Rounded tensor -> the extent of each channel below and above zero."""
    before_swish = {gate.input[0] for gate, _ in group.swishes}
    fused = {node.input[0] for node in nodes if node.op_type == "Relu"}  # runtimes round behind it only
    spans = {}
    for name in group.tensors:
        if name in statistics and name not in fused and len(statistics[name].low) == count:
            low = np.maximum(-statistics[name].low, 0)
            spans[name] = np.minimum(low, _LOBE) if name in before_swish else low, np.maximum(statistics[name].high, 0)
    return spans


def _above(name: str, makers: Mapping[str, Any], within: set[str]) -> set[str]:
    """The group's tensors from which one is computed, itself included."""
    above, waiting = set(), [name]
    while waiting:
        name = waiting.pop()
        if name in within and name not in above:
            above.add(name)
            waiting += makers[name].input if makers[name].op_type not in ranges.WEIGHTED else []
    return above


def _measure(float_: FloatNetwork, photos: Pixels) -> Mapping[str, Statistics]:
    names = float_.maps()
    runs = [np.asarray(part, np.float64) for part in zip(*float_.statistics(names, photos))] if names else []
    lows, highs, means, squares = (runs[i::4] for i in range(4))
    return {name: Statistics(lows[i].min(0), highs[i].max(0), means[i].mean(0), squares[i].mean(0)) for i, name in enumerate(names)}


def _attribute(node: Any, name: str, default: int) -> int:
    return next((int(entry.i) for entry in node.attribute if entry.name == name), default)
