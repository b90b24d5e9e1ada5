"""What a scenario works with: a trained classifier, photos to ask, and photos to teach."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from edgetl.bench.measuring import charts
from edgetl.classifier import Classifier
from edgetl.embedding.embedder import Embedder
from edgetl.heads import Head
from edgetl.inputs.photo.preprocess import tensor
from edgetl.inputs.photo.source import load
from edgetl.session.workspace import Session
from edgetl.types import ImageSpec, Pixels

_FRAME = ImageSpec(width=480, height=480, resize=480)
_MORE = 4


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
    """What a scenario works with; it leaves the shop's classes, samples and active head as it found them.

    Attributes:
        shop: a trained classifier of the variant.
        photos: files that the inference scenarios rotate over.
        frames: the same photos decoded, uint8 RGB [480, 480, 3].
        tensors: the same photos as the model takes them, uint8 [h, w, 3].
        lessons: charts of one class that the shop does not know: the first teach it, the last one asks.
        known: charts of the shop's first class that it was not taught.
        folder: for files of the scenario's own.
        options: of single scenarios.
        labelled: a folder `root/<class>/<photo>`; None where none was given.
    """

    shop: Classifier
    photos: list[Path]
    frames: list[Pixels]
    tensors: list[Pixels]
    lessons: list[Path]
    known: list[Path]
    folder: Path
    options: Options
    labelled: Path | None = None

    @classmethod
    def of(
        cls, shop: Classifier, photos: list[Path], lessons: list[Path], folder: Path, options: Options,
        labelled: str | os.PathLike[str] | None = None,
    ) -> Stand:  # fmt: skip
        """Decodes and draws, before a clock is read, what scenarios need.

        The shop's first class is charts of kind 0 (:mod:`edgetl.bench.measuring.charts`), fewer than 1000 of them.
        """
        frames = [tensor(load(path), _FRAME) for path in photos]
        tensors = [tensor(load(path), _embedder(shop).bundle.input) for path in photos]
        known = [folder / f"known-{number}.jpg" for number in range(_MORE)]
        for number, path in enumerate(known):
            charts.draw(0, 1000 + number).save(path, quality=90)
        return cls(shop, photos, frames, tensors, lessons, known, folder, options, None if labelled is None else Path(labelled))

    @property
    def embedder(self) -> Embedder:
        """The shop's."""
        return _embedder(self.shop)

    @property
    def memory(self) -> Session:
        """The shop's, for what its verbs do in one go and a stage times apart."""
        return self.shop.session

    def head(self) -> Head:
        """The shop's active head.

        Raises:
            NotTrained: there is none.
        """
        return self.memory.trained()


def _embedder(shop: Classifier) -> Embedder:
    assert shop.embedder is not None, "a stand's shop is opened with a bundle"
    return shop.embedder
