"""What a scenario works with: a trained classifier, photos to ask, and photos to teach."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from edgetl.classifier import Classifier
from edgetl.embedder import Embedder
from edgetl.heads import Head
from edgetl.photos import load
from edgetl.preprocess import tensor
from edgetl.types import ImageSpec, Pixels

_FRAME = ImageSpec(width=480, height=480, resize=480)


@dataclasses.dataclass(frozen=True)
class Options:
    """What a person may ask of single scenarios.

    Attributes:
        fps: frames per second of `predict-camera`.
        minutes: of `sustained`.
    """

    fps: float = 30.0
    minutes: float = 10.0


@dataclasses.dataclass(frozen=True)
class Stand:
    """What a scenario works with.

    Attributes:
        shop: a trained classifier of the variant.
        photos: files that the inference scenarios rotate over.
        frames: the same photos decoded, uint8 RGB [h, w, 3].
        tensors: the same photos as the model takes them, uint8 [h, w, 3].
        lessons: charts of one class that the shop does not know: the first teach it, the last one asks.
        folder: for files of the scenario's own.
        options: of single scenarios.
    """

    shop: Classifier
    photos: list[Path]
    frames: list[Pixels]
    tensors: list[Pixels]
    lessons: list[Path]
    folder: Path
    options: Options

    @classmethod
    def of(cls, shop: Classifier, photos: list[Path], lessons: list[Path], folder: Path, options: Options) -> Stand:
        """Decodes what has to be decoded before a clock is read."""
        frames = [tensor(load(path), _FRAME) for path in photos]
        tensors = [tensor(load(path), _embedder(shop).bundle.image) for path in photos]
        return cls(shop, photos, frames, tensors, lessons, folder, options)

    @property
    def embedder(self) -> Embedder:
        """The shop's."""
        return _embedder(self.shop)

    def head(self) -> Head:
        """The shop's active head."""
        return Head.from_bytes(self.shop.store.head_bytes(self.shop.store.heads()[-1].head))


def _embedder(shop: Classifier) -> Embedder:
    assert shop.embedder is not None, "a stand's shop is opened with a bundle"
    return shop.embedder
