"""How long a run still takes: a guess from the method at first, then what its processes have really taken."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import mean

from edgetl.bench.measuring.plan import Turn
from edgetl.bench.measuring.stand import Options
from edgetl.bench.method import Method

_OPEN, _WARM_UP, _LESSON = 1.5, 0.5, 0.3
_TASKS = {"cold": 8.0, "memory": 4.0, "accuracy": 30.0}
"""Seconds before anything was measured: a process with its classes taught, a scenario's warm-up, a lesson; other tasks' processes. Measured
for EfficientNet-Lite0 on 2 shared cores of an x86 (docs/evidence/bench-time.md); another machine is learnt from its first process."""


class Forecast:
    """Learns from every process that ends."""

    def __init__(self, method: Method, options: Options) -> None:
        """Nothing has been measured yet."""
        self._method, self._options = method, options
        self._taken: dict[tuple[object, ...], list[float]] = {}
        self._ratios: dict[str, list[float]] = {}

    def learn(self, turn: Turn, seconds: float) -> None:
        """A process ended after so many seconds."""
        self._taken.setdefault(_key(turn), []).append(seconds)
        self._ratios.setdefault(turn.task, []).append(seconds / self.guess(turn))

    def left(self, turns: Iterable[Turn]) -> float:
        """Seconds that these processes will take."""
        every = [ratio for ratios in self._ratios.values() for ratio in ratios]
        overall = mean(every) if every else 1.0
        total = 0.0
        for turn in turns:
            known, ratios = self._taken.get(_key(turn)), self._ratios.get(turn.task)
            total += mean(known) if known else self.guess(turn) * (mean(ratios) if ratios else overall)
        return total

    def guess(self, turn: Turn) -> float:
        """Seconds from the method alone."""
        if turn.task == "energy":
            return _OPEN + 2 * min(10.0, self._method.seconds)
        if turn.task != "latency":
            return _TASKS[turn.task]
        return _OPEN + sum(map(self._scenario, turn.scenarios))

    def _scenario(self, name: str) -> float:
        if name == "sustained":
            return 60 * self._options.minutes
        if name in ("learn-one", "add-a-class", "n-shot", "head-swap", "durable-commit", "operators"):
            return _LESSON * 2 * (1 + self._method.lessons)
        return _WARM_UP + self._method.seconds / self._method.rounds


def duration(seconds: float) -> str:
    """For people: `45 s`, `3 min 20 s`, `1 h 05 min`."""
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def _key(turn: Turn) -> tuple[object, ...]:
    return turn.configuration, turn.task, turn.scenarios
