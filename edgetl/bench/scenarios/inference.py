"""Single-stream inference: the next photo is asked when the one before is answered."""

from __future__ import annotations

from collections.abc import Sequence

from edgetl.bench.loop import Loop, Measured
from edgetl.bench.stand import Stand
from edgetl.classifier import guess
from edgetl.photos import load
from edgetl.preprocess import tensor
from edgetl.types import Photo


def backbone(stand: Stand, loop: Loop) -> Measured:
    """A tensor as the model takes it -> its embedding."""
    run, batches = stand.embedder.runtime.embed, [pixels[None] for pixels in stand.tensors]
    return loop.stream(lambda number: run(batches[number % len(batches)]))


def embed(stand: Stand, loop: Loop) -> Measured:
    """A photo file -> its embedding."""
    return loop.stream(lambda number: stand.embedder.embed(load(stand.photos[number % len(stand.photos)])))


def predict_file(stand: Stand, loop: Loop) -> Measured:
    """A photo file -> its class."""
    return _predict(stand, loop, stand.photos)


def predict_array(stand: Stand, loop: Loop) -> Measured:
    """A decoded frame -> its class."""
    return _predict(stand, loop, stand.frames)


def _predict(stand: Stand, loop: Loop, photos: Sequence[Photo]) -> Measured:
    embedder, head, clock = stand.embedder, stand.head(), loop.clock

    def staged(number: int) -> dict[str, int]:
        start = clock()
        pixels = tensor(load(photos[number % len(photos)]), embedder.bundle.image)
        prepared = clock()
        embedding = embedder.infer(pixels)
        inferred = clock()
        guess(head, embedding, top=5)
        return {"preprocess": prepared - start, "backbone": inferred - prepared, "head": clock() - inferred}

    return loop.stream(lambda number: stand.shop.predict(photos[number % len(photos)]), staged)
