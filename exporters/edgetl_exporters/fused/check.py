"""The check on a person's own photos: how often a fused file names the class that edgetl names.

It is for a backbone that is not the one the head was trained on. Measured with EfficientNet-Lite0 taught with tflite-int8: flowers and
sign-digits, 5, 10 and 20 photos a class, 6 draws each, 200 other photos. The same class was named by onnx-int8 on 95.5 to 100 % of them and
by openvino-int8 on 96 to 100 %, with as many right answers (within 4 of 200); by the float variants on 89 to 97 % (within 9).
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from edgetl.bundle.bundle import Bundle, Variant
from edgetl.errors import ExportError, ParityError, PhotoError
from edgetl.inputs.photo.folders import photos_in
from edgetl.inputs.photo.preprocess import tensor
from edgetl.inputs.photo.source import load
from edgetl.runtimes import Runtime, open_runtime
from edgetl.stats import Proportion
from edgetl.types import Embeddings, Pixels
from edgetl_exporters.quiet import quiet

BOUND = 0.95
"""The least share of photos with the same class. It lets all int8 variants of the measurement above pass, and 16 of the 36 heads on float
embeddings. With four such heads, onnx-int8 with red and blue swapped, pixels in another range, squashed photos, or noise in the embeddings
to a cosine of 0.99 reached 44 to 94 %."""
FEWEST = 50


@dataclasses.dataclass(frozen=True)
class Answers:
    """What edgetl says, and of which photos it is asked.

    Attributes:
        variant: the variant that edgetl embeds with.
        folder: the photos, in any subfolders.
        probabilities: uint8 [h, w, 3] -> float32 [c]; raises PhotoError where it has none.
        taught: whether a photo of this digest was taught.
        progress: called with (photos done, photos in all).
    """

    variant: str
    folder: Path
    probabilities: Callable[[Pixels], Embeddings]
    taught: Callable[[bytes], bool]
    progress: Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class Check:
    """A fused file beside edgetl's answers.

    Attributes:
        variant: the variant that edgetl embedded with.
        top1: on how many photos the most probable class is the same.
        max_abs: the largest difference of one probability.
        bound: the least share that is allowed.
        known: photos passed over because they were taught, or are in the folder twice.
        failed: (source, reason) per file that could not be used.
    """

    variant: str
    top1: Proportion
    max_abs: float
    bound: float
    known: int
    failed: tuple[tuple[str, str], ...]


def compare(bundle: Bundle, variant: Variant, files: Mapping[str, bytes], answers: Answers) -> Check:
    """Shows photos to both.

    Taught ones do not count: four such heads named the same class of all of theirs, whatever the variant.

    Args:
        bundle: where the backbone is from.
        variant: the fused file's backbone.
        files: the fused model.
        answers: what edgetl says.

    Raises:
        PhotoError: the folder is missing or holds no photo.
        ExportError: fewer than FEWEST photos can be counted.
        ParityError: the share of photos with the same class is below BOUND.
    """
    paths, failed = photos_in(answers.folder)
    shown: set[bytes] = set()
    known, same, furthest = 0, 0, 0.0
    with contextlib.closing(_opened(variant, files)) as runtime:
        for done, path in enumerate(paths, 1):
            try:
                photo = load(path)
                if photo.digest in shown or answers.taught(photo.digest):
                    known += 1
                else:
                    pixels = tensor(photo, bundle.input)
                    expected, made = answers.probabilities(pixels), runtime.embed(pixels[None])[0]
                    shown.add(photo.digest)
                    same += int(made.argmax() == expected.argmax())
                    furthest = max(furthest, float(np.abs(made - expected).max()))
            except PhotoError as error:
                failed.append((str(path), str(error)))
            answers.progress(done, len(paths))
    check = Check(answers.variant, Proportion(same, len(shown)), furthest, BOUND, known, tuple(failed))
    _judge(check, variant, answers.folder)
    return check


def _opened(variant: Variant, files: Mapping[str, bytes]) -> Runtime:
    with quiet():
        return open_runtime(variant.family, files)


def _judge(check: Check, variant: Variant, folder: Path) -> None:
    if check.top1.n < FEWEST:
        unusable = f"{len(check.failed)} unusable" + "".join(f" ({reason})" for _, reason in check.failed[:1])
        raise ExportError(
            f"{folder}: {check.top1.n} different photos that were not taught, expected {FEWEST} or more; passed over: {check.known} "
            f"that were taught or are there twice, {unusable}"
        )
    if check.top1.value < BOUND:
        raise ParityError(
            f"the fused {variant.name} names the class that edgetl names with {check.variant} on {check.top1} photos of {folder}, expected "
            f"{100 * BOUND:.0f} % or more; export {check.variant}, or teach a store with --variant {variant.name}"
        )
