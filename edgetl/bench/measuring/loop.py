"""The loop: warm-up until steady, then queries between two readings of a monotonic clock, every one kept."""

from __future__ import annotations

import dataclasses
import itertools
import math
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from time import perf_counter_ns
from typing import Union

from edgetl.bench.measuring.pace import EVERY, pace
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


@dataclasses.dataclass(frozen=True)
class Measured:
    """What a scenario gave in one process.

    Attributes:
        samples: stage, None for the whole -> samples.
        units: of the stages that are no nanoseconds.
        warm_up: queries before the first that counts.
        steady: whether the warm-up ended because it was steady; None where there was none.
        facts: counts, which the rounds' are added to.
        minutes: of `sustained`.
        note: what the numbers do not say, in a sentence.
        pace: what :func:`edgetl.bench.measuring.pace.pace` took in between, nanoseconds.
    """

    samples: Samples
    units: Mapping[str | None, Unit] = dataclasses.field(default_factory=dict)
    warm_up: int = 0
    steady: bool | None = None
    facts: Mapping[str, float] = dataclasses.field(default_factory=dict)
    minutes: tuple[Minute, ...] = ()
    note: str = ""
    pace: tuple[int, ...] = ()


class Loop:
    """Times queries as the method says; one process's share of its rounds."""

    def __init__(
        self, method: Method, clock: Clock = perf_counter_ns, keep: Callable[[Measured], None] = lambda measured: None
    ) -> None:  # fmt: skip
        """`clock` is what every sample is read from; `keep` is given what a scenario of minutes has so far, should it be ended early."""
        self.method, self.clock, self.keep = method, clock, keep
        self.queries = math.ceil(method.queries / method.rounds)
        self.nanoseconds = round(method.seconds / method.rounds * 1e9)

    def stream(self, query: Query, staged: Staged | None = None) -> Measured:
        """One query after the other (single stream), from the warm-up to the share of queries and seconds.

        Where there are stages, each query is followed by one that is timed step by step, so that no clock is read within the whole.
        Twenty times a second the machine's pace is taken in between.
        """
        numbers = iter(range(1 << 62))
        warm_up, steady = self._warm_up(query, staged, numbers)
        samples: dict[str | None, array[int]] = {None: array("q")}
        whole, clock, most = samples[None], self.clock, self.method.most
        paces = array("q")
        due = clock()
        end = due + self.nanoseconds
        while (len(whole) < self.queries or clock() < end) and len(whole) < most:
            if clock() >= due:
                paces.append(pace(clock))
                due = clock() + EVERY
            number = next(numbers)
            start = clock()
            query(number)
            whole.append(clock() - start)
            if staged is not None:
                for stage, taken in staged(next(numbers)).items():
                    samples.setdefault(stage, array("q")).append(taken)
        note = f"a round keeps at most {most} samples: it ended before its time" if len(whole) == most else ""
        return Measured(_sound(samples), warm_up=warm_up, steady=steady, note=note, pace=tuple(paces))

    def overhead(self, count: int = 20_000) -> Sequence[int]:
        """What the loop itself adds to a query: from the start of one that does nothing to the start of the next, nanoseconds [count]."""
        starts = array("q")
        begun = self.clock

        def nothing(number: int) -> None:
            starts.append(begun())

        method = dataclasses.replace(self.method, queries=1, seconds=3600.0, rounds=1, most=count + 1)  # the clock is asked for the end too
        Loop(method, self.clock).stream(nothing)
        return [after - before for before, after in itertools.pairwise(starts[-count - 1 :])]

    def _warm_up(self, query: Query, staged: Staged | None, numbers: Iterator[int]) -> tuple[int, bool]:
        """Queries until a window's median is near that of the window before; how many there were, and whether that came to pass."""
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


def _sound(samples: Mapping[str | None, Sequence[int]]) -> Samples:
    for stage, taken in samples.items():
        if len(taken) and min(taken) < 0:
            raise BenchError(
                f"the monotonic clock went back by {-min(taken)} ns within {stage or 'a query'}: nothing that was timed can be believed; "
                "look for a broken clock source (cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
            )
    return dict(samples)
