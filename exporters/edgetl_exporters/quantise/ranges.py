"""A float ONNX network for quantisation: its layers, and the values of its tensors on photos.

The numbers of layers hold for every format: the convolutions and fully connected layers have the same order in a TFLite or OpenVINO file of
the same network.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgetl.types import Array, Pixels
from edgetl_exporters.quiet import quiet

_GATES = {"Sigmoid": "SiLU", "HardSigmoid": "hard-swish"}
WEIGHTED = ("Conv", "Gemm", "MatMul")
RANGES = ("minmax", "mse")
"""Ranges of the integers of activations (see :meth:`FloatNetwork.ranges`); the first is the base recipes', the other a repair.

Why the base is the whole range: docs/evidence/int8-quantisers.md.
"""

_BINS = 2048
HISTOGRAM = 48
"""Photos for the histograms: unlike an extreme, a share of the values needs few."""

_SAMPLED = 65536
"""Most values of a tensor on a photo that are counted, evenly taken."""

_TINY = 1e-6
_AXES_AS_INPUT = 18
"""The opset from which ReduceMin, ReduceMax and ReduceMean take their axes as an input."""

_CLIPS = np.linspace(0.2, 1.0, 81)


@dataclasses.dataclass(frozen=True)
class Layer:
    """A convolution or fully connected layer, with everything up to the next one.

    Attributes:
        name: of its weights in the file they came from, without `.weight`.
        nodes: its nodes' names, the one with the weights first.
        output: the first tensor of it that another layer reads, or that leaves the network.
        map: whether it is a map of more than one place.
        weight: float32, one row per output channel first.
        depthwise: whether every output channel reads one input channel.
        activation: `SiLU` or `hard-swish`; empty for any other.
    """

    name: str
    nodes: tuple[str, ...]
    output: str
    map: bool
    weight: Array
    depthwise: bool
    activation: str


@dataclasses.dataclass(frozen=True)
class Extremes:
    """The smallest and the largest value of every float tensor on every photo.

    Attributes:
        tensors: their names.
        low: float32 [photos, tensors].
        high: float32 [photos, tensors].
    """

    tensors: tuple[str, ...]
    low: Array
    high: Array

    def ranges(self, count: int | None = None) -> Mapping[str, tuple[float, float]]:
        """Tensor -> its extremes over the first `count` photos."""
        low, high = self.low[:count].min(0), self.high[:count].max(0)
        return {name: (float(low[i]), float(high[i])) for i, name in enumerate(self.tensors)}


class FloatNetwork:
    """A float network, prepared for quantisation; photos uint8 [n, h, w, 3] are run one at a time.

    Attributes:
        model: the prepared file: constants folded, shapes inferred.
        input: its input's name.
        layers: in the order they run.
    """

    def __init__(self, model: bytes) -> None:
        import onnx

        self.model = _prepared(model)
        self._proto = onnx.load_from_string(self.model)
        (image,) = self._proto.graph.input
        self.input = image.name
        self._dtype = onnx.helper.tensor_dtype_to_np_dtype(image.type.tensor_type.elem_type)
        self.layers = tuple(_layers(self._proto))
        self._nodes = {node.name: node for node in self._proto.graph.node}
        self._ranges = functools.lru_cache(8)(self._ranged)
        self._extremes = functools.lru_cache(2)(self._measured)

    def normalisation(self) -> list[str]:
        """The computing nodes between the pixels and the first layer."""
        nodes = self._proto.graph.node
        first = next(i for i, node in enumerate(nodes) if node.name == self.layers[0].nodes[0])
        return [node.name for node in nodes[:first] if node.op_type != "Transpose"]

    def kind(self, node: str) -> str:
        """A node's operator."""
        return str(self._nodes[node].op_type)

    def feed(self, image: Pixels) -> Mapping[str, Array]:
        """One image [h, w, 3] as the network's input."""
        return {self.input: np.ascontiguousarray(image[None].astype(self._dtype, copy=False))}

    def extremes(self, photos: Pixels) -> Extremes:
        """The extremes of every float tensor on every photo."""
        return self._extremes(PhotoKey(photos))

    def _measured(self, photos: PhotoKey) -> Extremes:
        import onnx

        proto, names = self._copy(), self._floats()
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1], np.int64), "one value"))
        for kind in ("ReduceMin", "ReduceMax"):
            for name in names:
                proto.graph.node.append(onnx.helper.make_node(kind, [name], [f"{kind} {name}"], keepdims=0))
                proto.graph.node.append(onnx.helper.make_node("Reshape", [f"{kind} {name}", "one value"], [f"{kind} {name} flat"]))
            proto.graph.node.append(onnx.helper.make_node("Concat", [f"{kind} {name} flat" for name in names], [kind], axis=0))
        rows = list(self._run(proto, ["ReduceMin", "ReduceMax"], photos.pixels))
        return Extremes(tuple(names), np.stack([low for low, _ in rows]), np.stack([high for _, high in rows]))

    @property
    def graph(self) -> Any:
        """The prepared file's graph; must not be changed."""
        return self._proto.graph

    def copy(self) -> Any:
        """A copy of the prepared file that may be changed."""
        return self._copy()

    def maps(self) -> list[str]:
        """The float tensors [n, c, h, w] behind the normalisation, in the order of computation."""
        graph = self._proto.graph
        ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in (*graph.value_info, *graph.output)}
        before = {name for node in self.normalisation() for name in self._nodes[node].output}
        return [name for name in self._floats() if ranks.get(name) == 4 and name not in before]

    def statistics(self, names: list[str], photos: Pixels) -> Iterator[list[Array]]:
        """Per photo, of every tensor [1, c, h, w] and channel: the least value, the largest, the mean and the mean square, float32 [c]."""
        import onnx

        proto, outputs = self._copy(), []
        axes = onnx.numpy_helper.from_array(np.array([0, 2, 3], np.int64), "all but channels")
        proto.graph.initializer.append(axes)
        by_input = next(entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")) >= _AXES_AS_INPUT
        for name in names:
            proto.graph.node.append(onnx.helper.make_node("Mul", [name, name], [f"{name} squared"]))
            for kind, source in (("ReduceMin", name), ("ReduceMax", name), ("ReduceMean", name), ("ReduceMean", f"{name} squared")):
                inputs = [source, axes.name] if by_input else [source]
                settings = {} if by_input else {"axes": [0, 2, 3]}
                proto.graph.node.append(onnx.helper.make_node(kind, inputs, [f"{kind} {source}"], keepdims=0, **settings))
                outputs.append(f"{kind} {source}")
        return self._run(proto, outputs, photos)

    def channels(self, photos: Pixels) -> Mapping[str, Array]:
        """Tensor -> the largest absolute value of each channel, float32 [channels], for the layers' outputs that are maps."""
        import onnx

        names = [layer.output for layer in self.layers if layer.map]
        proto = self._copy()
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array([0, 2, 3], np.int64), "all but channels"))
        for name in names:
            proto.graph.node.append(onnx.helper.make_node("Abs", [name], [f"{name} size"]))
            proto.graph.node.append(onnx.helper.make_node("ReduceMax", [f"{name} size", "all but channels"], [f"{name} most"], keepdims=0))
        runs = list(self._run(proto, [f"{name} most" for name in names], photos))
        return {name: np.max([run[i] for run in runs], axis=0) for i, name in enumerate(names)}

    def outside(self, photos: Pixels, ranges: Mapping[str, tuple[float, float]]) -> Array:
        """The share of every layer's output that lies outside its range, float64 [photos, layers]."""
        import onnx

        proto = self._copy()
        for i, layer in enumerate(self.layers):
            low, high = (
                onnx.numpy_helper.from_array(np.array(value, np.float32), f"end {i} {n}") for n, value in enumerate(ranges[layer.output])
            )
            proto.graph.initializer.extend([low, high])
            for kind, inputs, name in (
                ("Clip", [layer.output, low.name, high.name], "within"),
                ("Sub", [layer.output, f"within {i}"], "rest"),
                ("Sign", [f"rest {i}"], "side"),
                ("Abs", [f"side {i}"], "out"),
            ):
                proto.graph.node.append(onnx.helper.make_node(kind, inputs, [f"{name} {i}"]))
            proto.graph.node.append(onnx.helper.make_node("ReduceMean", [f"out {i}"], [f"share {i}"], keepdims=0))
        return np.asarray(list(self._run(proto, [f"share {i}" for i in range(len(self.layers))], photos)), np.float64)

    def ranges(self, photos: Pixels, kind: str) -> Mapping[str, tuple[float, float]]:
        """Tensor -> the range of its integers.

        Args:
            photos: uint8 [n, h, w, 3].
            kind: one of :data:`RANGES`: `minmax`, all values; `mse`, the part of the extremes with the least energy of rounding
                and clipping errors.
        """
        return self._ranges(PhotoKey(photos), kind)

    def _ranged(self, photos: PhotoKey, kind: str) -> Mapping[str, tuple[float, float]]:
        if kind == "minmax":
            return self._extremes(photos).ranges()
        whole = self._ranges(photos, "minmax")
        return {name: cut(counts, *whole[name]) for name, counts in self._counts(photos.pixels[:HISTOGRAM], whole).items()}

    def _counts(self, photos: Pixels, whole: Mapping[str, tuple[float, float]]) -> Mapping[str, Array]:
        """Tensor -> the histogram of its values in 2048 equal bins of its whole range, int64 [2048]."""
        names = list(whole)
        counts = {name: np.zeros(_BINS, np.int64) for name in names}
        for values in self._run(self._copy(), names, photos):
            for name, value in zip(names, values):
                counts[name] += histogram(value, *whole[name])
        return counts

    def _copy(self) -> Any:
        import onnx

        proto = onnx.ModelProto()
        proto.CopyFrom(self._proto)
        return proto

    def _floats(self) -> list[str]:
        """The float tensors that depend on the photo."""
        import onnx

        graph = self._proto.graph
        kinds = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.output)}
        return [name for node in graph.node for name in node.output if kinds.get(name) == onnx.TensorProto.FLOAT]

    def _run(self, model: Any, outputs: list[str], photos: Pixels) -> Iterator[list[Array]]:
        """The tensors of these names, photo by photo."""
        import onnx

        del model.graph.output[:]
        model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in outputs)
        opened = session(model.SerializeToString())
        for photo in photos:
            yield opened.run(outputs, self.feed(photo))


