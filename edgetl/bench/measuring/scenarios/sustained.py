"""Minutes without a pause: what is left of the speed when the machine is warm."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edgetl.bench.measuring.loop import Loop, Measured
from edgetl.bench.measuring.stand import Stand
from edgetl.bench.record import Minute
from edgetl.bench.statistics import least, percentile
from edgetl.machine import sensors

MINUTE = 60_000_000_000
"""Nanoseconds."""


def sustained(stand: Stand, loop: Loop, reading: Callable[[], Mapping[str, Any]] = sensors.reading) -> Measured:
    """A decoded frame -> its class, one query after the other for `Options.minutes`, from the first one on: nothing is warmed up.

    Between minutes, outside of the queries, the sensors are read and what there is so far is kept. A round keeps the method's `most`
    samples; a minute's percentiles are of all of its queries.

    Args:
        stand: frames and shop.
        loop: clock and method.
        reading: the sensors.
    """
    clock, frames, most = loop.clock, stand.frames, loop.method.most
    kept, number = array("q"), 0
    minutes: list[Minute] = []
    end = clock() + round(stand.options.minutes * MINUTE)
    before = reading()
    while not minutes or clock() < end:
        stop, taken = min(clock() + MINUTE, end), array("q")
        start = clock()
        while not taken or start < stop:
            stand.shop.predict(frames[number % len(frames)])
            taken.append(clock() - start)
            number += 1
            start = clock()
        after = reading()
        minutes.append(_minute(len(minutes), taken, before, after, loop.method.confidence))
        kept.extend(taken[: most - len(kept)])
        before = after
        loop.keep(_measured(kept, number, minutes, loop.method.steady))
    return _measured(kept, number, minutes, loop.method.steady)


def _measured(kept: array[int], number: int, minutes: Sequence[Minute], steady: float) -> Measured:
    notes = ["whole predictions, as predict-array; not the backbone alone", *_slower(minutes, steady)]
    if number > len(kept):
        notes.append(f"the first {len(kept)} of {number} samples are kept; the minutes are of all")
    return Measured({None: kept}, facts={"asked": number}, minutes=tuple(minutes), note="; ".join(notes))


def _minute(number: int, taken: Sequence[int], before: Mapping[str, Any], after: Mapping[str, Any], confidence: float) -> Minute:
    p90 = percentile(taken, 90) if len(taken) >= least(90, confidence) else None
    return Minute(
        number, len(taken), percentile(taken, 50), p90, after["temperature_c"], after["frequency_khz"], sensors.throttled(before, after)
    )


def _slower(minutes: Sequence[Minute], steady: float) -> list[str]:
    """What must be said of a run that did not keep its speed; the first minute, cold, is no measure for the last."""
    said = []
    if throttled := [minute.number + 1 for minute in minutes if minute.throttled]:
        said.append(f"the machine throttled in {len(throttled)} of {len(minutes)} minutes, first in minute {throttled[0]}")
    if len(minutes) > 2 and minutes[-1].p50 > (1 + steady) * minutes[1].p50:
        second, last = minutes[1], minutes[-1]
        said.append(
            f"it slowed down: p50 {last.p50 / 1e6:.4g} ms (n={last.n}) in the last minute, {second.p50 / 1e6:.4g} ms (n={second.n}) in the "
            f"second, {100 * (last.p50 / second.p50 - 1):.0f} % more"
        )
    return said
