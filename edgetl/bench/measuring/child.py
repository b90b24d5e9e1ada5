"""Starts the fresh process of a job, listens to it, and says how it ended.

There is no time limit: a process is bounded by what the method says of each scenario, and a guess would end slow machines. What does
not end is ended by Ctrl-C, and the record says in which scenario it was.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from edgetl.bench.measuring.job import ANSWER, Answer, Job, write
from edgetl.bench.measuring.programs import python
from edgetl.bench.measuring.stop import Stop
from edgetl.bench.measuring.worker import PROGRAM

_HINTS = {
    "SIGKILL": "the kernel kills the largest process when memory runs out (dmesg says so): try fewer threads or a smaller variant",
    "SIGILL": "its library uses an instruction that this processor does not have: install a build for it",
    "SIGSEGV": "its library crashed: try another version of it",
    "SIGABRT": "its library gave up: try another version of it",
    "SIGBUS": "a file that it reads was cut short, or the disk failed (dmesg says so)",
}


def run(job: Job, folder: Path, step: Callable[[str], None], stop: Stop) -> Answer:
    """Does a job in a fresh process.

    Args:
        job: what to do.
        folder: scratch of that process, made here.
        step: called with each step that the process says is done.
        stop: ends the process when the person wishes so; what it had measured is the answer.
    """
    folder.mkdir()
    path, errors = folder / "job.json", folder / "stderr"
    command = [*python(), "-c", PROGRAM, str(path)]
    variables = {**os.environ, **({"EDGETL_PROVIDER": job.provider} if job.provider else {})}
    write(dataclasses.replace(job, folder=str(folder), spawned=time.perf_counter_ns()), path)
    steps = 0
    # A session of its own: Ctrl-C at the terminal reaches the parent alone, and the process can be ended with everything that it started.
    with (
        errors.open("w") as stderr,
        subprocess.Popen(
            command, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True, start_new_session=True
        ) as process,
    ):
        stop.watch(process)
        try:
            assert process.stdout is not None, "it is a pipe"
            for line in process.stdout:
                steps += 1
                step(line.strip())
            process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        finally:
            stop.watch(None)
    answer = Answer.read(folder / ANSWER) if (folder / ANSWER).exists() else Answer(complete=False)
    if answer.complete or stop.reason:
        return answer
    within = f" in {job.scenarios[steps]}" if steps < len(job.scenarios) else ""
    return dataclasses.replace(answer, refused=("BenchError", f"its process {_ended(process.returncode, errors)}{within}"))


def _ended(code: int, errors: Path) -> str:
    """How a process ended that gave no answer."""
    words = (errors.read_text(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
    if code >= 0:
        return f"ended with exit code {code} ({words})"
    name = signal.Signals(-code).name
    return f"was killed by {name} ({_HINTS.get(name, words)})"
