"""The trend: one scenario's p50 over records of one machine, in the order of their dates, each compared with the one before."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from edgetl.bench.judging import circumstances
from edgetl.bench.judging.compare import MetricChange, compare
from edgetl.bench.judging.pick import Named, by_machine
from edgetl.bench.record import Record, Result, Unit
from edgetl.bench.statistics import Estimate
from edgetl.errors import BenchError, RecordError


@dataclasses.dataclass(frozen=True)
class TrendPoint:
    """One configuration in one record.

    `created` is UTC, ISO 8601; `change` is against the point before, None for the first, and if the two cannot be compared.
    """

    record: str
    created: str
    edgetl: str
    p50: Estimate
    n: int
    processes: int
    change: MetricChange | None


@dataclasses.dataclass(frozen=True)
class Trend:
    """One configuration on one machine.

    The points are in the order of their dates, in `unit`.
    """

    machine: str
    configuration: str
    scenario: str
    unit: Unit
    points: tuple[TrendPoint, ...]


def trends(records: Sequence[Named], scenario: str = "predict-file", margin: float = 0.03) -> list[Trend]:
    """One per machine and configuration that was measured at least once.

    Args:
        records: in any order; one that is given twice counts once.
        scenario: whose p50.
        margin: the smallest relative change that matters.

    Raises:
        BenchError: no record holds the scenario.
    """
    results = []
    for group in by_machine(records):
        dated = sorted(group, key=lambda named: named[1].created)
        names = dict.fromkeys(result.subject.name for _, record in dated for result in record.results if _only(result, scenario))
        results += [_trend(name, dated, scenario, margin) for name in names]
    if not results:
        held = dict.fromkeys(row.scenario for _, record in records for _, row in record.rows() if row.stage is None)
        message = f"no record has a measured {scenario} (they have {', '.join(held) or 'nothing'}). Choose another one with --scenario"
        raise BenchError(message, code="scenario-missing", scenario=scenario, available=list(held))
    return results


def _trend(name: str, dated: Sequence[Named], scenario: str, margin: float) -> Trend:
    points: list[TrendPoint] = []
    before: Record | None = None
    unit: Unit = "ns"
    for record_name, record in dated:
        only = next((_only(result, scenario) for result in record.results if result.subject.name == name and _only(result, scenario)), None)
        if only is None:
            continue
        row, single = only.rows[0], dataclasses.replace(record, results=(only,))
        change = _change(before, single, margin) if before else None
        points.append(TrendPoint(record_name, record.created, record.edgetl, row.p50, row.n, len(row.samples), change))
        before, unit = single, row.unit
    return Trend(circumstances.title(dated[0][1].machine), name, scenario, unit, tuple(points))


def _only(result: Result, scenario: str) -> Result | None:
    """The result with that measured row alone; None without one."""
    row = result.row(scenario)
    return dataclasses.replace(result, accuracy=None, rows=(row,)) if row and row.kind == "measured" else None


def _change(before: Record, after: Record, margin: float) -> MetricChange | None:
    try:
        comparison = compare(before, after, margin=margin)
    except RecordError:
        return None
    return next((change for change in comparison.changes if change.metric == "p50"), None)
