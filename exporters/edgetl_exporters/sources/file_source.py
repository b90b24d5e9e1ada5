"""Bring your own: an .onnx or .tflite file of anybody as a source of variants."""

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
from typing import Protocol

import numpy as np

from edgetl.bundle.bundle import FAMILIES
from edgetl.errors import CalibrationError, EdgetlError, ExportError
from edgetl.runtimes import open_runtime
from edgetl.types import Array, Embeddings, Pixels
from edgetl_exporters import pictures
from edgetl_exporters.backbones.backbone import Weights
from edgetl_exporters.convert import to_onnx, to_openvino, to_tflite
from edgetl_exporters.metadata import Stated
from edgetl_exporters.quantise import equalisation, recipes
from edgetl_exporters.quantise.recipes import Recipe
from edgetl_exporters.quiet import quiet
from edgetl_exporters.sources.base import Source
from edgetl_exporters.sources.given import Channels, Given, channels

SUFFIXES = (".onnx", ".tflite")
INT8_BOUND = 0.95
"""The lowest mean cosine of an int8 variant: as for the backbones whose quantisation was not measured here."""

_CLASSES = (1000, 1001)
"""Output lengths that are ImageNet's classes, without and with a background, rather than an embedding's."""

_OFFERED: Mapping[tuple[str, str], Mapping[str, tuple[str, ...]]] = {
    ("onnx", "fp32"): {"onnx": ("fp32", "int8"), "tflite": ("fp32", "int8"), "openvino": ("fp32", "fp16", "int8")},
    ("onnx", "int8"): {"onnx": ("int8",), "openvino": ("int8",)},
    ("tflite", "fp32"): {"tflite": ("fp32", "int8")},
    ("tflite", "fp16"): {"tflite": ("fp16",)},
    ("tflite", "int8"): {"tflite": ("int8",)},
}


_PATIENCE = 120
"""How long one embedding may take, s; the slowest backbone here takes 0.2."""

_SCENES = 2
"""Drawn scenes that a file is tried with."""

_TRIAL = """
import sys
import numpy as np
from edgetl.runtimes import open_runtime
family, height, width = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
open_runtime(family, {"model": sys.stdin.buffer.read()}, 1).embed(np.zeros((1, height, width, 3), np.uint8))
"""


_NOTHING = Given()


class Network(Protocol):
    """A file of one format, and what is asked of it.

    Attributes:
        name: of the file, for messages.
        precision: `int8` where it computes with integers, else `fp16` or `fp32`, as its weights.
        given: the input's name.
        channels_first: whether the input is NCHW.
        stated: what its metadata say.
        size: the input's width and height; 0 where free.
    """

    name: str
    precision: str
    given: str
    channels_first: bool
    stated: Stated
    size: tuple[int, int]

    @property
    def made(self) -> str:
        """The output's name."""
        ...

    @property
    def outputs(self) -> list[str]:
        """The names of all outputs."""
        ...

    def dim(self) -> int:
        """The output's last size; 0 where that is not known."""
        ...

    def probabilities(self) -> bool:
        """Whether the output is a softmax."""
        ...

    def normalisation(self) -> tuple[float, float] | None:
        """Mean and std in pixel values that the input's type implies; None where it implies nothing."""
        ...

    def last_layer(self) -> str:
        """The input of the classifier."""
        ...

    def classifier(self) -> tuple[Array, Array] | None:
        """Its weights [c, d] and bias [c]."""
        ...

    def cut(self, tensor: str) -> None:
        """Makes a tensor the output."""
        ...

    def prepared(self, size: tuple[int, int], mean: Sequence[float], std: Sequence[float], bgr: bool) -> bytes:
        """The backbone, pixels in."""
        ...


