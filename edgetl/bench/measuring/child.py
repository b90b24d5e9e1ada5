"""The fresh process of a job, from the parent's side: what it is to do, its answer, how it ended, and how to stop it.

There is no time limit: a process is bounded by the method, and a guess would end slow machines. What does not end is ended by Ctrl-C, and
the record says in which scenario it was.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from array import array
from collections.abc import Callable
from pathlib import Path
from types import FrameType, ModuleType, TracebackType
from typing import Any

from edgetl.bench.measuring.loop import Measured
from edgetl.bench.measuring.stand import Options
from edgetl.bench.method import Method
from edgetl.bench.record import Accuracy, Subject
from edgetl.decoding import decode
from edgetl.types import to_json

SCRATCH = "edgetl-bench-"
"""Prefix of the folder that holds those of all processes."""
ANSWER = "answer.json"
"""The file that a process leaves in its folder."""
PYTHON = "EDGETL_PYTHON"
"""The words that start Python if `sys.executable` alone cannot: under an emulator."""
PROGRAM = "from edgetl.bench.measuring import worker; worker.main()"
"""What Python runs with -c; the job's path follows."""
_HINTS = {
    "SIGKILL": "the kernel kills the largest process when memory runs out (dmesg shows it): try fewer threads or a smaller variant",
    "SIGILL": "its library uses an instruction that this processor does not have: install a build for it",
    "SIGSEGV": "its library crashed: try another version of it",
    "SIGABRT": "its library aborted: try another version of it",
    "SIGBUS": "a file that it reads was cut short, or the disk failed (dmesg shows it)",
}


@dataclasses.dataclass(frozen=True)
class BenchJob:
    """One process: one configuration, one task of :data:`edgetl.bench.measuring.worker.TASKS`.

    `provider` becomes EDGETL_PROVIDER in the process; the last of `classes` is the new class; `folder` is scratch, this process's own;
    `labelled` is a folder `root/<class>/<photo>`; `meter` is an argument of :func:`edgetl.machine.meter.open_meter`.
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
    meter: str | None = None


@dataclasses.dataclass(frozen=True)
class JobAnswer:
    """What the process gives back.

    Attributes:
        subject: what it opened; None if that failed.
        measured: scenario or phase -> its result.
        library: :func:`edgetl.machine.libraries.details` of the family that computed: its build.
        overhead: of the harness, nanoseconds per query.
        skipped: (scenario, reason).
        failed: the message of the error that ended it; empty if none did.
        complete: whether the task was done; a process that dies leaves what it had kept until then.
    """

    subject: Subject | None = None
    measured: dict[str, Measured] = dataclasses.field(default_factory=dict)
    accuracy: Accuracy | None = None
    library: dict[str, Any] = dataclasses.field(default_factory=dict)
    overhead: tuple[int, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    failed: str = ""
    complete: bool = True


def write(value: BenchJob | JobAnswer, path: Path) -> None:
    """Writes a value as JSON; a reader sees all of it or what was there before."""
    scratch = path.with_name(f"{path.name}.new")
    scratch.write_text(json.dumps(to_json(value), default=list))
    scratch.replace(path)


def read_answer(path: Path) -> JobAnswer:
    """The answer that :func:`write` wrote; JSON has no None among its names, so that the whole is `None` there."""
    content, measured = json.loads(path.read_text()), {}
    for name, part in content.pop("measured").items():
        samples, units = (
            {None if stage == "None" else stage: entry for stage, entry in part.pop(key).items()} for key in ("samples", "units")
        )
        plain = decode(Measured, {**part, "samples": {}})
        measured[name] = dataclasses.replace(plain, samples={stage: array("q", taken) for stage, taken in samples.items()}, units=units)
    return dataclasses.replace(decode(JobAnswer, {**content, "measured": {}}), measured=measured)


def python() -> list[str]:
    """The words that start Python."""
    return shlex.split(os.environ.get(PYTHON, "")) or [sys.executable]


def command(program: ModuleType, *arguments: str) -> list[str]:
    """The command line of a program that must not import the bench before what is measured: its text goes to Python with -c."""
    return [*python(), "-c", inspect.getsource(program), *arguments]


class Stop:
    """Turns SIGINT, SIGTERM and SIGHUP into a wish to stop while it is entered, so that none comes between a record and its file.

    No exception is raised, because it could come anywhere: between a process's start and the first line that knows of it. What remains to
    be done after the wish takes seconds; further signals change nothing. Outside of the main thread, where Python delivers no signals, and
    for a signal that is ignored (nohup), nothing is changed.

    Attributes:
        reason: why it should stop; empty until then.
    """

    def __init__(self) -> None:
        self.reason = ""
        self._process: subprocess.Popen[str] | None = None
        self._handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._handlers[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()

    def watch(self, process: subprocess.Popen[str] | None) -> None:
        """Names the process to end, which leads a group of its own; None when it has ended."""
        self._process = process
        if self.reason:
            self._end()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.reason = self.reason or f"interrupted by {signal.Signals(number).name}"
        self._end()

    def _end(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


def run(job: BenchJob, folder: Path, step: Callable[[str], None], stop: Stop) -> JobAnswer:
    """Does a job in a fresh process.

    Args:
        job: what to do.
        folder: scratch of that process, made here.
        step: called with each step that the process has done.
        stop: ends the process on request; what it had measured is the answer.
    """
    folder.mkdir()
    path, errors = folder / "job.json", folder / "stderr"
    variables = {**os.environ, **({"EDGETL_PROVIDER": job.provider} if job.provider else {})}
    write(dataclasses.replace(job, folder=str(folder)), path)
    steps = 0
    # A session of its own: Ctrl-C at the terminal reaches the parent alone, and the process can be ended with everything that it started.
    with (
        errors.open("w") as stderr,
        subprocess.Popen(
            [*python(), "-c", PROGRAM, str(path)], env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True,
            start_new_session=True,
        ) as process,
    ):  # fmt: skip
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
    answer = read_answer(folder / ANSWER) if (folder / ANSWER).exists() else JobAnswer(complete=False)
    if answer.complete or stop.reason:
        return answer
    within = f" in {job.scenarios[steps]}" if steps < len(job.scenarios) else ""
    return dataclasses.replace(answer, failed=f"its process {_ended(process.returncode, errors)}{within}")


def last_words(errors: str, code: int) -> str:
    """The last line that a process wrote to standard error."""
    return (errors.strip().splitlines() or [f"exit code {code}, without a message"])[-1]


def _ended(code: int, errors: Path) -> str:
    """How a process ended that gave no answer."""
    words = last_words(errors.read_text(errors="replace"), code)
    if code >= 0:
        return f"ended with exit code {code} ({words})"
    name = signal.Signals(-code).name
    return f"was killed by {name} ({_HINTS.get(name, words)})"
