"""Your own .onnx or .tflite file as a source of variants."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Union

import numpy as np

from edgetl.bundle.bundle import FAMILIES
from edgetl.errors import EdgetlError, ExportError
from edgetl.runtimes import open_runtime
from edgetl.types import Array, Embeddings, Pixels
from edgetl_exporters import pictures
from edgetl_exporters.backbones.backbone import Weights
from edgetl_exporters.convert import to_tflite
from edgetl_exporters.errors import file_error
from edgetl_exporters.quantise import calibration, equalisation, recipes
from edgetl_exporters.quantise.recipes import Recipe
from edgetl_exporters.quiet import quiet
from edgetl_exporters.sources.base import NetworkSource, from_onnx
from edgetl_exporters.sources.options import Channels, FileOptions, channels

if TYPE_CHECKING:
    from edgetl_exporters.sources.onnx_network import OnnxNetwork
    from edgetl_exporters.sources.tflite_network import TfliteNetwork

NetworkFile = Union["OnnxNetwork", "TfliteNetwork"]
"""A network file of one format; both classes have the same attributes and methods."""

SUFFIXES = (".onnx", ".tflite")
INT8_BOUND = 0.95
"""The lowest mean cosine of an int8 variant: as for backbones whose quantisation was not measured."""

_CLASSES = (1000, 1001)
"""Output lengths that mean ImageNet's classes, without and with a background class, and not an embedding."""

_OFFERED: Mapping[tuple[str, str], Mapping[str, tuple[str, ...]]] = {
    ("onnx", "fp32"): {"onnx": ("fp32", "int8"), "tflite": ("fp32", "int8"), "openvino": ("fp32", "fp16", "int8")},
    ("onnx", "int8"): {"onnx": ("int8",), "openvino": ("int8",)},
    ("tflite", "fp32"): {"tflite": ("fp32", "int8")},
    ("tflite", "fp16"): {"tflite": ("fp16",)},
    ("tflite", "int8"): {"tflite": ("int8",)},
}


_PATIENCE = 120
"""Longest time of one embedding, s; the slowest backbone here takes 0.2."""

_SCENES = 2
"""Drawn scenes that a file is tested with."""

_TRIAL = """
import sys
import numpy as np
from edgetl.runtimes import open_runtime
family, height, width = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
open_runtime(family, {"model": sys.stdin.buffer.read()}, 1).embed(np.zeros((1, height, width, 3), np.uint8))
"""


_NOTHING = FileOptions()


