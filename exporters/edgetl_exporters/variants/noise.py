"""Measures the noise that integers add in each layer itself, without the noise of the layers before it.

Beside the float network a second one runs whose layers are quantised, but have the inputs of the float layers. The difference of a layer's
two outputs is its own noise, and its signal-to-noise ratio is 10 log10(signal energy / noise energy), dB.

Little noise early may matter more than much noise in a branch without influence. So for the noisiest layers the noise of each one alone is
added to its output, and the loss of the embedding's cosine is measured.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from edgetl.types import Array, Pixels
from edgetl_exporters import parity
from edgetl_exporters.quantise import ranges

PHOTOS = 16
"""Photos on which a layer's noise is measured."""

_EXAMINED, _EXAMINING = 12, 6
"""Layers, the first and the noisiest, whose effect on the embedding is measured, and the photos for it."""

_QUIET = 120.0
"""Largest ratio, dB; above it nothing was rounded."""


@dataclasses.dataclass(frozen=True)
class LayerNoise:
    """One layer's own noise.

    Attributes:
        number: of the layer, in the order they run.
        name: of its weights.
        snr: its output's signal-to-noise ratio, dB.
        lost: loss of the embedding's mean cosine by its noise alone; 0 if not measured.
    """

    number: int
    name: str
    snr: float
    lost: float


def ratio(signal: Array, noise: Array) -> Array:
    """Signal-to-noise ratios from energies, dB; at most 120.

    Args:
        signal: energies, of any shape.
        noise: energies, of the same shape.
    """
    floor = np.finfo(np.float64).tiny
    result: Array = np.minimum(10 * np.log10(np.maximum(signal, floor) / np.maximum(noise, floor)), _QUIET)
    return result


def measure(model: bytes, quantised: bytes, photos: Pixels) -> tuple[LayerNoise, ...]:
    """The noise of every layer, the costliest for the embedding first.

    Args:
        model: the float ONNX model.
        quantised: the QDQ model that was made from it.
        photos: uint8 [n, h, w, 3]; the first :data:`PHOTOS` are run.
    """
    float_ = ranges.read(model)
    count = len(float_.layers)
    run = _Runner(float_, quantised)
    energies = np.asarray([run(photo, np.zeros(count))[:2] for photo in photos[:PHOTOS]], np.float64).sum(0)
    ratios = ratio(energies[0], energies[1])
    lost = np.zeros(count)
    expected = [run(photo, np.zeros(count))[2] for photo in photos[:_EXAMINING]]
    for number in dict.fromkeys([0, *np.argsort(ratios)[:_EXAMINED]]):
        alone = np.eye(count)[number]
        changed = [run(photo, alone)[2] for photo in photos[:_EXAMINING]]
        lost[number] = 1 - parity.cosines(np.concatenate(expected), np.concatenate(changed)).mean()
    result = [LayerNoise(i, layer.name, float(ratios[i]), float(lost[i])) for i, layer in enumerate(float_.layers)]
    return tuple(sorted(result, key=lambda layer: (-layer.lost, layer.snr)))


class _Runner:
    """Runs a photo with the noise of some layers added to their outputs."""

    def __init__(self, float_: ranges.FloatNetwork, quantised: bytes) -> None:
        self._float, twins = float_, _Twins(float_, quantised)
        self._session = ranges.session(twins.model())
        self._outputs = ["signal", "noise", twins.embedding]

    def __call__(self, photo: Pixels, added: Array) -> list[Array]:
        """Energies of signal and noise [layers] each, and the embedding [1, d].

        Args:
            photo: uint8 [h, w, 3].
            added: factor of every layer's noise, [layers].
        """
        feed = {**self._float.feed(photo), "added": added.astype(np.float32)}
        values: list[Array] = self._session.run(self._outputs, feed)
        return values


