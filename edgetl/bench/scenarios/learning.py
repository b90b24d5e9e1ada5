"""Learning and keeping: what a technician waits for."""

from __future__ import annotations

import numpy as np

from edgetl.bench.loop import Loop, Measured
from edgetl.bench.stand import Stand
from edgetl.store import NewSample, Store

NEW_CLASS = "a new class"


def learn_one(stand: Stand, loop: Loop) -> Measured:
    """One photo of a known class is taught and the new head is active."""
    clock, label = loop.clock, next(iter(stand.shop.counts))

    def lesson(number: int) -> dict[str, int]:
        start = clock()
        stand.shop.add(stand.lessons[0], label)
        added = clock()
        stand.shop.train()
        return {"add": added - start, "train": clock() - added}

    return loop.lessons(lesson, lambda number: stand.shop.forget(photo=stand.lessons[0]))


def add_a_class(stand: Stand, loop: Loop) -> Measured:
    """20 photos of a class that did not exist -> the first prediction that says it."""
    clock, (*lessons, question) = loop.clock, stand.lessons
    right = [0, 0]

    def lesson(number: int) -> dict[str, int]:
        start = clock()
        stand.shop.add_many([(photo, NEW_CLASS) for photo in lessons])
        added = clock()
        stand.shop.train()
        trained = clock()
        said = stand.shop.predict(question).label
        end = clock()
        right[0] += said == NEW_CLASS
        right[1] += 1
        return {"add": added - start, "train": trained - added, "predict": end - trained}

    measured = loop.lessons(lesson, lambda number: stand.shop.forget(label=NEW_CLASS))
    return Measured(measured.samples, warm_up=measured.warm_up, facts={"right": right[0], "asked": right[1]})


def durable_commit(stand: Stand, loop: Loop) -> Measured:
    """One embedding is durable."""
    random = np.random.Generator(np.random.PCG64(0))
    fingerprint = stand.shop.store.fingerprint
    with Store.open(stand.folder / "inserts.db", fingerprint) as store:
        news = [NewSample(random.bytes(32), "class", random.standard_normal(fingerprint.dim, dtype=np.float32), "bench") for _ in range(64)]

        def lesson(number: int) -> dict[str, int]:
            start = loop.clock()
            store.add([news[number % 64]])
            return {"commit": loop.clock() - start}

        return loop.lessons(lesson, lambda number: None, count=32)
