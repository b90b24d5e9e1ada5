"""What lies around two records that are compared: machines, methods, versions, load, and what was not judged."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgetl.bench.record import Record, Result, Round, Row, Subject
from edgetl.machine import description, sensors

MOST, APART = 0.30, 0.05
"""Shares of all cores' time that others may have, and by which two records may differ, for a time to be judged
(docs/evidence/bench-busy.md)."""


def title(machine: Mapping[str, Any]) -> str:
    """A machine in a few words."""
    what = machine.get("board") or machine.get("cpu") or "an unnamed machine"
    cores = machine.get("cores")
    return f"{what}, {cores} core{'s' if cores != 1 else ''}" if cores else str(what)


def machines(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """In what two descriptions are not of the same machine, as it was set up; in words."""
    governors = before.get("governor"), after.get("governor")
    return description.differences(before, after) + ([f"governor: {governors[0]} and {governors[1]}"] if len(set(governors)) > 1 else [])


def differences(before: Record, after: Record, pairs: Sequence[tuple[Result, Result]]) -> Iterator[str]:
    """What else is not the same, in words: edgetl, method, libraries, environment, bundle, photos, subjects."""

    def unequal(what: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
        for key in dict.fromkeys((*one, *other)):
            if one.get(key) != other.get(key):
                yield f"{what}, {key}: {one.get(key)} and {other.get(key)}"

    yield from unequal("edgetl", {"version": before.edgetl}, {"version": after.edgetl})
    yield from unequal("method", dataclasses.asdict(before.method), dataclasses.asdict(after.method))
    for part in ("libraries", "environment"):
        yield from unequal(part, before.machine.get(part) or {}, after.machine.get(part) or {})
    yield from unequal("bundle", before.bundle, after.bundle)
    yield from unequal("photos", before.photos, after.photos)
    for one, other in pairs:
        yield from unequal(one.subject.name, dataclasses.asdict(one.subject), dataclasses.asdict(other.subject))


def load(before: Record, after: Record, subject: Subject) -> str:
    """How loaded the machine was in both runs while this configuration was measured; empty where neither says."""
    runs = [list(_processes(record, subject)) for record in (before, after)]
    shares = [[sensors.between(one.before, one.after) for one in run if one.before.get("cpu") and one.after.get("cpu")] for run in runs]
    averages = [[loads[0] for one in run if (loads := one.before.get("load_average"))] for run in runs]
    said = [f"load average {_mean(averages[0])} and {_mean(averages[1])}"] if any(averages) else []
    for name, words in (("others", "other processes"), ("steal", "steal")):
        known = [[share for one in run if (share := one[name]) is not None] for run in shares]
        said += [f"{words} {_mean(known[0], '%')} and {_mean(known[1], '%')}"] if any(known) else []
    return f"{', '.join(said)} (n={len(runs[0])} and {len(runs[1])} processes)" if said else ""


@dataclasses.dataclass(frozen=True)
class Others:
    """The share of all cores' time that others had, processes or guests of the hypervisor, while a configuration was measured.

    Attributes:
        before: in the first record, 0 to 1; None where it does not say.
        after: in the second.
    """

    before: float | None
    after: float | None

    @property
    def most(self) -> float:
        """In the busier record; 0 where neither says."""
        return max(self.before or 0.0, self.after or 0.0)

    @property
    def busy(self) -> bool:
        """Whether times cannot be compared: others had too much in one record, or more in one than in the other."""
        apart = abs(self.before - self.after) if self.before is not None and self.after is not None else 0.0
        return self.most > MOST or apart > APART

    def __str__(self) -> str:
        shares = ("an unknown share" if share is None else f"{100 * share:.0f} %" for share in (self.before, self.after))
        return f"other processes had {' and '.join(shares)} of all cores' time"


def others(before: Record, after: Record, subject: Subject) -> Others:
    """What others had in both runs; each process of a configuration counts by its duration."""
    return Others(_others(before, subject), _others(after, subject))


def _others(record: Record, subject: Subject) -> float | None:
    shares = [sensors.between(one.before, one.after) for one in _processes(record, subject) if one.before.get("cpu")]
    known = [((one["others"] or 0.0) + (one["steal"] or 0.0), one["seconds"] or 0.0) for one in shares if one["others"] is not None]
    seconds = math.fsum(duration for _, duration in known)
    return math.fsum(share * duration for share, duration in known) / seconds if seconds else None


def _processes(record: Record, subject: Subject) -> Iterator[Round]:
    """Those of a configuration; they are named as it was asked for, and that may leave the provider to the runtime."""
    asked = subject.name.replace(f" {subject.provider} ", " ", 1)
    return (one for one in record.rounds if one.configuration in (subject.name, asked))


def _mean(values: Sequence[float], unit: str = "") -> str:
    if not values:
        return "unknown"
    mean = math.fsum(values) / len(values)
    return f"{100 * mean:.1f} %" if unit else f"{mean:.1f}"


def notes(before: Record, after: Record, names: tuple[str, str]) -> Iterator[str]:
    """What a reader must know of either record, in words: why it is partial, its warnings, which configurations only it has."""
    if before == after:
        yield f"{names[0]} and {names[1]} are one and the same record"
    for name, record in list(zip(names, (before, after)))[: 1 if before == after else 2]:
        if record.ended:
            yield f"{name} is partial: {record.ended}"
        yield from (f"{name}: {warning}" for warning in record.warnings)
    found = [{result.subject.name for result in record.results} for record in (before, after)]
    for name, only in zip(names, (found[0] - found[1], found[1] - found[0])):
        yield from (f"only in {name}: {configuration}" for configuration in sorted(only))


def unjudged(before: Result, after: Result, names: tuple[str, str]) -> Iterator[str]:
    """Which numbers of a configuration only one record has, and which were not measured; in words."""
    configuration = before.subject.name
    if (before.accuracy is None) != (after.accuracy is None):
        yield f"only in {names[before.accuracy is None]}: {configuration} top-1"
    keys = [dict.fromkeys((row.scenario, row.stage) for row in result.rows) for result in (before, after)]
    for name, here, there in ((names[0], *keys), (names[1], *reversed(keys))):
        # A scenario that only one has is named without its stages.
        only = [key for key in here if key not in there and (key[1] is None or (key[0], None) in there)]
        if only:
            yield f"only in {name}: {configuration} {', '.join(' '.join(filter(None, key)) for key in only)}"
    said: dict[str, dict[str, None]] = {}
    for row in before.rows:
        other = after.row(row.scenario, row.stage)
        if other and not judged(row, other):
            kinds = row.kind if row.kind == other.kind else f"{row.kind} and {other.kind}"
            units = "" if row.unit == other.unit else f", in {row.unit} and {other.unit}"
            said.setdefault(kinds + units, {})[row.scenario] = None
    yield from (f"not judged: {configuration} {', '.join(scenarios)}: {why}" for why, scenarios in said.items())


def judged(before: Row, after: Row) -> bool:
    """Whether two rows may be compared."""
    return before.kind == after.kind == "measured" and before.unit == after.unit
