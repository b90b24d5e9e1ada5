"""Work that changes the shop, repeated: each time it is undone, and the undoing is not timed."""

from __future__ import annotations

import contextlib
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from edgetl.bench.measuring.loop import Loop, Samples
from edgetl.bench.measuring.stand import Stand
from edgetl.inputs.photo.source import load

Lesson = Callable[[int], Mapping["str | None", int]]
"""Does the work of one lesson, and says how long it took: stage, None for the whole -> nanoseconds. Its argument counts them, from 0."""


def lessons(stand: Stand, loop: Loop, lesson: Lesson, photos: Sequence[Path] = (), count: int | None = None) -> Samples:
    """Lessons as often as the method says; what the first one says is not kept.

    Args:
        stand: the shop.
        loop: the method.
        lesson: the work.
        photos: what it may teach.
        count: how many are kept; None is the method's `lessons`.
    """
    samples: dict[str | None, array[int]] = {}
    for number in range(1 + (loop.method.lessons if count is None else count)):
        with undone(stand, photos):
            taken = lesson(number)
        for stage, nanoseconds in taken.items() if number else ():
            samples.setdefault(stage, array("q")).append(nanoseconds)
    return dict(samples)


@contextlib.contextmanager
def undone(stand: Stand, photos: Sequence[Path] = ()) -> Iterator[None]:
    """Of what was taught within, `photos` are forgotten, and the head that was active is so again; its history has grown."""
    shop, memory = stand.shop, stand.memory
    active = shop.store.active()
    try:
        yield
    finally:
        if photos:
            with memory.changing("undoing a lesson"):
                for photo in photos:
                    memory.remove(digest=load(photo).digest)
        if active is not None:
            shop.activate(active.id)
        memory.history()  # forgetting lets go of it, and a lesson is not the first after that
