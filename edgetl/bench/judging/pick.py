"""Which configuration to ship: the measured ones of several records against a budget, machine by machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from edgetl.bench.judging import circumstances
from edgetl.bench.judging.budget import Budget, Judgement, of_latency, of_loss, of_memory, of_size, shown
from edgetl.bench.judging.loss import Loss, loss, references
from edgetl.bench.judging.pooling import Named, Pooled, different, machines, pooled
from edgetl.bench.record import Record, Result, Row, Skipped, Subject, Unit
from edgetl.bench.screen import SCALES
from edgetl.bench.statistics import Estimate
from edgetl.errors import BenchError
from edgetl.tables import render

References = Mapping[tuple[str, str], Result]


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One measured configuration.

    Attributes:
        record: the names of its records.
        subject: what was measured.
        n: queries.
        unit: of the scenario's numbers.
        p50: of the scenario; without an interval where fewer than 3 processes were measured.
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
    unit: Unit
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
        candidates: all that were measured: those that fit before the others, those with an interval before those without, then by p50.
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

    The fastest has the smallest p50; one without an interval is chosen only where none with one fits. Only rows of kind `measured` count.

    Args:
        records: those of one machine are judged together, the processes of one configuration pooled; a loss may refer to the float
            configuration of any of them.
        scenario: whose latency; `memory` or `energy` choose the configuration that needs the least.
        p50_ms: a limit, see :class:`edgetl.bench.judging.budget.Budget`; None is none.
        p99_ms: likewise.
        peak_mb: likewise.
        size_mb: likewise.
        max_loss: likewise.

    Raises:
        BenchError: there is no record, none holds the scenario, or a limit of time was given for what is not a time.
    """
    if not records:
        raise BenchError("there is no record to choose from; edgetl bench BUNDLE -o bench.json makes one")
    held = {row.scenario: row.unit for _, record in records for _, row in record.rows() if row.stage is None and row.unit != "cycles"}
    if scenario not in held:
        others = f"only {', '.join(held)}" if held else "nor any other that was measured"
        other = f", or choose by another one: --scenario {next(iter(held))}" if held else ""
        raise BenchError(f"no record holds {scenario}, {others}; measure it: edgetl bench BUNDLE --scenario {scenario}{other}")
    if held[scenario] != "ns" and not p50_ms is p99_ms is None:
        raise BenchError(f"{scenario} is not a time: leave out --p50-ms and --p99-ms; --peak-mb and --size-mb limit memory and size")
    budget = Budget(scenario, p50_ms, p99_ms, peak_mb, size_mb, max_loss)
    floats = references(result for _, record in records for result in record.results if any(row.kind == "measured" for row in result.rows))
    return Choice(budget, tuple(_answer(group, budget, floats) for group in machines(records)))


def table(choice: Choice) -> str:
    """For the screen: per machine the configurations, the answer, and why the others are not."""
    return "\n\n".join("\n".join(_lines(answer, choice.budget)) for answer in choice.answers)


def _answer(records: Sequence[Named], budget: Budget, floats: References) -> Answer:
    machine = circumstances.title(records[0][1].machine)
    found = [(one, one.result.row(budget.scenario)) for one in pooled(different(records))]
    measured = [(one, row) for one, row in found if row and row.kind == "measured"]
    candidates = [_candidate(one, row, budget, floats) for one, row in measured]
    candidates = [dataclasses.replace(one, front=not any(_dominates(other, one) for other in candidates)) for one in candidates]
    candidates.sort(key=lambda one: (not one.fits, one.fits is False, one.p50.interval is None, one.p50.value))
    chosen = candidates[0] if candidates and candidates[0].fits else None
    left_out = [
        Skipped(
            f"{', '.join(one.records)}: {one.result.subject.name}",
            f"its {budget.scenario} is {row.kind}" if row else f"{budget.scenario} was not measured",
        )
        for one, row in found
        if row is None or row.kind != "measured"
    ]
    left_out += [
        Skipped(f"{name}: {one.what}", one.reason) for name, record in records for one in record.skipped if _matters(one, budget.scenario)
    ]
    notes = [note for name, record in records for note in _of_record(name, record)]
    notes += [f"{', '.join(one.records)}: {one.result.subject.name}: {note}" for one, row in measured for note in _of_row(one.result, row)]
    sentence = f"on {machine}: {_sentence(chosen, candidates, budget)}"
    return Answer(machine, tuple(name for name, _ in records), chosen, sentence, tuple(candidates), tuple(left_out), tuple(notes))