class FileSource(Source):
    """A file that yields an embedding, or a classifier that is cut before its last layer.

    Attributes:
        offered: format -> the precisions it can become.
    """

    def __init__(self, file: str | os.PathLike[str], given: Given = _NOTHING) -> None:
        """Reads, cuts and tries the file.

        Args:
            file: an `.onnx` or `.tflite` file.
            given: what a person says of it.

        Raises:
            ExportError: a file that is not what it says, that cannot take photos or give embeddings, or that leaves a question open.
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
            cut_at = self._cut(given.cut)
        stated = self._network.stated
        self.image = given.spec(self.name, self._network.size, stated.image)
        bgr = (given.order or stated.order or "rgb") == "bgr"
        self.mean, self.std = self._normalisation(given, bgr)
        self._model = self._prepared(bgr)
        self._survive()
        places = self._places()
        if places:
            self._network.pool()  # type: ignore[attr-defined]  # only ONNX has maps here
            self._model = self._prepared(bgr)
            cut_at += f"; its mean over {places} places is taken"
        self.dim = self._try()
        self.notes = {"cut": cut_at, "input": f"{'BGR' if bgr else 'RGB'}, mean {list(self.mean)}, std {list(self.std)}"}

    def embed(self, tensors: Pixels) -> Embeddings | None:
        """See :meth:`Source.embed`: the file itself; None where it is quantised and has no float original."""
        return None if self._network.precision == "int8" else self._run(self._model, tensors)

    def classifier(self) -> tuple[Array, Array] | None:
        """See :meth:`Source.classifier`: the layer that was cut off."""
        return self._classifier

    def libraries(self, format_: str) -> Sequence[str]:
        """See :meth:`Source.libraries`."""
        return {
            "onnx": ("onnx", "onnxruntime"),
            "tflite": ("ai-edge-quantizer", "ai-edge-litert", "flatbuffers", *(("torch", "litert-torch") if self.format == "onnx" else ())),
            "openvino": ("onnx", "onnxruntime", "openvino", "nncf"),
        }[format_]

    def recipe(self, format_: str, precision: str, wanted: str = "auto") -> Recipe:
        """See :meth:`Source.recipe`."""
        if precision not in self.offered.get(format_, ()):
            said = ", ".join(f"{name} in {' and '.join(kinds)}" for name, kinds in self.offered.items())
            raise ExportError(f"{self.name} cannot become {format_}-{precision}: {self._reason(format_)}; it is offered as {said}")
        if self._network.precision == "fp32":
            # Nothing rounds a file's weights before they are quantised.
            return dataclasses.replace(recipes.recipe(format_, precision, wanted), correction="none")
        return Recipe(f"{format_}-as-given", format_, precision, "what its maker made it for", settings={"quantizer": "its maker's"})

    def files(self, recipe: Recipe, photos: Pixels | None) -> Mapping[str, bytes]:
        """See :meth:`Source.files`."""
        if recipe.levels is None:
            if recipe.format == "tflite":
                return {"model.tflite": self._tflite(self._model)}
            onnx = recipe.format == "onnx"
            return {"model.onnx": self._model} if onnx else to_openvino.export(self._model, compress=recipe.precision == "fp16")
        if photos is None:
            raise CalibrationError("int8 is calibrated with photos; give a folder of 120 or more with --calibrate FOLDER")
        model = equalisation.network_for(recipe, self._model, photos)
        if recipe.format == "tflite":
            return {"model.tflite": to_tflite.quantise(self._tflite(model), photos, recipe)}
        return (
            {"model.onnx": to_onnx.quantise(model, photos, recipe)}
            if recipe.format == "onnx"
            else to_openvino.quantise(model, photos, recipe)
        )

    def _convert(self, model: bytes) -> bytes:
        """A float TFLite file of a network in this file's format."""
        if self.format == "tflite":
            return model
        from edgetl_exporters.convert.onnx_to_torch import OnnxModule

        return to_tflite.export(OnnxModule(model, self.name).eval(), self.image)

    def network(self, recipe: Recipe, photos: Pixels | None = None) -> bytes | None:
        """See :meth:`Source.network`."""
        return equalisation.network_for(recipe, self._model, photos) if self.format == "onnx" and recipe.levels else None

    def _reason(self, format_: str) -> str:
        if format_ not in self.offered:
            other = "onnx" if self.format == "tflite" else "tflite"
            return f"a .{self.format} file is not converted to {format_}; bring the network as .{other} for that"
        return f"it holds {self._network.precision} weights, and what they were before is not in the file"

    def _cut(self, cut: str) -> str:
        """Cuts, keeps the classifier that was cut off, and says where."""
        network, self._classifier = self._network, None
        if cut == "none":
            self._refuse_classes()
            return f"none: the output {network.made!r} is the embedding"
        ended, last = network.made, None if cut != "auto" and network.classifier() is None else network.last_layer()
        if cut in ("auto", last):
            self._classifier = network.classifier()
        if cut == "auto" and len(network.outputs) > 1:
            raise ExportError(f"{self.name}: has the outputs {', '.join(network.outputs)}; name the embedding with --cut TENSOR")
        tensor = last if cut == "auto" and last is not None else cut
        network.cut(tensor)
        return (
            f"{cut}: {tensor!r} is the embedding, and what follows it up to {ended!r} was cut off"
            if tensor != ended
            else f"none: {tensor!r}"
        )

    def _refuse_classes(self) -> None:
        network = self._network
        if len(network.outputs) > 1:
            raise ExportError(f"{self.name}: has the outputs {', '.join(network.outputs)}; name the embedding with --cut TENSOR")
        dim, labels = network.dim(), len(network.stated.labels)
        if network.probabilities() or dim in (*_CLASSES, labels or -1):
            what = "probabilities of a softmax" if network.probabilities() else f"{dim} values, as many as there are classes"
            raise ExportError(
                f"{self.name}: its output {network.made!r} are {what}, not an embedding; cut it before its last layer with --cut auto, "
                f"or take it all the same with --cut {network.made!r}"
            )

    def _normalisation(self, given: Given, bgr: bool) -> tuple[Channels, Channels]:
        """Mean and std of red, green and blue: as given, else as stated, else as the input's type implies."""
        stated, implied = self._network.stated, self._network.normalisation()
        made = []
        for number, (option, said, told) in enumerate((("--mean", given.mean, stated.mean), ("--std", given.std, stated.std))):
            values = said if said is not None else told[::-1] if told is not None and bgr else told
            if values is None and implied is not None:
                values = (implied[number],)
            if values is None:
                raise ExportError(
                    f"{self.name}: its metadata do not say how it normalises pixels; give {option} in pixel values, "
                    "e.g. --mean 123.675,116.28,103.53 --std 58.395,57.12,57.375, or --mean 127.5 --std 127.5"
                )
            made.append(channels(self.name, option, values))
        return made[0], made[1]

    def _prepared(self, bgr: bool) -> bytes:
        with _contradictions(self.name):
            return self._network.prepared((self.image.width, self.image.height), self.mean, self.std, bgr)

    def _places(self) -> str:
        """Height and width of the output where it is a map [n, c, h, w], e.g. `7x7`; else nothing."""
        if self.format != "onnx":
            return ""
        shape, _ = self._network.shapes(self._model, self._scenes())  # type: ignore[attr-defined]  # only ONNX shapes are not in the file
        return f"{shape[2]}x{shape[3]}" if len(shape) == 4 and shape[0] == _SCENES and shape[2] * shape[3] > 1 else ""

    def _scenes(self) -> Pixels:
        return pictures.scenes(_SCENES, self.image.width, self.image.height, seed=0)

    def _try(self) -> int:
        """Embeds drawn scenes as a device would, and returns the embedding's length.

        Raises:
            ExportError: the runtime cannot run it, or what it gives is not an embedding.
        """
        scenes = self._scenes()
        if self.format == "onnx":
            self._check_shapes(scenes)
        made = self._run(self._model, scenes)
        if not np.isfinite(made).all():
            raise ExportError(f"{self.name}: embeds a drawn scene to NaN or infinity; its weights or its normalisation are wrong")
        if not made.any() or (made[0] == made[1]).all():
            raise ExportError(f"{self.name}: embeds two drawn scenes to the same values; its weights or its normalisation are wrong")
        return int(made.shape[1])

    def _survive(self) -> None:
        """Runs the model in another process first: a runtime trusts a file, and a damaged one can end the process it is opened in."""
        command = [sys.executable, "-c", _TRIAL, FAMILIES[self.format], str(self.image.height), str(self.image.width)]
        try:
            done = subprocess.run(command, input=self._model, capture_output=True, timeout=_PATIENCE, check=False)
        except subprocess.TimeoutExpired as error:
            raise ExportError(f"{self.name}: embeds no photo within {_PATIENCE} s; it is damaged or too large for this machine") from error
        if done.returncode < 0:
            raise ExportError(
                f"{self.name}: crashes {FAMILIES[self.format]} (signal {-done.returncode}); the file is damaged, copy it again"
            )

    def _check_shapes(self, scenes: Pixels) -> None:
        made, flat = self._network.shapes(self._model, scenes)  # type: ignore[attr-defined]  # only ONNX shapes are not in the file
        if len(made) < 2 or made[0] != len(scenes) or flat[1] != max(made[1:]):
            raise ExportError(
                f"{self.name}: the embedding {self._network.made!r} of {len(scenes)} photos has the shape {list(made)} (rank {len(made)}), "
                f"expected [{len(scenes)}, d]: cut behind the pooling with --cut TENSOR"
            )

    def _run(self, model: bytes, tensors: Pixels) -> Embeddings:
        try:
            with quiet():
                runtime = open_runtime(FAMILIES[self.format], {f"model.{self.format}": model})
                made = np.concatenate([runtime.embed(tensor[None]) for tensor in tensors])
                runtime.close()
        except (EdgetlError, RuntimeError, ValueError) as error:
            raise ExportError(f"{self.name}: cannot be run here: {error}") from error
        return made


