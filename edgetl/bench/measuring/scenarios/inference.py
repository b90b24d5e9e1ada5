"""Inference: single stream (the next photo comes when the one before is answered), many photos at once, and minutes without a pause."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edgetl.bench.measuring.loop import Loop, Measured
from edgetl.bench.measuring.stand import Stand
from edgetl.bench.record import Minute
from edgetl.bench.statistics import least, percentile
from edgetl.errors import PhotoError
from edgetl.inputs.photo.preprocess import cropped, decoded
from edgetl.inputs.photo.source import load
from edgetl.machine import sensors
from edgetl.session.prediction import predict
from edgetl.types import Photo

BLOCK = 32
"""Photos in a sample of the throughput."""
MINUTE = 60_000_000_000
"""Nanoseconds."""


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

    return loop.stream(lambda number: stand.classifier.predict(turn(number)), staged)


def batch_throughput(stand: Stand, loop: Loop) -> Measured:
    """Photo files -> embeddings, one stream without an end: reading and decoding on every core beside the inference.

    Raises:
        PhotoError: a photo cannot be used.
    """
    clock, taken = loop.clock, array("q")
    stream = stand.embedder.embed_many(itertools.cycle(stand.photos), load)
    photos = 0
    try:
        begun = start = clock()
        for _, _, result in stream:
            if isinstance(result, PhotoError):
                raise result
            photos += 1
            if photos % BLOCK:
                continue
            now = clock()
            if photos == BLOCK:  # the block that fills the pipeline does not count
                begun = now
            else:
                taken.append((now - start) // BLOCK)
            start = now
            enough = photos - BLOCK >= max(loop.queries, BLOCK) and now - begun >= loop.nanoseconds
            if enough or len(taken) >= loop.method.most:
                break
    finally:
        stream.close()  # type: ignore[attr-defined]  # it is a generator
    return Measured({None: taken}, warm_up=BLOCK, note=f"a sample is a block of {BLOCK} photos, divided by {BLOCK}")


def sustained(stand: Stand, loop: Loop, reading: Callable[[], Mapping[str, Any]] = sensors.reading) -> Measured:
    """A decoded frame -> its class, one query after the other for `Options.minutes`, from the first one on: nothing is warmed up.

    Between minutes, outside of the queries, the sensors are read and what there is so far is kept. A round keeps the method's `most`
    samples; a minute's percentiles are of all of its queries.
    """
    clock, frames, most = loop.clock, stand.frames, loop.method.most
    kept, number = array("q"), 0
    minutes: list[Minute] = []
    end = clock() + round(stand.options.minutes * MINUTE)
    before = reading()
    while not minutes or clock() < end:
        stop, taken = min(clock() + MINUTE, end), array("q")
        start = clock()
        while not taken or start < stop:
            stand.classifier.predict(frames[number % len(frames)])
            taken.append(clock() - start)
            number += 1
            start = clock()
        after = reading()
        p90 = percentile(taken, 90) if len(taken) >= least(90, loop.method.confidence) else None
        throttled = sensors.throttled(before, after)
        minutes.append(
            Minute(len(minutes), len(taken), percentile(taken, 50), p90, after["temperature_c"], after["frequency_khz"], throttled)
        )
        kept.extend(taken[: most - len(kept)])
        before = after
        loop.keep(_sustained(kept, number, minutes, loop.method.steady))
    return _sustained(kept, number, minutes, loop.method.steady)


def _sustained(kept: array[int], number: int, minutes: Sequence[Minute], steady: float) -> Measured:
    """With notes if it did not keep its speed; the first minute, cold, is not compared with the last."""
    notes = ["whole predictions, as predict-array; not the backbone alone"]
    if throttled := [minute.number + 1 for minute in minutes if minute.throttled]:
        notes.append(f"the machine throttled in {len(throttled)} of {len(minutes)} minutes, first in minute {throttled[0]}")
    if len(minutes) > 2 and minutes[-1].p50 > (1 + steady) * minutes[1].p50:
        second, last = minutes[1], minutes[-1]
        more = f"{100 * (last.p50 / second.p50 - 1):.0f} % more"
        notes.append(f"it slowed down: p50 {last.p50 / 1e6:.4g} ms in the last minute, {second.p50 / 1e6:.4g} ms in the second, {more}")
    if number > len(kept):
        notes.append(f"the first {len(kept)} of {number} samples are kept, the minutes are of all")
    return Measured({None: kept}, facts={"queries": number}, minutes=tuple(minutes), note="; ".join(notes))
