"""Which bundle for these photos: accuracy, latency and size of each, measured here on the same photos."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import os
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np

from edgetl import machine
from edgetl.bundle.bundle import Bundle
from edgetl.choose.logme import logme
from edgetl.embedding.embedder import EmbeddedPhoto, Embedder
from edgetl.errors import BundleError, RuntimeUnavailable, TrainError
from edgetl.heads import Learner
from edgetl.inputs.photo.folders import Progress, labelled_photos_in
from edgetl.inputs.photo.source import load
from edgetl.stats import Proportion, per_class_accuracy
from edgetl.store.encoding import row_size
from edgetl.tables import render

WARM_UP, QUERIES, ROTATED = 10, 100, 32
"""Photos embedded before the clock is read, after that, and different ones among them."""
ALIKE = 1.25
"""A model that is faster or smaller by less than this factor is no different: nobody chooses 94 % right in 7 ms over 95 % in 8 ms."""

Labelled = tuple[Path, str]


@dataclasses.dataclass(frozen=True)
class Latency:
    """Photo file -> embedding, one photo at a time, monotonic clock.

    Attributes:
        samples: nanoseconds, in the order in which they were taken; no outlier is removed.
        warm_up: photos embedded before the first of them.
        p50: their median, nearest rank, ns.
        interval: 95 % for the median, ns; between two of the samples.
    """

    samples: tuple[int, ...]
    warm_up: int
    p50: int
    interval: tuple[int, int]

    @classmethod
    def of(cls, samples: Sequence[int], warm_up: int) -> Latency:
        """Sums up samples, at least six.

        The interval's ends are the k-th smallest and the k-th largest sample, with the largest k for which a median outside them has a
        probability of at most 5 % (binomial with one half; Conover 1999, section 3.2): nothing is assumed about the distribution.
        """
        n, ordered, k, outside = len(samples), sorted(samples), 0, 0.0
        while (outside := outside + math.comb(n, k) / 2**n) <= 0.025:
            k += 1
        return cls(tuple(samples), warm_up, ordered[math.ceil(n / 2) - 1], (ordered[k - 1], ordered[n - k]))

    def __str__(self) -> str:
        p50, low, high = (f"{value / 1e6:.1f}" for value in (self.p50, *self.interval))
        return f"{p50} [{low}, {high}] n={len(self.samples)}"


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One bundle, measured.

    Attributes:
        bundle: its path.
        backbone: its name.
        levels: the lengths of the pooled stages its embedding is made of; empty for the last stage alone.
        variant: what was opened.
        library: the runtime library and its version.
        threads: how many the runtime used.
        accuracy: leave-one-out (with `head` logistic: 5-fold) of the head that `auto` chose; n counts bursts.
        head: that head's kind.
        logme: see :func:`edgetl.choose.logme.logme`; over `photos`.
        photos: how many could be embedded.
        latency: of embedding one photo.
        size: of the model's files, bytes.
        sample: of one taught photo's embedding in a store, bytes.
        front: no other one is better in accuracy, latency or size without being worse in another (see :func:`choose`).
    """

    bundle: str
    backbone: str
    levels: tuple[int, ...]
    variant: str
    library: str
    threads: int
    accuracy: Proportion
    head: str
    logme: float
    photos: int
    latency: Latency
    size: int
    sample: int
    front: bool = False

    def __str__(self) -> str:
        said = f"{Path(self.bundle).name} ({self.variant})"
        return f"{said}: {self.accuracy} left out once, {self.latency} ms a photo, {self.size / 1e6:.1f} MB"


@dataclasses.dataclass(frozen=True)
class Choice:
    """What was measured, and what to take.

    Attributes:
        photos: the folder.
        classes: photos used per class, where all could be read.
        per_class: the most that were used of a class; None for all.
        seed: picks them where there were more.
        machine: :func:`edgetl.machine.describe`.
        candidates: the bundles that work here, the most accurate first.
        skipped: (bundle, reason) for the others.
        failed: (photo, reason) per file that could not be used.
        recommended: the bundle to take; None where none works here.
        sentence: why.
    """

    photos: str
    classes: Mapping[str, int]
    per_class: int | None
    seed: int
    machine: Mapping[str, Any]
    candidates: tuple[Candidate, ...]
    skipped: tuple[tuple[str, str], ...]
    failed: tuple[tuple[str, str], ...]
    recommended: str | None
    sentence: str


