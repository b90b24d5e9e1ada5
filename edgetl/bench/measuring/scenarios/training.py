"""Training and storing: what a technician waits for. What a scenario changes is undone, and the undoing is not timed."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from edgetl.bench.measuring.loop import Loop, Measured, Samples
from edgetl.bench.measuring.stand import Stand
from edgetl.embedding.embedder import EmbeddedPhoto
from edgetl.inputs.photo.capture import measure
from edgetl.inputs.photo.preprocess import cropped, decoded
from edgetl.inputs.photo.source import load
from edgetl.session.workspace import Ready

NEW_CLASS = "a new class"
_STEPS = ("decode", "resize", "measure", "backbone", "examine", "store commit", "train")
Times = Mapping["str | None", int]
"""Stage, None for the whole -> nanoseconds."""


def repeated(stand: Stand, work: Callable[[int], Times], photos: Sequence[Path], count: int) -> Samples:
    """Work that adds `photos` and trains, done and undone 1 + `count` times; the first time, number 0, is not kept."""
    samples: dict[str | None, array[int]] = {}
    for number in range(1 + count):
        with stand.undone(photos):
            taken = work(number)
        for stage, nanoseconds in taken.items() if number else ():
            samples.setdefault(stage, array("q")).append(nanoseconds)
    return dict(samples)


def learn_one(stand: Stand, loop: Loop) -> Measured:
    """One photo of a known class -> it is durable, and the new head is active: `Classifier.add`, then `Classifier.train`.

    Every training is followed by one that is timed step by step, with the next photo. The steps are those of the two verbs:

    - `decode`: the file read, hashed, looked up in the store, and decoded; `resize`: scaled and cropped
    - `measure`: brightness, sharpness and thumbnail of the tensor; `backbone`: its embedding
    - `examine`: the photo is checked against those before it; `store commit`: its row is on the disk
    - `train`: head, calibration, judgement, comparison with the head before; and the head's row is on the disk
    """
    classifier, session, embedder, clock = stand.classifier, stand.session, stand.embedder, loop.clock
    label, spec = next(iter(classifier.counts)), embedder.bundle.input
    active: list[bool] = []

    def whole(number: int) -> Times:
        start = clock()
        classifier.add(stand.known[number % len(stand.known)], label)
        report = classifier.train()
        end = clock()
        active.append(report.active)
        return {None: end - start}

    def staged(number: int) -> Times:
        moments = [clock()]
        source = load(stand.known[number % len(stand.known)])
        known = session.knows(source)
        photo = decoded(source, spec)
        moments.append(clock())
        pixels = cropped(photo, spec)
        moments.append(clock())
        capture = measure(pixels, source)
        moments.append(clock())
        embedding = embedder.infer(pixels, source.name)
        moments.append(clock())
        ready = session.examine(Ready(source.name, source.digest, label, None if known else EmbeddedPhoto(embedding, capture)))
        moments.append(clock())
        session.put([ready])
        moments.append(clock())
        classifier.train()
        moments.append(clock())
        return {step: after - before for step, before, after in zip(_STEPS, moments, moments[1:])}

    samples = repeated(stand, lambda number: (whole if number % 2 else staged)(number), stand.known, 2 * loop.method.trainings)
    note = "" if all(active) else "not every new head became active: the regression check kept the one before"
    return Measured(samples, warm_up=1, facts={"trained": len(active), "active": sum(active)}, note=note)


def add_a_class(stand: Stand, loop: Loop) -> Measured:
    """20 photos of a class that did not exist -> the first prediction: `add_many` (durable), `train`, and `predict` of another photo."""
    classifier, clock, (*training, query) = stand.classifier, loop.clock, stand.new
    correct: list[bool] = []

    def work(number: int) -> Times:
        start = clock()
        classifier.add_many([(photo, NEW_CLASS) for photo in training])
        added = clock()
        classifier.train()
        trained = clock()
        label = classifier.predict(query).label
        end = clock()
        correct.extend([label == NEW_CLASS] if number else [])
        return {None: end - start, "add": added - start, "train": trained - added, "predict": end - trained}

    samples = repeated(stand, work, training, loop.method.trainings)
    note = "" if all(correct) else "not every first prediction was correct: the first correct one takes longer"
    return Measured(samples, warm_up=1, facts={"correct": sum(correct), "tested": len(correct)}, note=note)
