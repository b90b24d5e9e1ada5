"""Answers of many processes -> results and warnings: samples stay apart by process, facts add up."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from statistics import mean
from typing import Any

from edgetl.bench.measuring.child import JobAnswer
from edgetl.bench.measuring.loop import Measured
from edgetl.bench.measuring.plan import Configuration, Turn
from edgetl.bench.method import Method
from edgetl.bench.record import Kind, Result, Round, Row, Skipped
from edgetl.bench.statistics import Summary, percentile, summary
from edgetl.machine import sensors

KIND: Kind = "emulated" if os.environ.get("EDGETL_EMULATED") else "measured"
"""Of everything that is timed in this environment."""
_LEAST, _DRIFT = 16, 1.06  # samples of a round that have quarters; twice what a warm-up lets pass
_OTHERS, _STEAL = 0.05, 0.01


class Gathering:
    """The answers of the processes of a run so far."""

    def __init__(self, method: Method, chosen: Sequence[Configuration] = ()) -> None:
        """`method` says how rows are summed up, `chosen` in which order results are listed."""
        self._method = method
        self._answers: dict[Configuration, list[JobAnswer]] = {configuration: [] for configuration in chosen}
        self._failed: dict[tuple[Configuration, str], str] = {}
        self._skipped: dict[tuple[str, str], None] = {}

    def take(self, turn: Turn, answer: JobAnswer) -> None:
        """Keeps an answer; a task that failed is not tried again, and what it had measured until then counts."""
        if answer.failed:
            self._failed[turn.configuration, turn.task] = answer.failed
        if not (answer.subject or answer.measured or answer.accuracy):
            return
        self._answers.setdefault(turn.configuration, []).append(answer)
        self._skipped.update(((f"{turn.configuration.name}: {name}", reason), None) for name, reason in answer.skipped)

    def failed(self, turn: Turn) -> bool:
        """Whether it does not work here: the task, or the whole configuration, of which nothing has worked yet."""
        return any(
            configuration == turn.configuration and (task == turn.task or not self._answers.get(configuration))
            for configuration, task in self._failed
        )

    def median(self, configuration: Configuration, scenario: str) -> int | None:
        """The smallest of the processes' medians of a scenario: other work only makes one longer. None if it was not measured."""
        answers = self._answers.get(configuration, [])
        samples = [answer.measured[scenario].samples.get(None, ()) for answer in answers if scenario in answer.measured]
        return min((percentile(taken, 50) for taken in samples if len(taken)), default=None)

    def skipped(self) -> tuple[Skipped, ...]:
        """What was not measured, and why."""
        failed = [
            (configuration.name + (f": {task}" if self._answers.get(configuration) else ""), reason)
            for (configuration, task), reason in self._failed.items()
        ]
        return tuple(Skipped(*entry) for entry in (*failed, *self._skipped))

    def overhead(self) -> Summary | None:
        """Of the harness, over all processes."""
        samples = [answer.overhead for answer in self._all() if answer.overhead]
        return summary(samples, confidence=self._method.confidence, resamples=100, seed=self._method.seed) if samples else None

    def builds(self) -> dict[str, Any]:
        """Runtime family -> what its library reports of its own build."""
        return {answer.subject.family: answer.library for answer in self._all() if answer.subject and answer.library}

    def results(self) -> tuple[Result, ...]:
        """One per configuration that has a result."""
        return tuple(result for answers in self._answers.values() if (result := self._result(answers)))

    def _all(self) -> Iterable[JobAnswer]:
        return itertools.chain.from_iterable(self._answers.values())

    def _result(self, answers: Sequence[JobAnswer]) -> Result | None:
        subject = next((answer.subject for answer in answers if answer.subject), None)
        if subject is None:
            return None
        accuracy = next((answer.accuracy for answer in answers if answer.accuracy), None)
        names = dict.fromkeys(name for answer in answers for name in answer.measured)
        rows = [row for name in names for row in self._rows(name, [each.measured[name] for each in answers if name in each.measured])]
        return Result(subject, accuracy, tuple(rows))

    def _rows(self, name: str, parts: Sequence[Measured]) -> list[Row]:
        stages = dict.fromkeys(stage for part in parts for stage in part.samples)
        whole = {
            "warm_up": sum(part.warm_up for part in parts),
            "steady": None if parts[0].steady is None else sum(bool(part.steady) for part in parts),
            "facts": _added(part.facts for part in parts),
            "machine_speed": tuple(part.machine_speed for part in parts if part.machine_speed),
            "minutes": tuple(minute for part in parts for minute in part.minutes),
            "note": "; ".join(dict.fromkeys(note for note in (*(part.note for part in parts), _drift(parts)) if note)),
        }
        units = {stage: unit for part in parts for stage, unit in part.units.items()}
        return [
            Row.of(name, stage, samples, self._method, kind=KIND, unit=units.get(stage, "ns"), **(whole if stage is None else {}))
            for stage in stages
            if any(map(len, samples := [part.samples.get(stage, ()) for part in parts]))
        ]


