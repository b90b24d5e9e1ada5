"""Keras networks in every format: TensorFlow's own converter to TFLite, and through ONNX to ONNX Runtime and OpenVINO."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgetl.errors import ExportError
from edgetl.types import Array, Embeddings, ImageSpec, Pixels
from edgetl_exporters.backbones import keras_graph, keras_import, keras_network
from edgetl_exporters.backbones.keras_graph import Normalisation
from edgetl_exporters.convert import keras_to_tflite
from edgetl_exporters.errors import file_error
from edgetl_exporters.quantise import calibration, equalisation, recipes
from edgetl_exporters.quantise.recipes import Recipe
from edgetl_exporters.quiet import quiet
from edgetl_exporters.sources.base import NetworkSource, from_onnx
from edgetl_exporters.sources.options import FileOptions, channels

PREFIX, SUFFIX = "keras/", ".keras"

INT8_BOUND = 0.95
"""The lowest mean cosine of an int8 variant: docs/evidence/keras-export.md."""

_BATCH = 16
_NOTHING = FileOptions()

_INT8 = Recipe(
    "keras-full-integer",
    "tflite",
    "int8",
    127,
    correction="none",
    settings={"weights": "int8 per channel", "activations": "int8", "quantizer": "TFLiteConverter"},
)


class KerasSource(NetworkSource):
    """A network of keras.applications or of a `.keras` file (see :class:`edgetl_exporters.sources.base.NetworkSource`)."""

    def __init__(
        self,
        name: str,
        *,
        file: str | os.PathLike[str] | None = None,
        random: bool = False,
        seed: int = 0,
        options: FileOptions = _NOTHING,
    ) -> None:
        """Builds or reads the network.

        Args:
            name: `keras/NETWORK`, or the path of a `.keras` file.
            file: local weights of a `keras/` network instead of the published ones.
            random: untrained weights of a `keras/` network.
            seed: of random weights.
            options: of a `.keras` file; mean, std and order only if its network does not begin with a normalisation.

        Raises:
            ExportError: no such network or file, one that yields no embedding, or one whose normalisation is unknown.
            WeightsMissing: the weights are not here and could not be downloaded.
        """
        own = name.startswith(PREFIX)
        if own:
            if options.cut != "none":
                raise ExportError(
                    f"{name}: is already cut before its classifier; --cut is for a file", code="option-not-for-backbone", options=["--cut"]
                )
            network = keras_network.application(name[len(PREFIX) :], file=file, random=random, seed=seed)
        else:
            if random or file is not None:
                raise ExportError(
                    f"{name}: contains its weights; --weights and --random-weights are for a {PREFIX}... network",
                    code="option-not-for-backbone", options=["--weights", "--random-weights"],
                )  # fmt: skip
            network = keras_network.from_file(Path(name), options.cut)
        self.name = name if own else Path(name).name
        self.package = "keras.applications" if own else "own file"
        self.weights, self._last, self.int8_bound = network.weights, network.last, INT8_BOUND
        self.notes = {"cut": network.cut} if network.cut else {}
        self.image = self._spec(network.model, options)
        self._before = self._normalisation(network, options)
        stated = self._before or network.inside or keras_graph.UNUSUAL
        self.mean, self.std = stated.mean, stated.std
        self._model, self.dim = self._sized(network.model)
        self._embed = keras_to_tflite.compiled(self._forward, self.image)
        self._onnx = functools.lru_cache(None)(lambda: keras_to_tflite.onnx(self._forward, self.image))

    def embed(self, tensors: Pixels) -> Embeddings:
        """See :meth:`NetworkSource.embed`: Keras itself."""
        batches = [tensors[i : i + _BATCH].astype(np.float32) for i in range(0, len(tensors), _BATCH)]
        with quiet():
            return np.concatenate([self._embed(batch).numpy() for batch in batches]).astype(np.float32)

    def recipe(self, format_: str, precision: str, wanted: str = "auto") -> Recipe:
        """See :meth:`NetworkSource.recipe`."""
        if (format_, wanted) == (_INT8.format, _INT8.name):
            wanted = "auto"
        recipe = recipes.recipe(format_, precision, wanted)
        if recipe.levels is None:
            return recipe
        return _INT8 if format_ == _INT8.format else dataclasses.replace(recipe, correction="none")

    def network(self, recipe: Recipe, photos: Pixels | None = None) -> bytes | None:
        """See :meth:`NetworkSource.network`; None for TFLite, which TensorFlow's own converter quantises."""
        return None if recipe.format == _INT8.format else equalisation.network_for(recipe, self._onnx(), photos)

    def files(self, recipe: Recipe, photos: Pixels | None) -> Mapping[str, bytes]:
        """See :meth:`NetworkSource.files`."""
        if recipe.levels is not None and photos is None:
            raise calibration.missing()
        if recipe.format == "tflite":
            return {"model.tflite": keras_to_tflite.tflite(self._forward, self.image, photos if recipe.levels else None)}
        return from_onnx(equalisation.network_for(recipe, self._onnx(), photos), recipe, photos)

    def libraries(self, format_: str) -> Sequence[str]:
        """See :meth:`NetworkSource.libraries`."""
        rest = {"tflite": (), "onnx": ("tf2onnx", "onnxruntime"), "openvino": ("tf2onnx", "onnxruntime", "openvino")}
        return (keras_import.distribution(), "keras", *rest[format_])

    def classifier(self) -> tuple[Array, Array] | None:
        """See :meth:`NetworkSource.classifier`: the dense layer that was cut off."""
        return self._last

    def _forward(self, pixels: Any) -> Any:
        """Float pixels [n, h, w, 3] in [0, 255] -> embeddings [n, d], in TensorFlow."""
        return self._model(pixels if self._before is None else self._before(pixels), training=False)

    def _spec(self, model: Any, options: FileOptions) -> ImageSpec:
        shape = list(model.inputs[0].shape)
        if len(shape) != 4 or shape[3] != 3:
            raise file_error(
                self.name, f"its input is {shape}, expected RGB images [None, height, width, 3]", code="input-shape", shape=shape
            )
        return options.spec(self.name, (shape[2] or 0, shape[1] or 0), usual="bicubic" if "EfficientNetB" in self.name else "bilinear")

    def _normalisation(self, network: keras_network.KerasNetwork, options: FileOptions) -> Normalisation | None:
        """The normalisation of pixels before the network; None if the network normalises them itself."""
        if network.before is not None or network.inside is not None:
            if (options.mean, options.std, options.order) != (None, None, None):
                raise file_error(self.name, "normalises pixels itself; omit --mean, --std and --order", code="normalisation-unusable")
            return network.before
        if options.mean is None or options.std is None:
            raise file_error(
                self.name,
                "does not begin with a Rescaling or Normalization layer, so its pixel values are unknown; give --mean "
                "and --std, e.g. 127.5 and 127.5 if it takes [-1, 1], 0 and 255 if it takes [0, 1], 0 and 1 if it takes [0, 255]",
                code="normalisation-missing",
            )
        mean, std = channels(self.name, "--mean", options.mean), channels(self.name, "--std", options.std)
        return Normalisation(mean, std, options.order == "bgr")

    def _sized(self, model: Any) -> tuple[Any, int]:
        """The network at one size, and the length of its embedding."""
        _, keras = keras_import.load()
        image = keras.Input((self.image.height, self.image.width, 3))
        embedding = model(image)
        shape = list(embedding.shape)
        if len(shape) != 2 or not isinstance(shape[1], int):
            raise file_error(
                self.name,
                f"its output is {shape}, expected an embedding [None, d]; end it with GlobalAveragePooling2D",
                code="embedding-shape", shape=shape,
            )  # fmt: skip
        return keras.Model(image, embedding), shape[1]
