"""A scenario of a record: its tables and drawings, each number with the row that it comes from."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from edgetl.bench.measuring.scenarios import SCENARIOS
from edgetl.bench.record import Kind, Record, Result, Row, Unit
from edgetl.bench.report import gallery
from edgetl.bench.report.figures import Line
from edgetl.bench.report.gallery import Figure
from edgetl.bench.report.numbers import Scale, count

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
        close: whether it is tied with the one before it: their intervals overlap, or one has none.
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


def blocks(key: str, record: Record, *, measured: bool) -> tuple[Block, ...]:
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
            dataclasses.replace(one, rank=rank, close=before is not None and one.row.p50.overlaps(before.row.p50))
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


def _anchor(key: str, result: int, scenario: str, stage: str | None) -> str:
    return "-".join([key, str(result), *(_slug(one) for one in (scenario, stage) if one)])


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


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
