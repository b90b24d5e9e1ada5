"""Which configuration to ship: the measured ones of several records against a budget, machine by machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

from edgetl.bench.judging import circumstances
from edgetl.bench.judging.budget import Budget, Judgement, milliseconds, of_latency, of_loss, of_memory, of_size
from edgetl.bench.judging.loss import Loss, loss, references
from edgetl.bench.record import Record, Result, Row, Skipped, Subject
from edgetl.bench.statistics import Estimate
from edgetl.errors import BenchError
from edgetl.machine.description import differences
from edgetl.tables import render

Named = tuple[str, Record]
"""A record and its name."""
References = Mapping[tuple[str, str], Result]


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One measured configuration.

    Attributes:
        record: the name of its record.
        subject: what was measured.
        n: queries.
        p50: of the scenario, ns.
        p99: likewise; None where n is too small.
        loss: None where it cannot be told.
        peak: memory, bytes: the largest of all processes; None where it was not measured.
        processes: whose memory was measured, count.
        judgements: one per limit.
        front: whether it is on the Pareto front: no other has latency, loss, memory and size at most as large and one of them smaller.
    """

    record: str
    subject: Subject
    n: int
    p50: Estimate
    p99: Estimate | None
    loss: Loss | None
    peak: int | None
    processes: int
    judgements: tuple[Judgement, ...]
    front: bool = False

    @property
    def fits(self) -> bool | None:
        """Whether it is within every limit; None where that cannot be told."""
        said = [one.fits for one in self.judgements]
        return False if False in said else None if None in said else True

    @property
    def over(self) -> float:
        """By how much it misses the limit that it misses most, as a share of that limit."""
        return max((one.over for one in self.judgements), default=0.0)

    @property
    def missed(self) -> str:
        """Why it does not fit."""
        return "; ".join(one.words for one in self.judgements if not one.fits)


@dataclasses.dataclass(frozen=True)
class Answer:
    """What to ship on one machine.

    Attributes:
        machine: its board or processor.
        records: their names.
        chosen: the fastest that fits; None where none does.
        sentence: the answer in words.
        candidates: all that were measured: those that fit before the others, the faster before the slower.
        left_out: what was not measured, and why.
        notes: what the records say that a reader must know.
    """

    machine: str
    records: tuple[str, ...]
    chosen: Candidate | None
    sentence: str
    candidates: tuple[Candidate, ...]
    left_out: tuple[Skipped, ...]
    notes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Choice:
    """An answer per machine.

    Attributes:
        budget: what was asked.
        answers: in the order of the records.
    """

    budget: Budget
    answers: tuple[Answer, ...]

    @property
    def found(self) -> bool:
        """Whether something fits on every machine."""
        return all(answer.chosen for answer in self.answers)


def pick(
    records: Sequence[Named], *, scenario: str = "predict-file", p50_ms: float | None = None, p99_ms: float | None = None,
    peak_mb: float | None = None, size_mb: float | None = None, max_loss: float | None = None,
) -> Choice:  # fmt: skip
    """Chooses the fastest configuration within the limits, for each machine.

    The fastest is the one with the smallest upper end of p99 where that has a limit, else of p50. Only rows of kind `measured` count.

    Args:
        records: those of one machine are judged together; a loss may refer to the float configuration of any of them.
        scenario: whose latency.
        p50_ms: a limit, see :class:`edgetl.bench.judging.budget.Budget`; None is none.
        p99_ms: likewise.
        peak_mb: likewise.
        size_mb: likewise.
        max_loss: likewise.

    Raises:
        BenchError: there is no record, or none holds the scenario.
    """
    if not records:
        raise BenchError("there is no record to choose from; edgetl bench BUNDLE -o bench.json makes one")
    held = dict.fromkeys(row.scenario for _, record in records for _, row in record.rows() if row.unit == "ns" and row.stage is None)
    if scenario not in held:
        others = f"only {', '.join(held)}" if held else "and no times at all"
        raise BenchError(f"no record holds {scenario}, {others}; edgetl bench BUNDLE --scenario {scenario}")
    budget = Budget(scenario, p50_ms, p99_ms, peak_mb, size_mb, max_loss)
    floats = references(result for _, record in records for result in record.results if any(row.kind == "measured" for row in result.rows))
    return Choice(budget, tuple(_answer(group, budget, floats) for group in _machines(records)))


