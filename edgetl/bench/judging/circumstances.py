"""The circumstances of two records that are compared: machines, methods, versions, load, and what was not judged."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from edgetl.bench.record import Record, Result, Round, Row, Subject
from edgetl.machine import description, sensors

MOST, APART = 0.30, 0.05
"""The largest share of all cores' time that other processes may have, and by which two records may differ, for a time to be judged
(docs/evidence/bench-busy.md)."""
Pair = tuple["float | None", "float | None"]
"""A number in the first and in the second record; None if unreadable."""


@dataclasses.dataclass(frozen=True)
class Difference:
    """Something that is not the same in two records: a part such as `method`, its entry's name, and both values."""

    part: str
    name: str
    before: Any
    after: Any


@dataclasses.dataclass(frozen=True)
class Note:
    """What a reader must know of two records.

    Attributes:
        code: kebab-case.
        record: its name; empty for both.
        subject: the configuration, and what else it is about, in words.
        detail: the record's own words, or kinds and units.
    """

    code: Literal["same-record", "partial", "warning", "only-in-one", "not-judged", "percentile-missing"]
    record: str = ""
    subject: str = ""
    detail: str = ""


@dataclasses.dataclass(frozen=True)
class MachineLoad:
    """How loaded the machine was in two records while one configuration was measured.

    Attributes:
        others: share of all cores' time that other processes and other guests of the hypervisor had, in [0, 1], each process weighted by
            its duration: what decides whether times are judged.
        processes: count.
    """

    others: Pair
    processes: tuple[int, int]

    @property
    def most(self) -> float:
        """Of `others`, in the busier record; 0 if neither is readable."""
        return max(self.others[0] or 0.0, self.others[1] or 0.0)

    @property
    def busy(self) -> bool:
        """Whether times cannot be compared: others had too much in one record, or more in one than in the other."""
        before, after = self.others
        apart = abs(before - after) if before is not None and after is not None else 0.0
        return self.most > MOST or apart > APART


def title(machine: Mapping[str, Any]) -> str:
    """A machine in a few words."""
    what = machine.get("board") or machine.get("cpu") or "an unnamed machine"
    cores = machine.get("cores")
    return f"{what}, {cores} core{'s' if cores != 1 else ''}" if cores else str(what)


def machines(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The facts in which two descriptions are not of the same machine with the same governor, as `name: value and value`."""
    governors = before.get("governor"), after.get("governor")
    return description.differences(before, after) + ([f"governor: {governors[0]} and {governors[1]}"] if len(set(governors)) > 1 else [])


def differences(before: Record, after: Record, pairs: Sequence[tuple[Result, Result]]) -> Iterator[Difference]:
    """What else is not the same: edgetl, method, libraries, environment, bundle, photos, subjects."""
    parts: list[tuple[str, Mapping[str, Any], Mapping[str, Any]]] = [
        ("edgetl", {"version": before.edgetl}, {"version": after.edgetl}),
        ("method", dataclasses.asdict(before.method), dataclasses.asdict(after.method)),
        *((part, before.machine.get(part) or {}, after.machine.get(part) or {}) for part in ("libraries", "environment")),
        ("bundle", before.bundle, after.bundle),
        ("photos", before.photos, after.photos),
        *((mine.subject.name, dataclasses.asdict(mine.subject), dataclasses.asdict(theirs.subject)) for mine, theirs in pairs),
    ]
    for part, mine, theirs in parts:
        for key in dict.fromkeys((*mine, *theirs)):
            if mine.get(key) != theirs.get(key):
                yield Difference(part, key, mine.get(key), theirs.get(key))


def load(before: Record, after: Record, subject: Subject) -> MachineLoad:
    """How loaded the machine was in both records while this configuration was measured."""
    runs = [list(_processes(record, subject)) for record in (before, after)]
    return MachineLoad((_others(runs[0]), _others(runs[1])), (len(runs[0]), len(runs[1])))


def _others(run: Sequence[Round]) -> float | None:
    shares = [sensors.between(process.before, process.after) for process in run if process.before.get("cpu")]
    known = [(share["others"] + (share["steal"] or 0.0), share["seconds"] or 0.0) for share in shares if share["others"] is not None]
    seconds = math.fsum(duration for _, duration in known)
    return math.fsum(share * duration for share, duration in known) / seconds if seconds else None


def _processes(record: Record, subject: Subject) -> Iterator[Round]:
    """Those of a configuration; their name may leave the provider to the runtime."""
    requested = subject.name.replace(f" {subject.provider} ", " ", 1)
    return (process for process in record.rounds if process.configuration in (subject.name, requested))


def notes(before: Record, after: Record, names: tuple[str, str]) -> Iterator[Note]:
    """What a reader must know of either record: why it is partial, its warnings, which configurations only it has."""
    if before == after:
        yield Note("same-record")
    for name, record in list(zip(names, (before, after)))[: 1 if before == after else 2]:
        if record.ended:
            yield Note("partial", name, detail=record.ended)
        yield from (Note("warning", name, detail=warning) for warning in record.warnings)
    mine, theirs = ({result.subject.name for result in record.results} for record in (before, after))
    for name, only in zip(names, (mine - theirs, theirs - mine)):
        yield from (Note("only-in-one", name, configuration) for configuration in sorted(only))


def unjudged(before: Result, after: Result, names: tuple[str, str]) -> Iterator[Note]:
    """Which numbers of a configuration only one record has, and which were not measured."""
    configuration = before.subject.name
    mine, theirs = ({row.scenario for row in result.rows} | ({"top-1"} if result.accuracy else set()) for result in (before, after))
    for record, only in zip(names, (mine - theirs, theirs - mine)):
        if only:
            yield Note("only-in-one", record, f"{configuration} {', '.join(sorted(only))}")
    scenarios: dict[str, dict[str, None]] = {}
    for row in before.rows:
        other = after.row(row.scenario, row.stage)
        if other and not judged(row, other):
            kinds = row.kind if row.kind == other.kind else f"{row.kind} and {other.kind}"
            units = "" if row.unit == other.unit else f", in {row.unit} and {other.unit}"
            scenarios.setdefault(kinds + units, {})[row.scenario] = None
    yield from (Note("not-judged", "", f"{configuration} {', '.join(listed)}", why) for why, listed in scenarios.items())


def judged(before: Row, after: Row) -> bool:
    """Whether two rows may be compared."""
    return before.kind == after.kind == "measured" and before.unit == after.unit