class FileSource(NetworkSource):
    """A file that yields an embedding, or a classifier that is cut before its last layer."""

    def __init__(self, file: str | os.PathLike[str], options: FileOptions = _NOTHING) -> None:
        """Reads, cuts and tests the file.

        Args:
            file: an `.onnx` or `.tflite` file.
            options: where it is cut, and which pixels it takes.

        Raises:
            ExportError: a damaged file, one that cannot embed photos, or one that needs another option.
        """
        path = Path(file)
        content = _content(path)
        self._network = opened(path.name, content)
        self._tflite = functools.lru_cache(2)(self._convert)
        self.name, self.package, self.int8_bound = path.name, "own file", INT8_BOUND
        self.weights = Weights(f"local file {path.name}", hashlib.sha256(content).hexdigest(), False)
        self.format = path.suffix[1:].lower()
        self.offered = _OFFERED[self.format, self._network.precision]
        with _contradictions(path.name):
            cut_at = self._cut(options.cut)
        stated = self._network.stated
        self.image = options.spec(self.name, self._network.size, stated.image)
        bgr = (options.order or stated.order or "rgb") == "bgr"
        self.mean, self.std = self._normalisation(options, bgr)
        self._model = self._prepared(bgr)
        self._survive()
        places = self._places()
        if places:
            self._network.pool()  # type: ignore[union-attr]  # only ONNX has maps here
            self._model = self._prepared(bgr)
            cut_at += f"; its mean over {places} places is taken"
        self.dim = self._try()
        self.notes = {"cut": cut_at, "input": f"{'BGR' if bgr else 'RGB'}, mean {list(self.mean)}, std {list(self.std)}"}

    def embed(self, tensors: Pixels) -> Embeddings | None:
        """See :meth:`NetworkSource.embed`: the file itself; None if it is quantised."""
        return None if self._network.precision == "int8" else self._run(self._model, tensors)

    def classifier(self) -> tuple[Array, Array] | None:
        """See :meth:`NetworkSource.classifier`: the layer that was cut off."""
        return self._classifier

    def libraries(self, format_: str) -> Sequence[str]:
        """See :meth:`NetworkSource.libraries`."""
        return {
            "onnx": ("onnx", "onnxruntime"),
            "tflite": ("ai-edge-quantizer", "ai-edge-litert", "flatbuffers", *(("torch", "litert-torch") if self.format == "onnx" else ())),
            "openvino": ("onnx", "onnxruntime", "openvino"),
        }[format_]

    def recipe(self, format_: str, precision: str, wanted: str = "auto") -> Recipe:
        """See :meth:`NetworkSource.recipe`."""
        if precision not in self.offered.get(format_, ()):
            offered = ", ".join(f"{name} in {' and '.join(kinds)}" for name, kinds in self.offered.items())
            raise ExportError(
                f"{self.name} cannot be exported to {format_}-{precision}: {self._reason(format_)}; it is offered as {offered}",
                code="not-offered", path=self.name, format=format_, precision=precision, offered=dict(self.offered),
            )  # fmt: skip
        if self._network.precision == "fp32":
            # The weights of a file are not rounded before they are quantised.
            return dataclasses.replace(recipes.recipe(format_, precision, wanted), correction="none")
        return Recipe(f"{format_}-as-given", format_, precision, settings={"quantizer": "its author's"})

    def files(self, recipe: Recipe, photos: Pixels | None) -> Mapping[str, bytes]:
        """See :meth:`NetworkSource.files`."""
        if recipe.levels is None:
            return {"model.tflite": self._tflite(self._model)} if recipe.format == "tflite" else from_onnx(self._model, recipe, None)
        if photos is None:
            raise calibration.missing()
        model = equalisation.network_for(recipe, self._model, photos)
        if recipe.format == "tflite":
            return {"model.tflite": to_tflite.quantise(self._tflite(model), photos, recipe)}
        return from_onnx(model, recipe, photos)

    def _convert(self, model: bytes) -> bytes:
        """A float TFLite file of a network in this file's format."""
        if self.format == "tflite":
            return model
        from edgetl_exporters.convert.onnx_to_torch import OnnxModule

        return to_tflite.export(OnnxModule(model, self.name).eval(), self.image)

    def network(self, recipe: Recipe, photos: Pixels | None = None) -> bytes | None:
        """See :meth:`NetworkSource.network`."""
        return equalisation.network_for(recipe, self._model, photos) if self.format == "onnx" and recipe.levels else None

    def _reason(self, format_: str) -> str:
        if format_ not in self.offered:
            other = "onnx" if self.format == "tflite" else "tflite"
            return f"a .{self.format} file is not converted to {format_}; use the network as .{other} for that"
        return f"it has {self._network.precision} weights, and the original ones are not in the file"

    def _cut(self, cut: str) -> str:
        """Cuts the network, keeps the classifier that was cut off, and returns where, for the manifest."""
        network, self._classifier = self._network, None
        if cut == "none":
            self._check_output()
            return f"none: the output {network.output_name!r} is the embedding"
        ended, last = network.output_name, None if cut != "auto" and network.classifier() is None else network.last_layer()
        if cut in ("auto", last):
            self._classifier = network.classifier()
        if cut == "auto":
            self._check_one_output()
        tensor = last if cut == "auto" and last is not None else cut
        network.cut(tensor)
        return (
            f"{cut}: {tensor!r} is the embedding, and what follows it up to {ended!r} was cut off"
            if tensor != ended
            else f"none: {tensor!r}"
        )

    def _check_output(self) -> None:
        network = self._network
        self._check_one_output()
        dim, labels = network.dim(), len(network.stated.labels)
        if network.probabilities() or dim in (*_CLASSES, labels or -1):
            output = "probabilities of a softmax" if network.probabilities() else f"{dim} values, as many as there are classes"
            raise file_error(
                self.name,
                f"its output {network.output_name!r} holds {output}, not an embedding; cut it before its last layer with "
                f"--cut auto, or use it anyway with --cut {network.output_name!r}",
                code="output-not-embedding", output=network.output_name, softmax=network.probabilities(), dim=dim,
            )  # fmt: skip

    def _check_one_output(self) -> None:
        if len(outputs := self._network.outputs) > 1:
            raise file_error(
                self.name,
                f"has the outputs {', '.join(outputs)}; name the embedding with --cut TENSOR", code="several-outputs", outputs=outputs,
            )  # fmt: skip

    def _normalisation(self, options: FileOptions, bgr: bool) -> tuple[Channels, Channels]:
        """Mean and std of red, green and blue: from the options, else from the metadata, else from the input's type."""
        stated, implied = self._network.stated, self._network.normalisation()
        pair = []
        for number, (option, own, value) in enumerate((("--mean", options.mean, stated.mean), ("--std", options.std, stated.std))):
            values = own if own is not None else value[::-1] if value is not None and bgr else value
            if values is None and implied is not None:
                values = (implied[number],)
            if values is None:
                raise file_error(
                    self.name,
                    f"its metadata do not state how it normalises pixels; give {option} in pixel values, "
                    "e.g. --mean 123.675,116.28,103.53 --std 58.395,57.12,57.375, or --mean 127.5 --std 127.5",
                    code="normalisation-missing", option=option,
                )  # fmt: skip
            pair.append(channels(self.name, option, values))
        return pair[0], pair[1]

    def _prepared(self, bgr: bool) -> bytes:
        with _contradictions(self.name):
            return self._network.prepared((self.image.width, self.image.height), self.mean, self.std, bgr)

    def _places(self) -> str:
        """Height and width of an output that is a map [n, c, h, w], e.g. `7x7`; else an empty string."""
        if self.format != "onnx":
            return ""
        shape, _ = self._network.shapes(self._model, self._scenes())  # type: ignore[union-attr]  # only ONNX shapes are not in the file
        return f"{shape[2]}x{shape[3]}" if len(shape) == 4 and shape[0] == _SCENES and shape[2] * shape[3] > 1 else ""

    def _scenes(self) -> Pixels:
        return pictures.scenes(_SCENES, self.image.width, self.image.height, seed=0)

    def _try(self) -> int:
        """Embeds drawn scenes as a device would, and returns the embedding's length.

        Raises:
            ExportError: the runtime cannot run it, or its output is not an embedding.
        """
        scenes = self._scenes()
        if self.format == "onnx":
            self._check_shapes(scenes)
        embeddings = self._run(self._model, scenes)
        if not np.isfinite(embeddings).all():
            raise self._useless("embeds a drawn scene to NaN or infinity")
        if not embeddings.any() or (embeddings[0] == embeddings[1]).all():
            raise self._useless("embeds two drawn scenes to the same values")
        return int(embeddings.shape[1])

    def _useless(self, reason: str) -> ExportError:
        return file_error(self.name, f"{reason}; its weights or its normalisation are wrong", code="embedding-useless")

    def _survive(self) -> None:
        """Runs the model in another process first: a runtime trusts a file, and a damaged one can end the process that opens it."""
        command = [sys.executable, "-c", _TRIAL, FAMILIES[self.format], str(self.image.height), str(self.image.width)]
        try:
            done = subprocess.run(command, input=self._model, capture_output=True, timeout=_PATIENCE, check=False)
        except subprocess.TimeoutExpired as error:
            raise file_error(
                self.name,
                f"one photo takes more than {_PATIENCE} s; the file is damaged or too large for this machine",
                code="too-slow", limit_s=_PATIENCE,
            ) from error  # fmt: skip
        if done.returncode < 0:
            raise file_error(
                self.name,
                f"crashes {FAMILIES[self.format]} (signal {-done.returncode}); the file is damaged, copy it again",
                code="runtime-crashed", runtime=FAMILIES[self.format], signal=-done.returncode,
            )  # fmt: skip

    def _check_shapes(self, scenes: Pixels) -> None:
        shape, flat = self._network.shapes(self._model, scenes)  # type: ignore[union-attr]  # only ONNX shapes are not in the file
        if len(shape) < 2 or shape[0] != len(scenes) or flat[1] != max(shape[1:]):
            raise file_error(
                self.name,
                f"the embedding {self._network.output_name!r} of {len(scenes)} photos has the shape {list(shape)} (rank "
                f"{len(shape)}), expected [{len(scenes)}, d]: cut behind the pooling with --cut TENSOR",
                code="embedding-shape", shape=shape,
            )  # fmt: skip

    def _run(self, model: bytes, tensors: Pixels) -> Embeddings:
        try:
            with quiet():
                runtime = open_runtime(FAMILIES[self.format], {f"model.{self.format}": model})
                embeddings = np.concatenate([runtime.embed(tensor[None]) for tensor in tensors])
                runtime.close()
        except (EdgetlError, RuntimeError, ValueError) as error:
            raise file_error(self.name, f"cannot be run here: {error}", code="not-runnable") from error
        return embeddings


