"""The fresh process: does one job and writes its answer.

It ends with its parent: when standard input ends, so does it, whatever it is doing.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from edgetl.bench.job import Answer, Job, say, write
from edgetl.bench.loop import Loop, Measured
from edgetl.bench.scenarios import SCENARIOS
from edgetl.bench.stand import Stand
from edgetl.bench.subject import subject
from edgetl.classifier import Classifier
from edgetl.errors import EdgetlError

PROGRAM = "from edgetl.bench import worker; worker.main()"
"""What Python runs with -c; the job's path follows."""


def main() -> None:
    """Reads the job that the command line names, does it, and writes `answer.json` beside it."""
    path = Path(sys.argv[1])
    threading.Thread(target=_end_with_parent, daemon=True).start()
    job = Job.read(path)
    try:
        answer = TASKS[job.task](job)
    except EdgetlError as error:
        answer = Answer(refused=(type(error).__name__, str(error)))
    write(answer, path.with_name("answer.json"))


def latency(job: Job) -> Answer:
    """The scenarios, one after the other, with everything open."""
    with Classifier.open(job.bundle, Path(job.folder) / "bench.db", variant=job.variant, threads=job.threads) as shop:
        for kind, photos in enumerate(job.classes[:-1]):
            shop.add_many([(photo, f"class {kind}") for photo in photos])
        shop.train()
        loop = Loop(job.method)
        stand = Stand.of(shop, [Path(photo) for photo in job.photos], [Path(one) for one in job.classes[-1]], Path(job.folder), job.options)
        measured: dict[str, Measured] = {}
        skipped: list[tuple[str, str]] = []
        for name in job.scenarios:
            try:
                measured[name] = SCENARIOS[name].run(stand, loop)
            except EdgetlError as error:
                skipped.append((name, str(error)))
            say(name)
        return Answer(subject(stand.embedder), measured, overhead=tuple(loop.overhead(1000)), skipped=tuple(skipped))


TASKS: Mapping[str, Callable[[Job], Answer]] = {"latency": latency}
"""What a process can be asked."""


def _end_with_parent() -> None:
    while sys.stdin.buffer.read(1):
        pass
    os._exit(1)
