"""Single-stream inference: the next photo is asked when the one before is answered."""

from __future__ import annotations

from collections.abc import Sequence

from edgetl.bench.measuring.loop import Loop, Measured
from edgetl.bench.measuring.stand import Stand
from edgetl.inputs.photo.preprocess import cropped, decoded
from edgetl.inputs.photo.source import load
from edgetl.session.prediction import predict
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
    return _predict(stand, loop, stand.photos, "decode")


def predict_array(stand: Stand, loop: Loop) -> Measured:
    """A decoded frame -> its class."""
    return _predict(stand, loop, stand.frames, "copy")


def _predict(stand: Stand, loop: Loop, photos: Sequence[Photo], first: str) -> Measured:
    embedder, head, clock, spec = stand.embedder, stand.head(), loop.clock, stand.embedder.bundle.input

    def turn(number: int) -> Photo:
        # Even queries are timed whole and odd ones in stages: both go through all photos, half a rotation apart.
        return photos[(number // 2 + number % 2 * (len(photos) // 2)) % len(photos)]

    def staged(number: int) -> dict[str, int]:
        photo = turn(number)
        start = clock()
        pixels = decoded(load(photo), spec)
        opened = clock()
        tensor = cropped(pixels, spec)
        prepared = clock()
        embedding = embedder.infer(tensor)
        inferred = clock()
        predict(head, embedding, top=5)
        end = clock()
        return {first: opened - start, "resize": prepared - opened, "backbone": inferred - prepared, "head": end - inferred}

    return loop.stream(lambda number: stand.shop.predict(turn(number)), staged)
