"""Measures bundles on labelled photos: accuracy of a head, latency on this machine, size."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter_ns

import numpy as np

from edgetl.choose.logme import logme
from edgetl.embedding.embedder import EmbeddedPhoto, Embedder
from edgetl.heads import Learner
from edgetl.inputs.photo.source import load
from edgetl.stats import Proportion, per_class_accuracy
from edgetl.store.encoding import row_size

WARM_UP, QUERIES, ROTATED = 10, 100, 32
"""Photos embedded before the measurement, photos measured, and different ones among them."""


@dataclasses.dataclass(frozen=True)
class EmbedLatency:
    """Latency from photo file to embedding, one photo at a time, by a monotonic clock.

    Attributes:
        samples: in the order in which they were measured, ns; outliers are kept.
        warm_up: photos embedded before the first of them.
        p50: their median, nearest rank, ns.
        interval: 95 % interval of the median, ns; between two of the samples.
    """

    samples: tuple[int, ...]
    warm_up: int
    p50: int
    interval: tuple[int, int]

    @classmethod
    def summarise(cls, samples: Sequence[int], warm_up: int) -> EmbedLatency:
        """Summarises at least six samples.

        The ends of the interval are the k-th smallest and the k-th largest sample, with the largest k for which the median is outside with
        a probability of at most 5 % (binomial with one half; Conover 1999, section 3.2), whatever the distribution.
        """
        n, ordered, k, outside = len(samples), sorted(samples), 0, 0.0
        while (outside := outside + math.comb(n, k) / 2**n) <= 0.025:
            k += 1
        return cls(tuple(samples), warm_up, ordered[math.ceil(n / 2) - 1], (ordered[k - 1], ordered[n - k]))

    def __str__(self) -> str:
        p50, low, high = (f"{value / 1e6:.1f}" for value in (self.p50, *self.interval))
        return f"{p50} [{low}, {high}] n={len(self.samples)}"


@dataclasses.dataclass(frozen=True)
class MeasuredBundle:
    """One bundle with its measurements.

    Attributes:
        bundle: its path.
        backbone: its name.
        dim: values of its embedding.
        levels: lengths of the pooled stages of its embedding; empty for the last stage alone.
        variant: the opened variant.
        library: the runtime library and its version.
        threads: threads of the runtime.
        accuracy: leave-one-out of the head that `auto` chose; n counts near-duplicate groups.
        head: that head's kind.
        logme: :func:`edgetl.choose.logme.logme` over `photos`.
        photos: embedded, count.
        latency: of one photo.
        size: of the model's files, bytes.
        sample: of the embedding of one photo in a store, bytes.
        front: whether it is on the Pareto front: no other bundle is better in accuracy, latency or size without being worse in another.
    """

    bundle: str
    backbone: str
    dim: int
    levels: tuple[int, ...]
    variant: str
    library: str
    threads: int
    accuracy: Proportion
    head: str
    logme: float
    photos: int
    latency: EmbedLatency
    size: int
    sample: int
    front: bool = False


@dataclasses.dataclass(frozen=True)
class Quality:
    """What a head reaches on a bundle's embeddings; the attributes are those of :class:`MeasuredBundle`."""

    accuracy: Proportion
    head: str
    logme: float
    photos: int


@dataclasses.dataclass(frozen=True)
class SkippedInput:
    """A bundle or a photo that was not used.

    Attributes:
        path: its path.
        code: the error's code.
        reason: its message.
    """

    path: str
    code: str
    reason: str


def measure_quality(
    embedder: Embedder, pairs: Sequence[tuple[Path, str]], seed: int, skipped: dict[str, SkippedInput], progress: Callable[[int], None]
) -> Quality:
    """Trains a head on a bundle's embeddings of (photo, label) pairs; photos that cannot be used are added to `skipped`."""
    embedded: list[tuple[str, EmbeddedPhoto]] = []
    for done, ((photo, label), _, result) in enumerate(embedder.embed_samples(list(pairs), lambda pair: load(pair[0])), 1):
        if isinstance(result, EmbeddedPhoto):
            embedded.append((label, result))
        else:
            skipped[str(photo)] = SkippedInput(str(photo), getattr(result, "code", "photo-unusable"), str(result))
        progress(done)
    labels, fingerprint = [label for label, _ in embedded], embedder.fingerprint
    embeddings = np.array([photo.embedding for _, photo in embedded], np.float32).reshape(-1, fingerprint.dim)
    learner = Learner(fingerprint.dim, fingerprint.levels)
    taken = [photo.capture.taken or math.nan for _, photo in embedded if photo.capture]
    learner.add(np.arange(len(embedded)), embeddings, labels, taken)
    fit = learner.fit("auto", seed)
    accuracy, _ = per_class_accuracy(list(zip(fit.truth, fit.predicted)), fit.bursts.tolist())
    return Quality(accuracy, fit.kind, logme(embeddings, labels), len(embedded))


def measure_latencies(embedders: Sequence[Embedder], photos: Sequence[Path]) -> list[EmbedLatency]:
    """Embeds each photo with all embedders in turn, so that other load on the machine slows them equally."""
    samples: list[list[int]] = [[] for _ in embedders]
    rotated = itertools.cycle(photos[:: math.ceil(len(photos) / ROTATED) or 1])
    for photo in itertools.islice(rotated, WARM_UP + QUERIES):
        for embedder, durations in zip(embedders, samples):
            start = perf_counter_ns()
            embedder.embed(load(photo))
            durations.append(perf_counter_ns() - start)
    return [EmbedLatency.summarise(durations[WARM_UP:], WARM_UP) for durations in samples]


def combine(path: str, embedder: Embedder, quality: Quality, latency: EmbedLatency) -> MeasuredBundle:
    """A bundle with all of its measurements."""
    return MeasuredBundle(
        bundle=path,
        backbone=str(embedder.bundle.backbone.get("name")),
        dim=embedder.fingerprint.dim,
        levels=embedder.fingerprint.levels,
        variant=embedder.variant.name,
        library=embedder.runtime.library,
        threads=embedder.runtime.threads,
        **vars(quality),
        latency=latency,
        size=embedder.variant.size,
        sample=row_size(embedder.fingerprint.dim),
    )
