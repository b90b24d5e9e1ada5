"""Proves a fused file: on its own runtime it gives the same probabilities as backbone and head apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from edgetl.bundle.bundle import Bundle, Variant
from edgetl.errors import ParityError
from edgetl.runtimes import open_runtime
from edgetl.stats import Proportion
from edgetl.types import Embeddings, Pixels, to_json
from edgetl_exporters import pictures
from edgetl_exporters.fused.classes import Classes
from edgetl_exporters.quiet import quiet

BOUND = 1e-4
"""Largest difference of one probability. EfficientNet-Lite0 with 5 classes of flowers differs by 4e-7 in all formats and precisions."""
_SCENES, _SEED = 24, 0


@dataclasses.dataclass(frozen=True)
class Agreement:
    """The fused file compared with backbone and head apart, on the bundle's self-test images and drawn scenes.

    Attributes:
        count: pictures.
        top1: pictures on which the most probable class is the same.
        max_abs: the largest difference of one probability.
        bound: the largest that is allowed.
        library: the runtime of both, and its version.
    """

    count: int
    top1: Proportion
    max_abs: float
    bound: float
    library: str


def prove(bundle: Bundle, variant: Variant, head: Classes, files: Mapping[str, bytes]) -> Agreement:
    """Runs both and compares them.

    Args:
        bundle: of the backbone.
        variant: the backbone's model.
        head: the head.
        files: the fused model.

    Raises:
        ParityError: a probability differs by more than BOUND.
        RuntimeUnavailable: the runtime cannot open the fused model, or is not installed.
    """
    image = bundle.input
    scenes = pictures.scenes(_SCENES, image.width, image.height, _SEED)
    tensors = np.concatenate([bundle.self_test(variant).tensors, scenes])
    embeddings, _ = _run(variant.family, bundle.model(variant), tensors)
    expected = head.probabilities(embeddings)
    probabilities, library = _run(variant.family, files, tensors)
    if probabilities.shape != expected.shape:
        raise ParityError(
            f"the fused {variant.name} gives {list(probabilities.shape)}, expected {list(expected.shape)}; choose another --variant",
            code="output-shape", variant=variant.name, shape=probabilities.shape, expected=expected.shape,
        )  # fmt: skip
    same = probabilities.argmax(1) == expected.argmax(1)
    furthest = float(np.abs(probabilities - expected).max())
    agreement = Agreement(len(same), Proportion(int(same.sum()), len(same)), furthest, BOUND, library)
    if not furthest <= BOUND:
        raise ParityError(
            f"the fused {variant.name} on {library}: probabilities differ from the head's own by up to {furthest:.2g}, at most {BOUND} is "
            f"allowed (same class on {agreement.top1} pictures); the runtime changed the arithmetic. Choose another --variant.",
            code="probabilities-differ", variant=variant.name, **to_json(agreement),
        )  # fmt: skip
    return agreement


def _run(family: str, files: Mapping[str, bytes], tensors: Pixels) -> tuple[Embeddings, str]:
    """A model's outputs for pictures, one at a time as a device runs them, and the library that ran it."""
    with quiet():
        runtime = open_runtime(family, files)
        outputs = np.concatenate([runtime.embed(tensor[None]) for tensor in tensors])
        runtime.close()
    return outputs, runtime.library
