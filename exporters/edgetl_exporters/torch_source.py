"""Networks written in torch, in every format: one graph, folded and rounded here, that each exporter converts."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence

from torch import nn

from edgetl.errors import CalibrationError, ExportError
from edgetl.types import Array, Embeddings, Pixels
from edgetl_exporters import backbones, graph, onnx_format, openvino_format, rounding, tflite_format, weights
from edgetl_exporters.graph import Graph
from edgetl_exporters.recipes import Recipe
from edgetl_exporters.source import Source

_LIBRARIES: Mapping[str, tuple[str, ...]] = {
    "onnx": ("torch", "onnx", "onnxscript", "onnxruntime"),
    "tflite": ("torch", "litert-torch", "ai-edge-quantizer", "ai-edge-litert"),
    "openvino": ("torch", "onnxscript", "onnxruntime", "openvino", "nncf"),
}


class TorchSource(Source):
    """A network of the table; each conversion that several variants need is done once (see :class:`edgetl_exporters.source.Source`)."""

    def __init__(
        self,
        name: str,
        *,
        multi: bool = False,
        file: str | os.PathLike[str] | None = None,
        random: bool = False,
        seed: int = 0,
    ) -> None:
        """Builds the network and fills it.

        Args:
            name: of the backbone.
            multi: pool some middle stages too.
            file: a local state dict instead of the published weights.
            random: untrained weights.
            seed: of random weights.

        Raises:
            ExportError: no such backbone, or weights that do not fit.
            WeightsMissing: the weights are not here and could not be downloaded.
        """
        graph.use_half_the_cores()
        backbone = backbones.backbone(name)
        self.name, self.package, self.image = backbone.name, backbone.source, backbone.image
        self.mean, self.std, self.dim, self.int8_bound = backbone.mean, backbone.std, backbone.dim, backbone.int8_bound
        if multi and not backbone.stages:
            offered = ", ".join(name for name, row in backbones.BACKBONES.items() if row.stages)
            raise ExportError(f"{name} has no stages of its own to choose from; --levels multi is offered for {offered}")
        network, self.weights = weights.load(backbone, file=file, random=random, seed=seed)
        self._last = backbone.classifier(network)
        self._graph = graph.build(backbone, network, backbone.stages if multi else ())
        self._photos: Pixels | None = None
        self._rounded = functools.lru_cache(None)(self._round)
        self._onnx = functools.lru_cache(None)(self._export_onnx)
        self._qdq = functools.lru_cache(None)(self._quantise_onnx)

    def embed(self, tensors: Pixels) -> Embeddings:
        """See :meth:`Source.embed`."""
        return graph.embed(self._graph, tensors)

    def balance(self, tensors: Pixels) -> None:
        """See :meth:`Source.balance`."""
        self.levels = graph.balance(self._graph, tensors)
        if self.levels:
            self.dim, self.scales = sum(self.levels), (*self._graph.scales.values(), 1.0)

    def classifier(self) -> tuple[Array, Array] | None:
        """See :meth:`Source.classifier`; of several levels the last one counts, so there is none for them all."""
        linear = [] if self._last is None else [module for module in self._last.modules() if isinstance(module, nn.Linear)]
        if self.levels or len(linear) != 1:
            return None
        return linear[0].weight.detach().numpy(), linear[0].bias.detach().numpy()

    def libraries(self, format_: str) -> Sequence[str]:
        """See :meth:`Source.libraries`."""
        return _LIBRARIES[format_]

    def files(self, recipe: Recipe, photos: Pixels | None) -> Mapping[str, bytes]:
        """See :meth:`Source.files`."""
        self._photos, levels = photos, recipe.levels
        if recipe.format == "tflite":
            model = tflite_format.export(self._rounded(levels), self.image)
            return {"model.tflite": tflite_format.quantise(model, self._calibrating()) if levels else model}
        if levels and recipe.settings["quantizer"] == "onnxruntime":
            model = self._qdq(levels)
        else:
            model = self._onnx(levels)
        if recipe.format == "onnx":
            return {"model.onnx": model}
        if levels and recipe.settings["quantizer"] == "nncf":
            return openvino_format.quantise(model, self._calibrating())
        return openvino_format.export(model, compress=recipe.precision == "fp16")

    def _calibrating(self) -> Pixels:
        if self._photos is None:
            raise CalibrationError("int8 is calibrated with photos; give a folder of 120 or more with --calibrate FOLDER")
        return self._photos

    def _round(self, levels: int | None) -> Graph:
        return self._graph if levels is None else rounding.rounded(self._graph, self._calibrating(), levels)

    def _export_onnx(self, levels: int | None) -> bytes:
        return onnx_format.export(self._rounded(levels), self.image)

    def _quantise_onnx(self, levels: int) -> bytes:
        return onnx_format.quantise(self._onnx(levels), self._calibrating(), levels)
