"""What a record says of its machine, for people, and where the machines of several records differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgetl.bench.record import Record

FIRST = (
    "board", "cpu", "architecture", "instruction_set", "cores", "machine_cores", "features", "governor", "turbo", "memory_bytes",
    "temperature_c", "throttle.words", "load_average", "storage.kind", "os", "kernel", "python",
)  # fmt: skip
"""What a reader looks for, before everything else in the record's own order."""

_SOME = 12


def facts(record: Record) -> dict[str, str]:
    """Every fact by its name, nested ones as `storage.kind`; what could not be read is left out."""
    found = dict(_flat("", record.machine))
    return {name: found[name] for name in [*(one for one in FIRST if one in found), *(one for one in found if one not in FIRST)]}


def compared(records: Sequence[Record]) -> tuple[list[tuple[str, list[str]]], list[tuple[str, str]]]:
    """The facts in which the records differ, each with one text per record; and those in which they agree."""
    each = [facts(record) for record in records]
    names = dict.fromkeys(name for one in each for name in one)
    ordered = [*(one for one in FIRST if one in names), *(one for one in names if one not in FIRST)]
    texts = {name: [one.get(name, "not known") for one in each] for name in ordered}
    differ = [(name, _apart(values) if name == "features" else values) for name, values in texts.items() if len(set(values)) > 1]
    return differ, [(name, values[0]) for name, values in texts.items() if len(set(values)) == 1]


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat(f"{prefix}.{name}" if prefix else str(name), inner)
    elif isinstance(value, (list, tuple)) and any(isinstance(one, Mapping) for one in value):
        for number, inner in enumerate(value):
            yield from _flat(f"{prefix}.{number}", inner)
    elif value is not None and value != []:
        yield prefix, _text(prefix, value)


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    if isinstance(value, (int, float)):
        if name.endswith("_bytes"):
            return f"{value / 2**30:.2f} GiB" if value >= 2**30 else f"{value / 2**20:.1f} MiB" if value else "none"
        if name.endswith("_khz"):
            return f"{value / 1000:.0f} MHz"
        if name.endswith("_c") or name.startswith("temperatures."):
            return f"{value:.1f} °C"
    return str(value)


def _apart(values: Sequence[str]) -> list[str]:
    """Lists that differ: how many there are, and those that are not in all of them."""
    sets = [set(value.split(", ")) if value != "not known" else set[str]() for value in values]
    shared = set.intersection(*sets)
    return [f"{len(shared)} shared; {_some(sorted(one - shared))}" for one in sets]


def _some(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - _SOME} more" if len(names) > _SOME else ""
    return ", ".join(names[:_SOME]) + more if names else "no others"
