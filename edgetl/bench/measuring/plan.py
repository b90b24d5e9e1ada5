"""The plan: which configurations run, which process measures what, and when."""

from __future__ import annotations

import dataclasses
import itertools
import random
import time
from collections.abc import Callable, Collection, Iterator, Sequence

from edgetl import machine
from edgetl.bench.measuring.scenarios import SCENARIOS, usual
from edgetl.bench.method import SLACK, Method
from edgetl.bench.record import LATENCIES
from edgetl.bundle.bundle import Bundle
from edgetl.errors import BenchError
from edgetl.runtimes.providers import PROVIDERS, where

PHASES = {
    "cold": "from the start of a process to its first inference",
    "memory": "peak memory, in processes of their own",
    "energy": "above idling, if there is a meter, in a process of its own",
}
"""What can be measured beside the scenarios; each is a task of its own in :data:`edgetl.bench.measuring.worker.TASKS`."""
_ROWS = {"cold": ("cold-load", "warm-load", "first-inference")}
FOOTPRINTS = 4
"""Processes of `memory`: 5 % more is found in 93 of 100 records with 4, in 29 with 2 (docs/evidence/bench-verdicts.md)."""


@dataclasses.dataclass(frozen=True)
class Configuration:
    """One way to run a bundle: a variant, threads of the runtime, and an execution provider or delegate (None is the runtime's own)."""

    variant: str
    threads: int
    provider: str | None

    @property
    def name(self) -> str:
        """Its name before anything could be opened."""
        return f"{self.variant}{f' {self.provider}' if self.provider else ''} {self.threads} thread{'s' if self.threads != 1 else ''}"


@dataclasses.dataclass(frozen=True)
class Turn:
    """One process: the number of its round, from 0, what it runs, its task, and the scenarios of the task `latency`."""

    number: int
    configuration: Configuration
    task: str
    scenarios: tuple[str, ...] = ()

    @property
    def steps(self) -> int:
        """What the progress counts it as."""
        return max(1, len(self.scenarios))


def configurations(
    bundle: Bundle, variants: Sequence[str] | None, threads: Sequence[int] | None, providers: Sequence[str] | None
) -> list[Configuration]:
    """Every combination; each threads count and provider once.

    Raises:
        BundleMissing: the bundle has no such variant.
        BenchError: no runtime has such a provider.
    """
    for provider in providers or ():
        if not any(provider in known for known in PROVIDERS.values()):
            raise BenchError(f"no provider {provider!r}: {where(provider)}", code="provider-unknown", provider=provider)
    names = [bundle.variant(name).name for name in variants] if variants is not None else list(bundle.variants)
    counts = dict.fromkeys(threads or [min(4, machine.cores())])
    asked: list[str | None] = list(dict.fromkeys(providers)) if providers else [None]
    return [Configuration(*combination) for combination in itertools.product(names, counts, asked)]


def requested(names: Sequence[str] | None) -> tuple[str, ...]:
    """The scenarios and phases that were named, or those that are always measured.

    Raises:
        BenchError: there is no such one.
    """
    if names is None:
        return (*usual(), *PHASES)
    if unknown := [name for name in names if name not in SCENARIOS and name not in PHASES]:
        available = [*SCENARIOS, *PHASES]
        message = f"no scenario {', '.join(unknown)}; there are {', '.join(available)}"
        raise BenchError(message, code="scenario-unknown", unknown=unknown, available=available)
    return tuple(dict.fromkeys(names))


def measured(name: str, rows: Collection[str]) -> bool:
    """Whether a scenario or phase is among the rows of a record, by their names."""
    return any(row in rows for row in _ROWS.get(name, (name,)))


def plan(chosen: Sequence[Configuration], names: Sequence[str], method: Method, also: Sequence[str] = ()) -> list[Turn]:
    """Every process in its order: each round runs every configuration once per task, in an order of its own.

    Args:
        chosen: the configurations.
        names: from :func:`requested`.
        method: rounds and seed.
        also: tasks that every configuration does once, at the end.
    """
    shuffled = random.Random(method.seed)
    turns: list[Turn] = []

    def everyone(number: int, task: str, scenarios: tuple[str, ...] = ()) -> None:
        turns.extend(Turn(number, configuration, task, scenarios) for configuration in shuffled.sample(list(chosen), len(chosen)))

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


def leading(names: Sequence[str]) -> str:
    """The scenario by which a budget screens configurations.

    Raises:
        BenchError: only phases were requested.
    """
    scenario = next((name for name in (*LATENCIES, *names) if name in names and name in SCENARIOS), None)
    if scenario is None:
        raise BenchError("--budget ranks configurations by a scenario: add --scenario backbone", code="budget-without-scenario")
    return scenario


def spend(
    chosen: Sequence[Configuration], names: Sequence[str], method: Method, median: Callable[[Configuration, str], int | None],
    also: Sequence[str] = (), clock: Callable[[], float] = time.monotonic,
) -> Iterator[Turn]:  # fmt: skip
    """The processes of a budget, one after the other: each must be run, and its answer be known to `median`, before the next is taken.

    Every configuration is screened in one process; the rest of the time is spent on the fastest, round by round. A round is begun only if
    the time of the round before still fits; the first one if any time is left. A configuration stays while the smallest of its processes'
    medians is within :data:`edgetl.bench.method.SLACK` of the smallest of all: other work only makes a median longer.

    Args:
        chosen: the configurations.
        names: from :func:`requested`.
        method: its seed and budget.
        median: the smallest of a configuration's medians of a scenario so far, None if it was not measured.
        also: tasks that every configuration does once, in the screening.
        clock: monotonic, s.
    """
    shuffled, screened = random.Random(method.seed), leading(names)
    end = clock() + (method.budget or 0.0)

    def fastest() -> list[Configuration]:
        medians = {configuration: taken for configuration in chosen if (taken := median(configuration, screened)) is not None}
        return [configuration for configuration, taken in medians.items() if taken <= (1 + SLACK) * min(medians.values())]

    for task, scenarios in (("latency", (screened,)), *((task, ()) for task in also)):
        for configuration in shuffled.sample(list(chosen), len(chosen)):
            yield Turn(0, configuration, task, scenarios)
    number, needed = 1, 0.0
    while (begun := clock()) + needed < end and (leaders := fastest()):
        for configuration in shuffled.sample(leaders, len(leaders)):
            scenarios = tuple(name for name in names if name in SCENARIOS and (number == 1 or not SCENARIOS[name].once))
            yield Turn(number, configuration, "latency", scenarios)
            for task, rounds in (("cold", number), ("memory", FOOTPRINTS)):
                if task in names and number <= rounds:
                    yield Turn(number, configuration, task)
        needed, number = clock() - begun, number + 1
    if "energy" in names and clock() < end:
        yield from (Turn(0, configuration, "energy") for configuration in fastest())
