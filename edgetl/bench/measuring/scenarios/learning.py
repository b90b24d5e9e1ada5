"""Learning and keeping: what a technician waits for."""

from __future__ import annotations

import dataclasses
import os
from array import array
from collections.abc import Mapping

from edgetl.bench.measuring.loop import Loop, Measured
from edgetl.bench.measuring.scenarios.lessons import lessons, undone
from edgetl.bench.measuring.scenarios.resources import Resources
from edgetl.bench.measuring.stand import Stand
from edgetl.embedding.embedder import EmbeddedPhoto
from edgetl.inputs.photo.capture import measure
from edgetl.inputs.photo.preprocess import cropped, decoded
from edgetl.inputs.photo.source import load
from edgetl.session.workspace import Ready
from edgetl.store import NewSample, Store

NEW_CLASS = "a new class"
_STEPS = ("decode", "resize", "measure", "backbone", "examine", "store commit", "train")


def learn_one(stand: Stand, loop: Loop) -> Measured:
    """One photo of a known class -> it is durable, and the new head is active: `Classifier.add`, then `Classifier.train`.

    Every lesson is followed by one that is timed step by step, with the next photo. The steps are those of the two verbs:

    - `decode`: the file read, hashed, looked up in the store, and decoded; `resize`: scaled and cropped
    - `measure`: brightness, sharpness and thumbnail of the tensor; `backbone`: its embedding
    - `examine`: the doctor looks at the photo beside those before it; `store commit`: its row is on the disk
    - `train`: head, calibration, judgement, comparison with the head before; and the head's row is on the disk
    """
    shop, memory, embedder, clock = stand.shop, stand.memory, stand.embedder, loop.clock
    label, spec = next(iter(shop.counts)), embedder.bundle.input
    active: list[bool] = []

    def whole(number: int) -> Mapping[str | None, int]:
        start = clock()
        shop.add(stand.known[number % len(stand.known)], label)
        report = shop.train()
        end = clock()
        active.append(report.active)
        return {None: end - start}

    def staged(number: int) -> Mapping[str | None, int]:
        moments = [clock()]
        source = load(stand.known[number % len(stand.known)])
        known = memory.knows(source)
        photo = decoded(source, spec)
        moments.append(clock())
        pixels = cropped(photo, spec)
        moments.append(clock())
        capture = measure(pixels, source)
        moments.append(clock())
        embedding = embedder.infer(pixels, source.name)
        moments.append(clock())
        ready = memory.examine(Ready(source.name, source.digest, label, None if known else EmbeddedPhoto(embedding[None], capture)))
        moments.append(clock())
        memory.put([ready])
        moments.append(clock())
        shop.train()
        moments.append(clock())
        return {step: after - before for step, before, after in zip(_STEPS, moments, moments[1:])}

    count = 2 * loop.method.lessons
    samples = lessons(stand, loop, lambda number: (whole if number % 2 else staged)(number), stand.known, count)
    facts = {"taught": len(active), "active": sum(active)}
    note = "" if all(active) else "not every new head became active: it would have harmed a class"
    return Measured(samples, warm_up=1, facts=facts, note=note)


def add_a_class(stand: Stand, loop: Loop) -> Measured:
    """20 photos of a class that did not exist -> the first prediction: `add_many` (durable), `train`, and `predict` of another photo.

    The first lesson does not count but for the bytes that it takes (:class:`edgetl.bench.measuring.scenarios.resources.Resources`).
    """
    shop, clock, (*taught, question) = stand.shop, loop.clock, stand.lessons
    right: list[bool] = []
    counted: dict[str | None, int] = {}

    def lesson(number: int) -> Mapping[str | None, int]:
        start = clock()
        shop.add_many([(photo, NEW_CLASS) for photo in taught])
        added = clock()
        shop.train()
        trained = clock()
        said = shop.predict(question).label
        end = clock()
        right.append(said == NEW_CLASS)
        return {None: end - start, "add": added - start, "train": trained - added, "predict": end - trained}

    def first(number: int) -> Mapping[str | None, int]:
        resources = Resources(shop.store.path.parent)
        taken = lesson(number)
        counted.update(resources.taken())
        right.clear()
        return taken

    samples = lessons(stand, loop, lambda number: (lesson if number else first)(number), taught)
    return Measured(
        {**samples, **{stage: [count] for stage, count in counted.items()}},
        units=dict.fromkeys(counted, "B"),
        warm_up=1,
        facts={"right": sum(right), "asked": len(right)},
        note="" if all(right) else "not every first prediction was right: the first right one takes longer",
    )


def head_swap(stand: Stand, loop: Loop) -> Measured:
    """A head of the history -> it is active, durably, and what the next prediction asks: `Classifier.activate`."""
    with undone(stand):
        other = stand.shop.train("ncm").head_id

    def lesson(number: int) -> Mapping[str | None, int]:
        start = loop.clock()
        stand.shop.activate(other)
        return {None: loop.clock() - start}

    return Measured(lessons(stand, loop, lesson, count=loop.queries), warm_up=1)


def durable_commit(stand: Stand, loop: Loop) -> Measured:
    """One embedded photo, its thumbnail included -> its row is on the disk: `Store.add` to a store of its own."""
    made = stand.embedder.embed_sample(load(stand.known[0]))
    sample = NewSample(b"", "class", made.views, "bench", made.capture)
    samples = array("q")
    with Store.open(stand.folder / "commits.db", stand.shop.store.fingerprint) as store:
        for number in range(1 + loop.queries):
            new = dataclasses.replace(sample, digest=os.urandom(32))
            start = loop.clock()
            store.add([new])
            taken = loop.clock() - start
            if number:
                samples.append(taken)
    return Measured({None: samples}, warm_up=1)
