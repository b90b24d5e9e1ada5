"""The plan: which process measures what, and when."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Collection, Sequence

from edgetl.bench.measuring.configurations import Configuration
from edgetl.bench.measuring.scenarios import SCENARIOS, usual
from edgetl.bench.method import Method
from edgetl.errors import BenchError

PHASES = {
    "cold": "from the start of a process to its first inference",
    "memory": "peak memory, in processes of their own",
    "energy": "above idling, where there is a meter, in a process of its own",
}
"""What can be asked for beside the scenarios; each is a task of its own in :data:`edgetl.bench.measuring.worker.TASKS`."""
_ROWS = {"cold": ("cold-load", "warm-load", "first-inference")}
"""Phases whose rows have other names."""
FOOTPRINTS = 4  # 5 % more is found in 93 of 100 records with 4, in 29 with 2 (simulated, processes that differ by 1 %)


@dataclasses.dataclass(frozen=True)
class Turn:
    """One process.

    Attributes:
        number: of the round, from 0.
        configuration: what it runs.
        task: what it does, a name in :data:`edgetl.bench.measuring.worker.TASKS`.
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


def asked(names: Sequence[str] | None, *, labelled: bool = False) -> tuple[str, ...]:
    """What is measured: the scenarios and phases that were named, or those that always are, `labelled` ones where there is such a folder.

    Raises:
        BenchError: there is no such one, or it needs a labelled folder and there is none.
    """
    if names is None:
        return (*usual(labelled=labelled), *PHASES)
    if unknown := [name for name in names if name not in SCENARIOS and name not in PHASES]:
        raise BenchError(f"no scenario {', '.join(unknown)}; there are {', '.join((*SCENARIOS, *PHASES))}")
    if not labelled and (needing := [name for name in names if name in SCENARIOS and SCENARIOS[name].labelled]):
        raise BenchError(f"{', '.join(needing)} needs labelled photos; give a folder ROOT/CLASS/PHOTO with --labelled")
    return tuple(dict.fromkeys(names))


def measured(name: str, rows: Collection[str]) -> bool:
    """Whether a scenario or phase is among the rows of a record, by their names."""
    return any(row in rows for row in _ROWS.get(name, (name,)))


def plan(chosen: Sequence[Configuration], names: Sequence[str], method: Method, also: Sequence[str] = ()) -> list[Turn]:
    """Every process in its order: each round runs every configuration once per task, in an order of its own.

    Args:
        chosen: the configurations.
        names: what :func:`asked` gave.
        method: rounds and seed.
        also: tasks that every configuration does once, at the end.
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
    for number in range(FOOTPRINTS if "memory" in names else 0):
        everyone(number, "memory")
    for task in (*also, *(name for name in names if name == "energy")):
        everyone(0, task)
    return turns


def told(chosen: Sequence[Configuration], turns: Sequence[Turn], method: Method) -> str:
    """The plan in a sentence: what will run."""
    names = dict.fromkeys(name for turn in turns for name in (turn.scenarios or (turn.task,)))
    what = f"{counted(len(chosen), 'configuration')} ({', '.join(one.name for one in chosen)})"
    how = f"{counted(len(turns), 'process', 'es')}, {counted(method.rounds, 'round')}"
    return f"measuring {what} in {how}: {', '.join(names)}"


def counted(count: int, noun: str, plural: str = "s") -> str:
    """A count and what is counted."""
    return f"{count} {noun}{plural if count != 1 else ''}"