class _Twins:
    """The float graph, and beside it each layer quantised alone; the twin of tensor `t` is `twin:t`."""

    def __init__(self, float_: ranges.FloatNetwork, quantised: bytes) -> None:
        import onnx

        self._float, self._model_proto = float_, onnx.load_from_string(float_.model)
        graph = onnx.load_from_string(quantised).graph
        self._nodes = {node.name: node for node in graph.node}
        self._makers = {name: node for node in graph.node for name in node.output}
        self._float_makers = {name: node for node in self._model_proto.graph.node for name in node.output}
        own = {tensor.name for tensor in self._model_proto.graph.initializer}
        self._constants = own | {tensor.name for tensor in graph.initializer}
        self._model_proto.graph.initializer.extend(tensor for tensor in graph.initializer if tensor.name not in own)
        self._model_proto.opset_import[0].version = max(self._model_proto.opset_import[0].version, 13)

    def model(self) -> bytes:
        """One file with the outputs `signal` and `noise`, the energies of every layer's output and of its twin's difference from it.

        A further input `added` [layers] is the factor of that difference in what the following layers read.
        """
        import onnx

        for layer in self._float.layers:
            self._layer(layer)
        numbers = range(len(self._float.layers))
        self.embedding = self._mix()
        self._model_proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1], np.int64), "one value"))
        for kind in ("signal", "noise"):
            for i in numbers:
                self._add(
                    "ReduceSumSquare",
                    [self._float.layers[i].output if kind == "signal" else f"difference {i}"],
                    f"{kind} {i} all",
                    keepdims=0,
                )
                self._add("Reshape", [f"{kind} {i} all", "one value"], f"{kind} {i}")
            self._add("Concat", [f"{kind} {i}" for i in numbers], kind, axis=0)
        del self._model_proto.graph.output[:]
        outputs = ("signal", "noise", self.embedding)
        self._model_proto.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in outputs)
        return bytes(self._model_proto.SerializeToString())

    def _mix(self) -> str:
        """Adds each layer's share of noise to all readers of its output; returns the name of the embedding."""
        import onnx

        graph = self._model_proto.graph
        graph.input.append(onnx.helper.make_tensor_value_info("added", onnx.TensorProto.FLOAT, [len(self._float.layers)]))
        mixed = {layer.output: f"mixed {number}" for number, layer in enumerate(self._float.layers)}
        differences = {f"difference {number}" for number in range(len(self._float.layers))}
        for node in graph.node:
            if node.output[0] not in differences:
                for i, name in enumerate(node.input):
                    node.input[i] = mixed.get(name, name)
        for number, layer in enumerate(self._float.layers):
            graph.initializer.append(onnx.numpy_helper.from_array(np.array(number, np.int64), f"number {number}"))
            self._add("Gather", ["added", f"number {number}"], f"share {number}")
            self._add("Mul", [f"difference {number}", f"share {number}"], f"part {number}")
            self._add("Sub", [layer.output, f"part {number}"], f"mixed {number}")
        embedding = str(graph.output[0].name)
        return mixed.get(embedding, embedding)

    def _layer(self, layer: ranges.Layer) -> None:
        number = self._float.layers.index(layer)
        kept = [self._nodes[name] for name in layer.nodes if name in self._nodes]
        inside = {name for node in kept for name in node.output}
        for node in kept:
            self._copy(node, [self._read(name, inside) for name in node.input], "twin")
        # The input of the next layer: clipping and rounding belong to this layer.
        last = self._end(layer.output)
        pair = next((node for node in self._nodes.values() if node.op_type == "QuantizeLinear" and node.input[0] == last), None)
        end = f"twin:{last}" if pair is None else self._through(pair, f"twin:{last}", "end")
        self._add("Sub", [layer.output, end], f"difference {number}")

    def _end(self, output: str) -> str:
        """The quantised graph's name of a layer's output, without operators that only clip to the integers' own range."""
        node = self._float_makers[output]
        while node.name not in self._nodes:
            node = self._float_makers[node.input[0]]
        return str(self._nodes[node.name].output[0])

    def _read(self, name: str, inside: set[str]) -> str:
        """The input of a twin for the quantised node's input `name`: a twin within its own layer, else the float tensor."""
        maker = self._makers.get(name)
        if maker is None or name in self._constants:
            return name
        if name in inside:
            return f"twin:{name}"
        if maker.op_type != "DequantizeLinear":
            return name
        source = self._makers.get(maker.input[0])
        if source is None:  # weights
            self._copy(maker, list(maker.input), "twin")
            return f"twin:{name}"
        rounded = source.input[0]
        if rounded in inside:
            return self._through(source, f"twin:{rounded}", "in")
        return self._through(source, self._float_name(rounded), "from float")

    def _float_name(self, name: str) -> str:
        return name.removesuffix("_QuantizeLinear_Input")

    def _through(self, pair: Any, source: str, turn: str) -> str:
        """A tensor after its quantisation and back."""
        back = next(node for node in self._nodes.values() if node.op_type == "DequantizeLinear" and node.input[0] == pair.output[0])
        self._copy(pair, [source, *pair.input[1:]], turn)
        return self._copy(back, [f"{turn}:{pair.output[0]}", *back.input[1:]], turn)

    def _copy(self, node: Any, inputs: list[str], prefix: str) -> str:
        copied = type(node)()
        copied.CopyFrom(node)
        copied.name = f"{prefix}:{node.name}"
        del copied.input[:], copied.output[:]
        copied.input.extend(inputs)
        copied.output.extend(f"{prefix}:{name}" for name in node.output)
        if not any(other.name == copied.name for other in self._model_proto.graph.node):
            self._model_proto.graph.node.append(copied)
        return str(copied.output[0])

    def _add(self, kind: str, inputs: list[str], output: str, **settings: Any) -> None:
        import onnx

        self._model_proto.graph.node.append(onnx.helper.make_node(kind, inputs, [output], **settings))
