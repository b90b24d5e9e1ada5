"""What the page shows of one record: tables and drawings, each number with the row that it comes from."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence

from edgetl.bench.files import encode
from edgetl.bench.pick import pick
from edgetl.bench.record import Kind, Record, Result, Row, Unit
from edgetl.bench.report import curves, facts, gallery
from edgetl.bench.report.figures import Line
from edgetl.bench.report.gallery import Figure
from edgetl.bench.report.numbers import Scale, count
from edgetl.bench.scenarios import SCENARIOS

_HEADLINES = ("predict-file", "embed", "backbone", "predict-array")
_PHASES = {
    "cold-load": "the start of a process -> a model that is ready, with an empty page cache",
    "warm-load": "the start of a process -> a model that is ready, with its files in the page cache",
    "first-inference": "the very first inference of a fresh process",
    "memory": "peak memory of a process that embeds, in processes of their own",
}


@dataclasses.dataclass(frozen=True)
class Entry:
    """A row of a table.

    Attributes:
        anchor: its id on the page.
        result: what was measured.
        row: its numbers.
        rank: its place among the measured ones, from 1; None where it has none.
        close: whether its interval overlaps that of the one before it, so that which is faster cannot be told.
    """

    anchor: str
    result: Result
    row: Row
    rank: int | None = None
    close: bool = False


@dataclasses.dataclass(frozen=True)
class Block:
    """A scenario of a record.

    Attributes:
        anchor: its id on the page.
        name: the scenario.
        kind: of its numbers.
        sentence: what is between the two readings of the clock.
        scale: of its table.
        wholes: a row per configuration, the fastest first.
        parts: their stages, a table per unit.
        figures: drawings.
        counted: names of what was counted, e.g. `dropped`.
        counts: (configuration, one text per name).
        notes: (note, configurations): what the numbers do not say; no configurations where it is said of all.
    """

    anchor: str
    name: str
    kind: Kind
    sentence: str
    scale: Scale
    wholes: tuple[Entry, ...]
    parts: tuple[tuple[Scale, tuple[Entry, ...]], ...]
    figures: tuple[Figure, ...]
    counted: tuple[str, ...]
    counts: tuple[tuple[str, tuple[str, ...]], ...]
    notes: tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True)
class Section:
    """A record.

    Attributes:
        key: its prefix of ids, e.g. `r1`.
        name: its file's name.
        digest: as its file says.
        record: everything.
        title: the machine.
        warnings: what to know first.
        headline: the scenario of the summary; None where nothing was measured.
        blocks: what was measured.
        apart: what was emulated or estimated.
        pareto: accuracy against latency, if there is accuracy.
        load: of the machine during the run, if it could be read.
        facts: of the machine.
    """

    key: str
    name: str
    digest: str
    record: Record
    title: str
    warnings: tuple[str, ...]
    headline: Block | None
    blocks: tuple[Block, ...]
    apart: tuple[Block, ...]
    pareto: Figure | None
    load: Figure | None
    facts: Mapping[str, str]

    @property
    def measured(self) -> list[Result]:
        """Those with something to rank."""
        return [one for one in self.record.results if any(row.kind == "measured" and row.stage is None for row in one.rows)]

    @property
    def models(self) -> list[tuple[str, str]]:
        """(variant, sha256 (hex) of its model), each once."""
        return sorted({(one.subject.variant, one.subject.model) for one in self.record.results})

    def wholes(self, scenario: str) -> tuple[Entry, ...]:
        """The measured rows of a scenario."""
        return next((block.wholes for block in self.blocks if block.name == scenario), ())

    def memory(self, result: Result) -> Row | None:
        """The result's peak memory, where it was measured."""
        row = result.row("memory")
        return row if row and row.kind == "measured" else None


def section(number: int, name: str, record: Record) -> Section:
    """Everything that the page says of a record."""
    key = f"r{number}"
    blocks = _blocks(key, record, measured=True)
    latencies = {block.name: block for block in blocks if block.wholes and block.wholes[0].row.unit == "ns"}
    headline = next((latencies[one] for one in _HEADLINES if one in latencies), next(iter(latencies.values()), None))
    return Section(
        key,
        name,
        encode(record)["digest"],
        record,
        facts.title(record.machine),
        tuple(_warnings(record)),
        headline,
        blocks,
        _blocks(key, record, measured=False),
        _pareto(key, name, record, headline) if headline else None,
        gallery.load(record.rounds, key),
        facts.facts(record),
    )


def beside(sections: Sequence[Section]) -> list[Figure]:
    """For each scenario that two records or more measured: their medians, configuration by configuration."""
    made = []
    for scenario in dict.fromkeys(block.name for one in sections for block in one.blocks):
        each = [{one.result.subject.name: one.row for one in section.wholes(scenario) if one.row.unit == "ns"} for section in sections]
        names = [name for name in dict.fromkeys(name for rows in each for name in rows) if sum(name in rows for rows in each) > 1]
        medians = [[(rows[name].p50, rows[name].n) if name in rows else None for rows in each] for name in names]
        if names:
            made.append(gallery.beside(scenario, names, medians, [f"{one.key} {one.name}" for one in sections]))
    return made


