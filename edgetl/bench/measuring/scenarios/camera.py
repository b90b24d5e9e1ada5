"""A camera, or two: frames come whether the one before is answered or not."""

from __future__ import annotations

import math
import time
from array import array
from collections.abc import Callable, Sequence

from edgetl.bench.measuring.loop import Loop, Measured
from edgetl.bench.measuring.stand import Stand

_PATIENCE = 20.0
"""Seconds that a slow camera may take in a process for its share of queries, if the method's seconds end before."""


def predict_camera(stand: Stand, loop: Loop, sleep: Callable[[float], None] = time.sleep) -> Measured:
    """Frames become due at a fixed rate, each at its own moment of one schedule; the newest that waits is answered, older ones are dropped.

    Between frames the process sleeps, as one that waits for a camera does: what a core loses by it (its clock, its caches) is in the
    numbers. The deadline is one period: later answers missed it.
    """
    return _film(stand, loop, sleep, 1)


def two_cameras(stand: Stand, loop: Loop, sleep: Callable[[float], None] = time.sleep) -> Measured:
    """The same for two cameras whose frames become due at the same moments: the worst case of two that run on their own.

    One process answers both, as a program with one classifier does: of the frames that wait, the newest of each camera, the one that was
    due first is answered first, and of two the camera that was answered longer ago.
    """
    return _film(stand, loop, sleep, 2)


def _film(stand: Stand, loop: Loop, sleep: Callable[[float], None], cameras: int) -> Measured:
    fps, clock, frames = stand.options.fps, loop.clock, stand.frames
    period = round(1e9 / fps)
    warm_up = min(loop.method.window, math.ceil(loop.method.warm_up_seconds * fps))
    share = max(math.ceil(loop.nanoseconds / period), min(loop.queries, math.ceil(_PATIENCE * fps)))
    each = min(share, loop.method.most // cameras)
    latency, wait, answer = array("q"), array("q"), array("q")
    by_camera = [array("q") for _ in range(cameras)]
    begun, upcoming, served = clock() + period, [0] * cameras, [0] * cameras
    while (frame := min(upcoming)) < warm_up + each:
        camera = min(range(cameras), key=lambda number: (upcoming[number], served[number]))
        due = begun + frame * period
        while (early := due - clock()) > 0:
            sleep(early / 1e9)
        taken = clock()
        # More frames may have become due since: the newest takes the place of those before.
        frame = min(frame + (taken - due) // period, warm_up + each - 1)
        due = begun + frame * period
        stand.classifier.predict(frames[(frame + camera) % len(frames)])
        answered = clock()
        if frame >= warm_up:
            latency.append(answered - due)
            by_camera[camera].append(answered - due)
            wait.append(taken - due)
            answer.append(answered - taken)
        upcoming[camera], served[camera] = frame + 1, answered
    arrived = cameras * each
    dropped, missed = arrived - len(latency), sum(late > period for late in latency)
    note = f"{fps:g} frames/s{' of each camera' if cameras > 1 else ''}: one every {period / 1e6:.4g} ms"
    if dropped + missed > arrived / 2:
        note += "; most were dropped or answered late: too fast for this configuration"
    facts = {"arrived": arrived, "answered": len(latency), "dropped": dropped, "missed": missed}
    samples: dict[str | None, Sequence[int]] = {None: latency, "wait": wait, "answer": answer}
    if cameras > 1:
        samples |= {f"camera {number}": taken for number, taken in enumerate(by_camera, 1)}
    return Measured(samples, warm_up=cameras * warm_up, facts=facts, note=note)
