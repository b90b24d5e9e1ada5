"""The report: records as one HTML page that needs nothing but itself, light or dark as the reader's device is."""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgetl.bench import method
from edgetl.bench.files import check_folder, encode
from edgetl.bench.judging import circumstances
from edgetl.bench.measuring.scenarios import SCENARIOS
from edgetl.bench.record import LATENCIES, Kind, Record, Result, Row, Unit
from edgetl.bench.svg import AxisScale, Lanes, colour, digits
from edgetl.errors import BenchError

_SENTENCES = {
    "cold-load": "the start of a process -> a model that is ready, with an empty page cache",
    "warm-load": "the start of a process -> a model that is ready, with its files in the page cache",
    "first-inference": "the very first inference of a fresh process",
    "memory": "peak memory of a process that opens, predicts and trains",
}
_MANY, _FEW = 12, 3
"""Configurations in one drawing; samples that need no drawing."""
Drawing = Mapping[str, Any]
"""`title`, `svg`, `caption` (how to read it) and `key`: (name, CSS colour) per series."""


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
    """A scenario of a record: a row per configuration, the fastest first; their stages, a table per unit; drawings and notes."""

    anchor: str
    name: str
    kind: Kind
    sentence: str
    scale: AxisScale
    wholes: tuple[Entry, ...]
    parts: tuple[tuple[AxisScale, tuple[Entry, ...]], ...]
    drawings: tuple[Drawing, ...]
    notes: tuple[str, ...]


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
    facts = [dict(_flat("", record.machine)) for _, record in records]
    names = dict.fromkeys(name for machine in facts for name in machine)
    differ = [(name, values) for name in names if len(set(values := [machine.get(name, "unknown") for machine in facts])) > 1]
    page: str = environment.get_template("report.html.j2").render(
        sections=sections, differ=differ if len(records) > 1 else [], beside=_beside(sections) if len(records) > 1 else [],
        sentences=method.sentences, digits=digits, megabytes=lambda size: digits(size / 1e6),
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
    shown = wholes or parts
    scale = AxisScale.choose([entry.row.p50.value for entry in shown], shown[0].row.unit)
    sentence = SCENARIOS[scenario].sentence if scenario in SCENARIOS else _SENTENCES.get(scenario, "")
    units = {part_unit: tuple(part for part in parts if part.row.unit == part_unit) for part_unit in (part.row.unit for part in parts)}
    tables = tuple((AxisScale.choose([part.row.p50.value for part in group], each), group) for each, group in units.items())
    notes = dict.fromkeys(f"{entry.result.subject.name}: {entry.row.note}" for entry in entries if entry.row.note)
    anchor = "-".join((key, _slug(scenario), kind, unit))
    return Block(anchor, scenario, kind, sentence, scale, tuple(wholes), tables, tuple(_drawings(wholes, parts, scale)), tuple(notes))


def _drawings(wholes: Sequence[Entry], parts: Sequence[Entry], scale: AxisScale) -> Iterator[Drawing]:
    for first in range(0, len(wholes), _MANY):
        some = wholes[first : first + _MANY]
        if any(entry.row.n > _FEW for entry in some):
            yield _distribution(some, scale)
        stages = {entry.anchor: [part.row for part in parts if part.result is entry.result and part.row.unit == "ns"] for entry in some}
        if any(stages.values()) and scale.unit in ("ns", "µs", "ms", "s"):
            yield _stages(some, stages, scale)


def _distribution(entries: Sequence[Entry], scale: AxisScale) -> Drawing:
    low = max(1, min(min(map(min, entry.row.samples)) for entry in entries)) * 0.98
    high = max(entry.row.summary.max.value for entry in entries) * 1.02
    names = [(entry.result.subject.name, f"p50 {scale.text(entry.row.p50.value)} {scale.unit}, n={entry.row.n}") for entry in entries]
    lanes = Lanes(names, low, high, scale)
    edges = np.geomspace(low, max(high, low + 1), 91)
    for lane, entry in enumerate(entries):
        counts, _ = np.histogram(np.maximum(np.concatenate([np.asarray(taken) for taken in entry.row.samples]), low), edges)
        for cell in np.flatnonzero(counts):
            height = max(1, round(24 * counts[cell] / counts.max()))
            lanes.bar(lane, edges[cell], edges[cell + 1], "var(--tint)", 46 - height, height)
        lanes.dot(lane, entry.row.p50, "var(--accent)" if entry.row.kind == "measured" else "var(--apart)")
        for estimate in (entry.row.summary.p90, entry.row.summary.p99):
            if estimate:
                lanes.mark(lane, estimate.value, "var(--ink)")
    caption = "Histograms of all samples, each scaled to its own highest; ● p50 with its interval; uprights: p90 and p99 if n carries them."
    return {"title": "Distribution", "svg": lanes.svg("Distribution of samples"), "caption": caption, "key": ()}


def _stages(entries: Sequence[Entry], stages: Mapping[str, Sequence[Row]], scale: AxisScale) -> Drawing:
    names = list(dict.fromkeys(row.stage or "" for rows in stages.values() for row in rows))
    longest = max(max(1, entry.row.p50.value, sum(row.p50.value for row in stages[entry.anchor])) for entry in entries)
    titles = [(entry.result.subject.name, f"whole {scale.text(entry.row.p50.value)} {scale.unit}, n={entry.row.n}") for entry in entries]
    lanes = Lanes(titles, 0, longest * 1.04, scale)
    for lane, entry in enumerate(entries):
        begin = 0
        for row in stages[entry.anchor]:
            lanes.bar(lane, begin, begin + row.p50.value, colour(names.index(row.stage or "")))
            begin += row.p50.value
        lanes.mark(lane, entry.row.p50.value, "var(--ink)", 20, 34)
    caption = (
        "Medians of the stages end to end; the upright is the median of the whole, which is timed by itself: they need not add up to it."
    )
    return {"title": "Stages", "svg": lanes.svg("Medians of the stages"), "caption": caption, "key": _key(names)}


def _beside(sections: Sequence[Mapping[str, Any]]) -> list[Drawing]:
    """For each scenario that two records or more measured: their medians, configuration by configuration."""
    drawings: list[Drawing] = []
    names = [f"{section['key']} {section['name']}" for section in sections]
    for scenario in dict.fromkeys(block.name for section in sections for block in section["blocks"]):
        each = [
            {entry.result.subject.name: entry.row for block in section["blocks"] if block.name == scenario for entry in block.wholes}
            for section in sections
        ]
        shared = [name for name in dict.fromkeys(name for rows in each for name in rows) if sum(name in rows for rows in each) > 1]
        found = [rows[name] for rows in each for name in shared if name in rows and rows[name].unit == "ns"]
        if not found:
            continue
        scale = AxisScale.choose([row.p50.value for row in found], "ns")
        lanes = Lanes(
            [(name, "") for name in shared],
            max(1, min(row.p50.value for row in found)) / 1.3,
            max(row.p50.value for row in found) * 1.3,
            scale,
        )
        for lane, name in enumerate(shared):
            for number, rows in enumerate(each):
                if name in rows:
                    lanes.dot(lane, rows[name].p50, colour(number), 26 + 8 * number % 32)
        caption = f"p50 with its interval, n={min(row.n for row in found)} or more."
        drawings.append({"title": scenario, "svg": lanes.svg(f"p50 of {scenario}"), "caption": caption, "key": _key(names)})
    return drawings


def _key(names: Sequence[str]) -> list[tuple[str, str]]:
    return [(name, colour(number)) for number, name in enumerate(names)]


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
