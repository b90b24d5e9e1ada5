"""What the page shows of one record: tables and drawings, each number with the row that it comes from."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Mapping, Sequence

from edgetl.bench.files import FORMAT, VERSION
from edgetl.bench.pick import MEMORY, pick
from edgetl.bench.record import Record, Result, Row
from edgetl.bench.report import curves, facts, figures
from edgetl.bench.report.colours import SERIES, variable
from edgetl.bench.report.figures import Line
from edgetl.bench.report.numbers import Scale, digits
from edgetl.bench.scenarios import SCENARIOS
from edgetl.machine import sensors
from edgetl.types import Proportion, digest, to_json

_HEADLINES = ("predict-file", "embed", "backbone", "predict-array")
_SHOT = re.compile(r"(\d+)-shot")
_MANY = 12
"""Configurations in one drawing; the next ones get another."""


@dataclasses.dataclass(frozen=True)
class Figure:
    """A drawing.

    Attributes:
        title: what it shows.
        svg: the drawing.
        caption: how to read it.
        key: (name, CSS colour) per colour.
    """

    title: str
    svg: str
    caption: str
    key: tuple[tuple[str, str], ...] = ()


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
        name: the scenario.
        sentence: what is between the two readings of the clock.
        scale: of its table.
        wholes: a row per configuration, the fastest first.
        parts: their stages, a table per unit.
        figures: drawings.
        counted: names of what was counted, e.g. `dropped`.
        counts: (configuration, one text per name).
    """

    name: str
    sentence: str
    scale: Scale
    wholes: tuple[Entry, ...]
    parts: tuple[tuple[Scale, tuple[Entry, ...]], ...]
    figures: tuple[Figure, ...]
    counted: tuple[str, ...]
    counts: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def slug(self) -> str:
        """Its name in ids."""
        return _slug(self.name)


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

    def anchor(self, result: Result, scenario: str) -> str:
        """The id of a result's row."""
        return _anchor(self.key, self.record.results.index(result), scenario, None)

    def memory(self, result: Result) -> Row | None:
        """The result's peak memory, where it was measured."""
        row = result.row(*MEMORY)
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
        file_digest(record),
        record,
        facts.title(record.machine),
        tuple(_warnings(record)),
        headline,
        blocks,
        _blocks(key, record, measured=False),
        _pareto(key, name, record, headline) if headline else None,
        _load(key, record),
        facts.facts(record),
    )


def file_digest(record: Record) -> str:
    """The digest that the record's file carries (see :func:`edgetl.bench.files.write`)."""
    content = to_json(record)
    for result in content["results"]:
        for row in result["rows"]:
            row["samples"] = [[after - before for before, after in itertools.pairwise([0, *taken])] for taken in row["samples"]]
    return digest({"format": FORMAT, "version": VERSION, **content})


def beside(sections: Sequence[Section]) -> list[tuple[str, Figure]]:
    """For each scenario that two records or more measured: their medians, configuration by configuration."""
    made = []
    for scenario in dict.fromkeys(block.name for one in sections for block in one.blocks):
        each = [{e.result.subject.name: e.row for b in one.blocks if b.name == scenario for e in b.wholes} for one in sections]
        names = [name for name in dict.fromkeys(name for one in each for name in one) if sum(name in one for one in each) > 1]
        rows = [[one.get(name) for one in each] for name in names]
        kept = [row for line in rows for row in line if row]
        if kept and kept[0].unit == "ns":
            scale = Scale.of([row.p50.value for row in kept], "ns")
            medians = [[row.p50 if row else None for row in line] for line in rows]
            svg = curves.beside(names, medians, [one.name for one in sections], scale, f"beside {scenario}")
            n = ", ".join(
                f"{one.name}: n={min(counts)} or more"
                for one, each_row in zip(sections, zip(*rows))
                if (counts := [r.n for r in each_row if r])
            )
            made.append((scenario, Figure(scenario, svg, f"p50 with its interval ({n}).", _record_key(sections))))
    return made


def _record_key(sections: Sequence[Section]) -> tuple[tuple[str, str], ...]:
    return tuple((f"{one.key} {one.name}", variable(SERIES[number % len(SERIES)])) for number, one in enumerate(sections))


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
    names = dict.fromkeys(row.scenario for _, row in record.rows() if (row.kind == "measured") == measured)
    return tuple(_block(key, record, name, measured) for name in names)


def _block(key: str, record: Record, scenario: str, measured: bool) -> Block:
    entries = [
        Entry(_anchor(key, number, scenario, row.stage), result, row)
        for number, result in enumerate(record.results)
        for row in result.rows
        if row.scenario == scenario and (row.kind == "measured") == measured
    ]
    wholes = sorted((one for one in entries if one.row.stage is None), key=lambda one: one.row.p50.value)
    parts = [one for one in entries if one.row.stage is not None]
    if measured:
        wholes = [
            dataclasses.replace(one, rank=rank, close=before is not None and one.row.p50.low <= before.row.p50.high)
            for rank, (before, one) in enumerate(zip([None, *wholes], wholes), 1)
        ]
    shown = wholes or parts
    scale = Scale.of([one.row.p50.value for one in shown], shown[0].row.unit)
    sentence = SCENARIOS[scenario].sentence if scenario in SCENARIOS else ""
    drawings = _drawings(f"{key} {scenario} {measured}", wholes, parts, scale)
    counted = tuple(dict.fromkeys(name for one in wholes for name in one.row.facts))
    counts = tuple(
        (one.result.subject.name, tuple(digits(one.row.facts[name]) if name in one.row.facts else "" for name in counted))
        for one in wholes
        if one.row.facts
    )
    return Block(scenario, sentence, scale, tuple(wholes), _by_unit(parts), tuple(drawings), counted, counts)


