"""The trend: one scenario's p50 over records of one machine, in the order of their dates, each compared with the one before."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from edgetl.bench.judging import circumstances
from edgetl.bench.judging.budget import shown
from edgetl.bench.judging.compare import Change, compare
from edgetl.bench.judging.pooling import Named, different, machines
from edgetl.bench.record import Record, Result, Unit
from edgetl.bench.screen import SCALES
from edgetl.bench.statistics import Estimate
from edgetl.errors import BenchError, RecordError
from edgetl.tables import render


@dataclasses.dataclass(frozen=True)
class Point:
    """One configuration in one record.

    Attributes:
        record: its name.
        created: when, UTC, ISO 8601.
        edgetl: the version that measured.
        p50: in the row's unit.
        n: samples.
        processes: count.
        change: against the point before; None for the first, and where the two cannot be compared.
    """

    record: str
    created: str
    edgetl: str
    p50: Estimate
    n: int
    processes: int
    change: Change | None


@dataclasses.dataclass(frozen=True)
class Trend:
    """One configuration on one machine.

    Attributes:
        machine: its board or processor.
        configuration: the subject's name.
        scenario: whose p50.
        unit: of the points.
        points: in the order of their dates.
    """

    machine: str
    configuration: str
    scenario: str
    unit: Unit
    points: tuple[Point, ...]


def trends(records: Sequence[Named], scenario: str = "predict-file", margin: float = 0.03) -> list[Trend]:
    """One per machine and configuration that was measured at least once.

    Args:
        records: in any order; one that is given twice counts once.
        scenario: whose p50.
        margin: the smallest relative change that matters.

    Raises:
        BenchError: no record holds the scenario.
    """
    found = []
    for group in machines(different(records)):
        dated = sorted(group, key=lambda named: named[1].created)
        names = dict.fromkeys(result.subject.name for _, record in dated for result in record.results if _only(result, scenario))
        found += [_trend(name, dated, scenario, margin) for name in names]
    if not found:
        held = dict.fromkeys(row.scenario for _, record in records for _, row in record.rows() if row.stage is None)
        raise BenchError(f"no record holds a measured {scenario}, only {', '.join(held) or 'nothing'}; name another one with --scenario")
    return found


def table(found: Sequence[Trend]) -> str:
    """A table per configuration, the oldest record first."""
    return "\n\n".join("\n".join(_lines(one)) for one in found)


def _trend(name: str, dated: Sequence[Named], scenario: str, margin: float) -> Trend:
    points: list[Point] = []
    before: Record | None = None
    machine, unit = circumstances.title(dated[0][1].machine), None
    for record_name, record in dated:
        result = next((one for one in record.results if one.subject.name == name and _only(one, scenario)), None)
        if result is None:
            continue
        only = _only(result, scenario)
        assert only is not None, "it was asked for above"
        row, single = only.rows[0], dataclasses.replace(record, results=(only,))
        change = _change(before, single, margin) if before else None
        points.append(Point(record_name, record.created, record.edgetl, row.p50, row.n, len(row.samples), change))
        before, unit = single, row.unit
    assert unit is not None, "the configuration was found in one of them"
    return Trend(machine, name, scenario, unit, tuple(points))


def _only(result: Result, scenario: str) -> Result | None:
    """The result with that measured row alone; None where it has none."""
    row = result.row(scenario)
    return dataclasses.replace(result, accuracy=None, rows=(row,)) if row and row.kind == "measured" else None


def _change(before: Record, after: Record, margin: float) -> Change | None:
    try:
        comparison = compare(before, after, margin=margin)
    except RecordError:
        return None
    return next((change for change in comparison.changes if change.metric == "p50"), None)


def _verdict(change: Change) -> str:
    """With its cause where nothing can be told."""
    return change.verdict + (f": {change.cause.replace('-', ' ')}" if change.verdict == "cannot tell" else "")


def _lines(one: Trend) -> Iterator[str]:
    unit, factor = SCALES[one.unit]
    headers = ("date", "edgetl", "record", f"p50 {unit} [95 %]", "n", "processes", "ratio", "against the one before")
    rows = [
        (
            point.created[:16].replace("T", " "), point.edgetl, point.record, shown(point.p50, factor), point.n, point.processes,
            f"{point.change.ratio.value:.3f}" if point.change and point.change.ratio else None,
            _verdict(point.change) if point.change else None,
        )
        for point in one.points
    ]  # fmt: skip
    yield f"{one.scenario} of {one.configuration} on {one.machine}"
    yield render(headers, rows)
