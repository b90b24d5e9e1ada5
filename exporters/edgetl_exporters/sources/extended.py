"""Formats of other distributions: further ways to make a model file that one of edgetl's runtimes opens.

They are found like targets (:mod:`edgetl_exporters.plugins`); an object is a format by its method `make`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from edgetl.bundle.bundle import FAMILIES, PRECISIONS
from edgetl.errors import ExportError
from edgetl.types import Array, Embeddings, Pixels
from edgetl_exporters import plugins
from edgetl_exporters.quantise.recipes import Recipe
from edgetl_exporters.sources.base import Source


class Format(Protocol):
    """One way to make one variant that edgetl does not make, e.g. `tflite` in `fp16`.

    Attributes:
        format: what opens it on the device: `onnx`, `tflite` or `openvino`.
        precision: what its weights are: `fp32`, `fp16` or `int8`.
        suits: the instruction sets it keeps its accuracy on, in words.
    """

    format: str
    precision: str
    suits: str

    def make(self, network: bytes, photos: Pixels | None) -> Mapping[str, bytes]:
        """The variant's model files, the one to open first.

        Args:
            network: the float network in ONNX, uint8 [n, h, w, 3] in, float32 [n, d] out.
            photos: uint8 [n, h, w, 3] that calibrate; None where none were given.

        Raises:
            EdgetlError: it cannot be made.
        """
        ...


def extended(source: Source) -> Source:
    """The source, which can also become what other distributions make of it.

    Raises:
        ExportError: an entry point does not work, or is for a format, a precision or a variant that it cannot add.
    """
    found: Mapping[str, Format] = plugins.load("make")
    return _Extended(source, found) if found else source


class _Extended(Source):
    """A source with more formats; whatever belongs to the network is asked of the source itself."""

    def __init__(self, source: Source, formats: Mapping[str, Format]) -> None:
        self._source = source
        self._adopt()
        self._added: dict[tuple[str, str], tuple[str, Format]] = {}
        offered = {format_: tuple(precisions) for format_, precisions in source.offered.items()}
        for name, added in formats.items():
            cell = added.format, added.precision
            if added.format not in FAMILIES or added.precision not in PRECISIONS:
                raise ExportError(f"the format {name!r} makes {cell}; known are {', '.join(FAMILIES)} in {', '.join(PRECISIONS)}")
            if cell in self._added or added.precision in offered.get(added.format, ()):
                raise ExportError(f"two make {'-'.join(cell)}, {name!r} and another; uninstall the distribution that adds the second")
            self._added[cell] = name, added
            offered[added.format] = (*offered.get(added.format, ()), added.precision)
        self.offered = offered

    def _adopt(self) -> None:
        for name in ("name", "package", "weights", "image", "mean", "std", "dim", "int8_bound", "levels", "scales", "notes"):
            setattr(self, name, getattr(self._source, name))

    def recipe(self, format_: str, precision: str, wanted: str = "auto") -> Recipe:
        """See :meth:`Source.recipe`."""
        if (format_, precision) not in self._added:
            return self._source.recipe(format_, precision, wanted)
        name, added = self._added[format_, precision]
        return Recipe(name, format_, precision, added.suits)

    def files(self, recipe: Recipe, photos: Pixels | None) -> Mapping[str, bytes]:
        """See :meth:`Source.files`."""
        name, added = self._added.get((recipe.format, recipe.precision), ("", None))
        if added is None:
            return self._source.files(recipe, photos)
        network = self._source.network(recipe)
        if network is None:
            raise ExportError(f"{self.name} has no float network in ONNX that the format {name!r} could start from")
        return added.make(network, photos)

    def libraries(self, format_: str) -> Sequence[str]:
        """See :meth:`Source.libraries`."""
        return self._source.libraries(format_) if format_ in self._source.offered else ()

    def embed(self, tensors: Pixels) -> Embeddings | None:
        """See :meth:`Source.embed`."""
        return self._source.embed(tensors)

    def balance(self, tensors: Pixels) -> None:
        """See :meth:`Source.balance`."""
        self._source.balance(tensors)
        self._adopt()

    def network(self, recipe: Recipe, photos: Pixels | None = None) -> bytes | None:
        """See :meth:`Source.network`."""
        return self._source.network(recipe, photos)

    def classifier(self) -> tuple[Array, Array] | None:
        """See :meth:`Source.classifier`."""
        return self._source.classifier()
