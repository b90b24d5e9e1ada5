"""How much a class gains by more photos, and what their training costs."""

from __future__ import annotations

from array import array
from collections import Counter

from edgetl.bench.measuring import accuracy
from edgetl.bench.measuring.accuracy import Embedded, Split
from edgetl.bench.measuring.loop import Loop, Measured
from edgetl.bench.measuring.stand import Stand
from edgetl.errors import BenchError

SHOTS = (1, 2, 5, 10, 20)
"""Photos of a class."""


def n_shot(stand: Stand, loop: Loop) -> Measured:
    """Cached embeddings of n photos per class -> a head, for every n: `Learner.add` and `Learner.fit`.

    Photos are taught and asked as for the accuracy (:class:`edgetl.bench.measuring.accuracy.Split`); fewer are the first of more. The
    whole is all trainings one after the other.

    Raises:
        BenchError: no labelled folder was given.
        PhotoError: as :func:`edgetl.bench.measuring.accuracy.embed`.
        TrainError: fewer than two classes have two photos.
    """
    if stand.labelled is None:
        raise BenchError("n-shot needs labelled photos; give a folder ROOT/CLASS/PHOTO with --labelled")
    clock, seed, fingerprint = loop.clock, loop.method.seed, stand.embedder.fingerprint
    taught, asked = accuracy.embed(stand.embedder, Split.of(stand.labelled, seed))
    least = min(Counter(taught.labels).values())
    parts = {shots: taught.where(_first(taught, shots)) for shots in SHOTS if shots <= least}
    samples: dict[str | None, array[int]] = {None: array("q"), **{f"{shots}-shot": array("q") for shots in parts}}
    facts: dict[str, float] = {}
    for number in range(1 + loop.method.lessons):
        whole = 0
        for shots, part in parts.items():
            start = clock()
            made = accuracy.fit(part, fingerprint, seed)
            taken = clock() - start
            whole += taken
            if number:
                samples[f"{shots}-shot"].append(taken)
            facts[f"{shots}-shot right"] = int(accuracy.right(made, asked).sum())
            facts[f"{shots}-shot asked"] = len(asked.labels)
        if number:
            samples[None].append(whole)
    note = "" if least >= SHOTS[-1] else f"the smallest class has {least} photos to teach: no head of more"
    return Measured(dict(samples), warm_up=1, facts=facts, note=note)


def _first(photos: Embedded, count: int) -> list[int]:
    """The rows of the first `count` photos of each class."""
    seen: Counter[str] = Counter()
    rows = []
    for row, label in enumerate(photos.labels):
        seen[label] += 1
        if seen[label] <= count:
            rows.append(row)
    return rows
