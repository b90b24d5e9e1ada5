"""Energy per query, from a real meter or not at all: it is read idle and at work, and what idling costs is subtracted.

A meter disturbs what it measures, so energy has a process of its own, whose times are not used.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

from edgetl.errors import BenchError
from edgetl.machine.meter import Clock, Meter


@dataclasses.dataclass(frozen=True)
class Energy:
    """What a meter counted while queries ran.

    Attributes:
        kind: which meter, and what it covers.
        joules: counted during the queries, idle included, J.
        idle_watts: what the machine drew before them, doing nothing, W.
        idle_seconds: for which that was measured, s.
        seconds: that the queries took, s.
        queries: count.
    """

    kind: str
    joules: float
    idle_watts: float
    idle_seconds: float
    seconds: float
    queries: int

    @property
    def microjoules(self) -> int:
        """Of one query, above idle, uJ."""
        return round((self.joules - self.idle_watts * self.seconds) / self.queries * 1e6)


def measure(
    meter: Meter, work: Callable[[], object], *, idle_seconds: float = 10.0, seconds: float = 10.0,
    clock: Clock = time.monotonic_ns, sleep: Callable[[float], None] = time.sleep,
) -> Energy:  # fmt: skip
    """Reads a meter while nothing runs and then while queries do.

    Args:
        meter: from :func:`edgetl.machine.meter.open_meter`; it is opened and closed.
        work: runs one query; warm it up before.
        idle_seconds: how long idling is measured, s.
        seconds: how long queries run at least, s.
        clock: monotonic, ns.
        sleep: waits for so many seconds.

    Raises:
        BenchError: the meter cannot be read, or counts no more at work than idle.
    """
    with meter:
        began, before = _moment(meter, clock)
        sleep(idle_seconds)
        woken, rested = _moment(meter, clock)
        queries = 0
        while not queries or clock() < woken + seconds * 1e9:
            work()
            queries += 1
        ended, after = _moment(meter, clock)
    idle, busy = (woken - began) / 1e9, (ended - woken) / 1e9
    energy = Energy(meter.kind, after - rested, (rested - before) / idle, idle, busy, queries)
    if energy.idle_watts < 0 or energy.joules <= energy.idle_watts * busy:
        drawn = f"{energy.joules:.3f} J in {busy:.1f} s of {queries} queries, {energy.idle_watts:.3f} W idle"
        message = f"{meter.kind}: no more energy at work than idle ({drawn}). Stop what else runs, or measure for longer"
        raise BenchError(message, code="no-more-than-idle", queries=queries, idle_watts=energy.idle_watts)
    return energy


def _moment(meter: Meter, clock: Clock) -> tuple[float, float]:
    """Nanoseconds in the middle of a reading, and the joules; a command may take a while."""
    before = clock()
    joules = meter.joules()
    return (before + clock()) / 2, joules
