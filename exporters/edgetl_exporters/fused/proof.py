"""The proof: the fused file, run by its own runtime, says what the backbone and the head say apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from edgetl.bundle.bundle import Bundle, Variant
from edgetl.errors import ParityError
from edgetl.runtimes import open_runtime
from edgetl.stats import Proportion
from edgetl.types import Embeddings, Pixels
from edgetl_exporters import pictures
from edgetl_exporters.fused.classes import Classes
from edgetl_exporters.quiet import quiet

BOUND = 1e-4
"""The most that one probability may differ. EfficientNet-Lite0 with 5 classes of flowers differs by 4e-7 in all formats and precisions."""
_SCENES, _SEED = 24, 0


@dataclasses.dataclass(frozen=True)
class Agreement:
    """The fused file beside backbone and head apart, on the bundle's test charts and drawn scenes.

    Attributes:
        count: pictures.
        top1: on how many the most probable class is the same.
        max_abs: the largest difference of one probability.
        bound: the largest that is allowed.
        library: what ran both, and its version.
    """

    count: int
    top1: Proportion
    max_abs: float
    bound: float
    library: str


def prove(bundle: Bundle, variant: Variant, head: Classes, files: Mapping[str, bytes]) -> Agreement:
    """Runs both and compares them.

    Args:
        bundle: where the backbone is from.
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
    made, library = _run(variant.family, files, tensors)
    if made.shape != expected.shape:
        raise ParityError(f"the fused {variant.name} gives {list(made.shape)}, expected {list(expected.shape)}; choose another --variant")
    same = made.argmax(1) == expected.argmax(1)
    furthest = float(np.abs(made - expected).max())
    agreement = Agreement(len(same), Proportion(int(same.sum()), len(same)), furthest, BOUND, library)
    if not furthest <= BOUND:
        raise ParityError(
            f"the fused {variant.name} on {library} gives probabilities up to {furthest:.2g} from the head's own, at most {BOUND} is "
            f"allowed (the same class on {agreement.top1} pictures): the converter or the runtime changed the arithmetic; choose another "
            "--variant"
        )
    return agreement


def _run(family: str, files: Mapping[str, bytes], tensors: Pixels) -> tuple[Embeddings, str]:
    """What a model makes of pictures, one at a time as a camera sees them, and the library that ran it."""
    with quiet():
        runtime = open_runtime(family, files)
        made = np.concatenate([runtime.embed(tensor[None]) for tensor in tensors])
        runtime.close()
    return made, runtime.library
