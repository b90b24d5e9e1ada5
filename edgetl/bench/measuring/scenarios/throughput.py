"""Many photos at once, as a folder is taught or evaluated."""

from __future__ import annotations

import itertools
from array import array

from edgetl.bench.measuring.loop import Loop, Measured
from edgetl.bench.measuring.stand import Stand
from edgetl.errors import PhotoError
from edgetl.inputs.photo.source import load

BLOCK = 32
"""Photos in a sample."""


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
        for _, _, made in stream:
            if isinstance(made, PhotoError):
                raise made
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
