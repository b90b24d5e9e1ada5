"""Networks in torch: one graph, folded and rounded here, which each exporter converts."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from edgetl.errors import ExportError
from edgetl.types import Array, Embeddings, Pixels
from edgetl_exporters.backbones import graph, table, weights
from edgetl_exporters.backbones.graph import Graph
from edgetl_exporters.convert import to_onnx, to_tflite
from edgetl_exporters.convert.onnx_to_torch import OnnxModule
from edgetl_exporters.quantise import calibration, equalisation, ranges, rounding
from edgetl_exporters.quantise.recipes import Recipe
from edgetl_exporters.sources.base import NetworkSource, from_onnx

_LIBRARIES: Mapping[str, tuple[str, ...]] = {
    "onnx": ("torch", "onnx", "onnxscript", "onnxruntime"),
    "tflite": ("torch", "litert-torch", "ai-edge-quantizer", "ai-edge-litert"),
    "openvino": ("torch", "onnxscript", "onnxruntime", "openvino"),
}


class TorchSource(NetworkSource):
    """A network of the table; each conversion that several variants need is done once."""

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
        backbone = table.backbone(name)
        self.name, self.package, self.image = backbone.name, backbone.source, backbone.image
        self.mean, self.std, self.dim, self.int8_bound = backbone.mean, backbone.std, backbone.dim, backbone.int8_bound
        if multi and not backbone.stages:
            offered = [row.name for row in table.BACKBONES.values() if row.stages]
            raise ExportError(
                f"{name} has no middle stages; --levels multi is offered for {', '.join(offered)}",
                code="levels-not-offered", offered=offered,
            )  # fmt: skip
        whole, self.weights = weights.load(backbone, file=file, random=random, seed=seed)
        self._last = backbone.classifier(whole)
        self._graph = graph.build(backbone, whole, backbone.stages if multi else ())
        _plain_pools(self._graph)
        self._photos: Pixels | None = None
        self._rounded = functools.lru_cache(None)(self._round)
        self._onnx = functools.lru_cache(None)(self._export_onnx)
        self._tflite = functools.lru_cache(2)(self._export_tflite)

    def embed(self, tensors: Pixels) -> Embeddings:
        """See :meth:`NetworkSource.embed`."""
        return graph.embed(self._graph, tensors)

    def balance(self, tensors: Pixels) -> None:
        """See :meth:`NetworkSource.balance`."""
        self.levels = graph.balance(self._graph, tensors)
        if self.levels:
            self.dim, self.scales = sum(self.levels), (*self._graph.scales.values(), 1.0)

    def classifier(self) -> tuple[Array, Array] | None:
        """See :meth:`NetworkSource.classifier`; None for several levels, because the classifier reads only the last one."""
        linear = [] if self._last is None else [module for module in self._last.modules() if isinstance(module, nn.Linear)]
        if self.levels or len(linear) != 1:
            return None
        return linear[0].weight.detach().numpy(), linear[0].bias.detach().numpy()

    def libraries(self, format_: str) -> Sequence[str]:
        """See :meth:`NetworkSource.libraries`."""
        return _LIBRARIES[format_]

    def files(self, recipe: Recipe, photos: Pixels | None) -> Mapping[str, bytes]:
        """See :meth:`NetworkSource.files`."""
        self._photos, levels = photos, recipe.levels
        if recipe.format == "tflite":
            return {"model.tflite": self._quantised_tflite(recipe) if levels else self._tflite(None)}
        return from_onnx(self.network(recipe, photos), recipe, photos)

    def network(self, recipe: Recipe, photos: Pixels | None = None) -> bytes:
        """See :meth:`NetworkSource.network`; an equalised network is rounded afterwards."""
        return equalisation.network_for(recipe, self._onnx(None if recipe.equalised else recipe.levels), photos)

    def _quantised_tflite(self, recipe: Recipe) -> bytes:
        if recipe.equalised:
            equalised = OnnxModule(self.network(recipe, self._photos), self.name).eval()
            return to_tflite.quantise(to_tflite.export(equalised, self.image), self._calibrating(), recipe)
        model = self._tflite(recipe.levels)
        if recipe.floats:
            in_tflite, in_onnx = len(to_tflite.layers(model)), len(ranges.read(self._onnx(recipe.levels)).layers)
            if in_tflite != in_onnx:
                raise ExportError(
                    f"{self.name}: its TFLite file has {in_tflite} layers, its ONNX file {in_onnx}, so no layer can be kept in float",
                    code="layers-differ", tflite=in_tflite, onnx=in_onnx,
                )  # fmt: skip
        return to_tflite.quantise(model, self._calibrating(), recipe)

    def _calibrating(self) -> Pixels:
        if self._photos is None:
            raise calibration.missing()
        return self._photos

    def _round(self, levels: int | None) -> Graph:
        return self._graph if levels is None else rounding.rounded(self._graph, self._calibrating(), levels)

    def _export_onnx(self, levels: int | None) -> bytes:
        return to_onnx.export(self._rounded(levels), self.image)

    def _export_tflite(self, levels: int | None) -> bytes:
        return to_tflite.export(self._rounded(levels), self.image)


def _plain_pools(features: nn.Module) -> None:
    """Replaces adaptive pooling to one value by a mean, which torch's ONNX exporter converts to one node: docs/evidence/torch-export.md."""
    for parent in list(features.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.AdaptiveAvgPool2d) and child.output_size in (1, (1, 1)):
                setattr(parent, name, _Mean())


class _Mean(nn.Module):  # type: ignore[misc]  # torch is untyped to mypy
    """Float [n, c, h, w] -> [n, c, 1, 1]."""

    def forward(self, maps: Any) -> Any:
        return maps.mean((2, 3), keepdim=True)
