"""The report: records as one HTML page that needs nothing but itself, light or dark as the reader's device is."""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgetl.bench import method
from edgetl.bench.files import check_folder, encode
from edgetl.bench.judging import circumstances
from edgetl.bench.measuring.scenarios import SCENARIOS
from edgetl.bench.record import LATENCIES, Kind, Record, Result, Row, Unit
from edgetl.errors import BenchError

_SENTENCES = {
    "cold-load": "the start of a process -> a model that is ready, with an empty page cache",
    "warm-load": "the start of a process -> a model that is ready, with its files in the page cache",
    "first-inference": "the very first inference of a fresh process",
    "memory": "peak memory of a process that opens, predicts and trains",
}
_STEPS: dict[Unit, tuple[tuple[str, float], ...]] = {
    "ns": (("ns", 1), ("µs", 1e3), ("ms", 1e6), ("s", 1e9)),
    "B": (("B", 1), ("kB", 1e3), ("MB", 1e6), ("GB", 1e9)),
    "uJ": (("µJ", 1), ("mJ", 1e3), ("J", 1e6)),
}


@dataclasses.dataclass(frozen=True)
class TableScale:
    """A unit as it is printed, and how many of the record's units it is; `most` is the end of the table's bars, in the record's unit."""

    unit: str
    factor: float
    most: int

    @classmethod
    def choose(cls, rows: Sequence[Row]) -> TableScale:
        """The one in which the middle one of the medians is a number from 1 to 1000."""
        middle = sorted(row.p50.value for row in rows)[len(rows) // 2]
        steps = _STEPS[rows[0].unit]
        return cls(
            *next((step for step in reversed(steps) if step[1] <= middle), steps[0]), max(row.p50.high or row.p50.value for row in rows)
        )

    def text(self, value: float) -> str:
        """A value of the record in this unit."""
        return digits(value / self.factor)

    def share(self, value: float) -> str:
        """Where a value lies on the table's bars, in percent."""
        return f"{100 * min(value, self.most) / max(1, self.most):.1f}%"


@dataclasses.dataclass(frozen=True)
class Entry:
    """A row of a table: its id on the page, the result and row, and if it was measured its rank and whether it ties with the one before."""

    anchor: str
    result: Result
    row: Row
    rank: int | None = None
    close: bool = False


@dataclasses.dataclass(frozen=True)
class Block:
    """A scenario of a record: a row per configuration, the fastest first; their stages, a table per unit; and notes."""

    anchor: str
    name: str
    kind: Kind
    sentence: str
    scale: TableScale
    wholes: tuple[Entry, ...]
    parts: tuple[tuple[TableScale, tuple[Entry, ...]], ...]
    notes: tuple[str, ...]


def digits(value: float) -> str:
    """About four digits; thousands apart."""
    size = abs(value)
    places = 0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 10 else 3
    return f"{value:,.{places}f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def render(records: Sequence[tuple[str, Record]]) -> str:
    """The page as text; the same records give the same text.

    Args:
        records: a name, e.g. its file's, and the record; in the order in which they are shown.

    Raises:
        BenchError: there is no record, or the library that writes the page is not installed.
    """
    if not records:
        raise BenchError("no records to report. Make one: edgetl bench -m BUNDLE -o bench.json", code="no-records")
    try:
        jinja2 = importlib.import_module("jinja2")
    except ImportError as error:
        raise BenchError(f"the report needs jinja2 ({error}). Install it: pip install 'edgetl[bench]'", code="jinja2-missing") from error
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("edgetl.bench", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    sections = [_section(f"r{number}", name, record) for number, (name, record) in enumerate(records, 1)]
    facts = [section["facts"] for section in sections]
    names = dict.fromkeys(name for machine in facts for name in machine)
    differ = [(name, values) for name in names if len(set(values := [machine.get(name, "unknown") for machine in facts])) > 1]
    page: str = environment.get_template("report.html.j2").render(
        sections=sections, differ=differ, beside=_beside(sections) if len(records) > 1 else [], sentences=method.sentences, digits=digits,
        megabytes=lambda size: digits(size / 1e6),
    )  # fmt: skip
    return page


def write(records: Sequence[tuple[str, Record]], path: str | os.PathLike[str]) -> None:
    """Writes the page.

    Raises:
        BenchError: as :func:`render`, or the file cannot be written.
    """
    check_folder(Path(path))
    page = render(records)
    try:
        Path(path).write_text(page, encoding="utf-8", errors="replace")
    except OSError as error:
        message = f"{os.fspath(path)}: the report cannot be written ({error.strerror}). Give -o a folder that you may write to"
        raise BenchError(message, code="not-writable", path=os.fspath(path)) from error


def _section(key: str, name: str, record: Record) -> dict[str, Any]:
    """Everything that the page shows of a record."""
    measured = _blocks(key, record, measured=True)
    latencies = {block.name: block for block in measured if block.wholes and block.wholes[0].row.unit == "ns"}
    headline = next((latencies[name] for name in LATENCIES if name in latencies), next(iter(latencies.values()), None))
    accuracies = {result.accuracy.digest: result.accuracy for result in record.results if result.accuracy}
    memory = {result.subject.name: row for result in record.results if (row := result.row("memory")) and row.kind == "measured"}
    return {
        "key": key, "name": name, "record": record, "digest": record.digest or encode(record)["digest"], "blocks": measured,
        "title": circumstances.title(record.machine), "warnings": list(_warnings(record)), "headline": headline,
        "apart": _blocks(key, record, measured=False), "accuracies": list(accuracies.values()), "memory": memory,
        "facts": dict(_flat("", record.machine)),
    }  # fmt: skip


def _warnings(record: Record) -> Iterator[str]:
    if record.ended:
        yield f"This record is partial: {record.ended}. What was measured until then is shown."
    yield from record.warnings
    for result in record.results:
        name, placement = result.subject.name, result.subject.placement
        if placement.startswith("mixed"):
            yield f"{name} is {placement}: the provider left the others to the CPU"
        for row in result.rows:
            if hot := sum(bool(minute.throttled) for minute in row.minutes):
                yield f"{name} throttled in {hot} of {len(row.minutes)} minutes of {row.scenario}"
    if any(row.kind == "emulated" for _, row in record.rows()):
        yield "Some rows are emulated: they stand apart and are not ranked"


def _blocks(key: str, record: Record, *, measured: bool) -> list[Block]:
    """A block per scenario, kind and unit: what cannot be ranked with each other stands apart."""
    groups: dict[tuple[str, Kind, Unit], list[Entry]] = {}
    for number, result in enumerate(record.results):
        for row in result.rows:
            if (row.kind == "measured") == measured:
                whole = result.row(row.scenario) or row
                anchor = "-".join([key, str(number), *(_slug(part) for part in (row.scenario, row.stage) if part)])
                groups.setdefault((row.scenario, row.kind, whole.unit), []).append(Entry(anchor, result, row))
    return [_block(key, *group, entries) for group, entries in groups.items()]


def _block(key: str, scenario: str, kind: Kind, unit: Unit, entries: Sequence[Entry]) -> Block:
    wholes = sorted((entry for entry in entries if entry.row.stage is None), key=lambda entry: entry.row.p50.value)
    parts = [entry for entry in entries if entry.row.stage is not None]
    if kind == "measured":
        wholes = [
            dataclasses.replace(entry, rank=rank, close=before is not None and entry.row.p50.overlaps(before.row.p50))
            for rank, (before, entry) in enumerate(zip([None, *wholes], wholes), 1)
        ]
    scale = TableScale.choose([entry.row for entry in wholes or parts])
    sentence = SCENARIOS[scenario].sentence if scenario in SCENARIOS else _SENTENCES.get(scenario, "")
    units = {part_unit: tuple(part for part in parts if part.row.unit == part_unit) for part_unit in (part.row.unit for part in parts)}
    tables = tuple((TableScale.choose([part.row for part in group]), group) for group in units.values())
    notes = dict.fromkeys(f"{entry.result.subject.name}: {entry.row.note}" for entry in entries if entry.row.note)
    return Block("-".join((key, _slug(scenario), kind, unit)), scenario, kind, sentence, scale, tuple(wholes), tables, tuple(notes))


def _beside(sections: Sequence[Mapping[str, Any]]) -> list[tuple[str, TableScale, list[tuple[str, list[Row | None]]]]]:
    """For each time that two records or more measured: its name, and a row per configuration with one entry per record."""
    tables = []
    for scenario in dict.fromkeys(block.name for section in sections for block in section["blocks"]):
        each = [
            {entry.result.subject.name: entry.row for block in section["blocks"] if block.name == scenario for entry in block.wholes}
            for section in sections
        ]
        names = [name for name in dict.fromkeys(name for rows in each for name in rows) if sum(name in rows for rows in each) > 1]
        lines = [(name, [rows.get(name) for rows in each]) for name in names]
        if shared := [row for _, line in lines for row in line if row and row.unit == "ns"]:
            tables.append((scenario, TableScale.choose(shared), lines))
    return tables


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    """Every fact by its name, nested ones as `storage.kind`; what could not be read is left out."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat(f"{prefix}.{name}" if prefix else str(name), inner)
    elif isinstance(value, (list, tuple)):
        yield from _flat(prefix, ", ".join(map(str, value)) or None)
    elif value is not None:
        yield prefix, f"{value / 2**20:.0f} MiB" if prefix.endswith("_bytes") and isinstance(value, int) else str(value)
