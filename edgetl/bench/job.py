"""What the parent asks of a fresh process, and what that answers; both cross as JSON files."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from edgetl.bench.loop import Measured
from edgetl.bench.method import Method
from edgetl.bench.record import Accuracy, Minute, Subject
from edgetl.bench.stand import Options
from edgetl.types import Proportion, to_json


@dataclasses.dataclass(frozen=True)
class Job:
    """One process: one configuration, one task.

    Attributes:
        task: its name in :data:`edgetl.bench.worker.TASKS`.
        bundle: the bundle's path.
        variant: the variant's name.
        threads: of the runtime; None is every core, at most 4.
        provider: what EDGETL_PROVIDER says to the process; None leaves the runtime its own.
        scenarios: names, in order; what else a task does with them is its own affair.
        photos: files to rotate over.
        classes: files of charts, one list per class; the last is the new class.
        labelled: a folder `root/<class>/<photo>`; None where none was given.
        method: how often and how long.
        options: of single scenarios.
        folder: scratch, this process's own.
        spawned: the monotonic clock when the parent started the process, ns.
        meter: what :func:`edgetl.bench.energy.open_meter` takes.
    """

    task: str
    bundle: str
    variant: str
    threads: int | None
    provider: str | None
    scenarios: tuple[str, ...]
    photos: tuple[str, ...]
    classes: tuple[tuple[str, ...], ...]
    labelled: str | None
    method: Method
    options: Options
    folder: str
    spawned: int = 0
    meter: str | None = None

    @classmethod
    def read(cls, path: Path) -> Job:
        """The job that :func:`write` wrote."""
        said = json.loads(path.read_text())
        said["method"], said["options"] = Method(**said["method"]), Options(**said["options"])
        said["scenarios"], said["photos"] = tuple(said["scenarios"]), tuple(said["photos"])
        said["classes"] = tuple(map(tuple, said["classes"]))
        return cls(**said)


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the process gives back.

    Attributes:
        subject: what it opened; None where that failed.
        measured: scenario or phase -> what it gave.
        accuracy: of the task `accuracy`.
        library: :func:`edgetl.machine.libraries` of the library that computed: its build.
        overhead: of the harness, nanoseconds per query.
        skipped: (scenario, reason).
        refused: the name of the error that ended it, and its sentence; None where it went well.
    """

    subject: Subject | None = None
    measured: dict[str, Measured] = dataclasses.field(default_factory=dict)
    accuracy: Accuracy | None = None
    library: dict[str, Any] = dataclasses.field(default_factory=dict)
    overhead: tuple[int, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    refused: tuple[str, str] | None = None

    @classmethod
    def read(cls, path: Path) -> Answer:
        """The answer that :func:`write` wrote."""
        said = json.loads(path.read_text())
        return cls(
            subject=Subject(**said["subject"]) if said["subject"] else None,
            measured={name: _measured(one) for name, one in said["measured"].items()},
            accuracy=accuracy(said["accuracy"]),
            library=said["library"],
            overhead=tuple(said["overhead"]),
            skipped=tuple((name, reason) for name, reason in said["skipped"]),
            refused=tuple(said["refused"]) if said["refused"] else None,
        )


def write(value: Job | Answer, path: Path) -> None:
    """Writes one as JSON."""
    said = to_json(value)
    if isinstance(value, Answer):
        for name, one in value.measured.items():
            # JSON has no None among its names.
            said["measured"][name]["samples"] = [[stage, list(taken)] for stage, taken in one.samples.items()]
            said["measured"][name]["units"] = [[stage, unit] for stage, unit in one.units.items()]
    path.write_text(json.dumps(said))


def say(step: str) -> None:
    """Tells the parent that a step of the job is done."""
    print(step, flush=True)


def accuracy(said: dict[str, Any] | None) -> Accuracy | None:
    """An accuracy from its JSON."""
    if said is None:
        return None
    top1 = Proportion(said["top1"]["hits"], said["top1"]["n"])
    return Accuracy(**{**said, "top1": top1})


def _measured(said: dict[str, Any]) -> Measured:
    minutes = tuple(Minute(**minute) for minute in said["minutes"])
    return Measured(**{**said, "samples": dict(said["samples"]), "units": dict(said["units"]), "minutes": minutes})