def _candidate(one: Pooled, row: Row, budget: Budget, floats: References) -> Candidate:
    result, confidence, summed = one.result, one.method.confidence, row.summary
    accuracy, subject = result.accuracy, result.subject
    memory = next((one for one in result.rows if (one.scenario, one.stage, one.kind) == ("memory", None, "measured")), None)
    peak, processes = (memory.summary.max.value, memory.n) if memory else (None, 0)
    reference = floats.get((subject.backbone, accuracy.digest)) if accuracy else None
    lost = loss(accuracy, reference) if accuracy and reference else None
    judgements = []
    if budget.p50_ms is not None:
        judgements.append(of_latency("p50", budget.p50_ms, summed.p50, row.n, confidence))
    if budget.p99_ms is not None:
        judgements.append(of_latency("p99", budget.p99_ms, summed.p99, row.n, confidence))
    if budget.peak_mb is not None:
        judgements.append(of_memory(budget.peak_mb, peak, processes))
    if budget.size_mb is not None:
        judgements.append(of_size(budget.size_mb, subject.size))
    if budget.max_loss is not None:
        judgements.append(of_loss(budget.max_loss, lost, result))
    name = ", ".join(one.records)
    return Candidate(name, subject, row.n, row.unit, summed.p50, summed.p99, lost, peak, processes, tuple(judgements))


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


def _dominates(one: Candidate, other: Candidate) -> bool:
    """Whether no cost of one is larger and some are smaller; a cost that only one of them knows leaves both on the front."""
    pairs = [(a, b) for a, b in zip(_costs(one), _costs(other)) if a is not None or b is not None]
    known = [(a, b) for a, b in pairs if a is not None and b is not None]
    return len(known) == len(pairs) and all(a <= b for a, b in known) and any(a < b for a, b in known)


def _costs(one: Candidate) -> tuple[float | None, ...]:
    return (one.p50.value, one.loss.points if one.loss else None, one.peak, one.subject.size)


def _sentence(chosen: Candidate | None, candidates: Sequence[Candidate], budget: Budget) -> str:
    if not candidates:
        return f"nothing to choose from: no measured {budget.scenario}"
    if chosen is None:
        nearest = min(candidates, key=lambda one: (one.fits is False, one.over))
        doubt = "" if nearest.fits is False else " as far as can be told"
        return f"nothing fits{doubt}; nearest is {_name(nearest, candidates)}: {nearest.missed}"
    limited = budget.p50_ms is not None or budget.p99_ms is not None
    unit, factor = SCALES[chosen.unit]
    least = "fastest" if chosen.unit == "ns" else "least"
    speed = [] if limited else [f"the {least} that fits: p50 {shown(chosen.p50, factor)} {unit}, n={chosen.n}"]
    words = "; ".join([*speed, *(one.words for one in chosen.judgements)])
    tied = [_name(one, candidates) for one in candidates if one.fits and one is not chosen and one.p50.overlaps(chosen.p50)]
    question = "is faster" if chosen.unit == "ns" else "needs less"
    ties = f"; tied with {', '.join(tied)}: which {question} cannot be told" if tied else ""
    return f"ship {_name(chosen, candidates)}: {budget.scenario}: {words}{ties}"


def _name(one: Candidate, among: Sequence[Candidate]) -> str:
    """The configuration, and its record where others are of another."""
    return one.subject.name + (f" of {one.record}" if len({other.record for other in among}) > 1 else "")


def _rank(place: int, candidates: Sequence[Candidate]) -> str:
    """Its place, with ≈ where it is tied with the one before."""
    tied = place and candidates[place].p50.overlaps(candidates[place - 1].p50)
    return f"{place + 1} ≈" if tied else str(place + 1)


def _lines(answer: Answer, budget: Budget) -> Iterator[str]:
    unit, factor = SCALES[answer.candidates[0].unit] if answer.candidates else SCALES["ns"]
    headers = (
        "rank", "configuration", f"p50 {unit} [95 %]", f"p99 {unit} [95 %]", "n", "loss, points [95 %]", "photos", "peak MB",
        "processes", "size MB", "front", "fits",
    )  # fmt: skip
    rows = [
        (
            _rank(place, answer.candidates), _name(one, answer.candidates), shown(one.p50, factor),
            shown(one.p99, factor) if one.p99 else "n too small", one.n,
            f"{one.loss.points:.2f} [{one.loss.low:.2f}, {one.loss.high:.2f}]" if one.loss else None, one.loss.n if one.loss else None,
            f"{one.peak / 1e6:.1f}" if one.peak else None, one.processes or None, f"{one.subject.size / 1e6:.1f}",
            "yes" if one.front else "no",
            {True: "yes", False: "no", None: "cannot tell"}[one.fits],
        )
        for place, one in enumerate(answer.candidates)
    ]  # fmt: skip
    if rows:
        yield f"{budget.scenario} on {answer.machine} ({', '.join(answer.records)})"
        yield render(headers, rows)
    yield answer.sentence
    yield from (f"not {_name(one, answer.candidates)}: {one.missed}" for one in answer.candidates if not one.fits)
    yield from (f"left out: {one.what}: {one.reason}" for one in answer.left_out)
    yield from (f"note: {note}" for note in answer.notes)
