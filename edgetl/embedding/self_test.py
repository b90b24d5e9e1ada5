"""The self-test: does this machine compute from the self-test images what the exporter computed?"""

from __future__ import annotations

import numpy as np

from edgetl import machine
from edgetl.bundle.bundle import Bundle, SelfTest, Variant
from edgetl.errors import SelfTestFailed
from edgetl.inputs.photo.preprocess import tensor
from edgetl.inputs.photo.source import PhotoSource
from edgetl.runtimes import Runtime
from edgetl.types import Embeddings, Pixels

LEAST_COSINE = {"fp32": 0.999, "fp16": 0.999, "int8": 0.98}
"""By precision, of each self-test image's embedding to the exporter's."""

MOST_LEVELS = 1.5
"""Mean difference of pixels, levels of 255: JPEG decoders differ by a level or two; any resize or colour fault moves the mean by more."""

_BROKEN = "the runtime or its delegate is broken here. Choose another runtime."
# Nearer than this on the unit sphere (a cosine of 0.99995) is the same embedding, whichever fault's is nearer still.
_SAME = 0.01


def run(bundle: Bundle, variant: Variant, runtime: Runtime, expected: SelfTest) -> None:
    """Checks decoding, preprocessing and inference against what the exporter computed.

    Args:
        bundle: the bundle.
        variant: the variant that `runtime` opened.
        runtime: the opened model.
        expected: the variant's self-test, :meth:`edgetl.bundle.bundle.Bundle.self_test`.

    Raises:
        SelfTestFailed: with the code of what differs, and the input fault that explains it, if any: `self-test-input-fault`,
            `self-test-pixels-differ`, `self-test-inference-failed`, `self-test-shape`, `self-test-all-zero`, `self-test-not-finite`,
            `self-test-embedding-differs`.
    """
    check = _Check(bundle, variant, runtime)
    for photo, pixels in zip(expected.inputs, expected.tensors):
        check.pixels(PhotoSource("self-test image", photo), pixels)
    check.embeddings(check.embed(expected), expected)


class _Check:
    """The steps of the self-test of one variant."""

    def __init__(self, bundle: Bundle, variant: Variant, runtime: Runtime) -> None:
        self._bundle, self._variant, self._runtime, self._spec = bundle, variant, runtime, bundle.input

    def pixels(self, photo: PhotoSource, expected: Pixels) -> None:
        """Decoding and preprocessing."""
        pixels = tensor(photo, self._spec)
        levels = _levels(pixels, expected)
        if levels <= MOST_LEVELS:
            return
        from edgetl.inputs.photo import faults

        distances = {name: _levels(pixels, wrong) for name, wrong in faults.corrupt_photo(photo, self._spec).items()}
        fault = faults.identify(distances, levels)
        what = faults.describe(fault, self._spec) if fault else "the self-test image decodes to other pixels than at export"
        message = f"{what} (mean difference {levels:.1f} of 255 levels, at most {MOST_LEVELS} allowed). "
        message += "Pillow decodes or resizes differently here. Run: pip install --upgrade pillow"
        values = {"fault": fault, "levels": levels, "bound": MOST_LEVELS}
        if fault:
            raise self._error(message, code="self-test-input-fault", **values)
        raise self._error(message, code="self-test-pixels-differ", **values)

    def embed(self, expected: SelfTest) -> Embeddings:
        """Inference, float32 [k, d]."""
        try:
            embeddings = self._runtime.embed(expected.tensors)
        except Exception as error:  # each library has its own exception types
            message = f"cannot embed the self-test image ({error}). Export the bundle again."
            raise self._error(message, code="self-test-inference-failed", reason=str(error)) from error
        if embeddings.shape != expected.embeddings.shape:
            shapes = list(embeddings.shape), list(expected.embeddings.shape)
            message = f"the embedding has shape {shapes[0]}, expected {shapes[1]}: this is another model"
            raise self._error(message, code="self-test-shape", shape=shapes[0], expected=shapes[1])
        if not embeddings.any(axis=1).all():
            raise self._error(f"the self-test image embeds to zeros: {_BROKEN}", code="self-test-all-zero")
        if not np.isfinite(embeddings).all():
            raise self._error(f"the self-test image embeds to NaN or infinity: {_BROKEN}", code="self-test-not-finite")
        return embeddings

    def embeddings(self, embeddings: Embeddings, expected: SelfTest) -> None:
        """The result of the inference. Even within the bound a fault is reported: to a network that hardly uses colour, BGR is not far."""
        cosines = _cosines(embeddings, expected.embeddings)
        cosine, bound = float(cosines.min()), LEAST_COSINE[self._variant.precision]
        if fault := self._fault(embeddings, expected, _distance(cosines)):
            from edgetl.inputs.photo import faults

            raise self._error(
                f"{faults.describe(fault, self._spec)}: the self-test image embeds as with that fault (cosine to the export {cosine:.4f}, "
                f"at least {bound} expected). The fault lies between the tensor and the model. Choose another variant or runtime, or "
                "export the bundle again.",
                code="self-test-input-fault",
                fault=fault,
                cosine=cosine,
                bound=bound,
            )
        if cosine < bound:
            parity, recipe = self._variant.parity, self._variant.recipe.get("name")
            exporter, here = parity.machine if parity else "another machine", machine.instruction_set()
            raise self._error(
                f"the self-test image embeds differently than at export (cosine {cosine:.4f}, at least {bound} expected). Exported on "
                f"{exporter} with recipe {recipe}; this is {here}. Choose another variant, or a recipe for this instruction set.",
                code="self-test-embedding-differs",
                cosine=cosine,
                bound=bound,
                exporter=exporter,
                machine=here,
            )

    def _fault(self, embeddings: Embeddings, expected: SelfTest, distance: float) -> str | None:
        if distance <= _SAME:
            return None
        from edgetl.inputs.photo import faults

        return faults.identify({name: _distance(_cosines(embeddings, wrong)) for name, wrong in expected.faults.items()}, distance)

    def _error(self, message: str, *, code: str, **values: object) -> SelfTestFailed:
        path, variant, library = str(self._bundle.path), self._variant.name, self._runtime.library
        where = {"path": path, "variant": variant, "library": library}
        return SelfTestFailed(f"{path}: {variant} on {library}: {message}", code=code, **where, **values)


def _levels(pixels: Pixels, expected: Pixels) -> float:
    """Mean absolute difference, levels of 255."""
    return float(np.abs(pixels.astype(np.int16) - expected).mean())


def _cosines(embeddings: Embeddings, expected: Embeddings) -> Embeddings:
    """Cosine of each row with its counterpart, float32 [k]."""
    lengths = np.linalg.norm(embeddings, axis=1) * np.linalg.norm(expected, axis=1)
    cosines: Embeddings = (embeddings * expected).sum(axis=1) / np.maximum(lengths, 1e-30)
    return cosines


def _distance(cosines: Embeddings) -> float:
    """Mean distance on the unit sphere."""
    return float(np.sqrt(np.maximum(2 - 2 * cosines.astype(np.float64), 0)).mean())
