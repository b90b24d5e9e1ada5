"""Top-1 beside the latencies: the same file on the same library, over photos that were not taught."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import os
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from edgetl.bench.measuring.job import Answer, Job
from edgetl.bench.measuring.subject import subject
from edgetl.bench.record import Accuracy
from edgetl.bundle.bundle import Bundle
from edgetl.embedding.embedder import Embedder
from edgetl.errors import BenchError, PhotoError, TrainError
from edgetl.heads import Fit, Learner
from edgetl.inputs.photo.folders import labelled_photos_in
from edgetl.inputs.photo.source import load
from edgetl.stats import Proportion
from edgetl.types import Array, Embeddings, Fingerprint

TAUGHT, ASKED = 20, 1000
"""Photos taught of a class, and asked in all, at most."""

Labelled = tuple[Path, str]


@dataclasses.dataclass(frozen=True)
class Split:
    """Which photos of a labelled folder are taught and which are asked; it depends on their names and the seed alone.

    Photos of one burst may be on both sides: which these are is known from embeddings only, and then the split would depend on the model.

    Attributes:
        folder: its name.
        taught: photos and their classes, class by class, in a shuffled order within each.
        asked: the same, sorted.
    """

    folder: str
    taught: tuple[Labelled, ...]
    asked: tuple[Labelled, ...]

    @classmethod
    def of(cls, folder: str | os.PathLike[str], seed: int = 0) -> Split:
        """Half of each class, at most 20 photos, is taught; of the others at most 1000 are asked. A class of one photo has no half.

        Raises:
            PhotoError: the folder is missing, or holds no photo or loose ones.
            TrainError: fewer than two classes have two photos.
        """
        root = Path(folder)
        pairs = sorted(labelled_photos_in(root)[0], key=lambda pair: (pair[1], pair[0].relative_to(root).as_posix()))
        taught: list[Labelled] = []
        others: list[Labelled] = []
        for label, group in itertools.groupby(pairs, key=lambda pair: pair[1]):
            photos = list(group)
            random.Random(f"{seed} {label}").shuffle(photos)
            half = min(TAUGHT, len(photos) // 2)
            taught += photos[:half]
            others += photos[half:] if half else []
        if len({label for _, label in taught}) < 2:
            raise TrainError(f"{root}: accuracy needs at least two classes of two photos each; there are {_counts(pairs)}")
        asked = random.Random(seed).sample(others, min(ASKED, len(others)))
        return cls(root.resolve().name, tuple(taught), tuple(sorted(asked, key=lambda pair: (pair[1], pair[0]))))


@dataclasses.dataclass(frozen=True, eq=False)
class Embedded:
    """Photos that could be embedded.

    Attributes:
        embeddings: float32 [n, d].
        labels: the class of each.
        digests: sha256 of each photo's bytes.
        failed: how many could not be, count.
    """

    embeddings: Embeddings
    labels: tuple[str, ...]
    digests: tuple[bytes, ...]
    failed: int

    @classmethod
    def of(cls, embedder: Embedder, pairs: Sequence[Labelled]) -> Embedded:
        """Embeds them."""
        kept = [
            (made, label, photo.digest)
            for (_, label), photo, made in embedder.embed_many(pairs, lambda pair: load(pair[0]))
            if photo is not None and isinstance(made, np.ndarray)
        ]
        embeddings = np.array([made for made, _, _ in kept], np.float32).reshape(-1, embedder.fingerprint.dim)
        return cls(embeddings, tuple(label for _, label, _ in kept), tuple(digest for _, _, digest in kept), len(pairs) - len(kept))

    def where(self, rows: Iterable[int]) -> Embedded:
        """Some of them."""
        chosen = list(rows)
        return Embedded(self.embeddings[chosen], tuple(self.labels[i] for i in chosen), tuple(self.digests[i] for i in chosen), self.failed)


def embed(embedder: Embedder, split: Split) -> tuple[Embedded, Embedded]:
    """The taught and the asked photos, embedded; of the asked ones those are left out whose bytes were taught.

    Raises:
        PhotoError: none of the asked ones is left.
    """
    taught, asked = Embedded.of(embedder, split.taught), Embedded.of(embedder, split.asked)
    known = set(taught.digests)
    asked = asked.where(i for i, digest in enumerate(asked.digests) if digest not in known)
    if not asked.labels:
        raise PhotoError(f"{split.folder}: none of its {len(split.asked)} photos to ask can be read, or all are copies of taught ones")
    return taught, asked


def fit(taught: Embedded, fingerprint: Fingerprint, seed: int = 0) -> Fit:
    """The head that `edgetl train` would choose.

    Raises:
        TrainError: fewer than two classes.
    """
    learner = Learner(fingerprint.dim, fingerprint.levels)
    learner.add(np.arange(len(taught.labels)), taught.embeddings, taught.labels)
    return learner.fit("auto", seed)


def right(made: Fit, asked: Embedded) -> Array:
    """Whether the most probable class is the true one, bool [n]."""
    said = np.argmax(made.head.logits(asked.embeddings), axis=1)
    found: Array = np.array([made.head.labels[i] for i in said]) == np.array(asked.labels)
    return found


def measure(embedder: Embedder, split: Split, seed: int = 0) -> Accuracy:
    """Teaches the one part of a split to a new head and asks it for the other.

    Raises:
        PhotoError: none of the photos to ask can be read.
        TrainError: of fewer than two classes a photo to teach can be read.
    """
    taught, asked = embed(embedder, split)
    made = fit(taught, embedder.fingerprint, seed)
    found = right(made, asked)
    unread = taught.failed + asked.failed
    copies = len(split.asked) - asked.failed - len(asked.labels)
    method = (
        f"top-1 of the head that auto chose ({made.kind}), from {len(taught.labels)} photos of {len(made.head.labels)} classes: half of "
        f"each, at most {TAUGHT}, drawn with seed {seed}; asked for {len(asked.labels)} others, of at most {ASKED}; left out: {unread} "
        f"unreadable, {copies} copies of taught ones; photos of one burst may be on both sides"
    )
    shown = "".join("01"[one] for one in found.tolist())
    return Accuracy(Proportion(int(found.sum()), len(found)), shown, split.folder, _digest(taught, asked), method)


def task(job: Job) -> Answer:
    """One configuration's accuracy over `job.labelled`.

    Raises:
        BenchError: none was given.
        EdgetlError: as :func:`measure`, :meth:`Split.of` and :meth:`edgetl.embedding.embedder.Embedder.open`.
    """
    if job.labelled is None:
        raise BenchError("accuracy needs labelled photos; give a folder ROOT/CLASS/PHOTO with --labelled")
    split, seed = Split.of(job.labelled, job.method.seed), job.method.seed
    embedder = Embedder.open(Bundle.open(job.bundle), variant=job.variant, threads=job.threads)
    try:
        return Answer(subject(embedder), accuracy=measure(embedder, split, seed))
    finally:
        embedder.close()


def _digest(taught: Embedded, asked: Embedded) -> str:
    told = [
        f"{role} {digest.hex()} {label}"
        for role, part in (("taught", taught), ("asked", asked))
        for label, digest in zip(part.labels, part.digests)
    ]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def _counts(pairs: Sequence[Labelled]) -> str:
    return ", ".join(f"{len(list(group))} of {label!r}" for label, group in itertools.groupby(pairs, key=lambda pair: pair[1]))
