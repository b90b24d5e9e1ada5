"""Chooses among bundles by accuracy, latency and size, measured on the same photos on this machine."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import os
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from edgetl import machine
from edgetl.bundle.bundle import Bundle
from edgetl.choose.measure import MeasuredBundle, Quality, SkippedInput, combine, measure_latencies, measure_quality
from edgetl.embedding.embedder import Embedder
from edgetl.errors import BundleError, RuntimeUnavailable, TrainError
from edgetl.inputs.photo.folders import Progress, labelled_photos_in

RecommendationCode = Literal["none-works", "only", "most-accurate", "as-accurate"]
ALIKE = 1.25
"""Latencies and sizes that differ by less than this factor count as equal: 94 % in 7 ms is not worth giving up 95 % in 8 ms."""


@dataclasses.dataclass(frozen=True)
class BundleChoice:
    """The measurements, and which bundle to take. :mod:`edgetl.choose.text` puts it into words.

    Attributes:
        code: `none-works` (no bundle works here); `only` (one does); `most-accurate`; or `as-accurate` (the recommended bundle is faster or
            smaller than the most accurate one, whose accuracy is not measurably higher).
        recommended: path of the bundle to take; None with `none-works`.
        photos: the folder.
        classes: photos used per class, if all could be read.
        per_class: the most photos used of a class; None for all.
        seed: of the selection of photos.
        machine: :func:`edgetl.machine.describe`.
        candidates: the bundles that work here, the most accurate first.
        skipped: the other bundles.
        failed: photos that could not be used.
    """

    code: RecommendationCode
    recommended: str | None
    photos: str
    classes: Mapping[str, int]
    per_class: int | None
    seed: int
    machine: Mapping[str, Any]
    candidates: tuple[MeasuredBundle, ...]
    skipped: tuple[SkippedInput, ...]
    failed: tuple[SkippedInput, ...]


def choose(
    bundles: Sequence[str | os.PathLike[str]],
    photos: str | os.PathLike[str],
    *,
    per_class: int | None = None,
    seed: int = 0,
    runtime: str | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> BundleChoice:
    """Measures all bundles on the same photos on this machine and recommends one; all stay open until their latencies are compared.

    Two bundles count as equal in accuracy if their 95 % intervals overlap, in size if one is less than a quarter larger, and in latency if
    the intervals are less than a quarter apart. A bundle is on the Pareto front if no other is better in one of the three and at least
    equal in the others. Recommended is, among the bundles as accurate as the best, the fastest; among those as fast, the smallest; among
    those as small, the most accurate.

    Args:
        bundles: their paths.
        photos: a folder `root/<class>/<photo>`.
        per_class: use at most this many photos of a class; None uses all.
        seed: selects them, and is passed on to the training.
        runtime: a family; a bundle for which it does not work is skipped. None takes the fastest for each bundle (:meth:`Embedder.open`).
        threads: of the runtime; None is every core, at most 4.
        progress: called with (photos embedded, photos in all), over all bundles.

    Raises:
        PhotoError: the folder is missing, or has no photos or loose ones.
        TrainError: its photos are of one class.
    """
    paths = [os.fspath(bundle) for bundle in bundles]
    labelled, others = labelled_photos_in(photos)
    pairs = _select(labelled, per_class, seed)
    classes = dict(sorted(Counter(label for _, label in pairs).items()))
    if len(classes) < 2:
        message = f"{os.fspath(photos)}: photos of one class, {next(iter(classes))!r}; expected at least two classes"
        raise TrainError(message, code="one-class", path=os.fspath(photos), classes=list(classes))
    failed = {path: SkippedInput(path, "not-a-photo", reason) for path, reason in others}
    open_embedder = functools.partial(Embedder.open, runtime=runtime, threads=threads)
    candidates, skipped = _measure(paths, pairs, seed, failed, open_embedder, progress or (lambda done, total: None))
    code, recommended = recommend(candidates)
    return BundleChoice(
        code=code,
        recommended=recommended,
        photos=os.fspath(photos),
        classes=classes,
        per_class=per_class,
        seed=seed,
        machine=machine.describe(),
        candidates=candidates,
        skipped=tuple(skipped),
        failed=tuple(failed.values()),
    )


def _measure(
    paths: Sequence[str],
    pairs: Sequence[tuple[Path, str]],
    seed: int,
    failed: dict[str, SkippedInput],
    open_embedder: Callable[[Bundle], Embedder],
    progress: Progress,
) -> tuple[tuple[MeasuredBundle, ...], list[SkippedInput]]:
    """The ranked bundles, and those that do not work here; photos that cannot be used are added to `failed`."""
    skipped: list[SkippedInput] = []
    measured: list[tuple[str, Embedder, Quality]] = []

    def advance(before: int, done: int) -> None:
        progress(before + done, len(paths) * len(pairs))

    with contextlib.ExitStack() as cleanup:
        for i, path in enumerate(paths):
            count = functools.partial(advance, i * len(pairs))
            try:
                embedder = open_embedder(Bundle.open(path))
                cleanup.callback(embedder.close)
                measured.append((path, embedder, measure_quality(embedder, pairs, seed, failed, count)))
            except (BundleError, RuntimeUnavailable, TrainError) as error:
                skipped.append(SkippedInput(path, error.code, str(error)))
                count(len(pairs))
        latencies = measure_latencies([embedder for _, embedder, _ in measured], [path for path, _ in pairs if str(path) not in failed])
        return rank([combine(*row, latency) for row, latency in zip(measured, latencies)]), skipped


def rank(candidates: Sequence[MeasuredBundle]) -> tuple[MeasuredBundle, ...]:
    """The bundles with the most accurate first, and those on the Pareto front marked."""
    ranked = sorted(candidates, key=lambda candidate: (-candidate.accuracy.value, candidate.latency.p50))
    return tuple(dataclasses.replace(candidate, front=not any(_dominates(other, candidate) for other in ranked)) for candidate in ranked)


def recommend(ranked: Sequence[MeasuredBundle]) -> tuple[RecommendationCode, str | None]:
    """Which of the ranked bundles to take, and why."""
    if not ranked:
        return "none-works", None
    left = [candidate for candidate in ranked if not _better(ranked[0], candidate).accuracy]
    # "Equal" is not transitive: a faster bundle may be equal to each of those that are equal among each other.
    left = [candidate for candidate in left if candidate.front] or left
    fastest = min(left, key=lambda candidate: candidate.latency.p50)
    left = [candidate for candidate in left if not _better(fastest, candidate).latency]
    smallest = min(left, key=lambda candidate: candidate.size)
    chosen = next(candidate for candidate in left if not _better(smallest, candidate).size)
    if chosen is not ranked[0]:
        return "as-accurate", chosen.bundle
    return "most-accurate" if len(ranked) > 1 else "only", chosen.bundle


@dataclasses.dataclass(frozen=True)
class _Better:
    """In what one bundle is better than another, by more than counts as equal."""

    accuracy: bool
    latency: bool
    size: bool

    def __bool__(self) -> bool:
        return self.accuracy or self.latency or self.size


def _better(a: MeasuredBundle, b: MeasuredBundle) -> _Better:
    accurate = a.accuracy.interval[0] > b.accuracy.interval[1]
    return _Better(accurate, a.latency.interval[1] * ALIKE < b.latency.interval[0], a.size * ALIKE < b.size)


def _dominates(a: MeasuredBundle, b: MeasuredBundle) -> bool:
    return bool(_better(a, b)) and not _better(b, a)


def _select(pairs: Sequence[tuple[Path, str]], per_class: int | None, seed: int) -> list[tuple[Path, str]]:
    """At most `per_class` photos of each class, independent of the other classes."""
    selected = []
    for label, group in itertools.groupby(sorted(pairs, key=lambda pair: (pair[1], pair[0])), key=lambda pair: pair[1]):
        photos = list(group)
        selected += sorted(random.Random(f"{seed} {label}").sample(photos, min(per_class or len(photos), len(photos))))
    return selected
