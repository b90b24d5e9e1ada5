"""A record for the screen: what to choose from, then every configuration with its scenarios and their stages."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence

from edgetl.bench.record import Minute, Record, Result, Row, Unit
from edgetl.bench.statistics import Estimate
from edgetl.tables import render

_HEADERS = ("unit", "p50 [{0:g} %]", "p90", "p99", "max", "n")
SCALES: dict[Unit, tuple[str, float]] = {"ns": ("ms", 1e6), "B": ("MB", 1e6), "uJ": ("mJ", 1e3)}
"""A record's unit -> the one that is shown, and how many it is."""
_WIDTH = 140
_SHORT = 50
_TOO_FEW = "n too small"


def table(record: Record) -> str:
    """The record in words and tables of at most 140 columns, with what was not measured and every warning."""
    parts = [_overview(record)] if len(record.results) > 1 else []
    parts += [_configuration(result, record) for result in record.results]
    parts += ["\n".join(_ending(record))]
    return "\n\n".join(part for part in parts if part)


def interval(estimate: Estimate, factor: float) -> str:
    """A number and its interval, `factor` of the record's units."""
    ends = estimate.interval
    return f"{estimate.value / factor:.3f} " + ("(no interval)" if ends is None else f"[{ends[0] / factor:.3f}, {ends[1] / factor:.3f}]")


def _overview(record: Record) -> str:
    """One line per configuration by its p50; those without an interval after those with one."""
    pairs = [(result, row) for result in record.results if (row := result.headline)]
    pairs.sort(key=lambda pair: (pair[1].kind != "measured", pair[1].scenario, pair[1].p50.interval is None, pair[1].p50.value))
    rows = []
    for place, (result, row) in enumerate(pairs):
        before = pairs[place - 1][1] if place else None
        tied = before is not None and (before.kind, before.scenario) == (row.kind, row.scenario) and row.p50.overlaps(before.p50)
        cells = (row.scenario, SCALES[row.unit][0], *_numbers(row), row.n, result.subject.share, _top1(result), _kind(row))
        rows.append((f"{place + 1} ≈" if tied else str(place + 1), result.subject.name, *cells))
    headers = ("rank", "configuration", "scenario", *_headers(record), "on provider", "top-1", "note")
    return render(*_carried_columns(headers, rows)) + "\n≈: tied with the line above" if rows else ""


def _configuration(result: Result, record: Record) -> str:
    subject = result.subject
    words = [subject.name, subject.library, f"{subject.placement} on {subject.provider}", f"{subject.size / 1e6:.1f} MB"]
    words += [f"top-1 {_top1(result)}"] if result.accuracy else []
    long = list(dict.fromkeys(note for row in result.rows if len(note := _note(row)) > _SHORT))
    columns = _carried_columns(("scenario", *_headers(record), "note"), [_line(row, long) for row in result.rows])
    below = [textwrap.fill(f"[{number}] {note}", _WIDTH, subsequent_indent="    ") for number, note in enumerate(long, 1)]
    return "\n".join((", ".join(words), render(*columns), *below))


def _headers(record: Record) -> list[str]:
    return [name.format(100 * record.method.confidence) for name in _HEADERS]


def _carried_columns(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> tuple[list[str], list[list[object]]]:
    """Without percentiles that no row has samples enough for."""
    empty = {column for column, name in enumerate(headers) if name in ("p90", "p99") and all(row[column] == _TOO_FEW for row in rows)}
    kept = [column for column in range(len(headers)) if column not in empty]
    return [headers[column] for column in kept], [[row[column] for column in kept] for row in rows]


def _line(row: Row, long: Sequence[str]) -> tuple[object, ...]:
    """A note that is too long for the column stands below the table."""
    name, note = row.scenario if row.stage is None else f"  {row.stage}", _note(row)
    return name, SCALES[row.unit][0], *_numbers(row), row.n, f"[{long.index(note) + 1}]" if note in long else note


def _numbers(row: Row) -> tuple[str, str, str, str]:
    summed, scale = row.summary, SCALES[row.unit][1]
    ends = summed.p50.interval
    middle = _number(summed.p50.value / scale) + (f" [{_number(ends[0] / scale)}, {_number(ends[1] / scale)}]" if ends else "")
    tails = (_TOO_FEW if estimate is None else _number(estimate.value / scale) for estimate in (summed.p90, summed.p99, summed.max))
    return middle, *tails  # type: ignore[return-value]  # three of them


def _number(value: float) -> str:
    """Four significant digits, at most three after the point."""
    return f"{value:.{max(0, min(3, 3 - math.floor(math.log10(value))))}f}" if value >= 1 else f"{value:.3f}"


def _note(row: Row) -> str:
    """Its kind if it was not measured, whether it was steady, what was counted, and the row's own note."""
    unsteady = "" if row.steady is None or row.steady >= len(row.samples) else f"steady in {row.steady} of {len(row.samples)} rounds"
    ends: tuple[Minute, ...] = (row.minutes[0], row.minutes[-1]) if len(row.minutes) > 1 else row.minutes
    minutes = ", ".join(f"minute {minute.number}: p50 {_number(minute.p50 / 1e6)} ms (n={minute.n})" for minute in ends)
    return "; ".join(part for part in (_kind(row), unsteady, ", ".join(_facts(row.facts)), minutes, row.note) if part)


def _facts(facts: Mapping[str, float]) -> Iterator[str]:
    """Counts; `correct` beside the `tested` that it is a part of."""
    for name, value in facts.items():
        tested = name.removesuffix("correct") + "tested"
        if name.endswith("correct") and tested in facts:
            yield f"{name} {value:g} of {facts[tested]:g}"
        elif not (name.endswith("tested") and name.removesuffix("tested") + "correct" in facts):
            yield f"{name} {value:g}"


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
    lines += [f"partial: {record.ended}"] if record.ended else []
    return [textwrap.fill(line, _WIDTH, subsequent_indent="    ", break_on_hyphens=False) for line in lines]
