"""What the parent asks of a fresh process, and what that answers; both cross as JSON files."""

from __future__ import annotations

import dataclasses
import json
from array import array
from pathlib import Path
from typing import Any

from edgetl.bench.decoding import decode
from edgetl.bench.measuring.loop import Measured, Samples
from edgetl.bench.measuring.stand import Options
from edgetl.bench.method import Method
from edgetl.bench.record import Accuracy, Subject
from edgetl.types import to_json

SCRATCH = "edgetl-bench-"
"""How the folder begins that holds those of all processes."""
ANSWER = "answer.json"
"""The file that a process leaves in its folder."""


@dataclasses.dataclass(frozen=True)
class Job:
    """One process: one configuration, one task.

    Attributes:
        task: its name in :data:`edgetl.bench.measuring.worker.TASKS`.
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
        meter: what :func:`edgetl.bench.measuring.meter.open_meter` takes.
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
        return decode(cls, json.loads(path.read_text()))


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the process gives back.

    Attributes:
        subject: what it opened; None where that failed.
        measured: scenario or phase -> what it gave.
        accuracy: of the task `accuracy`.
        library: :func:`edgetl.machine.libraries.details` of the family that computed: its build.
        overhead: of the harness, nanoseconds per query.
        skipped: (scenario, reason).
        refused: the name of the error that ended it, and its sentence; None where it went well.
        complete: whether the task was done; a process that dies leaves what it had kept until then.
    """

    subject: Subject | None = None
    measured: dict[str, Measured] = dataclasses.field(default_factory=dict)
    accuracy: Accuracy | None = None
    library: dict[str, Any] = dataclasses.field(default_factory=dict)
    overhead: tuple[int, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    refused: tuple[str, str] | None = None
    complete: bool = True

    @classmethod
    def read(cls, path: Path) -> Answer:
        """The answer that :func:`write` wrote."""
        said = json.loads(path.read_text())
        measured = {name: _measured(one) for name, one in said.pop("measured").items()}
        return dataclasses.replace(decode(cls, {**said, "measured": {}}), measured=measured)


def write(value: Job | Answer, path: Path) -> None:
    """Writes one as JSON; whoever reads sees all of it or what was there before."""
    said = to_json(value)
    if isinstance(value, Answer):
        for name, one in value.measured.items():
            # JSON has no None among its names.
            said["measured"][name]["samples"] = [[stage, list(taken)] for stage, taken in one.samples.items()]
            said["measured"][name]["units"] = [[stage, unit] for stage, unit in one.units.items()]
    scratch = path.with_name(f"{path.name}.new")
    scratch.write_text(json.dumps(said))
    scratch.replace(path)


def keep(answer: Answer, job: Job) -> None:
    """Leaves an answer where the parent finds it; one that is not complete is what remains if the process dies."""
    write(answer, Path(job.folder) / ANSWER)


def say(step: str) -> None:
    """Tells the parent that a step of the job is done."""
    print(step, flush=True)


def _measured(said: dict[str, Any]) -> Measured:
    samples: Samples = {stage: array("q", taken) for stage, taken in said.pop("samples")}
    units = dict(said.pop("units"))
    return dataclasses.replace(decode(Measured, {**said, "samples": {}}), samples=samples, units=units)
