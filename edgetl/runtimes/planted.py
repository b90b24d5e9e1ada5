"""Latencies to order: the fake runtime takes as long as it is told to, so that a bench can be tested by what it should find."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from time import perf_counter_ns
from typing import Any

SHAPES = ("constant", "bimodal", "drifting", "throttling")


class Planted:
    """Waits, busy as a processor would be, until a query has taken its time."""

    def __init__(self, said: Mapping[str, Any]) -> None:
        """Reads what a fake model file says.

        Args:
            said: `shape`, one of SHAPES, and `ms`: what a query takes, milliseconds. `bimodal`: a share `share` of the queries, drawn with
                `seed`, takes `factor` times as long. `drifting`: the k-th query takes 1 + k * `rate` times as long. `throttling`: queries
                take `factor` times as long `after` so many.

        Raises:
            ValueError: there is no such shape.
            KeyError: a value is missing.
        """
        shape, nanoseconds = said["shape"], float(said["ms"]) * 1e6
        if shape not in SHAPES:
            raise ValueError(f"no shape {shape!r}; there are {', '.join(SHAPES)}")
        self._query = -1
        drawn = random.Random(int(said.get("seed", 0)))
        shapes: dict[str, Callable[[], float]] = {
            "constant": lambda: 1.0,
            "bimodal": lambda: said["factor"] if drawn.random() < said["share"] else 1.0,
            "drifting": lambda: 1.0 + self._query * said["rate"],
            "throttling": lambda: said["factor"] if self._query >= said["after"] else 1.0,
        }
        self._factor, self._nanoseconds = shapes[shape], nanoseconds

    def until(self, start: int) -> None:
        """Waits until the query that began at `start`, nanoseconds of `time.perf_counter_ns`, has taken its time."""
        self._query += 1
        end = start + self._nanoseconds * self._factor()
        while perf_counter_ns() < end:
            pass
