"""The scenarios: what is done between two readings of the clock. To add one, write a function and name it in SCENARIOS."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from edgetl.bench.loop import Loop, Measured
from edgetl.bench.scenarios import inference, learning
from edgetl.bench.stand import Stand


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One scenario.

    Attributes:
        name: in records and on the command line.
        sentence: what lies between the two readings of the clock.
        run: measures one process's share.
        always: whether it is measured where none was asked for.
        once: whether one process measures all of it, in the first round, instead of a share in each.
    """

    name: str
    sentence: str
    run: Callable[[Stand, Loop], Measured]
    always: bool = True
    once: bool = False


SCENARIOS: Mapping[str, Scenario] = {
    one.name: one
    for one in (
        Scenario("backbone", "a tensor as the model takes it -> its embedding: the runtime alone", inference.backbone),
        Scenario("embed", "a photo file -> its embedding", inference.embed),
        Scenario("predict-file", "a photo file -> its class", inference.predict_file),
        Scenario("predict-array", "a decoded frame, as a camera delivers it -> its class", inference.predict_array),
        Scenario("learn-one", "one photo of a known class is taught, and the new head is active", learning.learn_one),
        Scenario("add-a-class", "20 photos of a class that did not exist -> the first prediction that says it", learning.add_a_class),
        Scenario("durable-commit", "one embedding is durable", learning.durable_commit),
    )
}


def usual() -> tuple[str, ...]:
    """The names of what is measured where nothing else was asked for."""
    return tuple(name for name, one in SCENARIOS.items() if one.always)
