"""Answers of many processes -> results: samples stay apart by process, facts add up."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from edgetl.bench.measuring.configurations import Configuration
from edgetl.bench.measuring.job import Answer
from edgetl.bench.measuring.loop import Measured
from edgetl.bench.measuring.plan import Turn
from edgetl.bench.method import Method
from edgetl.bench.record import Kind, Result, Row, Skipped
from edgetl.bench.statistics import Summary, percentile, summary

KIND: Kind = "emulated" if os.environ.get("EDGETL_EMULATED") else "measured"
"""Of everything that is timed in this environment."""
_LEAST, _DRIFT = 16, 1.06  # samples of a round that have quarters; twice what a warm-up lets pass


class Gathering:
    """What the processes of a run have answered so far."""

    def __init__(self, method: Method, chosen: Sequence[Configuration] = ()) -> None:
        """`method` says how rows are summed up, `chosen` in which order results are listed."""
        self._method = method
        self._answers: dict[Configuration, list[Answer]] = {one: [] for one in chosen}
        self._refused: dict[tuple[Configuration, str], str] = {}
        self._skipped: dict[tuple[str, str], None] = {}

    def take(self, turn: Turn, answer: Answer) -> None:
        """Keeps an answer; a task that was refused is not asked again, and what it had measured until then counts."""
        if answer.refused:
            self._refused[turn.configuration, turn.task] = answer.refused[1]
        if not (answer.subject or answer.measured or answer.accuracy):
            return
        self._answers.setdefault(turn.configuration, []).append(answer)
        self._skipped.update(((f"{turn.configuration.name}: {name}", reason), None) for name, reason in answer.skipped)

    def refused(self, turn: Turn) -> bool:
        """Whether it does not work here: the task, or the whole configuration, of which nothing has worked yet."""
        return any(one == turn.configuration and (task == turn.task or not self._answers.get(one)) for one, task in self._refused)

    def least(self, configuration: Configuration, scenario: str) -> int | None:
        """The smallest of the processes' medians of a scenario: other work only makes one longer. None where it was not measured."""
        answers = self._answers.get(configuration, [])
        taken = [answer.measured[scenario].samples.get(None, ()) for answer in answers if scenario in answer.measured]
        return min((percentile(one, 50) for one in taken if len(one)), default=None)

    def skipped(self) -> tuple[Skipped, ...]:
        """What was not measured, and why."""
        refused = [(one.name + (f": {task}" if self._answers.get(one) else ""), reason) for (one, task), reason in self._refused.items()]
        return tuple(Skipped(*one) for one in (*refused, *self._skipped))

    def overhead(self) -> Summary | None:
        """Of the harness, over all processes."""
        taken = [answer.overhead for answers in self._answers.values() for answer in answers if answer.overhead]
        return summary(taken, confidence=self._method.confidence, resamples=100, seed=self._method.seed) if taken else None

    def builds(self) -> dict[str, Any]:
        """Runtime family -> what its library says of its own build."""
        answers = [answer for answers in self._answers.values() for answer in answers]
        return {answer.subject.family: answer.library for answer in answers if answer.subject and answer.library}

    def results(self) -> tuple[Result, ...]:
        """One per configuration that gave anything."""
        return tuple(made for answers in self._answers.values() if (made := self._result(answers)))

    def _result(self, answers: Sequence[Answer]) -> Result | None:
        subject = next((answer.subject for answer in answers if answer.subject), None)
        if subject is None:
            return None
        accuracy = next((answer.accuracy for answer in answers if answer.accuracy), None)
        names = dict.fromkeys(name for answer in answers for name in answer.measured)
        rows = [row for name in names for row in self._rows(name, [one.measured[name] for one in answers if name in one.measured])]
        return Result(subject, accuracy, tuple(rows))

    def _rows(self, name: str, measured: Sequence[Measured]) -> list[Row]:
        stages = dict.fromkeys(stage for one in measured for stage in one.samples)
        whole = {
            "warm_up": sum(one.warm_up for one in measured),
            "steady": None if measured[0].steady is None else sum(bool(one.steady) for one in measured),
            "facts": _added(one.facts for one in measured),
            "pace": tuple(one.pace for one in measured if one.pace),
            "minutes": tuple(minute for one in measured for minute in one.minutes),
            "note": "; ".join(dict.fromkeys(one for one in (*(each.note for each in measured), _drift(measured)) if one)),
        }
        units = {stage: unit for one in measured for stage, unit in one.units.items()}
        return [
            Row.of(name, stage, taken, self._method, kind=KIND, unit=units.get(stage, "ns"), **(whole if stage is None else {}))
            for stage in stages
            if any(map(len, taken := [one.samples.get(stage, ()) for one in measured]))
        ]


def _added(facts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Counts of all rounds; a count of 0 is one too."""
    total: dict[str, float] = {}
    for one in facts:
        for name, value in one.items():
            total[name] = total.get(name, 0) + value
    return total


def _drift(measured: Sequence[Measured]) -> str:
    """Whether every round was slower, or faster, at its end than at its beginning, though its warm-up was over; in words."""
    wholes = [one.samples.get(None, ()) for one in measured if one.steady is not None]
    if len(wholes) < 2 or min(map(len, wholes)) < _LEAST:
        return ""
    ratios = [percentile(one[-(len(one) // 4) :], 50) / max(1, percentile(one[: len(one) // 4], 50)) for one in wholes]
    if not (min(ratios) >= _DRIFT or max(ratios) <= 1 / _DRIFT):
        return ""
    took = f"{min(ratios):.2f} to {max(ratios):.2f} times as long as its first (medians)"
    return f"not steady while it was measured: the last quarter of every round took {took}"