def is_file(name: str) -> bool:
    """Whether a backbone's name is a file of a known format."""
    return name.lower().endswith(SUFFIXES)


def _content(path: Path) -> bytes:
    if not is_file(path.name):
        raise file_error(path, f"expected a file that ends in {' or '.join(SUFFIXES)}", code="unknown-format")
    try:
        return path.read_bytes()
    except OSError as error:
        raise file_error(path, f"cannot be read ({error.strerror})", code="file-unreadable") from error


def opened(name: str, content: bytes) -> NetworkFile:
    """Reads a file of the format that its name ends in.

    Raises:
        ExportError: the file is damaged, of another format, or cannot embed photos.
    """
    with _contradictions(name):
        if name.lower().endswith(".onnx"):
            from edgetl_exporters.sources.onnx_network import OnnxNetwork

            return OnnxNetwork(content, name)
        from edgetl_exporters.sources.tflite_network import TfliteNetwork

        return TfliteNetwork(content, name)


@contextlib.contextmanager
def _contradictions(name: str) -> Iterator[None]:
    """Turns any exception into one error: the parts of a damaged file may contradict each other in too many ways to list."""
    try:
        yield
    except EdgetlError:
        raise
    except Exception as error:
        raise file_error(
            name, f"damaged, its parts contradict each other ({type(error).__name__}: {error}); export it again", code="file-damaged"
        ) from error
