"""Compares a fused file with edgetl on a user's own photos: on how many both name the same class.

It is for a variant other than the one the head was trained with: docs/evidence/fused-classifiers.md.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from edgetl.bundle.bundle import Bundle, Variant
from edgetl.errors import ParityError, PhotoError
from edgetl.inputs.photo.folders import photos_in
from edgetl.inputs.photo.preprocess import tensor
from edgetl.inputs.photo.source import load
from edgetl.runtimes import Runtime, open_runtime
from edgetl.stats import Proportion
from edgetl.types import Embeddings, Pixels
from edgetl_exporters.errors import file_error
from edgetl_exporters.quiet import quiet

BOUND = 0.95
"""The least share of photos with the same class: docs/evidence/fused-classifiers.md."""
FEWEST = 50
"""Least number of photos for the comparison."""


@dataclasses.dataclass(frozen=True)
class Answers:
    """edgetl's answers, and the photos to compare on.

    Attributes:
        variant: the variant that edgetl embeds with.
        folder: the photos, in any subfolders.
        probabilities: uint8 [h, w, 3] -> float32 [c]; raises PhotoError if the photo cannot be used.
        trained: whether the head was trained with the photo of this digest.
        progress: called with (photos done, photos in all).
    """

    variant: str
    folder: Path
    probabilities: Callable[[Pixels], Embeddings]
    trained: Callable[[bytes], bool]
    progress: Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class Check:
    """A fused file compared with edgetl's answers.

    Attributes:
        variant: the variant that edgetl embedded with.
        top1: photos on which the most probable class is the same.
        max_abs: the largest difference of one probability.
        bound: the least share that is allowed.
        known: photos that do not count, because the head was trained with them or they are in the folder twice.
        failed: (source, reason) per file that could not be used.
    """

    variant: str
    top1: Proportion
    max_abs: float
    bound: float
    known: int
    failed: tuple[tuple[str, str], ...]


def compare(bundle: Bundle, variant: Variant, files: Mapping[str, bytes], answers: Answers) -> Check:
    """Classifies photos with both.

    Photos that the head was trained with do not count: on them every variant gives the same class.

    Args:
        bundle: where the backbone is from.
        variant: the fused file's backbone.
        files: the fused model.
        answers: of edgetl.

    Raises:
        PhotoError: the folder is missing or holds no photo.
        ExportError: `too-few-photos`: fewer than FEWEST count.
        ParityError: the share of photos with the same class is below BOUND.
    """
    paths, failed = photos_in(answers.folder)
    shown: set[bytes] = set()
    known, same, furthest = 0, 0, 0.0
    with contextlib.closing(_opened(variant, files)) as runtime:
        for done, path in enumerate(paths, 1):
            try:
                photo = load(path)
                if photo.digest in shown or answers.trained(photo.digest):
                    known += 1
                else:
                    pixels = tensor(photo, bundle.input)
                    expected, probabilities = answers.probabilities(pixels), runtime.embed(pixels[None])[0]
                    shown.add(photo.digest)
                    same += int(probabilities.argmax() == expected.argmax())
                    furthest = max(furthest, float(np.abs(probabilities - expected).max()))
            except PhotoError as error:
                failed.append((str(path), str(error)))
            answers.progress(done, len(paths))
    check = Check(answers.variant, Proportion(same, len(shown)), furthest, BOUND, known, tuple(failed))
    _check_share(check, variant, answers.folder)
    return check


def _opened(variant: Variant, files: Mapping[str, bytes]) -> Runtime:
    with quiet():
        return open_runtime(variant.family, files)


def _check_share(check: Check, variant: Variant, folder: Path) -> None:
    if check.top1.n < FEWEST:
        raise file_error(
            folder,
            f"{check.top1.n} different photos that the head was not trained with, expected {FEWEST} or more (not counted: "
            f"{check.known} from training or there twice, {len(check.failed)} unusable)",
            code="too-few-photos", count=check.top1.n, minimum=FEWEST, known=check.known, failed=check.failed,
        )  # fmt: skip
    if check.top1.value < BOUND:
        raise ParityError(
            f"the fused {variant.name} gives the same class as edgetl with {check.variant} on {check.top1} photos of {folder}, expected "
            f"{100 * BOUND:.0f} % or more; deploy {check.variant}, or train a store with --variant {variant.name}",
            code="answers-differ", variant=variant.name, own=check.variant, hits=check.top1.hits, n=check.top1.n, bound=BOUND,
        )  # fmt: skip
