"""Records of one configuration as one: their processes together say more than those of either."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from edgetl.bench.method import Method
from edgetl.bench.record import Accuracy, Record, Result, Row, Subject
from edgetl.machine.description import differences

Named = tuple[str, Record]
"""A record and its name."""


@dataclasses.dataclass(frozen=True)
class Pooled:
    """One configuration as measured in one record or several.

    Attributes:
        records: their names.
        result: subject, accuracy, and rows of all processes.
        method: of the first record.
    """

    records: tuple[str, ...]
    result: Result
    method: Method


def machines(records: Sequence[Named]) -> list[list[Named]]:
    """The records, those of one machine together."""
    groups: list[list[Named]] = []
    for named in records:
        group = next((one for one in groups if not differences(one[0][1].machine, named[1].machine)), None)
        if group is None:
            groups.append(group := [])
        group.append(named)
    return groups


def different(records: Sequence[Named]) -> list[Named]:
    """Without copies: a record that is given twice counts once."""
    kept: list[Named] = []
    for named in records:
        if all(named[1] != record for _, record in kept):
            kept.append(named)
    return kept


def pooled(records: Sequence[Named]) -> list[Pooled]:
    """One per configuration of one machine: samples are pooled where subject, edgetl and photos are the same.

    Args:
        records: of one machine, each once (:func:`different`).
    """
    groups: dict[tuple[Subject, str, str], list[tuple[str, Record, Result]]] = {}
    for name, record in records:
        for result in record.results:
            key = (result.subject, record.edgetl, json.dumps(record.photos, sort_keys=True))
            groups.setdefault(key, []).append((name, record, result))
    return [
        Pooled(tuple(name for name, _, _ in group), _together([one for _, _, one in group], group[0][1].method), group[0][1].method)
        for group in groups.values()
    ]


def _together(results: Sequence[Result], method: Method) -> Result:
    if len(results) == 1:
        return results[0]
    rows: dict[tuple[str, str | None, str, str], list[Row]] = {}
    for result in results:
        for row in result.rows:
            rows.setdefault((row.scenario, row.stage, row.kind, row.unit), []).append(row)
    accuracy: Accuracy | None = next((result.accuracy for result in results if result.accuracy), None)
    return Result(results[0].subject, accuracy, tuple(_row(group, method) for group in rows.values()))


def _row(rows: Sequence[Row], method: Method) -> Row:
    first = rows[0]
    if len(rows) == 1:
        return first
    steady = [row.steady for row in rows if row.steady is not None]
    names = dict.fromkeys(name for row in rows for name in row.facts)
    return Row.of(
        first.scenario, first.stage, [taken for row in rows for taken in row.samples], method, kind=first.kind, unit=first.unit,
        warm_up=sum(row.warm_up for row in rows), steady=sum(steady) if steady else None,
        facts={name: sum(row.facts.get(name, 0) for row in rows) for name in names},
        minutes=tuple(minute for row in rows for minute in row.minutes),
        note="; ".join(dict.fromkeys(row.note for row in rows if row.note)),
        pace=tuple(pace for row in rows for pace in row.pace),
    )  # fmt: skip