def choose(
    bundles: Sequence[str | os.PathLike[str]],
    photos: str | os.PathLike[str],
    *,
    per_class: int | None = None,
    seed: int = 0,
    runtime: str | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Choice:
    """Measures every bundle on the same photos, on this machine, and ranks them; all stay open until their latencies were compared.

    Two bundles are no different in accuracy where their 95 % intervals overlap, in size where one is less than a quarter larger, and in
    latency where the intervals are less than a quarter apart. A bundle is on the front where no other is better in one of the three and
    no different or better in the two others. Recommended is, among those that are no different from the most accurate one, the fastest;
    among those no different from it, the smallest; and among those the most accurate.

    Args:
        bundles: their paths.
        photos: a folder `root/<class>/<photo>`.
        per_class: use at most this many photos of a class; None is all of them.
        seed: picks them, and is passed on to the training.
        runtime: a family, hard; None is the fastest here with each bundle (see :meth:`Embedder.open`).
        threads: of the runtime; None is every core, at most 4.
        progress: called with (photos embedded, photos in all), over all bundles.

    Raises:
        PhotoError: the folder is missing, or holds no photo or loose ones.
        TrainError: its photos are of one class.
    """
    found, others = labelled_photos_in(photos)
    pairs = _drawn(found, per_class, seed)
    classes = dict(sorted(Counter(label for _, label in pairs).items()))
    if len(classes) < 2:
        raise TrainError(f"{os.fspath(photos)}: holds photos of one class, {next(iter(classes))!r}; a choice needs at least two")
    skipped: list[tuple[str, str]] = []
    failed = dict(others)
    advance = progress or (lambda done, total: None)
    with contextlib.ExitStack() as cleanup:
        judged: list[tuple[str, Embedder, _Judged]] = []
        for i, path in enumerate([os.fspath(bundle) for bundle in bundles]):

            def one(done: int, before: int = i * len(pairs)) -> None:
                advance(before + done, len(bundles) * len(pairs))

            try:
                embedder = Embedder.open(Bundle.open(path), runtime=runtime, threads=threads)
                cleanup.callback(embedder.close)
                judged.append((path, embedder, _judged(embedder, pairs, seed, failed, one)))
            except (BundleError, RuntimeUnavailable, TrainError) as error:
                skipped.append((path, str(error)))
                one(len(pairs))
        latencies = _timed([embedder for _, embedder, _ in judged], [path for path, _ in pairs if str(path) not in failed])
        candidates = [_candidate(*row, latency) for row, latency in zip(judged, latencies)]
    ranked = sorted(candidates, key=lambda c: (-c.accuracy.value, c.latency.p50))
    marked = tuple(dataclasses.replace(c, front=not any(_dominates(other, c) for other in ranked)) for c in ranked)
    best, sentence = _recommended(marked)
    return Choice(
        os.fspath(photos), classes, per_class, seed, machine.describe(), marked, tuple(skipped), tuple(failed.items()), best, sentence
    )


def table(choice: Choice) -> str:
    """The choice for the screen."""
    headers = ("bundle", "variant", "values", "right, left out once", "LogME", "ms a photo", "model MB", "B a sample", "front")
    rows = [
        (
            Path(c.bundle).name,
            c.variant,
            " + ".join(map(str, c.levels)) or c.sample - row_size(0),
            c.accuracy,
            f"{c.logme:.3f}",
            c.latency,
            f"{c.size / 1e6:.1f}",
            c.sample,
            "*" if c.front else "",
        )
        for c in choice.candidates
    ]
    lines = [render(headers, rows)] if rows else []
    if rows:
        measured = sorted({c.photos for c in choice.candidates})
        lines.append(
            f"accuracy: n bursts (near-duplicates count once) of {' or '.join(map(str, measured))} photos, Wilson 95 %; LogME: the same "
            f"photos, higher is better; latency: file to embedding, the bundles in turn, median after {WARM_UP} to warm up, 95 %; "
            "* on the Pareto front"
        )
    lines += [f"not measured: {reason if bundle in reason else f'{bundle}: {reason}'}" for bundle, reason in choice.skipped]
    lines += [f"not used: {photo}: {reason}" for photo, reason in choice.failed]
    return "\n".join([*lines, choice.sentence])


def _drawn(pairs: Sequence[Labelled], per_class: int | None, seed: int) -> list[Labelled]:
    """At most `per_class` photos of each class, whatever the other classes hold."""
    drawn = []
    for label, group in itertools.groupby(sorted(pairs, key=lambda pair: (pair[1], pair[0])), key=lambda pair: pair[1]):
        whole = list(group)
        drawn += sorted(random.Random(f"{seed} {label}").sample(whole, min(per_class or len(whole), len(whole))))
    return drawn


@dataclasses.dataclass(frozen=True)
class _Judged:
    accuracy: Proportion
    head: str
    logme: float
    photos: int


def _judged(embedder: Embedder, pairs: list[Labelled], seed: int, failed: dict[str, str], one: Callable[[int], None]) -> _Judged:
    """What a head is worth on this bundle's embeddings; photos that cannot be used are put into `failed`."""
    kept: list[tuple[str, EmbeddedPhoto]] = []
    for done, ((photo, label), _, made) in enumerate(embedder.embed_samples(pairs, lambda pair: load(pair[0])), 1):
        if isinstance(made, EmbeddedPhoto):
            kept.append((label, made))
        else:
            failed[str(photo)] = str(made)
        one(done)
    labels, fingerprint = [label for label, _ in kept], embedder.fingerprint
    embeddings = np.array([made.views[0] for _, made in kept], np.float32).reshape(-1, fingerprint.dim)
    learner = Learner(fingerprint.dim, fingerprint.levels)
    learner.add(np.arange(len(kept)), embeddings, labels, [made.capture.taken or math.nan for _, made in kept if made.capture])
    fit = learner.fit("auto", seed)
    accuracy, _ = per_class_accuracy(list(zip(fit.truth, fit.predicted)), fit.bursts.tolist())
    return _Judged(accuracy, fit.kind, logme(embeddings, labels), len(kept))


def _timed(embedders: Sequence[Embedder], photos: Sequence[Path]) -> list[Latency]:
    """Each photo goes through all embedders in turn, so that whatever else the machine does slows them alike."""
    samples: list[list[int]] = [[] for _ in embedders]
    rotated = itertools.cycle(photos[:: math.ceil(len(photos) / ROTATED) or 1])
    for photo in itertools.islice(rotated, WARM_UP + QUERIES):
        for embedder, taken in zip(embedders, samples):
            start = perf_counter_ns()
            embedder.embed(load(photo))
            taken.append(perf_counter_ns() - start)
    return [Latency.of(taken[WARM_UP:], WARM_UP) for taken in samples]


def _candidate(path: str, embedder: Embedder, judged: _Judged, latency: Latency) -> Candidate:
    return Candidate(
        bundle=path,
        backbone=str(embedder.bundle.backbone.get("name")),
        levels=embedder.fingerprint.levels,
        variant=embedder.variant.name,
        library=embedder.runtime.library,
        threads=embedder.runtime.threads,
        **vars(judged),
        latency=latency,
        size=embedder.variant.size,
        sample=row_size(embedder.fingerprint.dim),
    )


def _gains(a: Candidate, b: Candidate) -> tuple[bool, bool, bool]:
    """In which of accuracy, latency and size `a` is better than `b`, beyond what is no difference."""
    accurate = a.accuracy.interval[0] > b.accuracy.interval[1]
    return accurate, a.latency.interval[1] * ALIKE < b.latency.interval[0], a.size * ALIKE < b.size


def _dominates(a: Candidate, b: Candidate) -> bool:
    return any(_gains(a, b)) and not any(_gains(b, a))


def _recommended(ranked: Sequence[Candidate]) -> tuple[str | None, str]:
    if not ranked:
        return None, "none of the bundles works on this machine; the reasons are above"
    left = [c for c in ranked if not _gains(ranked[0], c)[0]]
    left = [
        c for c in left if c.front
    ] or left  # "no different" does not carry over: something faster may be no different from each of them
    fastest = min(left, key=lambda c: c.latency.p50)
    left = [c for c in left if not _gains(fastest, c)[1]]
    smallest = min(left, key=lambda c: c.size)
    taken = next(c for c in left if not _gains(smallest, c)[2])
    why = f"take {taken}"
    if taken is not ranked[0]:
        why += f"; {Path(ranked[0].bundle).name} ({ranked[0].variant}) gets {ranked[0].accuracy}, which on these photos is no difference"
    elif len(ranked) > 1:
        why += "; none of the others is more accurate"
    return taken.bundle, why
