"""The scenarios: what is done between two readings of the monotonic clock. To add one, write a function and name it in SCENARIOS."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from time import perf_counter_ns
from typing import TypeVar, Union

import numpy as np

from edgetl.classifier import Classifier, guess
from edgetl.embedder import Embedder
from edgetl.heads import Head
from edgetl.photos import load
from edgetl.preprocess import tensor
from edgetl.store import NewSample, Store
from edgetl.types import Photo, Pixels

Item = TypeVar("Item")
Samples = dict[Union[str, None], list[int]]
"""Stage, None for the whole -> nanoseconds."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """How often.

    Attributes:
        cold: fresh processes.
        warm_up: queries before the first that counts.
        queries: of `embed` and of each `predict`.
        learns: of `learn-one`.
        classes: of `add-a-class`.
        inserts: of `store-insert`.
        taught: classes in the store before the learning scenarios.
        photos_per_class: photos of each of those.
    """

    cold: int = 5
    warm_up: int = 10
    queries: int = 100
    learns: int = 30
    classes: int = 5
    inserts: int = 100
    taught: int = 5
    photos_per_class: int = 20


QUICK = Settings(cold=3, warm_up=3, queries=30, learns=10, classes=2, inserts=30, taught=3, photos_per_class=10)


@dataclasses.dataclass(frozen=True)
class Stand:
    """What a scenario works with.

    Attributes:
        shop: a trained classifier of the variant.
        photos: files that the inference scenarios rotate over.
        frames: the same photos decoded, uint8 RGB [h, w, 3].
        lessons: charts of one class that the shop does not know: the first teach it, the last one asks.
        settings: how often.
        folder: for files of the scenario's own.
    """

    shop: Classifier
    photos: list[Path]
    frames: list[Pixels]
    lessons: list[Path]
    settings: Settings
    folder: Path


@dataclasses.dataclass(frozen=True)
class Measured:
    """Nanoseconds per stage and of the whole, with a note where the numbers need one."""

    samples: Samples
    note: str = ""


NEW_CLASS = "a new class"


def embed(stand: Stand) -> Measured:
    """Photo file -> embedding."""
    embedder = _embedder(stand.shop)
    samples: Samples = {None: []}
    for photo, _ in _rotating(stand.settings, stand.photos):
        start = perf_counter_ns()
        embedder.embed(load(photo))
        _note(samples, perf_counter_ns() - start)
    return Measured(_steady(stand.settings, samples))


def predict_file(stand: Stand) -> Measured:
    """Photo file -> class."""
    return _predict(stand, stand.photos)


def predict_array(stand: Stand) -> Measured:
    """A decoded frame, as a camera delivers it -> class."""
    return _predict(stand, stand.frames)


def learn_one(stand: Stand) -> Measured:
    """One photo of a known class is taught and the new head is active."""
    samples: Samples = {None: [], "add": [], "train": []}
    label = next(iter(stand.shop.counts))
    for _ in range(stand.settings.learns):
        start = perf_counter_ns()
        stand.shop.add(stand.lessons[0], label)
        added = perf_counter_ns()
        stand.shop.train()
        end = perf_counter_ns()
        _note(samples, end - start, add=added - start, train=end - added)
        stand.shop.forget(photo=stand.lessons[0])
    return Measured(samples)


def add_a_class(stand: Stand) -> Measured:
    """20 photos of a class that did not exist -> the first prediction that says it."""
    samples: Samples = {None: [], "add": [], "train": [], "predict": []}
    *lessons, question = stand.lessons
    right = 0
    for _ in range(stand.settings.classes):
        start = perf_counter_ns()
        stand.shop.add_many([(photo, NEW_CLASS) for photo in lessons])
        added = perf_counter_ns()
        stand.shop.train()
        trained = perf_counter_ns()
        said = stand.shop.predict(question).label
        end = perf_counter_ns()
        right += said == NEW_CLASS
        _note(samples, end - start, add=added - start, train=trained - added, predict=end - trained)
        stand.shop.forget(label=NEW_CLASS)
    return Measured(samples, f"{right} of {stand.settings.classes} predictions were right")


def store_insert(stand: Stand) -> Measured:
    """One embedding is durable."""
    samples: Samples = {None: []}
    random = np.random.Generator(np.random.PCG64(0))
    fingerprint = stand.shop.store.fingerprint
    with Store.open(stand.folder / "inserts.db", fingerprint) as store:
        for _ in range(stand.settings.inserts):
            embedding = random.standard_normal(fingerprint.dim, dtype=np.float32)
            new = NewSample(random.bytes(32), "class", embedding, "bench")
            start = perf_counter_ns()
            store.add([new])
            _note(samples, perf_counter_ns() - start)
    return Measured(samples)


SCENARIOS: Mapping[str, Callable[[Stand], Measured]] = {
    "embed": embed,
    "predict-file": predict_file,
    "predict-array": predict_array,
    "learn-one": learn_one,
    "add-a-class": add_a_class,
    "store-insert": store_insert,
}


def _predict(stand: Stand, photos: Sequence[Photo]) -> Measured:
    """The whole through the public call; then, so that no clock is read within it, the same steps one by one on the next photo."""
    embedder, store = _embedder(stand.shop), stand.shop.store
    head = Head.from_bytes(store.head_bytes(store.heads()[-1].head))
    samples: Samples = {stage: [] for stage in (None, "preprocess", "backbone", "head")}
    for photo, following in _rotating(stand.settings, photos):
        start = perf_counter_ns()
        stand.shop.predict(photo)
        end = perf_counter_ns()
        pixels = tensor(load(following), embedder.bundle.image)
        prepared = perf_counter_ns()
        embedding = embedder.infer(pixels)
        inferred = perf_counter_ns()
        guess(head, embedding, top=5)
        guessed = perf_counter_ns()
        _note(samples, end - start, preprocess=prepared - end, backbone=inferred - prepared, head=guessed - inferred)
    return Measured(_steady(stand.settings, samples))


def _note(samples: Samples, whole: int, **stages: int) -> None:
    samples[None].append(whole)
    for stage, taken in stages.items():
        samples[stage].append(taken)


def _rotating(settings: Settings, photos: Sequence[Item]) -> Iterator[tuple[Item, Item]]:
    """Each photo with the one that follows, over and over, for the warm-up and the queries."""
    return itertools.islice(itertools.pairwise(itertools.cycle(photos)), settings.warm_up + settings.queries)


def _steady(settings: Settings, samples: Samples) -> Samples:
    return {stage: taken[settings.warm_up :] for stage, taken in samples.items()}


def _embedder(shop: Classifier) -> Embedder:
    assert shop.embedder is not None, "a stand's shop is opened with a bundle"
    return shop.embedder
