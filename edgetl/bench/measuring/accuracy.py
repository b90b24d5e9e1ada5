"""Top-1 beside the latencies: the same file on the same library, over photos that were not trained on."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import os
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgetl.bench.measuring.child import BenchJob, JobAnswer
from edgetl.bench.measuring.stand import subject
from edgetl.bench.record import Accuracy
from edgetl.bundle.bundle import Bundle
from edgetl.embedding.embedder import Embedder
from edgetl.errors import PhotoError, TrainError
from edgetl.heads import Learner
from edgetl.inputs.photo.folders import labelled_photos_in
from edgetl.inputs.photo.source import load
from edgetl.stats import Proportion
from edgetl.types import Embeddings

TRAINING, TEST = 20, 1000
"""Training photos of a class, and test photos in all, at most."""
Labelled = tuple[Path, str]


@dataclasses.dataclass(frozen=True)
class Split:
    """The training and test photos of a labelled folder; it depends on their names and the seed alone.

    Photos of one near-duplicate group may be on both sides: the groups are known from embeddings only, and then the split would depend on
    the model.

    Attributes:
        folder: its name.
        training: photos and their classes, class by class, in a shuffled order within each.
        test: the same, sorted.
    """

    folder: str
    training: tuple[Labelled, ...]
    test: tuple[Labelled, ...]

    @classmethod
    def make(cls, folder: str | os.PathLike[str], seed: int = 0) -> Split:
        """Half of each class, at most 20 photos, trains; of the others at most 1000 are test photos. A class of one photo has no half.

        Raises:
            PhotoError: the folder is missing, or holds no photo or loose ones.
            TrainError: fewer than two classes have two photos.
        """
        root = Path(folder)
        pairs = sorted(labelled_photos_in(root)[0], key=lambda pair: (pair[1], pair[0].relative_to(root).as_posix()))
        training: list[Labelled] = []
        others: list[Labelled] = []
        counts: dict[str, int] = {}
        for label, group in itertools.groupby(pairs, key=lambda pair: pair[1]):
            photos = list(group)
            counts[label] = len(photos)
            random.Random(f"{seed} {label}").shuffle(photos)
            half = min(TRAINING, len(photos) // 2)
            training += photos[:half]
            others += photos[half:] if half else []
        if len({label for _, label in training}) < 2:
            message = f"{root}: accuracy needs at least two classes of two photos each; found {counts}"
            raise TrainError(message, code="too-few-labelled", path=str(root), counts=counts)
        test = random.Random(seed).sample(others, min(TEST, len(others)))
        return cls(root.resolve().name, tuple(training), tuple(sorted(test, key=lambda pair: (pair[1], pair[0]))))


def measure(embedder: Embedder, split: Split, seed: int = 0) -> Accuracy:
    """Trains the head that `edgetl train` would choose on one part of a split and tests it on the other.

    Test photos whose bytes are among the training photos are left out.

    Raises:
        PhotoError: none of the test photos can be read.
        TrainError: of fewer than two classes a training photo can be read.
    """
    training, read = _embed(embedder, split.training), _embed(embedder, split.test)
    known = {digest for _, _, digest in training}
    test = [photo for photo in read if photo[2] not in known]
    if not test:
        message = f"{split.folder}: none of its {len(split.test)} test photos can be read, or all are copies of training photos"
        raise PhotoError(message, code="no-test-photos", tested=len(split.test))
    learner = Learner(embedder.fingerprint.dim, embedder.fingerprint.levels)
    learner.add(np.arange(len(training)), np.array([embedding for embedding, _, _ in training]), [label for _, label, _ in training])
    fit = learner.fit("auto", seed)
    predicted = np.argmax(fit.head.logits(np.array([embedding for embedding, _, _ in test])), axis=1)
    correct = [fit.head.labels[i] == label for i, (_, label, _) in zip(predicted, test)]
    unread = len(split.training) - len(training) + len(split.test) - len(read)
    method = (
        f"top-1 of the head that auto chose ({fit.kind}), trained on {len(training)} photos of {len(fit.head.labels)} classes (half of "
        f"each, at most {TRAINING}, seed {seed}), tested on {len(test)} others (at most {TEST}); left out: {unread} unreadable, "
        f"{len(read) - len(test)} copies of training photos"
    )
    lines = [f"{role} {digest.hex()} {label}" for role, part in (("training", training), ("test", test)) for _, label, digest in part]
    photos = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return Accuracy(Proportion(sum(correct), len(correct)), "".join("01"[hit] for hit in correct), split.folder, photos, method)


def _embed(embedder: Embedder, pairs: Sequence[Labelled]) -> list[tuple[Embeddings, str, bytes]]:
    """Of the photos that can be read: embedding, class, and sha256 of the bytes."""
    return [
        (result, label, photo.digest)
        for (_, label), photo, result in embedder.embed_many(pairs, lambda pair: load(pair[0]))
        if photo is not None and isinstance(result, np.ndarray)
    ]


def task(job: BenchJob) -> JobAnswer:
    """One configuration's accuracy over `job.labelled`.

    Raises:
        EdgetlError: as :func:`measure`, :meth:`Split.make` and :meth:`edgetl.embedding.embedder.Embedder.open`.
    """
    assert job.labelled is not None, "the task is planned with a labelled folder only"
    split, seed = Split.make(job.labelled, job.method.seed), job.method.seed
    embedder = Embedder.open(Bundle.open(job.bundle), variant=job.variant, threads=job.threads)
    try:
        return JobAnswer(subject(embedder), accuracy=measure(embedder, split, seed))
    finally:
        embedder.close()
