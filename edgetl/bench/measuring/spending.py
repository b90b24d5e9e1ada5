"""A budget of time: every configuration is screened in one process, and what is left is spent on the leaders, round by round."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence

from edgetl.bench.measuring.configurations import Configuration
from edgetl.bench.measuring.gathering import Gathering
from edgetl.bench.measuring.plan import FOOTPRINTS, Turn
from edgetl.bench.measuring.scenarios import SCENARIOS
from edgetl.bench.method import SLACK, Method
from edgetl.errors import BenchError

_LEADING = ("predict-file", "predict-array", "embed", "backbone")


def leading(names: Sequence[str]) -> str:
    """The scenario by which configurations are screened.

    Raises:
        BenchError: no scenario was asked for, only phases.
    """
    found = next((name for name in (*_LEADING, *names) if name in names and name in SCENARIOS), None)
    if found is None:
        raise BenchError(f"--budget ranks configurations by a scenario, and only {', '.join(names)} was asked for; add --scenario backbone")
    return found


def spend(
    chosen: Sequence[Configuration], names: Sequence[str], method: Method, gathering: Gathering, seconds: float,
    also: Sequence[str] = (), clock: Callable[[], float] = time.monotonic,
) -> Iterator[Turn]:  # fmt: skip
    """Gives one process after the other; each must be run, and its answer be in `gathering`, before the next is asked for.

    A round is begun only where the time of the round before still fits; the first one where any time is left. A configuration stays a
    leader while the smallest of its processes' medians is within :data:`edgetl.bench.method.SLACK` of the smallest of all.

    Args:
        chosen: the configurations.
        names: what :func:`edgetl.bench.measuring.plan.asked` gave.
        method: its seed, and the share of a process.
        gathering: the answers so far.
        seconds: the budget.
        also: tasks that every configuration does once, in the screening.
        clock: monotonic, s.
    """
    shuffled, screened = random.Random(method.seed), leading(names)
    end = clock() + seconds
    for turns in screening(chosen, names, also):
        yield from shuffled.sample(turns, len(turns))
    number, needed = 1, 0.0
    while (begun := clock()) + needed < end:
        leaders = _leaders(chosen, gathering, screened)
        if not leaders:
            return
        for one in shuffled.sample(leaders, len(leaders)):
            yield from _round(number, one, names)
        needed, number = clock() - begun, number + 1
    if "energy" in names and clock() < end:
        yield from (Turn(0, one, "energy") for one in _leaders(chosen, gathering, screened))


def screening(chosen: Sequence[Configuration], names: Sequence[str], also: Sequence[str] = ()) -> list[list[Turn]]:
    """What runs however small the budget is, task by task, in no order yet; arguments as of :func:`spend`."""
    tasks = [("latency", (leading(names),)), *((task, ()) for task in also)]
    return [[Turn(0, one, task, scenarios) for one in chosen] for task, scenarios in tasks]


def _round(number: int, one: Configuration, names: Sequence[str]) -> Iterator[Turn]:
    scenarios = tuple(name for name in names if name in SCENARIOS and (number == 1 or not SCENARIOS[name].once))
    yield Turn(number, one, "latency", scenarios)
    if "cold" in names:
        yield Turn(number, one, "cold")
    if "memory" in names and number <= FOOTPRINTS:
        yield Turn(number, one, "memory")


def _leaders(chosen: Sequence[Configuration], gathering: Gathering, scenario: str) -> list[Configuration]:
    least = {one: median for one in chosen if (median := gathering.least(one, scenario)) is not None}
    return [one for one, median in least.items() if median <= (1 + SLACK) * min(least.values())]
