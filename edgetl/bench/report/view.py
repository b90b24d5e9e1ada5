"""What the page shows of one record."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from edgetl.bench.files import encode
from edgetl.bench.judging import circumstances
from edgetl.bench.judging.pick import pick
from edgetl.bench.judging.trend import trends
from edgetl.bench.record import Accuracy, Record, Result, Row
from edgetl.bench.report import facts, gallery
from edgetl.bench.report.blocks import Block, Entry, blocks
from edgetl.bench.report.gallery import Figure
from edgetl.bench.report.medians import Point

_FEWEST = 2
"""Points that are no trend: two records stand side by side."""
_HEADLINES = ("predict-file", "embed", "backbone", "predict-array")


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

    @property
    def accuracies(self) -> list[tuple[Accuracy, str]]:
        """How top-1 was asked, each way once, and of which configurations; no names where all were asked alike."""
        ways: dict[tuple[str, str], list[Result]] = {}
        for one in self.record.results:
            if one.accuracy:
                ways.setdefault((one.accuracy.method, one.accuracy.digest), []).append(one)
        return [
            (some[0].accuracy, ", ".join(one.subject.name for one in some) if len(ways) > 1 else "")
            for some in ways.values()
            if some[0].accuracy
        ]

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
    measured = blocks(key, record, measured=True)
    latencies = {block.name: block for block in measured if block.wholes and block.wholes[0].row.unit == "ns"}
    headline = next((latencies[one] for one in _HEADLINES if one in latencies), next(iter(latencies.values()), None))
    return Section(
        key,
        name,
        record.digest or encode(record)["digest"],
        record,
        circumstances.title(record.machine),
        tuple(_warnings(record)),
        headline,
        measured,
        blocks(key, record, measured=False),
        _pareto(key, name, record, headline) if headline else None,
        gallery.load(record.rounds, key),
        facts.facts(record),
    )


def beside(sections: Sequence[Section]) -> list[Figure]:
    """For each scenario that two records or more measured: their medians, configuration by configuration."""
    made, sections = [], [one for one in sections if one.blocks]
    for scenario in dict.fromkeys(block.name for one in sections for block in one.blocks):
        each = [{one.result.subject.name: one.row for one in section.wholes(scenario) if one.row.unit == "ns"} for section in sections]
        names = [name for name in dict.fromkeys(name for rows in each for name in rows) if sum(name in rows for rows in each) > 1]
        medians = [[(rows[name].p50, rows[name].n) if name in rows else None for rows in each] for name in names]
        if names:
            made.append(gallery.beside(scenario, names, medians, [f"{one.key} {one.name}" for one in sections]))
    return made


def trend(sections: Sequence[Section]) -> list[Figure]:
    """For each machine with three records or more of one scenario, the first that they share: its medians by date."""
    records = [(one.name, one.record) for one in sections]
    held = [block.name for one in sections for block in one.blocks if block.wholes and block.wholes[0].row.unit == "ns"]
    for scenario in dict.fromkeys((*_HEADLINES, *held)):
        if held.count(scenario) <= _FEWEST:
            continue
        if found := [one for one in trends(records, scenario) if len(one.points) > _FEWEST]:
            machines = dict.fromkeys(one.machine for one in found)
            return [gallery.trend([one for one in found if one.machine == name], f"t{number}") for number, name in enumerate(machines)]
    return []


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


def _pareto(key: str, name: str, record: Record, headline: Block) -> Figure | None:
    front = {one.subject for one in pick([(name, record)], scenario=headline.name).answers[0].candidates if one.front}
    points = [
        Point(one.rank or 0, one.row.p50, one.result.accuracy.top1, one.result.subject.size, one.result.subject in front)
        for one in headline.wholes
        if one.result.accuracy
    ]
    return gallery.pareto(points, headline.name, headline.scale, key) if points else None