def is_file(name: str) -> bool:
    """Whether a backbone's name means a file of a known format."""
    return name.lower().endswith(SUFFIXES)


def _content(path: Path) -> bytes:
    if not is_file(path.name):
        raise ExportError(f"{path}: expected a file that ends in {' or '.join(SUFFIXES)}")
    try:
        return path.read_bytes()
    except OSError as error:
        raise ExportError(f"{path}: cannot be read ({error.strerror})") from error


def opened(name: str, content: bytes) -> Network:
    """Reads a file by its name's ending.

    Raises:
        ExportError: it is not what its name says, is damaged, or cannot take photos and give embeddings.
    """
    with _contradictions(name):
        if name.lower().endswith(".onnx"):
            from edgetl_exporters.sources.onnx_network import OnnxFile

            return OnnxFile(content, name)
        from edgetl_exporters.sources.tflite_network import TfliteNetwork

        return TfliteNetwork(content, name)


@contextlib.contextmanager
def _contradictions(name: str) -> Iterator[None]:
    """Whatever a damaged file breaks: its parts may contradict each other in more ways than can be listed."""
    try:
        yield
    except EdgetlError:
        raise
    except Exception as error:
        raise ExportError(f"{name}: damaged, its parts contradict each other ({type(error).__name__}: {error}); export it again") from error
