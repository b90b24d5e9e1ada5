"""What a scenario works with: a trained classifier, photos to predict, and photos to train on."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgetl.bench.measuring import photos as charts
from edgetl.bench.record import Subject
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
    """Options of single scenarios: frames per second of `predict-camera`, and the minutes of `sustained`."""

    fps: float = 30.0
    minutes: float = 10.0


@dataclasses.dataclass(frozen=True)
class Stand:
    """What a scenario works with; it leaves the classifier's classes, samples and active head as it found them.

    Attributes:
        photos: files that the inference scenarios rotate over.
        frames: the same photos decoded, uint8 RGB [480, 480, 3].
        tensors: the same photos as the model takes them, uint8 [h, w, 3].
        new: charts of a class that the classifier does not know: the first train it, the last one is the query.
        known: charts of the classifier's first class that it was not trained on.
        folder: for files of the scenario's own.
    """

    classifier: Classifier
    photos: list[Path]
    frames: list[Pixels]
    tensors: list[Pixels]
    new: list[Path]
    known: list[Path]
    folder: Path
    options: Options

    @classmethod
    def make(
        cls, classifier: Classifier, photos: list[Path], new: list[Path], folder: Path, options: Options
    ) -> Stand:  # fmt: skip
        """Decodes and draws, before a clock is read, what scenarios need.

        The classifier's first class is charts of kind 0 (:mod:`edgetl.bench.measuring.photos`), fewer than 1000 of them.
        """
        assert classifier.embedder is not None, "it is opened with a bundle"
        frames = [tensor(load(path), _FRAME) for path in photos]
        tensors = [tensor(load(path), classifier.embedder.bundle.input) for path in photos]
        known = [folder / f"known-{number}.jpg" for number in range(_MORE)]
        for number, path in enumerate(known):
            charts.draw(0, 1000 + number).save(path, quality=90)
        return cls(classifier, photos, frames, tensors, new, known, folder, options)

    @property
    def embedder(self) -> Embedder:
        """The classifier's."""
        assert self.classifier.embedder is not None, "it is opened with a bundle"
        return self.classifier.embedder

    @property
    def session(self) -> Session:
        """The classifier's, for parts of its verbs that a stage times apart."""
        return self.classifier.session

    def head(self) -> Head:
        """The classifier's active head.

        Raises:
            NotTrained: there is none.
        """
        return self.session.trained()

    @contextlib.contextmanager
    def undone(self, photos: Sequence[Path] = ()) -> Iterator[None]:
        """Afterwards `photos` are forgotten and the head that was active is active again; its history has grown."""
        active = self.classifier.store.active()
        try:
            yield
        finally:
            if photos:
                with self.session.changing("undoing a training"):
                    for photo in photos:
                        self.session.remove(digest=load(photo).digest)
            if active is not None:
                self.classifier.activate(active.id)
            self.session.history()  # forgetting drops it, and a repeated training is not the first after that


def subject(embedder: Embedder) -> Subject:
    """What a process has opened, as records name it."""
    runtime, variant, bundle = embedder.runtime, embedder.variant, embedder.bundle
    return Subject(
        backbone=str(bundle.backbone["name"]), variant=variant.name, precision=variant.precision, family=variant.family,
        library=runtime.library, provider=runtime.provider, placement=runtime.placement, threads=runtime.threads,
        model=variant.sha256, size=variant.size, fingerprint=embedder.fingerprint.digest,
    )  # fmt: skip
