"""The fresh process: does one job and leaves its answer.

It ends with its parent: when standard input ends, so does it with all that it started, whatever it is doing, and removes what the parent
could not.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from edgetl.bench.measuring import accuracy, fresh
from edgetl.bench.measuring.child import ANSWER, SCRATCH, BenchJob, JobAnswer, write
from edgetl.bench.measuring.loop import Loop, Measured
from edgetl.bench.measuring.scenarios import SCENARIOS
from edgetl.bench.measuring.stand import Stand, subject
from edgetl.classifier import Classifier
from edgetl.decoding import decode
from edgetl.errors import EdgetlError
from edgetl.machine import libraries
from edgetl.machine.meter import measure, open_meter

_METERED = 10.0  # s, idle and again at work


def main() -> None:
    """Reads the job that the command line names, does it, and leaves its answer."""
    path = Path(sys.argv[1])
    threading.Thread(target=_end_with_parent, args=(path.parent.parent,), daemon=True).start()
    job = decode(BenchJob, json.loads(path.read_text()))
    try:
        answer = TASKS[job.task](job)
    except EdgetlError as error:
        answer = JobAnswer(failed=str(error))
    _keep(answer, job)


def latency(job: BenchJob) -> JobAnswer:
    """The scenarios, one after the other, with everything open."""
    with opened(job) as stand:
        answer = JobAnswer(subject(stand.embedder), complete=False)
        for name in job.scenarios:
            loop = Loop(job.method, keep=functools.partial(_keep_with, job, answer, name))
            try:
                answer = _with(answer, name, SCENARIOS[name].run(stand, loop))
            except EdgetlError as error:
                answer = dataclasses.replace(answer, skipped=(*answer.skipped, (name, str(error))))
            _keep(answer, job)
            print(name, flush=True)  # the parent counts the steps
        library = libraries.details(stand.embedder.runtime.family)
        return dataclasses.replace(answer, library=library, overhead=tuple(Loop(job.method).overhead(1000)), complete=True)


def energy(job: BenchJob) -> JobAnswer:
    """Photo files -> their classes, one after the other, with a meter beside it."""
    with opened(job) as stand:
        numbers, seconds = itertools.count(), min(_METERED, job.method.seconds)

        def query() -> None:
            stand.classifier.predict(stand.photos[next(numbers) % len(stand.photos)])

        for _ in stand.photos:
            query()
        taken = measure(open_meter(job.meter), query, idle_seconds=seconds, seconds=seconds)
    facts = {name: float(getattr(taken, name)) for name in ("joules", "idle_watts", "idle_seconds", "seconds", "queries")}
    note = f"the mean of {taken.queries} predictions from files above idling: {taken.kind}"
    return JobAnswer(subject(stand.embedder), {"energy": Measured({None: [taken.microjoules]}, {None: "uJ"}, facts=facts, note=note)})


def _keep(answer: JobAnswer, job: BenchJob) -> None:
    """Writes the answer for the parent; an incomplete one is what the parent gets if this process dies."""
    write(answer, Path(job.folder) / ANSWER)


def _keep_with(job: BenchJob, answer: JobAnswer, name: str, so_far: Measured) -> None:
    _keep(_with(answer, name, so_far), job)


def _with(answer: JobAnswer, name: str, measured: Measured) -> JobAnswer:
    return dataclasses.replace(answer, measured={**answer.measured, name: measured})


@contextmanager
def opened(job: BenchJob) -> Iterator[Stand]:
    """The job's variant, trained on the charts, and what scenarios work with."""
    folder = Path(job.folder)
    with Classifier.open(job.bundle, folder / "bench.db", variant=job.variant, threads=job.threads) as classifier:
        for kind, photos in enumerate(job.classes[:-1]):
            classifier.add_many([(photo, f"class {kind}") for photo in photos])
        classifier.train()
        yield Stand.make(classifier, [*map(Path, job.photos)], [*map(Path, job.classes[-1])], folder, job.options)


TASKS: Mapping[str, Callable[[BenchJob], JobAnswer]] = {
    "latency": latency,
    "cold": fresh.cold,
    "memory": fresh.memory,
    "accuracy": accuracy.task,
    "energy": energy,
}
"""What a process can do."""


def _end_with_parent(scratch: Path) -> None:
    # Not sys.stdin: its lock would be held when the interpreter ends.
    while os.read(0, 1):
        pass
    if scratch.name.startswith(SCRATCH):
        # Another process removes the folder, after this one is dead: a thread that still writes would put files back.
        script = f'kill -KILL -{os.getpgrp()}; for _ in 1 2 3; do rm -rf "$0" && exit; sleep 1; done'
        subprocess.Popen(["sh", "-c", script, os.fspath(scratch)], start_new_session=True)
    else:
        os.killpg(0, signal.SIGKILL)