def table(choice: Choice) -> str:
    """For the screen: per machine the configurations, the answer, and why the others are not."""
    return "\n\n".join("\n".join(_lines(answer, choice.budget)) for answer in choice.answers)


def _machines(records: Sequence[Named]) -> list[list[Named]]:
    groups: list[list[Named]] = []
    for named in records:
        group = next((one for one in groups if not differences(one[0][1].machine, named[1].machine)), None)
        if group is None:
            groups.append(group := [])
        group.append(named)
    return groups


def _answer(records: Sequence[Named], budget: Budget, floats: References) -> Answer:
    machine = circumstances.title(records[0][1].machine)
    found = [(name, record, result, result.row(budget.scenario)) for name, record in records for result in record.results]
    measured = [(name, record, result, row) for name, record, result, row in found if row and row.kind == "measured"]
    candidates = [_candidate(name, record, result, row, budget, floats) for name, record, result, row in measured]
    fast = _latency(budget)
    candidates = [dataclasses.replace(one, front=not any(_dominates(fast, other, one) for other in candidates)) for one in candidates]
    candidates.sort(key=lambda one: (not one.fits, one.fits is False, _end(fast(one))))
    chosen = candidates[0] if candidates and candidates[0].fits else None
    left_out = [
        Skipped(f"{name}: {result.subject.name}", f"its {budget.scenario} is {row.kind}" if row else f"{budget.scenario} was not measured")
        for name, _, result, row in found
        if row is None or row.kind != "measured"
    ]
    left_out += [
        Skipped(f"{name}: {one.what}", one.reason) for name, record in records for one in record.skipped if _matters(one, budget.scenario)
    ]
    notes = [note for name, record in records for note in _of_record(name, record)]
    notes += [f"{name}: {result.subject.name}: {note}" for name, _, result, row in measured for note in _of_row(result, row)]
    sentence = f"on {machine}: {_sentence(chosen, candidates, budget)}"
    return Answer(machine, tuple(name for name, _ in records), chosen, sentence, tuple(candidates), tuple(left_out), tuple(notes))


def _candidate(name: str, record: Record, result: Result, row: Row, budget: Budget, floats: References) -> Candidate:
    accuracy, subject, summed = result.accuracy, result.subject, row.summary
    memory = next((one for one in result.rows if (one.scenario, one.stage, one.kind) == ("memory", None, "measured")), None)
    peak, processes = (memory.summary.max.value, memory.n) if memory else (None, 0)
    reference = floats.get((subject.backbone, accuracy.digest)) if accuracy else None
    lost = loss(accuracy, reference) if accuracy and reference else None
    judgements = []
    if budget.p50_ms is not None:
        judgements.append(of_latency("p50", budget.p50_ms, summed.p50, row.n, record.method.confidence))
    if budget.p99_ms is not None:
        judgements.append(of_latency("p99", budget.p99_ms, summed.p99, row.n, record.method.confidence))
    if budget.peak_mb is not None:
        judgements.append(of_memory(budget.peak_mb, peak, processes))
    if budget.size_mb is not None:
        judgements.append(of_size(budget.size_mb, subject.size))
    if budget.max_loss is not None:
        judgements.append(of_loss(budget.max_loss, lost, result))
    return Candidate(name, subject, row.n, summed.p50, summed.p99, lost, peak, processes, tuple(judgements))


def _of_record(name: str, record: Record) -> Iterator[str]:
    if record.ended:
        yield f"{name} is partial: {record.ended}"
    yield from (f"{name}: {warning}" for warning in record.warnings)


def _matters(skipped: Skipped, scenario: str) -> bool:
    """Whether it is a configuration, or of one what may be judged; and not another scenario."""
    return skipped.what.partition(": ")[2] in ("", scenario, "latency", "memory", "accuracy")


