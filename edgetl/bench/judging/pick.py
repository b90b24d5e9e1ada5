"""Which configuration to ship: the measured ones of several records against a budget, machine by machine.

A latency is within a limit if the upper end of its interval is; a percentile that n cannot carry, or without an interval, is not. A loss is
judged by its value, because its interval is about other photos than the test photos.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from edgetl.bench.judging import circumstances
from edgetl.bench.record import Record, Result, Row, Skipped, Subject, Unit
from edgetl.bench.statistics import Estimate, least
from edgetl.errors import BenchError
from edgetl.machine.description import differences
from edgetl.stats import paired_difference

Named = tuple[str, Record]
"""A record and its name."""
_Floats = Mapping[tuple[str, str], Result]


@dataclasses.dataclass(frozen=True)
class Budget:
    """The scenario whose latency counts, and limits (None is no limit).

    Memory is the peak of a process that opens, predicts and trains; `max_loss` are points of top-1 below the most accurate float
    configuration on the same photos.
    """

    scenario: str = "predict-file"
    p50_ms: float | None = None
    p99_ms: float | None = None
    peak_mb: float | None = None
    size_mb: float | None = None
    max_loss: float | None = None


@dataclasses.dataclass(frozen=True)
class AccuracyLoss:
    """Points of top-1 (of 100) below the float configuration `against` on the same n photos, with the ends of the 95 % interval."""

    points: float
    low: float
    high: float
    n: int
    against: str


@dataclasses.dataclass(frozen=True)
class Judgement:
    """How a configuration stands to one limit.

    `limit` is the budget's field and `allowed` its value; `value` is the configuration's in the same unit, None if it is unknown; `high`
    must be within the limit: the upper end of a latency's interval, else the value; n are samples, processes or photos, and of
    `too-few-samples` those it takes.
    """

    limit: str
    allowed: float
    value: float | None
    high: float | None
    code: Literal["fits", "over", "too-few-samples", "no-interval", "interval-over", "not-measured", "no-reference"]
    n: int = 0

    @property
    def fits(self) -> bool | None:
        """None if that cannot be told."""
        return True if self.code == "fits" else False if self.code == "over" else None

    @property
    def excess(self) -> float:
        """By how much it is over, as a share of the limit; 0 if it is not, or if that cannot be told."""
        return (self.high - self.allowed) / (abs(self.allowed) or self.high) if self.code == "over" and self.high else 0.0


@dataclasses.dataclass(frozen=True)
class PickCandidate:
    """One measured configuration.

    Attributes:
        record: the name of its record.
        subject: what was measured.
        n: queries.
        unit: of the scenario's p50 and p99.
        loss: None if it is unknown.
        peak: memory, bytes: the largest of `processes`; None if it was not measured.
        judgements: one per limit.
    """

    record: str
    subject: Subject
    n: int
    unit: Unit
    p50: Estimate
    p99: Estimate | None
    loss: AccuracyLoss | None
    peak: int | None
    processes: int
    judgements: tuple[Judgement, ...]

    @property
    def fits(self) -> bool | None:
        """Whether it is within every limit; None if that cannot be told."""
        fits = [judgement.fits for judgement in self.judgements]
        return False if False in fits else None if None in fits else True

    @property
    def excess(self) -> float:
        """By how much it misses the limit that it misses most, as a share of that limit."""
        return max((judgement.excess for judgement in self.judgements), default=0.0)


@dataclasses.dataclass(frozen=True)
class MachinePick:
    """What to ship on one machine.

    Attributes:
        machine: its board or processor.
        records: their names.
        chosen: the fastest that fits; None if none does.
        nearest: if none fits, the one that misses least; None if nothing was measured.
        tied: others that fit and whose p50 overlaps the chosen one's.
        candidates: those that fit first, then by p50.
        left_out: what was not measured, and why.
        notes: (record or configuration, what a reader must know of it).
    """

    machine: str
    records: tuple[str, ...]
    chosen: PickCandidate | None
    nearest: PickCandidate | None
    tied: tuple[PickCandidate, ...]
    candidates: tuple[PickCandidate, ...]
    left_out: tuple[Skipped, ...]
    notes: tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True)
class Pick:
    """What to ship, for each machine in the order of the records, within a budget."""

    budget: Budget
    machines: tuple[MachinePick, ...]

    @property
    def complete(self) -> bool:
        """Whether something fits on every machine."""
        return all(machine.chosen for machine in self.machines)


def by_machine(records: Sequence[Named]) -> list[list[Named]]:
    """The records grouped by machine; a record that is given twice counts once."""
    groups: list[list[Named]] = []
    for number, named in enumerate(records):
        if any(named[1] == record for _, record in records[:number]):
            continue
        group = next((group for group in groups if not differences(group[0][1].machine, named[1].machine)), None)
        if group is None:
            groups.append(group := [])
        group.append(named)
    return groups


def pick(records: Sequence[Named], budget: Budget) -> Pick:
    """Chooses the fastest configuration within the limits, for each machine.

    The fastest has the smallest p50; one without an interval is chosen only if none with one fits. Only rows of kind `measured` count.

    Args:
        records: those of one machine are judged together; a loss may refer to the float configuration of any of them.
        budget: limits, and the scenario whose latency counts; `memory` or `energy` choose the configuration that needs the least.

    Raises:
        BenchError: there is no record, none holds the scenario, or a limit of time was given for what is not a time.
    """
    if not records:
        raise BenchError("no records to choose from. Make one: edgetl bench -m BUNDLE -o bench.json", code="no-records")
    scenario = budget.scenario
    units = {row.scenario: row.unit for _, record in records for _, row in record.rows() if row.stage is None}
    if scenario not in units:
        held = ", ".join(units) or "nothing"
        message = f"no record has {scenario} (they have {held}). Measure it: edgetl bench -m BUNDLE --scenario {scenario}"
        raise BenchError(message, code="scenario-missing", scenario=scenario, available=list(units))
    if units[scenario] != "ns" and not budget.p50_ms is budget.p99_ms is None:
        raise BenchError(f"{scenario} is not a time: leave out --p50-ms and --p99-ms, use --peak-mb or --size-mb", code="limit-of-time")
    floats = _references(result for _, record in records for result in record.results if any(row.kind == "measured" for row in result.rows))
    return Pick(budget, tuple(_machine(group, budget, floats) for group in by_machine(records)))


def _machine(records: Sequence[Named], budget: Budget, floats: _Floats) -> MachinePick:
    rows = [(name, record, result, result.row(budget.scenario)) for name, record in records for result in record.results]
    measured = [(name, record, result, row) for name, record, result, row in rows if row and row.kind == "measured"]
    candidates = [_candidate(*entry, budget, floats) for entry in measured]
    candidates.sort(key=lambda entry: (not entry.fits, entry.fits is False, entry.p50.interval is None, entry.p50.value))
    chosen = candidates[0] if candidates and candidates[0].fits else None
    nearest = min(candidates, key=lambda entry: (entry.fits is False, entry.excess)) if candidates and not chosen else None
    tied = [other for other in candidates if chosen and other.fits and other is not chosen and other.p50.overlaps(chosen.p50)]
    left_out = [
        Skipped(f"{name}: {result.subject.name}", f"{budget.scenario} is {row.kind}" if row else f"{budget.scenario} was not measured")
        for name, _, result, row in rows
        if row is None or row.kind != "measured"
    ]
    left_out += [
        Skipped(f"{name}: {skipped.what}", skipped.reason)
        for name, record in records
        for skipped in record.skipped
        if skipped.what.partition(": ")[2] in ("", budget.scenario, "latency", "memory", "accuracy")
    ]
    notes = [(name, f"partial: {record.ended}") for name, record in records if record.ended]
    notes += [(name, warning) for name, record in records for warning in record.warnings]
    notes += [(f"{name}: {result.subject.name}", row.note) for name, _, result, row in measured if row.note]
    names = tuple(name for name, _ in records)
    machine = circumstances.title(records[0][1].machine)
    return MachinePick(machine, names, chosen, nearest, tuple(tied), tuple(candidates), tuple(left_out), tuple(notes))


def _candidate(name: str, record: Record, result: Result, row: Row, budget: Budget, floats: _Floats) -> PickCandidate:
    summed, subject, accuracy = row.summary, result.subject, result.accuracy
    memory = next((other for other in result.rows if (other.scenario, other.stage, other.kind) == ("memory", None, "measured")), None)
    peak, processes = (memory.summary.max.value, memory.n) if memory else (None, 0)
    reference = floats.get((subject.backbone, accuracy.digest)) if accuracy else None
    loss = _loss(result, reference) if reference else None
    judgements = (
        _latency("p50_ms", budget.p50_ms, summed.p50, row.n, record.method.confidence),
        _latency("p99_ms", budget.p99_ms, summed.p99, row.n, record.method.confidence),
        _number("peak_mb", budget.peak_mb, None if peak is None else peak / 1e6, processes),
        _number("size_mb", budget.size_mb, subject.size / 1e6, 1),
        _number(
            "max_loss",
            budget.max_loss,
            loss.points if loss else None,
            loss.n if loss else 0,
            "no-reference" if accuracy else "not-measured",
        ),
    )
    kept = tuple(judgement for judgement in judgements if judgement)
    return PickCandidate(name, subject, row.n, row.unit, summed.p50, summed.p99, loss, peak, processes, kept)


def _latency(name: str, limit: float | None, estimate: Estimate | None, n: int, confidence: float) -> Judgement | None:
    """A percentile in nanoseconds, from n queries, against milliseconds."""
    if limit is None:
        return None
    if estimate is None:
        return Judgement(name, limit, None, None, "too-few-samples", least(float(name[1:3]), confidence))
    value, high = estimate.value / 1e6, (estimate.interval or (0, estimate.value))[1] / 1e6
    over = value > limit
    if over or (estimate.interval and high <= limit):
        return Judgement(name, limit, value, high, "over" if over else "fits", n)
    return Judgement(name, limit, value, high, "interval-over" if estimate.interval else "no-interval", n)


def _number(
    name: str, limit: float | None, value: float | None, n: int, unknown: Literal["not-measured", "no-reference"] = "not-measured"
) -> Judgement | None:  # fmt: skip
    if limit is None:
        return None
    return Judgement(name, limit, value, value, unknown if value is None else "over" if value > limit else "fits", n)


def _references(results: Iterable[Result]) -> dict[tuple[str, str], Result]:
    """(backbone, digest of the photos) -> the most accurate fp32 configuration."""
    best: dict[tuple[str, str], Result] = {}
    for result in results:
        if result.accuracy is None or result.subject.precision != "fp32":
            continue
        key = result.subject.backbone, result.accuracy.digest
        known = best.setdefault(key, result).accuracy
        if known is None or result.accuracy.top1.hits > known.top1.hits:
            best[key] = result
    return best


def _loss(result: Result, reference: Result) -> AccuracyLoss:
    """The loss against a reference with the same photos."""
    assert result.accuracy is not None, "the reference was found by its photos"
    assert reference.accuracy is not None, "a reference has an accuracy"
    mine, theirs, n = result.accuracy.correct, reference.accuracy.correct, result.accuracy.top1.n
    if result.accuracy is reference.accuracy:
        return AccuracyLoss(0.0, 0.0, 0.0, n, reference.subject.name)
    low, high = paired_difference(theirs, mine)
    return AccuracyLoss(100 * (theirs.count("1") - mine.count("1")) / n, 100 * low, 100 * high, n, reference.subject.name)
