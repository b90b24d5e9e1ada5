"""The interface between networks of any library and what proves and packs their model files."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence

from edgetl.types import Array, Embeddings, ImageSpec, Pixels
from edgetl_exporters.backbones.backbone import Weights
from edgetl_exporters.convert import to_onnx, to_openvino
from edgetl_exporters.quantise import calibration, recipes
from edgetl_exporters.quantise.recipes import Recipe


class NetworkSource(abc.ABC):
    """A network to export.

    Attributes:
        name: as given to `--backbone`.
        package: where the network comes from, for the manifest.
        weights: where its weights come from.
        image: how photos become its input.
        mean: subtracted from each channel, in pixel values [0, 255].
        std: each channel is then divided by it, in pixel values.
        dim: the embedding's length d.
        int8_bound: the lowest mean cosine to the float embedding at which an int8 variant is accepted.
        levels: lengths of the pooled stages in the embedding; empty for the last stage alone.
        scales: the factor of each level.
        notes: further entries of the manifest, e.g. where the network was cut; JSON-able.
        offered: format -> the precisions it can be exported in.
    """

    name: str
    package: str
    weights: Weights
    image: ImageSpec
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    dim: int
    int8_bound: float
    levels: tuple[int, ...] = ()
    scales: tuple[float, ...] = ()
    notes: Mapping[str, str] = {}
    offered: Mapping[str, Sequence[str]] = recipes.OFFERED

    @abc.abstractmethod
    def embed(self, tensors: Pixels) -> Embeddings | None:
        """The float embeddings [n, d] of uint8 [n, h, w, 3], to which every variant is compared; None without a float network."""

    @abc.abstractmethod
    def files(self, recipe: Recipe, photos: Pixels | None) -> Mapping[str, bytes]:
        """A variant's model files, the one to open first.

        Args:
            recipe: how it is made.
            photos: uint8 [n, h, w, 3] that calibrate; None without, and then `recipe.levels` is None.
        """

    @abc.abstractmethod
    def libraries(self, format_: str) -> Sequence[str]:
        """The distributions that make a variant of this format, for the manifest."""

    def recipe(self, format_: str, precision: str, wanted: str = "auto") -> Recipe:
        """The recipe for a variant.

        Raises:
            ExportError: the source cannot be exported to this format or precision.
        """
        return recipes.recipe(format_, precision, wanted)

    def balance(self, tensors: Pixels) -> None:  # noqa: B027 - most sources have one level and nothing to balance
        """Balances the levels of an embedding on photos uint8 [n, h, w, 3], before any variant is made."""

    def network(self, recipe: Recipe, photos: Pixels | None = None) -> bytes | None:
        """The float network in ONNX, uint8 [n, h, w, 3] in, from which a recipe's integers are computed.

        Args:
            recipe: how it is made.
            photos: uint8 [n, h, w, 3] that calibrate; an equalised network is made with them.

        Diagnosis, adequacy and the search for repairs use it. None if there is no such network, or if the format's own converter quantises:
        then :meth:`files` ignores the recipe's ranges, float layers and equalisation.
        """
        return None

    def classifier(self) -> tuple[Array, Array] | None:
        """The network's own last layer, weights float32 [c, d] and bias [c], that turns embeddings into class scores, if any."""
        return None


def from_onnx(model: bytes, recipe: Recipe, photos: Pixels | None) -> Mapping[str, bytes]:
    """The ONNX or OpenVINO files of a network in ONNX.

    Args:
        model: float, uint8 [n, h, w, 3] in; equalised if the recipe is.
        recipe: how they are made.
        photos: uint8 [n, h, w, 3] that calibrate; int8 needs them.

    Raises:
        CalibrationError: `photos-missing`.
    """
    if recipe.levels is not None:
        if photos is None:
            raise calibration.missing()
        model = to_onnx.quantise(model, photos, recipe)
    return {"model.onnx": model} if recipe.format == "onnx" else to_openvino.export(model, compress=recipe.precision == "fp16")