@functools.lru_cache(4)
def read(model: bytes) -> FloatNetwork:
    """The network in an ONNX file, cached."""
    return FloatNetwork(model)


def session(model: bytes) -> Any:
    """An ONNX Runtime session on half of the cores, with exact integers."""
    import onnxruntime

    from edgetl import machine
    from edgetl.runtimes.onnxruntime import keep_integers_exact

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = max(1, machine.cores() // 2)
    options.log_severity_level = 4
    keep_integers_exact(options)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class PhotoKey:
    """Photos as the key of a cache: equal arrays are the same key."""

    def __init__(self, pixels: Pixels) -> None:
        self.pixels = pixels

    def __hash__(self) -> int:
        return hash(self.pixels[:1].tobytes())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PhotoKey) and (self.pixels is other.pixels or np.array_equal(self.pixels, other.pixels))


def _prepared(model: bytes) -> bytes:
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with quiet(), tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "float.onnx", Path(folder) / "prepared.onnx"
        before.write_bytes(model)
        quant_pre_process(os.fspath(before), os.fspath(after), skip_symbolic_shape=True)
        prepared = onnx.load(after)
    for number, node in enumerate(prepared.graph.node):
        # Inlined functions leave nodes without a name, but nodes are kept in float by their names.
        node.name = node.name or f"{node.op_type} {number}"
    return bytes(prepared.SerializeToString())


