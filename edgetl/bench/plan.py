"""The plan: which process measures what, and when."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence

from edgetl.bench.configurations import Configuration
from edgetl.bench.method import Method
from edgetl.bench.scenarios import SCENARIOS, usual
from edgetl.errors import BenchError

PHASES = {"cold": "process start, load and first inference, in a fresh process each time", "memory": "peak memory, in processes of its own"}
"""What can be asked for beside the scenarios, and is measured by a task of its own."""
_FOOTPRINTS = 2


@dataclasses.dataclass(frozen=True)
class Turn:
    """One process.

    Attributes:
        number: of the round, from 0.
        configuration: what it runs.
        task: what it does, a name in :data:`edgetl.bench.worker.TASKS`.
        scenarios: of the task `latency`.
    """

    number: int
    configuration: Configuration
    task: str
    scenarios: tuple[str, ...] = ()

    @property
    def steps(self) -> int:
        """What the progress counts it as."""
        return max(1, len(self.scenarios))


def asked(names: Sequence[str] | None) -> tuple[str, ...]:
    """What is measured: scenarios and phases.

    Raises:
        BenchError: there is no such one.
    """
    if names is None:
        return (*usual(), *PHASES)
    if unknown := [name for name in names if name not in SCENARIOS and name not in PHASES]:
        raise BenchError(f"no scenario {', '.join(unknown)}; there are {', '.join((*SCENARIOS, *PHASES))}")
    return tuple(dict.fromkeys(names))


def plan(chosen: Sequence[Configuration], names: Sequence[str], method: Method, also: Sequence[str] = ()) -> list[Turn]:
    """Every process in its order: each round runs every configuration once per task, in an order of its own.

    Args:
        chosen: the configurations.
        names: what :func:`asked` gave.
        method: rounds and seed.
        also: tasks that every configuration does once, at the end: `accuracy`, `energy`.
    """
    shuffled = random.Random(method.seed)
    turns: list[Turn] = []

    def everyone(number: int, task: str, scenarios: tuple[str, ...] = ()) -> None:
        turns.extend(Turn(number, one, task, scenarios) for one in shuffled.sample(list(chosen), len(chosen)))

    for number in range(method.rounds):
        if scenarios := tuple(name for name in names if name in SCENARIOS and (number == 0 or not SCENARIOS[name].once)):
            everyone(number, "latency", scenarios)
        if "cold" in names:
            everyone(number, "cold")
    for number in range(_FOOTPRINTS if "memory" in names else 0):
        everyone(number, "memory")
    for task in also:
        everyone(0, task)
    return turns