def _of_row(result: Result, row: Row) -> Iterator[str]:
    if row.steady is not None and row.steady < len(row.samples):
        yield f"was not steady when {len(row.samples) - row.steady} of {len(row.samples)} rounds began to count"
    if result.subject.placement.startswith("mixed"):
        yield result.subject.placement
    if row.note:
        yield row.note


def _latency(budget: Budget) -> Callable[[Candidate], Estimate | None]:
    """What is fast."""
    return (lambda one: one.p99) if budget.p99_ms is not None else (lambda one: one.p50)


def _end(time: Estimate | None) -> float:
    return float("inf") if time is None else time.high


def _dominates(fast: Callable[[Candidate], Estimate | None], one: Candidate, other: Candidate) -> bool:
    """Whether no cost of one is larger and some are smaller; a cost that only one of them knows leaves both on the front."""
    pairs = [(a, b) for a, b in zip(_costs(fast, one), _costs(fast, other)) if a is not None or b is not None]
    known = [(a, b) for a, b in pairs if a is not None and b is not None]
    return len(known) == len(pairs) and all(a <= b for a, b in known) and any(a < b for a, b in known)


def _costs(fast: Callable[[Candidate], Estimate | None], one: Candidate) -> tuple[float | None, ...]:
    time = fast(one)
    return (time.value if time else None, one.loss.points if one.loss else None, one.peak, one.subject.size)


def _sentence(chosen: Candidate | None, candidates: Sequence[Candidate], budget: Budget) -> str:
    if not candidates:
        return f"nothing to choose from: no measured {budget.scenario}"
    if chosen is None:
        nearest = min(candidates, key=lambda one: (one.fits is False, one.over))
        doubt = "" if nearest.fits is False else " as far as can be told"
        return f"nothing fits{doubt}; nearest is {_name(nearest, candidates)}: {nearest.missed}"
    limited = budget.p50_ms is not None or budget.p99_ms is not None
    speed = [] if limited else [f"the fastest that fits: p50 {milliseconds(chosen.p50)} ms, n={chosen.n}"]
    words = "; ".join([*speed, *(one.words for one in chosen.judgements)])
    fast = _latency(budget)
    near = [_name(one, candidates) for one in candidates if one.fits and one is not chosen and _overlap(fast(one), fast(chosen))]
    ties = f"; that it is faster than {', '.join(near)} cannot be told" if near else ""
    return f"ship {_name(chosen, candidates)}: {budget.scenario}: {words}{ties}"


def _overlap(one: Estimate | None, other: Estimate | None) -> bool:
    return one is not None and other is not None and one.low <= other.high and other.low <= one.high


def _name(one: Candidate, among: Sequence[Candidate]) -> str:
    """The configuration, and its record where others are of another."""
    return one.subject.name + (f" of {one.record}" if len({other.record for other in among}) > 1 else "")


def _lines(answer: Answer, budget: Budget) -> Iterator[str]:
    headers = (
        "configuration", "p50 ms [95 %]", "p99 ms [95 %]", "n", "loss, points [95 %]", "photos", "peak MB", "processes", "size MB",
        "front", "fits",
    )  # fmt: skip
    rows = [
        (
            _name(one, answer.candidates), milliseconds(one.p50), milliseconds(one.p99) if one.p99 else "n too small", one.n,
            f"{one.loss.points:.2f} [{one.loss.low:.2f}, {one.loss.high:.2f}]" if one.loss else None, one.loss.n if one.loss else None,
            f"{one.peak / 1e6:.1f}" if one.peak else None, one.processes or None, f"{one.subject.size / 1e6:.1f}",
            "yes" if one.front else "no",
            {True: "yes", False: "no", None: "cannot tell"}[one.fits],
        )
        for one in answer.candidates
    ]  # fmt: skip
    if rows:
        yield f"{budget.scenario} on {answer.machine} ({', '.join(answer.records)})"
        yield render(headers, rows)
    yield answer.sentence
    yield from (f"not {_name(one, answer.candidates)}: {one.missed}" for one in answer.candidates if not one.fits)
    yield from (f"left out: {one.what}: {one.reason}" for one in answer.left_out)
    yield from (f"note: {note}" for note in answer.notes)
