"""The seam between what is exported and how it is proved and packed: a network, whatever it was written in, becomes model files."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence

from edgetl.types import Array, Embeddings, ImageSpec, Pixels
from edgetl_exporters.backbones.backbone import Weights
from edgetl_exporters.quantise import recipes
from edgetl_exporters.quantise.recipes import Recipe


class Source(abc.ABC):
    """What is exported.

    Attributes:
        name: as given to `--backbone`.
        package: where the network comes from, for the manifest.
        weights: where its weights come from.
        image: how photos become its input.
        mean: what normalisation subtracts from each channel, in pixel values [0, 255].
        std: what each channel is then divided by, in pixel values.
        dim: the embedding's length d.
        int8_bound: the lowest mean cosine to the float embedding at which an int8 variant is accepted.
        levels: the lengths of the pooled stages that the embedding is made of; empty for the last stage alone.
        scales: what each of those levels is multiplied by.
        notes: what else the manifest says of the network, e.g. where it was cut; JSON-able.
        offered: format -> the precisions it can become.
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
        """The float embeddings [n, d] of uint8 [n, h, w, 3], to which every variant is compared; None where there is no float original."""

    @abc.abstractmethod
    def files(self, recipe: Recipe, photos: Pixels | None) -> Mapping[str, bytes]:
        """A variant's model files, the one to open first.

        Args:
            recipe: how it is made.
            photos: uint8 [n, h, w, 3] that calibrate; None where none were given, and then `recipe.levels` is None.
        """

    @abc.abstractmethod
    def libraries(self, format_: str) -> Sequence[str]:
        """The distributions that take part in making a variant of this format, for the manifest."""

    def recipe(self, format_: str, precision: str, wanted: str = "auto") -> Recipe:
        """The recipe for a variant.

        Raises:
            ExportError: the source cannot become this format or precision.
        """
        return recipes.recipe(format_, precision, wanted)

    def balance(self, tensors: Pixels) -> None:  # noqa: B027 - most sources have one level and nothing to balance
        """Sees photos uint8 [n, h, w, 3] before anything is made: the levels of an embedding are balanced on them."""

    def network(self, recipe: Recipe, photos: Pixels | None = None) -> bytes | None:
        """The float network in ONNX, uint8 [n, h, w, 3] in, from which a recipe's integers are made or would be made.

        Args:
            recipe: how it is made.
            photos: uint8 [n, h, w, 3] that calibrate; an equalised network is made with them.

        Diagnosis, adequacy and the search for repairs look at it. None where there is none, or where a converter of its own leaves
        nothing to repair: then :meth:`files` heeds neither the recipe's ranges nor its float layers, and equalises nothing.
        """
        return None

    def classifier(self) -> tuple[Array, Array] | None:
        """The network's own last layer, weights float32 [c, d] and bias [c], that turns embeddings into class scores; None without one."""
        return None
