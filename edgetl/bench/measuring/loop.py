"""The loop: warm-up until steady, then queries between two readings of a monotonic clock, every one kept."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import math
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from time import perf_counter_ns
from typing import Union

from edgetl.bench.method import Method
from edgetl.bench.record import Minute, Unit
from edgetl.bench.statistics import percentile
from edgetl.errors import BenchError

Clock = Callable[[], int]
"""Nanoseconds, monotonic."""
Query = Callable[[int], object]
"""Does the work of one query; its argument counts them, from 0, the warm-up's included."""
Staged = Callable[[int], Mapping[str, int]]
"""The same work step by step: stage -> nanoseconds. It reads the clock itself."""
Samples = dict[Union[str, None], Sequence[int]]
"""Stage, None for the whole -> samples in the order in which they were taken."""
EVERY = 50_000_000
"""Nanoseconds between two samples of the machine's speed: both runs take 0.6 ms, and the next query finds a little less in the caches."""
_BLOCK = bytes(range(256)) * 256


@dataclasses.dataclass(frozen=True)
class Measured:
    """The result of a scenario in one process: its attributes are those of :class:`edgetl.bench.record.Row`, by stage."""

    samples: Samples
    units: Mapping[str | None, Unit] = dataclasses.field(default_factory=dict)  # of the stages that are not nanoseconds
    warm_up: int = 0
    steady: bool | None = None
    facts: Mapping[str, float] = dataclasses.field(default_factory=dict)
    minutes: tuple[Minute, ...] = ()
    note: str = ""
    machine_speed: tuple[int, ...] = ()


def machine_speed(clock: Clock) -> int:
    """Nanoseconds that a fixed piece of work takes: the sha256 of half a megabyte, on one core, within its caches.

    Clocks follow temperature and, on a virtual machine, unseen neighbours. The work is done twice and timed the second time, because after
    a query it finds other code in the caches (docs/evidence/bench-machine-speed.md).
    """
    _work()
    start = clock()
    _work()
    return clock() - start


def _work() -> None:
    for _ in range(8):
        hashlib.sha256(_BLOCK).digest()


class Loop:
    """Times queries as the method says; one process's share of its rounds."""

    def __init__(
        self, method: Method, clock: Clock = perf_counter_ns, keep: Callable[[Measured], None] = lambda measured: None
    ) -> None:  # fmt: skip
        """`clock` is what every sample is read from; `keep` takes what a scenario of minutes has so far, in case it is ended early."""
        self.method, self.clock, self.keep = method, clock, keep
        self.queries = math.ceil(method.queries / method.rounds)
        self.nanoseconds = round(method.seconds / method.rounds * 1e9)

    def stream(self, query: Query, staged: Staged | None = None) -> Measured:
        """One query after the other (single stream), from the warm-up to the share of queries and seconds.

        With stages, each query is followed by one that is timed step by step, so that no clock is read within the whole. Twenty times a
        second the machine's speed is taken in between.

        Raises:
            BenchError: the clock went back.
        """
        numbers = iter(range(1 << 62))
        warm_up, steady = self._warm_up(query, staged, numbers)
        samples: dict[str | None, array[int]] = {None: array("q")}
        whole, clock, most = samples[None], self.clock, self.method.most
        speeds = array("q")
        due = clock()
        end = due + self.nanoseconds
        while (len(whole) < self.queries or clock() < end) and len(whole) < most:
            if clock() >= due:
                speeds.append(machine_speed(clock))
                due = clock() + EVERY
            number = next(numbers)
            start = clock()
            query(number)
            whole.append(clock() - start)
            if staged is not None:
                for stage, taken in staged(next(numbers)).items():
                    samples.setdefault(stage, array("q")).append(taken)
        if any(len(taken) and min(taken) < 0 for taken in samples.values()):
            hint = "cat /sys/devices/system/clocksource/clocksource0/current_clocksource"
            raise BenchError(
                f"the monotonic clock went back: no time can be trusted. Check the clock source: {hint}", code="clock-went-back"
            )
        note = f"a round keeps at most {most} samples: it ended before its time" if len(whole) == most else ""
        return Measured(dict(samples), warm_up=warm_up, steady=steady, note=note, machine_speed=tuple(speeds))

    def overhead(self, count: int = 20_000) -> Sequence[int]:
        """The loop's own time per query: from the start of one that does nothing to the start of the next, nanoseconds [count]."""
        starts = array("q")
        method = dataclasses.replace(self.method, queries=1, seconds=3600.0, rounds=1, most=count + 1)  # the clock is read for the end too
        Loop(method, self.clock).stream(lambda number: starts.append(self.clock()))
        return [after - before for before, after in itertools.pairwise(starts[-count - 1 :])]

    def _warm_up(self, query: Query, staged: Staged | None, numbers: Iterator[int]) -> tuple[int, bool]:
        """Queries until a window's median is near that of the window before; their count, and whether it became steady."""
        clock, method = self.clock, self.method
        end = clock() + round(method.warm_up_seconds * 1e9)
        done, before = 0, None
        while True:
            window = array("q")
            while len(window) < method.window and clock() < end:
                start = clock()
                query(next(numbers))
                window.append(clock() - start)
                if staged is not None:
                    staged(next(numbers))
            done += len(window)
            if len(window) < method.window:
                return done, False
            median = percentile(window, 50)
            if before is not None and abs(median - before) <= method.steady * before:
                return done, True
            before = median
