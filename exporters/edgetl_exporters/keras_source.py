"""Keras networks in every format: TensorFlow's own converter to TFLite, and through ONNX to ONNX Runtime and OpenVINO."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgetl.errors import CalibrationError, ExportError
from edgetl.types import Array, Embeddings, ImageSpec, Pixels
from edgetl_exporters import keras_format, keras_graph, keras_import, keras_network, openvino_format, recipes
from edgetl_exporters.keras_graph import Normalisation
from edgetl_exporters.quiet import quiet
from edgetl_exporters.recipes import Recipe
from edgetl_exporters.source import Source

PREFIX = "keras/"
SUFFIX = ".keras"

_BATCH = 16
_CROP = 0.875
"""The share of the short side that TensorFlow's image networks were judged on."""

_INT8 = Recipe(
    "keras-full-integer",
    "tflite",
    "int8",
    "every machine",
    127,
    settings={"weights": "int8 per channel", "activations": "int8", "quantizer": "tensorflow TFLiteConverter", "ranges": "minmax"},
)


class KerasSource(Source):
    """A network of keras.applications or of a `.keras` file (see :class:`edgetl_exporters.source.Source`)."""

    def __init__(
        self,
        name: str,
        *,
        file: str | os.PathLike[str] | None = None,
        random: bool = False,
        seed: int = 0,
        image: ImageSpec | None = None,
        mean: tuple[float, float, float] | None = None,
        std: tuple[float, float, float] | None = None,
        cut: str | None = None,
    ) -> None:
        """Builds or reads the network.

        Args:
            name: `keras/NETWORK`, or the path of a `.keras` file.
            file: local weights of a `keras/` network instead of the published ones.
            random: untrained weights of a `keras/` network.
            seed: of random weights.
            image: how photos become the input; None for the network's own size.
            mean: subtracted from each channel, pixel values; None for what the network does itself.
            std: each channel is then divided by it, pixel values.
            cut: of a `.keras` file: None where it yields the embedding, `auto` before its last dense layer, or a layer's name: after it.

        Raises:
            ExportError: no such network or file, one that does not yield an embedding, or whose normalisation nobody tells.
            WeightsMissing: the weights are not here and could not be downloaded.
        """
        own = name.startswith(PREFIX)
        if cut is not None if own else file is not None or random:
            raise ExportError(f"{name}: --cut belongs to a .keras file, --weights and --random-weights to a {PREFIX} network")
        if own:
            network = keras_network.application(name[len(PREFIX) :], file=file, random=random, seed=seed)
        else:
            network = keras_network.from_file(Path(name), cut)
        self.name, self.weights, self._last = name if own else Path(name).name, network.weights, network.last
        self.package = "keras.applications" if own else f"Keras file {self.name}"
        self.notes = {"cut": network.cut} if network.cut else {}
        self.image = _image(name, network.model, image)
        self._before = _normalisation(name, network, mean, std)
        stated = self._before or network.inside or keras_graph.UNUSUAL
        self.mean, self.std = stated.mean, stated.std
        self._model, self.dim = _sized(name, network.model, self.image)
        self.int8_bound = 0.95
        self._onnx = functools.lru_cache(None)(lambda: keras_format.onnx(self._forward, self.image))

    def embed(self, tensors: Pixels) -> Embeddings:
        """See :meth:`Source.embed`: Keras itself."""
        with quiet():
            rows = [self._embed(tensors[i : i + _BATCH].astype(np.float32)) for i in range(0, len(tensors), _BATCH)]
        return np.concatenate(rows).astype(np.float32)

    def recipe(self, format_: str, precision: str, wanted: str = "auto") -> Recipe:
        """See :meth:`Source.recipe`."""
        if precision == "int8" and format_ != "tflite":
            raise ExportError(f"{self.name}: Keras networks become int8 in TFLite; {format_} is offered in fp32 and OpenVINO in fp16 too")
        found = recipes.recipe(format_, precision, "auto" if wanted == _INT8.name else wanted)
        return found if found.levels is None else _INT8

    def files(self, recipe: Recipe, photos: Pixels | None) -> Mapping[str, bytes]:
        """See :meth:`Source.files`."""
        if recipe.levels and photos is None:
            raise CalibrationError("int8 is calibrated with photos; give a folder of 120 or more with --calibrate FOLDER")
        if recipe.format == "tflite":
            return {"model.tflite": keras_format.tflite(self._forward, self.image, photos if recipe.levels else None)}
        if recipe.format == "onnx":
            return {"model.onnx": self._onnx()}
        return openvino_format.export(self._onnx(), compress=recipe.precision == "fp16")

    def libraries(self, format_: str) -> Sequence[str]:
        """See :meth:`Source.libraries`."""
        rest = {
            "tflite": ("ai-edge-litert",),
            "onnx": ("tf2onnx", "onnxruntime"),
            "openvino": ("tf2onnx", "onnxruntime", "openvino", "nncf"),
        }
        return (keras_import.distribution(), "keras", *rest[format_])

    def classifier(self) -> tuple[Array, Array] | None:
        """See :meth:`Source.classifier`: the dense layer that was cut off."""
        return self._last

    def _forward(self, pixels: Any) -> Any:
        """Float pixels [n, h, w, 3] in [0, 255] -> embeddings [n, d], in TensorFlow."""
        return self._model(pixels if self._before is None else self._before(pixels), training=False)

    def _embed(self, pixels: Array) -> Array:
        return np.asarray(self._forward(pixels))


