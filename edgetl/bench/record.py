"""What a bench leaves behind: rows with raw samples, the machine, the settings; as JSON and as a table."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from edgetl.tables import render
from edgetl.types import to_json

FORMAT = "edgetl-bench"
VERSION = 1

Kind = Literal["measured", "emulated", "estimated"]


@dataclasses.dataclass(frozen=True)
class Subject:
    """What was measured.

    Attributes:
        variant: the bundle's variant.
        precision: `fp32`, `fp16` or `int8`.
        family: the runtime family.
        library: the runtime library and its version.
        threads: how many threads it was given.
        model: sha256 (hex) of the model.
        fingerprint: the digest (hex) of the embeddings' fingerprint.
    """

    variant: str
    precision: str
    family: str
    library: str
    threads: int
    model: str
    fingerprint: str


@dataclasses.dataclass(frozen=True)
class Row(Subject):
    """One scenario, or one stage of it.

    Attributes:
        scenario: its name in :mod:`edgetl.bench.scenarios`.
        stage: a part of it; None is the whole, timed by itself and not summed from its parts.
        kind: how the numbers came to be; only `measured` ones may be ranked.
        unit: of the percentiles and samples.
        n: how many samples.
        p50: nearest-rank percentile (see :func:`percentile`).
        p90: the same; None where n is too small for it.
        p99: the same.
        note: what the numbers do not say, in a sentence.
        samples: every one, in the order in which they were taken; no outlier is removed.
    """

    scenario: str
    stage: str | None
    kind: Kind
    unit: str
    n: int
    p50: int | None
    p90: int | None
    p99: int | None
    note: str
    samples: tuple[int, ...]

    @classmethod
    def measured(cls, subject: Subject, scenario: str, stage: str | None, samples: Sequence[int], note: str = "") -> Row:
        """Makes a row of measured nanoseconds."""
        p50, p90, p99 = (percentile(samples, q) for q in (50, 90, 99))
        return cls(
            **dataclasses.asdict(subject),
            scenario=scenario,
            stage=stage,
            kind="measured",
            unit="ns",
            n=len(samples),
            p50=p50,
            p90=p90,
            p99=p99,
            note=note,
            samples=tuple(samples),
        )


@dataclasses.dataclass(frozen=True)
class Skipped:
    """A variant that could not be measured here, and why."""

    variant: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Record:
    """One run.

    Attributes:
        format: `edgetl-bench`.
        version: of the format.
        created: when it began, UTC, ISO 8601, by this machine's clock.
        machine: :func:`edgetl.machine.describe`, taken at the beginning.
        bundle: its name, backbone and the edgetl that wrote it; the embedding's length and its levels', values; a taught photo's bytes.
        settings: counts, photos and the folder's file system.
        rows: what was measured.
        skipped: what was not, with its reason.
    """

    format: str
    version: int
    created: str
    machine: Mapping[str, Any]
    bundle: Mapping[str, Any]
    settings: Mapping[str, Any]
    rows: tuple[Row, ...]
    skipped: tuple[Skipped, ...]


def percentile(samples: Sequence[int], q: int) -> int | None:
    """The nearest-rank percentile (Hyndman and Fan 1996, definition 1): always a sample that was taken.

    Args:
        samples: at least one.
        q: in (0, 100).

    Returns:
        The smallest sample that at least q % of the samples do not exceed; None where fewer than 100 / (100 - q) samples leave
        none above it to speak for the rest.
    """
    if len(samples) * (100 - q) < 100:
        return None
    return sorted(samples)[math.ceil(q * len(samples) / 100) - 1]


def write(record: Record, path: str | os.PathLike[str]) -> None:
    """Writes the record as JSON: the whole file appears under its name, or none of it does."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with scratch.open("x") as file:
            json.dump(to_json(record), file)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)


def table(record: Record) -> str:
    """The record for the screen: milliseconds, one line per scenario and stage, and why variants are missing."""
    headers = ("variant", "threads", "scenario", "stage", "p50 ms", "p90 ms", "p99 ms", "n", "note")
    lines = [render(headers, [_line(row) for row in record.rows])] if record.rows else []
    made = record.bundle
    levels = f" from levels of {' + '.join(map(str, made['levels']))}" if made["levels"] else ""
    lines.append(f"an embedding has {made['dim']} values{levels}; a taught photo's takes {made['sample_bytes']} B in the store")
    lines += [f"not measured: {skipped.variant}: {skipped.reason}" for skipped in record.skipped]
    return "\n".join(lines)


def _line(row: Row) -> tuple[object, ...]:
    times = [None if value is None else f"{value / 1e6:.3f}" for value in (row.p50, row.p90, row.p99)]
    return row.variant, row.threads, row.scenario, row.stage or "", *times, row.n, row.note
