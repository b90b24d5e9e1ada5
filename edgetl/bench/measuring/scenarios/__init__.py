"""The scenarios: what is done between two readings of the clock.

To add one, write a function `(stand, loop) -> Measured` and name it in :data:`SCENARIOS`, with a sentence that says exactly what lies
between the two readings. The :class:`~edgetl.bench.measuring.stand.Stand` has a trained classifier, photos and frames, photos to train on
and a folder; the :class:`~edgetl.bench.measuring.loop.Loop` has the clock and the method. A query that can be repeated is one line::

    def thumbnail(stand: Stand, loop: Loop) -> Measured:
        return loop.stream(lambda number: stand.classifier.store.preview(1 + number % 20))

    Scenario("thumbnail", "the number of a stored photo -> its thumbnail", thumbnail, always=False)

`loop.stream` warms up until steady, rotates and times; given a second function it also times stages. Work that changes the classifier runs
within :meth:`edgetl.bench.measuring.stand.Stand.undone`. What cannot be measured here raises an error of :mod:`edgetl.errors`: the record
then lists the scenario with the reason.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from edgetl.bench.measuring.loop import Loop, Measured
from edgetl.bench.measuring.scenarios import camera, inference, operators, training
from edgetl.bench.measuring.stand import Stand


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One scenario.

    Attributes:
        name: in records and on the command line.
        sentence: what lies between the two readings of the clock.
        run: measures one process's share.
        always: whether it is measured without being requested.
        once: whether one process measures all of it, in the first round, instead of a share in each.
    """

    name: str
    sentence: str
    run: Callable[[Stand, Loop], Measured]
    always: bool = True
    once: bool = False


SCENARIOS: Mapping[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Scenario("backbone", "a tensor as the model takes it -> its embedding: the runtime alone", inference.backbone),
        Scenario("embed", "a photo file -> its embedding: read, decoded, resized, cropped, and the backbone", inference.embed),
        Scenario(
            "predict-file",
            "a photo file -> its class (stages: decode, reading included; resize, crop included; backbone; head)",
            inference.predict_file,
        ),
        Scenario(
            "predict-array",
            "a decoded frame of 480x480 pixels -> its class (stages: copy, of the pixels into an image; resize; backbone; head)",
            inference.predict_array,
        ),
        Scenario(
            "predict-camera",
            "the moment at which a frame of a fixed rate is due -> its class (stages: wait, until the process woke up or was done with "
            "the frame before; answer). The newest waiting frame is answered, older ones are dropped; an answer later than one period "
            "missed its deadline",
            camera.predict_camera,
        ),
        Scenario(
            "two-cameras",
            "the moment at which a frame is due -> its class, for two cameras whose frames are due at the same moments and which one "
            "process answers in turns (stages: wait, answer, and the whole of camera 1 and of camera 2)",
            camera.two_cameras,
            always=False,
        ),
        Scenario(
            "operators",
            "a tensor as the model takes it -> its embedding, with the library's profiler (a stage per kind of operator)",
            operators.operators,
            always=False,
        ),
        Scenario(
            "batch-throughput",
            "photo files -> embeddings, decoded on every core beside the runtime with its threads; per photo",
            inference.batch_throughput,
        ),
        Scenario(
            "learn-one",
            "one photo of a known class -> it is durable and the new head active (stages, of trainings in between: decode, resize, "
            "measure, backbone, examine, store commit, train)",
            training.learn_one,
        ),
        Scenario(
            "add-a-class",
            "20 photo files of a class that did not exist -> durable, a new head, and the first prediction of another photo (stages: add, "
            "train, predict)",
            training.add_a_class,
        ),
        Scenario(
            "sustained",
            "a decoded frame of 480x480 pixels -> its class, for minutes without a pause",
            inference.sustained,
            always=False,
            once=True,
        ),
    )
}


def usual() -> tuple[str, ...]:
    """The names of what is measured without being requested."""
    return tuple(name for name, scenario in SCENARIOS.items() if scenario.always)