def _added(facts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Counts of all rounds; a count of 0 is a count too."""
    total: dict[str, float] = {}
    for name, value in itertools.chain.from_iterable(counts.items() for counts in facts):
        total[name] = total.get(name, 0) + value
    return total


def _drift(parts: Sequence[Measured]) -> str:
    """Whether every round was slower, or faster, at its end than at its beginning, although its warm-up was over; in words."""
    wholes = [part.samples.get(None, ()) for part in parts if part.steady is not None]
    if len(wholes) < 2 or min(map(len, wholes)) < _LEAST:
        return ""
    ratios = [percentile(taken[-(len(taken) // 4) :], 50) / max(1, percentile(taken[: len(taken) // 4], 50)) for taken in wholes]
    if not (min(ratios) >= _DRIFT or max(ratios) <= 1 / _DRIFT):
        return ""
    times = f"{min(ratios):.2f} to {max(ratios):.2f} times"
    return f"not steady while measured: the last quarter of every round took {times} as long as its first (medians)"


def warnings(results: Sequence[Result], rounds: Sequence[Round], cores: int) -> tuple[str, ...]:
    """What a reader must know before believing a record: the machine was busy, slowed down, or its clock jumped; with numbers.

    Args:
        results: what was measured.
        rounds: the processes, in the order in which they ran, with the sensors' readings around each.
        cores: that the run could use, count.
    """
    names = [result.subject.name for result in results if result.subject.threads > cores]
    crowded = [f"{name}: more threads than this run has cores ({cores}): they wait for each other" for name in names]
    moments = [(process, edge) for process in rounds for edge in (process.before, process.after)]
    clocks = [
        f"{_where(later)}: {trouble}"
        for (_, before), (later, after) in itertools.pairwise(moments)
        if (trouble := sensors.clock_trouble(before, after))
    ]
    slowed = [process for process in rounds if sensors.throttled(process.before, process.after)]
    throttled = [f"the machine throttled in {len(slowed)} of {len(rounds)} processes, first in {_where(slowed[0])}"] if slowed else []
    return (*crowded, *clocks, *throttled, *_load(rounds))


def _load(rounds: Sequence[Round]) -> list[str]:
    """Work of others."""
    shares = [(process, sensors.between(process.before, process.after)) for process in rounds]
    warnings = []
    for name, words, least in (
        ("others", "other processes used {0} of all cores' time", _OTHERS),
        ("steal", "the hypervisor gave {0} of all cores' time to other guests", _STEAL),
    ):
        taken = [(part, process) for process, share in shares if (part := share[name]) is not None]
        if not taken:
            continue
        average = mean(part for part, _ in taken)
        most, when = max(taken, key=lambda pair: pair[0])
        if average >= least or most >= 5 * least:
            at_most = f"at most {100 * most:.1f} %, in {_where(when)}; n={len(taken)} processes"
            warnings.append(words.format(f"{100 * average:.1f} % ({at_most})"))
    if waits := [share["quota_waits"] for _, share in shares if share["quota_waits"]]:
        times = f"{sum(waits):.0f} times, in {len(waits)} of {len(rounds)} processes"
        warnings.append(f"the CPU quota of this container was used up {times}")
    return warnings


def _where(process: Round) -> str:
    return f"round {process.number} of {process.configuration}"
