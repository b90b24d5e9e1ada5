"""Reads from a Keras network's graph how it normalises images, and where its classifier begins."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from edgetl.types import Array
from edgetl_exporters.backbones import keras_import
from edgetl_exporters.errors import file_error

_NORMALISING = ("Rescaling", "Normalization", "Add", "Subtract", "Multiply", "Divide", "TrueDivide", "GetItem", "Stack")
"""Operations of Keras that work on each pixel alone; the last two reverse the channels' order."""

_AUGMENTING = "Random"
"""Prefix of the names of augmenting layers, which do nothing outside of training."""

_TAIL = ("Activation", "Softmax", "Dropout")
"""Layers that may follow a classifier's dense layer."""


@dataclasses.dataclass(frozen=True)
class Normalisation:
    """The normalisation of an image: (pixel - mean) / std, then the channels' order reversed if `bgr`.

    Attributes:
        mean: of red, green and blue, pixel values in [0, 255].
        std: the same.
        bgr: whether blue comes first (Caffe's order).
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    bgr: bool = False

    def __call__(self, pixels: Any) -> Any:
        """Normalises float pixels [n, h, w, 3], of numpy or TensorFlow."""
        mean, std = (np.array(values, np.float32) for values in (self.mean, self.std))
        values = (pixels - mean) * (1 / std)
        return values[..., ::-1] if self.bgr else values


UNUSUAL = Normalisation((127.5,) * 3, (127.5,) * 3)
"""Stands for a normalisation that is not of this form; only its rough size matters."""


def affine(normalise: Callable[[Array], Any], height: int = 1, width: int = 1) -> Normalisation:
    """The normalisation that a function of images float32 [n, h, w, 3] computes, from its values for black and three colours.

    Raises:
        ValueError: it is not of the form of :class:`Normalisation`.
    """
    colours = np.vstack([np.zeros((1, 3)), 255 * np.eye(3)]).astype(np.float32)
    values = np.asarray(normalise(np.tile(colours[:, None, None], (1, height, width, 1))), np.float64)[:, 0, 0]
    offset, gain = values[0], (values[1:] - values[0]) / 255
    bgr = bool(abs(gain[0, 2]) > abs(gain[0, 0]))
    if bgr:
        offset, gain = offset[::-1], gain[:, ::-1]
    own = np.diag(gain)
    if not np.allclose(gain, np.diag(own), atol=1e-6) or not own.all():
        raise ValueError("the channels are mixed")
    # Float32 has seven digits: 0.9999999 was written as 1.
    (red, green, blue), std = np.round([-offset / own + 0.0, 1 / own], 4).tolist()
    return Normalisation((red, green, blue), tuple(std), bgr)


def inside(model: Any) -> Normalisation | None:
    """The normalisation with which a network begins; None if it expects normalised images."""
    front = _front(model)
    if front is None:
        return None
    _, height, width, _ = front.inputs[0].shape
    try:
        return affine(front, height or 8, width or 8)
    except ValueError:
        return UNUSUAL


def functional(model: Any) -> Any:
    """A model with one input and one output as the graph of its operations, which a `Sequential` is not yet."""
    _, keras = keras_import.load()
    return keras.Model(model.inputs[0], model.outputs[0])


def before_last_dense(model: Any, name: str) -> tuple[Any, tuple[Array, Array], str]:
    """Cuts a classifier.

    Args:
        model: functional, with one output.
        name: for the error.

    Returns:
        The model that yields the input of the last dense layer, that layer's weights float32 [c, d] and bias [c], and its name.

    Raises:
        ExportError: `classifier-not-found`: it does not end in a dense layer with activation and dropout.
    """
    _, keras = keras_import.load()
    operation, inputs = _maker(model.outputs[0])
    while type(operation).__name__ in _TAIL:
        operation, inputs = _maker(inputs[0])
    if isinstance(operation, keras.Model):
        inner, last, where = before_last_dense(functional(operation), name)
        return keras.Model(model.inputs[0], inner(inputs[0])), last, where
    if not isinstance(operation, keras.layers.Dense):
        raise file_error(
            name,
            f"ends in {type(operation).__name__} {operation.name!r}, expected a classifier's Dense layer; name a layer with --cut LAYER",
            code="classifier-not-found", operator=type(operation).__name__,
        )  # fmt: skip
    kernel = operation.kernel.numpy().astype(np.float32)
    bias = np.zeros(kernel.shape[1], np.float32) if operation.bias is None else operation.bias.numpy().astype(np.float32)
    return keras.Model(model.inputs[0], inputs[0]), (np.ascontiguousarray(kernel.T), bias), operation.name


def behind(model: Any, layer: str, name: str) -> Any:
    """Cuts a functional model after a layer.

    Raises:
        ExportError: `tensor-unknown`: it has no layer of this name.
    """
    _, keras = keras_import.load()
    named = [operation for operation in model.operations if operation.name == layer]
    if not named:
        last = [operation.name for operation in model.operations[-5:]]
        raise file_error(
            name,
            f"no layer {layer!r} to cut after; the last ones are {', '.join(last)} (or use --cut auto)",
            code="tensor-unknown", tensor=layer, near=last,
        )  # fmt: skip
    return keras.Model(model.inputs[0], named[0].output)


def ends_in_softmax(model: Any) -> bool:
    """Whether a functional model yields class scores."""
    operation, _ = _maker(model.outputs[0])
    activation = getattr(operation, "activation", None)
    return type(operation).__name__ == "Softmax" or getattr(activation, "__name__", "") == "softmax"


def _maker(tensor: Any) -> tuple[Any, list[Any]]:
    """The operation that makes a symbolic tensor, and its inputs."""
    history = tensor._keras_history
    return history.operation, history.operation._inbound_nodes[history.node_index].input_tensors


def _operations(model: Any) -> list[Any]:
    operations = model.operations if hasattr(model, "operations") else model.layers
    return [operation for operation in operations if type(operation).__name__ != "InputLayer" and not _augments(operation)]


def _augments(operation: Any) -> bool:
    if hasattr(operation, "layers"):
        return not _operations(operation)
    return type(operation).__name__.startswith(_AUGMENTING)


def _front(model: Any) -> Any:
    """The leading operations that work on each pixel alone, as a model, if any."""
    _, keras = keras_import.load()
    last = None
    for operation in _operations(model):
        if last is None and hasattr(operation, "layers"):
            return _front(operation)
        if type(operation).__name__ not in _NORMALISING:
            break
        last = operation
    if last is None or len(last.output.shape) != 4 or last.output.shape[-1] != 3:
        return None
    return keras.Model(model.inputs[0], last.output)
