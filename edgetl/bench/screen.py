"""A record for the screen: what to choose from, then every configuration with its scenarios and their stages."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence

from edgetl.bench.record import Minute, Record, Result, Row, Unit
from edgetl.bench.statistics import Estimate
from edgetl.tables import render

_HEADERS = ("unit", "p50 [{0:g} %]", "p90", "p99", "max", "n")
SCALES: dict[Unit, tuple[str, float]] = {"ns": ("ms", 1e6), "B": ("MB", 1e6), "uJ": ("mJ", 1e3), "cycles": ("Mcycles", 1e6)}
"""A record's unit -> the one that is shown, and how many it is."""
_WIDTH = 140
_SHORT = 50
_TOO_FEW = "n too small"
_MOST_TELLING = ("predict-file", "predict-array", "embed", "backbone")


def table(record: Record) -> str:
    """The record in words and tables of at most 140 columns, with what was not measured and every warning."""
    parts = [_overview(record)] if len(record.results) > 1 else []
    parts += [_configuration(result, record) for result in record.results]
    parts += ["\n".join(_ending(record))]
    return "\n\n".join(part for part in parts if part)


def _overview(record: Record) -> str:
    """One line per configuration: of the scenario that says most, by its p50; those without an interval after those with one."""
    found = [(result, row) for result in record.results if (row := most_telling(result))]
    found.sort(key=lambda pair: (pair[1].kind != "measured", pair[1].scenario, pair[1].p50.interval is None, pair[1].p50.value))
    rows = []
    for place, (result, row) in enumerate(found):
        before = found[place - 1][1] if place else None
        tied = before is not None and (before.kind, before.scenario) == (row.kind, row.scenario) and row.p50.overlaps(before.p50)
        unit, _ = SCALES[row.unit]
        cells = (row.scenario, unit, *_numbers(row), row.n, result.subject.share, _top1(result), _kind(row))
        rows.append((f"{place + 1} ≈" if tied else str(place + 1), result.subject.name, *cells))
    headers = ("rank", "configuration", "scenario", *_headers(record), "on provider", "top-1", "note")
    shown = _carried_columns(headers, rows)
    return render(*shown) + "\n≈: tied with the line above" if rows else ""


def most_telling(result: Result) -> Row | None:
    """The row that says most of a configuration: a whole prediction from a file where that was measured."""
    return next((row for name in _MOST_TELLING if (row := result.row(name))), None)


def _configuration(result: Result, record: Record) -> str:
    subject = result.subject
    words = [subject.name, subject.library, f"{subject.placement} on {subject.provider}", f"{subject.size / 1e6:.1f} MB"]
    if result.accuracy is not None:
        words.append(f"top-1 {_top1(result)}")
    long = list(dict.fromkeys(note for row in result.rows if len(note := _note(row)) > _SHORT))
    shown = _carried_columns(("scenario", *_headers(record), "note"), [_line(row, long) for row in result.rows])
    below = [textwrap.fill(f"[{number}] {note}", _WIDTH, subsequent_indent="    ") for number, note in enumerate(long, 1)]
    return "\n".join((", ".join(words), render(*shown), *below))


def _headers(record: Record) -> list[str]:
    return [name.format(100 * record.method.confidence) for name in _HEADERS]


def _carried_columns(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> tuple[list[str], list[list[object]]]:
    """Without percentiles that no row has samples enough for."""
    empty = {column for column, name in enumerate(headers) if name in ("p90", "p99") and all(row[column] == _TOO_FEW for row in rows)}
    kept = [column for column in range(len(headers)) if column not in empty]
    return [headers[column] for column in kept], [[row[column] for column in kept] for row in rows]


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
    return _TOO_FEW if one is None else _number(one.value / scale)


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
    lines += [f"warning: {warning}" for warning in record.warnings]
    if record.ended:
        lines.append(f"partial: {record.ended}")
    return [textwrap.fill(line, _WIDTH, subsequent_indent="    ", break_on_hyphens=False) for line in lines]
