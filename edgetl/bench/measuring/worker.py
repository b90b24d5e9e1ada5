"""The fresh process: does one job and leaves its answer.

It ends with its parent: when standard input ends, so does it with all that it started, whatever it is doing, and removes what the parent
could not.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from edgetl.bench.measuring import accuracy, footprint, phases
from edgetl.bench.measuring.energy import measure
from edgetl.bench.measuring.job import SCRATCH, Answer, Job, keep, say
from edgetl.bench.measuring.loop import Loop, Measured
from edgetl.bench.measuring.meter import open_meter
from edgetl.bench.measuring.scenarios import SCENARIOS
from edgetl.bench.measuring.stand import Stand
from edgetl.bench.measuring.subject import subject
from edgetl.classifier import Classifier
from edgetl.errors import EdgetlError
from edgetl.machine import libraries

PROGRAM = "from edgetl.bench.measuring import worker; worker.main()"
"""What Python runs with -c; the job's path follows."""
_METERED = 10.0  # s, idle and again at work


def main() -> None:
    """Reads the job that the command line names, does it, and leaves its answer."""
    path = Path(sys.argv[1])
    threading.Thread(target=_end_with_parent, args=(path.parent.parent,), daemon=True).start()
    job = Job.read(path)
    try:
        answer = TASKS[job.task](job)
    except EdgetlError as error:
        answer = Answer(refused=(type(error).__name__, str(error)))
    keep(answer, job)


def latency(job: Job) -> Answer:
    """The scenarios, one after the other, with everything open."""
    with opened(job) as stand:
        said = Answer(subject(stand.embedder), complete=False)
        for name in job.scenarios:
            loop = Loop(job.method, keep=functools.partial(_keep_with, job, said, name))
            try:
                said = _with(said, name, SCENARIOS[name].run(stand, loop))
            except EdgetlError as error:
                said = dataclasses.replace(said, skipped=(*said.skipped, (name, str(error))))
            keep(said, job)
            say(name)
        library = libraries.details(stand.embedder.runtime.family)
        return dataclasses.replace(said, library=library, overhead=tuple(Loop(job.method).overhead(1000)), complete=True)


def energy(job: Job) -> Answer:
    """Photo files -> their classes, one after the other, with a meter beside it."""
    with opened(job) as stand:
        numbers, seconds = itertools.count(), min(_METERED, job.method.seconds)

        def query() -> None:
            stand.shop.predict(stand.photos[next(numbers) % len(stand.photos)])

        for _ in stand.photos:
            query()
        taken = measure(open_meter(job.meter), query, idle_seconds=seconds, seconds=seconds)
    facts = {name: float(getattr(taken, name)) for name in ("joules", "idle_watts", "idle_seconds", "seconds", "queries")}
    note = f"the mean of {taken.queries} predictions from files above idling: {taken.kind}"
    return Answer(subject(stand.embedder), {"energy": Measured({None: [taken.microjoules]}, {None: "uJ"}, facts=facts, note=note)})


def _keep_with(job: Job, said: Answer, name: str, so_far: Measured) -> None:
    keep(_with(said, name, so_far), job)


def _with(said: Answer, name: str, measured: Measured) -> Answer:
    return dataclasses.replace(said, measured={**said.measured, name: measured})


@contextmanager
def opened(job: Job) -> Iterator[Stand]:
    """The job's variant, taught the charts, and what scenarios work with."""
    folder = Path(job.folder)
    with Classifier.open(job.bundle, folder / "bench.db", variant=job.variant, threads=job.threads) as shop:
        for kind, photos in enumerate(job.classes[:-1]):
            shop.add_many([(photo, f"class {kind}") for photo in photos])
        shop.train()
        yield Stand.of(
            shop, [Path(photo) for photo in job.photos], [Path(one) for one in job.classes[-1]], folder, job.options, job.labelled
        )


TASKS: Mapping[str, Callable[[Job], Answer]] = {
    "latency": latency,
    "cold": phases.cold,
    "memory": footprint.memory,
    "accuracy": accuracy.task,
    "energy": energy,
}
"""What a process can be asked."""


def _end_with_parent(scratch: Path) -> None:
    # Not sys.stdin: its lock would be held when the interpreter ends.
    while os.read(0, 1):
        pass
    if scratch.name.startswith(SCRATCH):
        shutil.rmtree(scratch, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)