def _layers(model: Any) -> Iterator[Layer]:
    import onnx

    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    pairs: list[tuple[Any, list[Any]]] = []
    for node in model.graph.node:
        if node.op_type in WEIGHTED and len(node.input) > 1 and node.input[1] in weights:
            pairs.append((node, [node]))
        elif pairs:
            pairs[-1][1].append(node)
    shapes = {value.name: value.type.tensor_type.shape.dim for value in model.graph.value_info}
    for node, nodes in pairs:
        weight = onnx.numpy_helper.to_array(weights[node.input[1]])
        turned = node.op_type == "MatMul" or (node.op_type == "Gemm" and not any(a.name == "transB" and a.i for a in node.attribute))
        groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
        output = _output(model, nodes)
        yield Layer(
            name=node.input[1].removesuffix(".weight"),
            nodes=tuple(each.name for each in nodes),
            output=output,
            map=len(shape := shapes.get(output, ())) == 4 and shape[2].dim_value * shape[3].dim_value != 1,
            weight=weight.T if turned else weight,
            depthwise=groups > 1 and weight.shape[1] == 1,
            activation=_activation(nodes),
        )


def _output(model: Any, nodes: list[Any]) -> str:
    """The first tensor that these nodes compute and others read."""
    own = {node.name for node in nodes}
    read = {name for node in model.graph.node if node.name not in own for name in node.input} | {
        output.name for output in model.graph.output
    }
    return str(next(name for node in nodes for name in node.output if name in read))


def _activation(nodes: list[Any]) -> str:
    """The activation among a layer's nodes: x times sigmoid(x), or times its piecewise linear form."""
    gates = {name: node for node in nodes if node.op_type in _GATES for name in node.output}
    for node in nodes:
        if node.op_type == "HardSwish":
            return "hard-swish"
        for gate in (gates.get(name) for name in node.input if node.op_type == "Mul"):
            if gate is not None and gate.input[0] in node.input:
                return _GATES[gate.op_type]
    return ""


def histogram(values: Array, low: float, high: float) -> Array:
    """The histogram of at most :data:`_SAMPLED` values in 2048 equal bins of [low, high], int64 [2048]."""
    flat = values.reshape(-1)
    return np.histogram(flat[:: 1 + (flat.size - 1) // _SAMPLED], _BINS, (low, max(high, low + _TINY)))[0]


def cut(counts: Array, low: float, high: float) -> tuple[float, float]:
    """The fraction of [low, high] with the least squared error of rounding and clipping over the histogram."""
    values = low + (np.arange(_BINS) + 0.5) * (high - low) / _BINS
    low, high = min(low, 0.0), max(high, 0.0)
    lows, highs = low * _CLIPS[:, None], high * _CLIPS[:, None]
    step = np.maximum((highs - lows) / 255, np.finfo(np.float32).tiny)
    clipped = np.clip(values, lows, highs)
    # Rounding moves a value by step² / 12 on average, whatever the value.
    lost = ((clipped - values) ** 2 + step**2 / 12) @ counts
    best = float(_CLIPS[int(lost.argmin())])
    return low * best, high * best