def _image(name: str, model: Any, image: ImageSpec | None) -> ImageSpec:
    """The image spec: the given one, which has to fit, or one of the network's own size."""
    shape = tuple(model.inputs[0].shape)
    if len(shape) != 4 or shape[3] != 3:
        raise ExportError(f"{name}: takes {list(shape)}, expected an RGB image [None, height, width, 3]")
    _, height, width, _ = shape
    if image is None and None in (height, width):
        raise ExportError(f"{name}: takes images of any size {list(shape)}; give one with --size")
    if image is None:
        short = round(max(height, width) / _CROP)
        return ImageSpec(width, height, short, filter="bicubic" if "EfficientNetB" in name else "bilinear")
    if height not in (None, image.height) or width not in (None, image.width):
        raise ExportError(f"{name}: takes images of {height} x {width}, not of {image.height} x {image.width} (height x width)")
    return image


def _normalisation(
    name: str, network: keras_network.Network, mean: tuple[float, float, float] | None, std: tuple[float, float, float] | None
) -> Normalisation | None:
    """What has to become of pixels before the network.

    Raises:
        ExportError: nobody tells.
    """
    if (mean is None) != (std is None):
        raise ExportError(f"{name}: --mean and --std belong together; give both")
    if mean is not None and std is not None:
        if network.before is not None or network.inside is not None:
            raise ExportError(f"{name}: has a normalisation of its own; leave --mean and --std out")
        return Normalisation(mean, std)
    if network.before is None and network.inside is None:
        raise ExportError(
            f"{name}: begins with no Rescaling or Normalization layer, so nothing says how it was trained; "
            "give --mean and --std in pixel values (127.5 and 127.5 where it expects [-1, 1], 0 and 255 where it expects [0, 1])"
        )
    return network.before


def _sized(name: str, model: Any, image: ImageSpec) -> tuple[Any, int]:
    """The network at one size, and the length of its embedding.

    Raises:
        ExportError: what it yields is no embedding.
    """
    _, keras = keras_import.load()
    given = keras.Input((image.height, image.width, 3))
    made = model(given)
    shape = list(made.shape)
    if len(shape) != 2 or not isinstance(shape[1], int):
        raise ExportError(f"{name}: yields {shape}, expected an embedding [None, d]; end it with GlobalAveragePooling2D")
    return keras.Model(given, made), shape[1]
