"""Keras networks in every format: TensorFlow's own converter to TFLite, and through ONNX to ONNX Runtime and OpenVINO."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgetl.errors import CalibrationError, ExportError
from edgetl.types import Array, Embeddings, ImageSpec, Pixels
from edgetl_exporters.backbones import keras_graph, keras_import, keras_network
from edgetl_exporters.backbones.keras_graph import Normalisation
from edgetl_exporters.convert import keras_to_tflite, to_onnx, to_openvino
from edgetl_exporters.quantise import equalisation, recipes
from edgetl_exporters.quantise.recipes import Recipe
from edgetl_exporters.quiet import quiet
from edgetl_exporters.sources.base import Source
from edgetl_exporters.sources.given import Given, channels

PREFIX, SUFFIX = "keras/", ".keras"

INT8_BOUND = 0.95
"""The lowest mean cosine of an int8 variant.

Measured over 48 ImageNet photos (50 for MobileNet), 200 others calibrating, with the trained weights of Coral's quantised files written
as float: MobileNetV2 0.989 in TFLite, 0.988 in ONNX, 0.993 in OpenVINO; MobileNet 0.994 in TFLite. For every other network it is a
guess that leaves room.
"""

_BATCH = 16
_NOTHING = Given()

_INT8 = Recipe(
    "keras-full-integer",
    "tflite",
    "int8",
    "every machine",
    127,
    correction="none",
    settings={"weights": "int8 per channel", "activations": "int8", "quantizer": "TFLiteConverter"},
)


class KerasSource(Source):
    """A network of keras.applications or of a `.keras` file (see :class:`edgetl_exporters.sources.base.Source`)."""

    def __init__(
        self,
        name: str,
        *,
        file: str | os.PathLike[str] | None = None,
        random: bool = False,
        seed: int = 0,
        given: Given = _NOTHING,
    ) -> None:
        """Builds or reads the network.

        Args:
            name: `keras/NETWORK`, or the path of a `.keras` file.
            file: local weights of a `keras/` network instead of the published ones.
            random: untrained weights of a `keras/` network.
            seed: of random weights.
            given: what a person says of a `.keras` file; mean, std and order where its network does not begin with a normalisation.

        Raises:
            ExportError: no such network or file, one that yields no embedding, or whose normalisation nobody tells.
            WeightsMissing: the weights are not here and could not be downloaded.
        """
        own = name.startswith(PREFIX)
        if own:
            if given.cut != "none":
                raise ExportError(f"{name}: is cut before its classifier already; --cut belongs to a file")
            network = keras_network.application(name[len(PREFIX) :], file=file, random=random, seed=seed)
        else:
            if random or file is not None:
                raise ExportError(f"{name}: holds its weights; --weights and --random-weights belong to a {PREFIX}... network")
            network = keras_network.from_file(Path(name), given.cut)
        self.name = name if own else Path(name).name
        self.package = "keras.applications" if own else "own file"
        self.weights, self._last, self.int8_bound = network.weights, network.last, INT8_BOUND
        self.notes = {"cut": network.cut} if network.cut else {}
        self.image = self._spec(network.model, given)
        self._before = self._normalisation(network, given)
        stated = self._before or network.inside or keras_graph.UNUSUAL
        self.mean, self.std = stated.mean, stated.std
        self._model, self.dim = self._sized(network.model)
        self._embed = keras_to_tflite.compiled(self._forward, self.image)
        self._onnx = functools.lru_cache(None)(lambda: keras_to_tflite.onnx(self._forward, self.image))

    def embed(self, tensors: Pixels) -> Embeddings:
        """See :meth:`Source.embed`: Keras itself."""
        batches = [tensors[i : i + _BATCH].astype(np.float32) for i in range(0, len(tensors), _BATCH)]
        with quiet():
            return np.concatenate([self._embed(batch).numpy() for batch in batches]).astype(np.float32)

    def recipe(self, format_: str, precision: str, wanted: str = "auto") -> Recipe:
        """See :meth:`Source.recipe`."""
        if (format_, wanted) == (_INT8.format, _INT8.name):
            wanted = "auto"
        found = recipes.recipe(format_, precision, wanted)
        if found.levels is None:
            return found
        return _INT8 if format_ == _INT8.format else dataclasses.replace(found, correction="none")

    def network(self, recipe: Recipe, photos: Pixels | None = None) -> bytes | None:
        """See :meth:`Source.network`; TensorFlow's converter leaves nothing to repair."""
        return None if recipe.format == _INT8.format else equalisation.network_for(recipe, self._onnx(), photos)

    def files(self, recipe: Recipe, photos: Pixels | None) -> Mapping[str, bytes]:
        """See :meth:`Source.files`."""
        if recipe.levels is None:
            if recipe.format == "tflite":
                return {"model.tflite": keras_to_tflite.tflite(self._forward, self.image)}
            if recipe.format == "onnx":
                return {"model.onnx": self._onnx()}
            return to_openvino.export(self._onnx(), compress=recipe.precision == "fp16")
        if photos is None:
            raise CalibrationError("int8 is calibrated with photos; give a folder of 120 or more with --calibrate FOLDER")
        if recipe.format == "tflite":
            return {"model.tflite": keras_to_tflite.tflite(self._forward, self.image, photos)}
        model = equalisation.network_for(recipe, self._onnx(), photos)
        if recipe.format == "onnx":
            return {"model.onnx": to_onnx.quantise(model, photos, recipe)}
        return to_openvino.quantise(model, photos, recipe)

    def libraries(self, format_: str) -> Sequence[str]:
        """See :meth:`Source.libraries`."""
        rest = {"tflite": (), "onnx": ("tf2onnx", "onnxruntime"), "openvino": ("tf2onnx", "onnxruntime", "openvino", "nncf")}
        return (keras_import.distribution(), "keras", *rest[format_])

    def classifier(self) -> tuple[Array, Array] | None:
        """See :meth:`Source.classifier`: the dense layer that was cut off."""
        return self._last

    def _forward(self, pixels: Any) -> Any:
        """Float pixels [n, h, w, 3] in [0, 255] -> embeddings [n, d], in TensorFlow."""
        return self._model(pixels if self._before is None else self._before(pixels), training=False)

    def _spec(self, model: Any, given: Given) -> ImageSpec:
        shape = list(model.inputs[0].shape)
        if len(shape) != 4 or shape[3] != 3:
            raise ExportError(f"{self.name}: takes {shape}, expected RGB images [None, height, width, 3]")
        return given.spec(self.name, (shape[2] or 0, shape[1] or 0), usual="bicubic" if "EfficientNetB" in self.name else "bilinear")

    def _normalisation(self, network: keras_network.Network, given: Given) -> Normalisation | None:
        """What has to become of pixels before the network; None where it does that itself."""
        if network.before is not None or network.inside is not None:
            if (given.mean, given.std, given.order) != (None, None, None):
                raise ExportError(f"{self.name}: has a normalisation of its own; leave --mean, --std and the order of channels away")
            return network.before
        if given.mean is None or given.std is None:
            raise ExportError(
                f"{self.name}: begins with no Rescaling or Normalization layer, so nothing says which pixel values it takes; give --mean "
                "and --std, e.g. 127.5 and 127.5 where it takes [-1, 1], 0 and 255 where it takes [0, 1], 0 and 1 where it takes [0, 255]"
            )
        mean, std = channels(self.name, "--mean", given.mean), channels(self.name, "--std", given.std)
        return Normalisation(mean, std, given.order == "bgr")

    def _sized(self, model: Any) -> tuple[Any, int]:
        """The network at one size, and the length of its embedding."""
        _, keras = keras_import.load()
        given = keras.Input((self.image.height, self.image.width, 3))
        made = model(given)
        shape = list(made.shape)
        if len(shape) != 2 or not isinstance(shape[1], int):
            raise ExportError(f"{self.name}: yields {shape}, expected an embedding [None, d]; end it with GlobalAveragePooling2D")
        return keras.Model(given, made), shape[1]
