"""Starts the fresh process of a job, listens to it, and ends it when its parent ends."""

from __future__ import annotations

import dataclasses
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from edgetl.bench.job import Answer, Job, write
from edgetl.bench.worker import PROGRAM

PYTHON = "EDGETL_PYTHON"
"""The words that start Python, where `sys.executable` alone cannot: under an emulator."""


def run(job: Job, folder: Path, step: Callable[[str], None]) -> Answer:
    """Does a job in a fresh process.

    Args:
        job: what to do.
        folder: scratch of that process, made here.
        step: called with each step that the process says is done.
    """
    folder.mkdir()
    path, errors = folder / "job.json", folder / "stderr"
    command = [*(shlex.split(os.environ.get(PYTHON, "")) or [sys.executable]), "-c", PROGRAM, str(path)]
    variables = {**os.environ, **({"EDGETL_PROVIDER": job.provider} if job.provider else {})}
    write(dataclasses.replace(job, folder=str(folder), spawned=time.perf_counter_ns()), path)
    # A session of its own: Ctrl-C at the terminal reaches the parent alone, which then ends the child by closing its input.
    with (
        errors.open("w") as stderr,
        subprocess.Popen(
            command, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True, start_new_session=True
        ) as process,
    ):
        try:
            assert process.stdout is not None, "it is a pipe"
            for line in process.stdout:
                step(line.strip())
        except BaseException:
            process.kill()
            raise
    answer = folder / "answer.json"
    if answer.exists():
        return Answer.read(answer)
    words = (errors.read_text(errors="replace").strip().splitlines() or [f"exit code {process.returncode}"])[-1]
    return Answer(refused=("RuntimeUnavailable", f"its process ended with {process.returncode}: {words}"))
