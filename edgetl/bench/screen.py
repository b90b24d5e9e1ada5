"""A record for the screen: what to choose from, then every configuration with its scenarios and their stages."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence

from edgetl.bench.record import Minute, Record, Result, Row, Unit
from edgetl.bench.statistics import Estimate
from edgetl.tables import render

_HEADERS = ("scenario", "unit", "p50 [{0:g} %]", "p90", "p99", "max", "n", "note")
SCALES: dict[Unit, tuple[str, float]] = {"ns": ("ms", 1e6), "B": ("MB", 1e6), "uJ": ("mJ", 1e3), "cycles": ("Mcycles", 1e6)}
"""A record's unit -> the one that is shown, and how many it is."""
_WIDTH = 140
_SHORT = 50
_MOST_TELLING = ("predict-file", "predict-array", "embed", "backbone")


def table(record: Record) -> str:
    """The record in words and tables of at most 140 columns, what was not measured and what to beware of included."""
    parts = [_overview(record)] if len(record.results) > 1 else []
    parts += [_configuration(result, record) for result in record.results]
    parts += ["\n".join(_ending(record))]
    return "\n\n".join(part for part in parts if part)


def _overview(record: Record) -> str:
    """One line per configuration: of the scenario that says most, and the memory."""
    rows = []
    for result in record.results:
        row = next((row for name in _MOST_TELLING if (row := result.row(name))), None)
        if row is not None:
            unit, _ = SCALES[row.unit]
            rows.append((result.subject.name, row.scenario, unit, *_numbers(row), row.n, _top1(result), _kind(row)))
    headers = ("configuration", *(name.format(100 * record.method.confidence) for name in _HEADERS[:-1]), "top-1", "note")
    return render(headers, rows) if rows else ""


def _configuration(result: Result, record: Record) -> str:
    subject = result.subject
    words = [subject.name, subject.library, f"{subject.placement} on {subject.provider}", f"{subject.size / 1e6:.1f} MB"]
    if result.accuracy is not None:
        words.append(f"top-1 {_top1(result)}")
    headers = [name.format(100 * record.method.confidence) for name in _HEADERS]
    long = list(dict.fromkeys(note for row in result.rows if len(note := _note(row)) > _SHORT))
    lines = [_line(row, long) for row in result.rows]
    below = [textwrap.fill(f"[{number}] {note}", _WIDTH, subsequent_indent="    ") for number, note in enumerate(long, 1)]
    return "\n".join((", ".join(words), render(headers, lines), *below))


def _line(row: Row, long: Sequence[str]) -> tuple[object, ...]:
    """What is too long to stand beside the numbers stands below the table."""
    name, note = row.scenario if row.stage is None else f"  {row.stage}", _note(row)
    return name, SCALES[row.unit][0], *_numbers(row), row.n, f"[{long.index(note) + 1}]" if note in long else note


def _numbers(row: Row) -> tuple[str, str, str, str]:
    summed, scale = row.summary, SCALES[row.unit][1]
    ends = summed.p50.interval
    middle = _number(summed.p50.value / scale) + (f" [{_number(ends[0] / scale)}, {_number(ends[1] / scale)}]" if ends else "")
    return middle, _carried(summed.p90, scale), _carried(summed.p99, scale), _number(summed.max.value / scale)


def _carried(one: Estimate | None, scale: float) -> str:
    return "n too small" if one is None else _number(one.value / scale)


def _number(value: float) -> str:
    """Four digits that count, and no more than three after the point."""
    return f"{value:.{max(0, min(3, 3 - math.floor(math.log10(value))))}f}" if value >= 1 else f"{value:.3f}"


def _note(row: Row) -> str:
    """Its kind where it was not measured, whether it was steady, what was counted, and what the row says itself."""
    unsteady = "" if row.steady is None or row.steady >= len(row.samples) else f"steady in {row.steady} of {len(row.samples)} rounds"
    facts = ", ".join(_facts(row.facts))
    minutes = ", ".join(f"minute {one.number}: p50 {_number(one.p50 / 1e6)} ms (n={one.n})" for one in _ends(row))
    return "; ".join(part for part in (_kind(row), unsteady, facts, minutes, row.note) if part)


def _facts(facts: Mapping[str, float]) -> Iterator[str]:
    """Counts; `right` beside the `asked` that it is a part of."""
    for name, value in facts.items():
        asked = name.removesuffix("right") + "asked"
        if name.endswith("right") and asked in facts:
            yield f"{name} {value:g} of {facts[asked]:g}"
        elif not (name.endswith("asked") and name.removesuffix("asked") + "right" in facts):
            yield f"{name} {value:g}"


def _ends(row: Row) -> tuple[Minute, ...]:
    """The first and the last minute."""
    return (row.minutes[0], row.minutes[-1]) if len(row.minutes) > 1 else row.minutes


def _kind(row: Row) -> str:
    return "" if row.kind == "measured" else row.kind.upper()


def _top1(result: Result) -> str | None:
    return None if result.accuracy is None else str(result.accuracy.top1)


def _ending(record: Record) -> list[str]:
    lines = []
    if record.overhead:
        p99 = "" if record.overhead.p99 is None else f", p99 {record.overhead.p99.value / 1e3:.1f} µs"
        lines.append(f"the harness adds {record.overhead.p50.value / 1e3:.1f} µs to a query (p50{p99}; n={record.overhead.n})")
    lines += [f"not measured: {what}: {reason}" for reason, what in record.unmeasured().items()]
    lines += [f"beware: {warning}" for warning in record.warnings]
    if record.ended:
        lines.append(f"partial: {record.ended}")
    return [textwrap.fill(line, _WIDTH, subsequent_indent="    ", break_on_hyphens=False) for line in lines]
