"""Planted latencies: the fake runtime takes as long as its file says, so that a test knows what the bench must measure."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from time import perf_counter_ns
from typing import Any

SHAPES = ("constant", "bimodal", "drifting", "throttling")


class Planted:
    """Waits in a busy loop until a query has taken its planted time."""

    def __init__(self, latency: Mapping[str, Any]) -> None:
        """Reads the latency of a fake model file.

        Args:
            latency: `shape`, one of SHAPES, and `ms`: what a query takes, milliseconds. `bimodal`: the share `share` of queries, drawn with
                `seed`, takes `factor` times as long. `drifting`: the k-th query takes 1 + k * `rate` times as long. `throttling`: queries
                take `factor` times as long `after` so many.

        Raises:
            ValueError: there is no such shape.
            KeyError: a value is missing.
        """
        shape, nanoseconds = latency["shape"], float(latency["ms"]) * 1e6
        if shape not in SHAPES:
            raise ValueError(f"no shape {shape!r}; there are {', '.join(SHAPES)}")
        self._query = -1
        drawn = random.Random(int(latency.get("seed", 0)))
        shapes: dict[str, Callable[[], float]] = {
            "constant": lambda: 1.0,
            "bimodal": lambda: latency["factor"] if drawn.random() < latency["share"] else 1.0,
            "drifting": lambda: 1.0 + self._query * latency["rate"],
            "throttling": lambda: latency["factor"] if self._query >= latency["after"] else 1.0,
        }
        self._factor, self._nanoseconds = shapes[shape], nanoseconds

    def until(self, start: int) -> None:
        """Waits until the query that began at `start`, nanoseconds of `time.perf_counter_ns`, has taken its time."""
        self._query += 1
        end = start + self._nanoseconds * self._factor()
        while perf_counter_ns() < end:
            pass