def _anchor(key: str, result: int, scenario: str, stage: str | None) -> str:
    return "-".join([key, str(result), *(_slug(one) for one in (scenario, stage) if one)])


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _warnings(record: Record) -> list[str]:
    said = [f"This record is partial: {record.ended}. What was measured until then is shown."] if record.ended else []
    said += record.warnings
    for result in record.results:
        if result.subject.placement.startswith("mixed"):
            said.append(f"{result.subject.name} is {result.subject.placement}: the provider left the others to the CPU")
        said += [
            f"{result.subject.name} throttled in {hot} of {len(row.minutes)} minutes of {row.scenario}"
            for row in result.rows
            if (hot := sum(bool(minute.throttled) for minute in row.minutes))
        ]
    if apart := {row.kind for _, row in record.rows()} - {"measured"}:
        said.append(f"Some of its rows are {' and '.join(sorted(apart))}: they are in a part of their own, and in no ranking")
    return said


def _blocks(key: str, record: Record, *, measured: bool) -> tuple[Block, ...]:
    """A block per scenario, kind and unit: what cannot be ranked with each other stands apart."""
    groups: dict[tuple[str, Kind, Unit], list[Entry]] = {}
    for number, result in enumerate(record.results):
        for row in result.rows:
            if (row.kind == "measured") == measured:
                whole = result.row(row.scenario) or row
                entry = Entry(_anchor(key, number, row.scenario, row.stage), result, row)
                groups.setdefault((row.scenario, row.kind, whole.unit), []).append(entry)
    return tuple(_block(key, *group, entries) for group, entries in groups.items())


def _block(key: str, scenario: str, kind: Kind, unit: Unit, entries: Sequence[Entry]) -> Block:
    wholes = sorted((one for one in entries if one.row.stage is None), key=lambda one: one.row.p50.value)
    parts = [one for one in entries if one.row.stage is not None]
    if kind == "measured":
        wholes = [
            dataclasses.replace(one, rank=rank, close=before is not None and one.row.p50.low <= before.row.p50.high)
            for rank, (before, one) in enumerate(zip([None, *wholes], wholes), 1)
        ]
    shown, anchor = wholes or parts, "-".join((key, _slug(scenario), kind, unit))
    scale = Scale.of([one.row.p50.value for one in shown], shown[0].row.unit)
    sentence = SCENARIOS[scenario].sentence if scenario in SCENARIOS else _PHASES.get(scenario, "")
    drawings = gallery.of_scenario(scenario, _lines(wholes, parts), scale, anchor)
    counted = tuple(dict.fromkeys(name for one in wholes for name in one.row.facts))
    counts = tuple(
        (one.result.subject.name, tuple(_fact(name, one.row.facts[name]) if name in one.row.facts else "" for name in counted))
        for one in wholes
        if one.row.facts
    )
    return Block(anchor, scenario, kind, sentence, scale, tuple(wholes), _by_unit(parts), tuple(drawings), counted, counts, _notes(entries))


def _fact(name: str, value: float) -> str:
    return f"{value / 1e6:.1f} MB" if name.endswith("bytes") else count(value)


def _notes(entries: Sequence[Entry]) -> tuple[tuple[str, str], ...]:
    said: dict[str, dict[str, None]] = {}
    for one in entries:
        if one.row.note:
            said.setdefault(one.row.note, {})[one.result.subject.name] = None
    everyone = {one.result.subject.name for one in entries}
    return tuple((note, "" if set(names) == everyone else ", ".join(names)) for note, names in said.items())


def _by_unit(parts: Sequence[Entry]) -> tuple[tuple[Scale, tuple[Entry, ...]], ...]:
    units = dict.fromkeys(one.row.unit for one in parts)
    groups = [(unit, tuple(one for one in parts if one.row.unit == unit)) for unit in units]
    return tuple((Scale.of([one.row.p50.value for one in group], unit), group) for unit, group in groups)


def _lines(wholes: Sequence[Entry], parts: Sequence[Entry]) -> list[Line]:
    """With the stages that are times."""
    return [
        Line(
            one.result.subject.name,
            one.row,
            {part.row.stage or "": part.row for part in parts if part.result is one.result and part.row.unit == "ns"},
        )
        for one in wholes
    ]


def _pareto(key: str, name: str, record: Record, headline: Block) -> Figure | None:
    front = {one.subject for one in pick([(name, record)], scenario=headline.name).answers[0].candidates if one.front}
    points = [
        curves.Point(one.rank or 0, one.row.p50, one.result.accuracy.top1, one.result.subject.size, one.result.subject in front)
        for one in headline.wholes
        if one.result.accuracy
    ]
    return gallery.pareto(points, headline.name, headline.scale, key) if points else None