def _by_unit(parts: Sequence[Entry]) -> tuple[tuple[Scale, tuple[Entry, ...]], ...]:
    units = dict.fromkeys(one.row.unit for one in parts)
    groups = [(unit, tuple(one for one in parts if one.row.unit == unit)) for unit in units]
    return tuple((Scale.of([one.row.p50.value for one in group], unit), group) for unit, group in groups)


def _drawings(salt: str, wholes: Sequence[Entry], parts: Sequence[Entry], scale: Scale) -> list[Figure]:
    lines = [
        Line(
            one.result.subject.name,
            one.row,
            {part.row.stage or "": part.row for part in parts if part.result is one.result and part.row.unit == "ns"},
        )
        for one in wholes
    ]
    made: list[Figure] = []
    if any(_SHOT.fullmatch(part.row.stage or "") for part in parts):
        return _shots(salt, wholes, parts)
    for number in range(0, len(lines), _MANY):
        made += _of_lines(f"{salt} {number}", lines[number : number + _MANY], scale)
    made += [
        Figure(
            f"Minute by minute: {one.name}",
            curves.sustained(one.row.minutes, scale, one.name, f"{salt} {one.name} minutes"),
            f"n={one.row.n}, {min(m.n for m in one.row.minutes)} to {max(m.n for m in one.row.minutes)} in a minute. A minute in which the "
            "machine says that it throttled is shaded.",
            ((f"p50, {scale.unit}", variable(SERIES[0])), (f"p90, {scale.unit}", variable(SERIES[2]))),
        )
        for one in lines
        if one.row.minutes
    ]
    return made


def _of_lines(salt: str, lines: Sequence[Line], scale: Scale) -> list[Figure]:
    made = []
    if any(line.row.n > 1 for line in lines):
        made.append(
            Figure(
                "How it is distributed",
                figures.distribution(lines, scale, f"{salt} distribution"),
                "Histograms of all samples, each scaled to its own highest; ● p50 with its interval, ▲ p90, ◆ p99 where n carries them. The short "
                "strokes below are the medians of the rounds, each a process of its own.",
            )
        )
        thin = " Neighbouring samples share a step of the drawing; nothing outside of the band was taken." if figures.thinned(lines) else ""
        made.append(
            Figure(
                "In the order in which it was taken",
                figures.in_time(lines, scale, f"{salt} time"),
                "Band: smallest to largest; line: median; uprights divide the rounds. Each has its own logarithmic height, from its "
                f"smallest sample to its largest.{thin}",
            )
        )
    stages = list(dict.fromkeys(stage for line in lines for stage in line.stages))
    if stages:
        made.append(
            Figure(
                "Its stages",
                figures.stacked(lines, stages, scale, f"{salt} stages"),
                "Medians of the stages, end to end; the upright is the median of the whole. Where a scenario is a stream, stages are timed on "
                "other queries than the whole, so that no clock is read within it: they need not add up to it.",
                tuple((stage, variable(SERIES[number % len(SERIES)])) for number, stage in enumerate(stages)),
            )
        )
    return made


def _shots(salt: str, wholes: Sequence[Entry], parts: Sequence[Entry]) -> list[Figure]:
    found = []
    for whole in wholes:
        curve = [
            (int(shot[1]), Proportion(int(whole.row.facts[f"{shot[0]} right"]), int(whole.row.facts[f"{shot[0]} asked"])))
            for part in parts
            if part.result is whole.result and (shot := _SHOT.fullmatch(part.row.stage or "")) and f"{shot[0]} asked" in whole.row.facts
        ]
        if curve:
            found.append((whole.result.subject.name, sorted(curve)))
    if not found:
        return []
    key = tuple((f"{curves.MARKS[i % 8]} {name}", variable(SERIES[i % len(SERIES)])) for i, (name, _) in enumerate(found))
    return [Figure("Accuracy by photos taught", curves.shots(found, f"{salt} shots"), "With 95 % Wilson intervals.", key)]


def _pareto(key: str, name: str, record: Record, headline: Block) -> Figure | None:
    front = {one.subject for one in pick([(name, record)], scenario=headline.name).answers[0].candidates if one.front}
    points = [
        curves.Point(one.rank or 0, one.row.p50, one.result.accuracy.top1, one.result.subject.size, one.result.subject in front)
        for one in headline.wholes
        if one.result.accuracy
    ]
    if not points:
        return None
    asked = sorted({point.top1.n for point in points})
    caption = (
        f"Numbers are those of the table; the size of a mark is the model's; whiskers are intervals. Top-1: n={' and '.join(map(str, asked))}. "
        "Filled marks are on the Pareto front: no other is at least as good in p50, accuracy lost, peak memory and size, and better in one."
    )
    return Figure(f"Accuracy against the p50 of {headline.name}", curves.pareto(points, headline.scale, f"{key} pareto"), caption)


def _load(key: str, record: Record) -> Figure | None:
    loads = []
    for one in record.rounds:
        try:
            shares = sensors.between(one.before, one.after)
        except (KeyError, TypeError):  # a record may come from a machine, or a version, that reads less
            continue
        loads.append(curves.Load(one.seconds, shares["others"], shares["steal"], one.after.get("temperature_c")))
    if not any(one.others is not None for one in loads):
        return None
    key_colours = (("other processes", variable(SERIES[0])), ("stolen by the hypervisor", variable(SERIES[1])))
    caption = f"One bar per process of the run, n={len(loads)}: what else the cores were busy with while it ran."
    return Figure("What else the machine did", curves.load(loads, f"{key} load"), caption, key_colours)
