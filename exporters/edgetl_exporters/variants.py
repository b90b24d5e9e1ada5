"""Variants: a recipe becomes model files, and is proved on the runtime that will run them."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Mapping, Sequence
from importlib import metadata

import numpy as np

from edgetl import faults
from edgetl.bundle import FAMILIES, NewVariant
from edgetl.errors import CalibrationError
from edgetl.runtimes import open_runtime
from edgetl.types import Embeddings, Parity, Pixels
from edgetl_exporters import onnx_format, openvino_format, parity, pictures, recipes, rounding, tflite_format
from edgetl_exporters.backbones import Backbone
from edgetl_exporters.calibration import Calibration
from edgetl_exporters.graph import Graph, embed
from edgetl_exporters.quiet import quiet
from edgetl_exporters.recipes import Recipe

_LIBRARIES: Mapping[str, tuple[str, ...]] = {
    "onnx": ("torch", "onnx", "onnxscript", "onnxruntime"),
    "tflite": ("torch", "litert-torch", "ai-edge-quantizer", "ai-edge-litert"),
    "openvino": ("torch", "onnxscript", "onnxruntime", "openvino", "nncf"),
}
_SCENES = 24


@dataclasses.dataclass(frozen=True)
class Exported:
    """One variant as it was made.

    Attributes:
        name: e.g. `tflite-int8`.
        recipe: its recipe's name.
        size: its files together, bytes.
        parity: its distance to the float embedding.
        seconds: to convert, quantise and prove it, s; what several variants share is counted with the first.
    """

    name: str
    recipe: str
    size: int
    parity: Parity
    seconds: float


class Maker:
    """Makes variants of one graph; each conversion that several of them need is done once."""

    def __init__(
        self, backbone: Backbone, graph: Graph, lengths: Sequence[int], calibration: Calibration | None, golden: Pixels, seed: int
    ) -> None:
        """Embeds the proof photos with torch: the held-back photos, or drawn scenes where no photos were given.

        Args:
            backbone: what is exported.
            graph: its float graph.
            lengths: of the levels that its embedding is made of; empty for the last stage alone.
            calibration: the photos; int8 needs them.
            golden: the test charts uint8 [k, h, w, 3].
            seed: of the drawn scenes.
        """
        self._backbone, self._graph, self._lengths, self._calibration, self._golden = backbone, graph, lengths, calibration, golden
        image = backbone.image
        self._proof = pictures.scenes(_SCENES, image.width, image.height, seed) if calibration is None else calibration.held_back
        self._expected = embed(graph, self._proof)
        self._rounded = functools.lru_cache(None)(self._round)
        self._onnx = functools.lru_cache(None)(self._export_onnx)
        self._qdq = functools.lru_cache(None)(self._quantise_onnx)

    def make(self, recipe: Recipe) -> tuple[NewVariant, Exported]:
        """Converts, quantises, proves.

        Raises:
            ParityError: further from the float embedding than allowed.
        """
        start = time.perf_counter()
        name = f"{recipe.format}-{recipe.precision}"
        files = self._files(recipe)
        count, charts = len(self._proof), len(self._golden)
        wrong = faults.of_tensors(self._golden, self._backbone.mean, self._backbone.std)
        made = self._run(recipe.format, files, np.concatenate([self._proof, self._golden, *wrong.values()]))
        measured = parity.measure(self._expected, made[:count], self._bound(recipe))
        parity.check(name, measured, _hint(recipe))
        stated = {
            "name": recipe.name,
            "suits": recipe.suits,
            "settings": dict(recipe.settings),
            "libraries": {library: metadata.version(library) for library in _LIBRARIES[recipe.format]},
            "proved_on": f"{count} drawn scenes" if self._calibration is None else f"{count} held-back photos",
            **({"levels": self._levels(recipe, made[:count])} if self._lengths else {}),
        }
        golden, *faulty = made[count:].reshape(1 + len(wrong), charts, -1)
        variant = NewVariant(name, recipe.format, recipe.precision, files, stated, measured, golden, dict(zip(wrong, faulty)))
        size = sum(len(content) for content in files.values())
        return variant, Exported(name, recipe.name, size, measured, time.perf_counter() - start)

    def _levels(self, recipe: Recipe, made: Embeddings) -> list[dict[str, float]]:
        """Each level's length, its scale and its own distance to the float one.

        Raises:
            ParityError: a level further from the float one than allowed.
        """
        name = f"{recipe.format}-{recipe.precision}"
        proved = parity.levels(name, self._expected, made, self._lengths, self._bound(recipe), _hint(recipe))
        return [
            {"length": length, "scale": scale, "cosine_mean": level.cosine_mean, "cosine_min": level.cosine_min}
            for length, scale, level in zip(self._lengths, [*self._graph.scales.values(), 1.0], proved)
        ]

    def _bound(self, recipe: Recipe) -> float:
        return {"fp32": recipes.FP32_BOUND, "fp16": recipes.FP16_BOUND, "int8": self._backbone.int8_bound}[recipe.precision]

    def _files(self, recipe: Recipe) -> Mapping[str, bytes]:
        levels = recipe.levels
        if recipe.format == "tflite":
            model = tflite_format.export(self._rounded(levels), self._backbone.image)
            return {"model.tflite": tflite_format.quantise(model, self._photos()) if levels else model}
        if levels and recipe.settings["quantizer"] == "onnxruntime":
            model = self._qdq(levels)
        else:
            model = self._onnx(levels)
        if recipe.format == "onnx":
            return {"model.onnx": model}
        if levels and recipe.settings["quantizer"] == "nncf":
            return openvino_format.quantise(model, self._photos())
        return openvino_format.export(model, compress=recipe.precision == "fp16")

    def _photos(self) -> Pixels:
        if self._calibration is None:
            raise CalibrationError("int8 is calibrated with photos; give a folder of 120 or more with --calibrate FOLDER")
        return self._calibration.tensors

    def _round(self, levels: int | None) -> Graph:
        return self._graph if levels is None else rounding.rounded(self._graph, self._photos(), levels)

    def _export_onnx(self, levels: int | None) -> bytes:
        return onnx_format.export(self._rounded(levels), self._backbone.image)

    def _quantise_onnx(self, levels: int) -> bytes:
        return onnx_format.quantise(self._onnx(levels), self._photos(), levels)

    def _run(self, format_: str, files: Mapping[str, bytes], tensors: Pixels) -> Embeddings:
        """The variant's embeddings [n, d], one photo at a time as a device embeds them."""
        with quiet():
            runtime = open_runtime(FAMILIES[format_], files)
            made = np.concatenate([runtime.embed(tensor[None]) for tensor in tensors])
            runtime.close()
        return made


def _hint(recipe: Recipe) -> str:
    if recipe.name in ("onnx-u8s8", "openvino-u8s8"):
        return f"try --{recipe.format}-recipe {recipe.format}-u8s7, which cannot saturate"
    if recipe.levels:
        return "calibrate with photos more like those the camera will see, or keep this backbone in fp32"
    return "the converter changed the network; try other versions of the libraries in constraints.txt"
