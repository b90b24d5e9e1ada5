"""A record for the screen."""

from __future__ import annotations

from edgetl.bench.record import Record, Result, Row
from edgetl.bench.statistics import Estimate
from edgetl.tables import render

_HEADERS = ("variant", "provider", "threads", "scenario", "stage", "p50 ms [95 %]", "p90 ms", "p99 ms", "max ms", "n", "top-1", "note")


def table(record: Record) -> str:
    """Milliseconds, one line per scenario and stage, and why something is missing."""
    rows = [_line(result, row) for result, row in record.rows() if row.unit == "ns"]
    lines = [render(_HEADERS, rows)] if rows else []
    lines += [
        f"{result.subject.name}: {row.scenario} {row.stage or ''}: {row.p50.value / 1e6:.1f} MB, n={row.n}"
        for result, row in record.rows()
        if row.unit == "B"
    ]
    if record.overhead:
        lines.append(f"the harness adds {record.overhead.p50.value / 1e3:.1f} µs to a query (p50, n={record.overhead.n})")
    lines += [f"not measured: {one.what}: {one.reason}" for one in record.skipped]
    lines += [f"warning: {warning}" for warning in record.warnings]
    if record.ended:
        lines.append(f"partial: {record.ended}")
    return "\n".join(lines)


def _line(result: Result, row: Row) -> tuple[object, ...]:
    subject, summed = result.subject, row.summary
    p50 = f"{summed.p50.value / 1e6:.3f} [{summed.p50.low / 1e6:.3f}, {summed.p50.high / 1e6:.3f}]"
    times = [p50, *(_ms(one) for one in (summed.p90, summed.p99, summed.max))]
    top1 = None if result.accuracy is None else str(result.accuracy.top1)
    return subject.variant, subject.provider, subject.threads, row.scenario, row.stage or "", *times, row.n, top1, row.note


def _ms(one: Estimate | None) -> str:
    return "n too small" if one is None else f"{one.value / 1e6:.3f}"
