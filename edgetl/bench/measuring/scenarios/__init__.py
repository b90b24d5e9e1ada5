"""The scenarios: what is done between two readings of the clock.

To add one, write a function `(stand, loop) -> Measured` and name it in :data:`SCENARIOS`, with a sentence that says exactly what lies
between the two readings. The :class:`~edgetl.bench.measuring.stand.Stand` has a trained classifier, photos and frames to ask, photos to
teach and a folder; the :class:`~edgetl.bench.measuring.loop.Loop` has the clock and the method. A query that can be asked again and again
is one line::

    def thumbnail(stand: Stand, loop: Loop) -> Measured:
        return loop.stream(lambda number: stand.shop.store.preview(1 + number % 20))

    Scenario("thumbnail", "the number of a taught photo -> its thumbnail", thumbnail, always=False)

`loop.stream` warms up until steady, rotates and times; given a second function it also times stages. Work that changes the shop goes
through :func:`edgetl.bench.measuring.scenarios.lessons.lessons`, which undoes it. Whatever else a scenario needs it does itself, with
`loop.clock` and within `loop.method`; :mod:`~edgetl.bench.measuring.scenarios.camera` is an example. What cannot be measured here raises
an error of :mod:`edgetl.errors`: the record then lists the scenario with the reason.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from edgetl.bench.measuring.loop import Loop, Measured
from edgetl.bench.measuring.scenarios import camera, few_shot, inference, learning, operators, sustained, throughput
from edgetl.bench.measuring.stand import Stand


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One scenario.

    Attributes:
        name: in records and on the command line.
        sentence: what lies between the two readings of the clock.
        run: measures one process's share.
        always: whether it is measured where none was asked for.
        once: whether one process measures all of it, in the first round, instead of a share in each.
        labelled: whether it needs a labelled folder; where one was given it is measured as `always` says.
    """

    name: str
    sentence: str
    run: Callable[[Stand, Loop], Measured]
    always: bool = True
    once: bool = False
    labelled: bool = False


SCENARIOS: Mapping[str, Scenario] = {
    one.name: one
    for one in (
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
            "the frame before; answer). The newest frame that waits is answered, older ones are dropped; an answer later than one period "
            "missed its deadline",
            camera.predict_camera,
        ),
        Scenario(
            "two-cameras",
            "the moment at which a frame is due -> its class, for two cameras whose frames become due at the same moments and which one "
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
            throughput.batch_throughput,
        ),
        Scenario(
            "learn-one",
            "one photo of a known class -> it is durable and the new head active (stages, of lessons in between: decode, resize, measure, "
            "backbone, examine, store commit, train)",
            learning.learn_one,
        ),
        Scenario(
            "add-a-class",
            "20 photo files of a class that did not exist -> durable, a new head, and the first prediction of another photo (stages: add, "
            "train, predict; of a lesson that is not timed, bytes: memory growth, the peak above what was resident; written; file growth)",
            learning.add_a_class,
        ),
        Scenario(
            "n-shot",
            "cached embeddings of 1, 2, 5, 10 and 20 photos a class -> a head (a stage each, the whole is all of them); no store",
            few_shot.n_shot,
            once=True,
            labelled=True,
        ),
        Scenario("head-swap", "the number of a head of the history -> it is active, durably", learning.head_swap),
        Scenario("durable-commit", "an embedded photo with its thumbnail -> its row is on the disk", learning.durable_commit),
        Scenario(
            "sustained",
            "a decoded frame of 480x480 pixels -> its class, for minutes without a pause",
            sustained.sustained,
            always=False,
            once=True,
        ),
    )
}


def usual(*, labelled: bool = False) -> tuple[str, ...]:
    """The names of what is measured where nothing else was asked for.

    Args:
        labelled: whether a labelled folder was given.
    """
    return tuple(name for name, one in SCENARIOS.items() if one.always and (labelled or not one.labelled))
