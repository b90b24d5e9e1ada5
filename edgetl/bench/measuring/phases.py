"""Phases: from the start of a process to the first inference, with the page cache warm and, where that is allowed, cold.

Three fresh processes do the same (see :mod:`edgetl.bench.measuring.programs.load`): the first fills the page cache and says which files a
load reads; the second is the warm load; then those files are let go, and the third is the cold load. The stages of a load:

- `start`: from the parent's call until the interpreter runs its first line (both read the same monotonic clock; only Linux has one);
- `import`: `import edgetl`, with numpy and Pillow;
- `read`: the model's bytes, through their sha256;
- `library`: the import of the runtime's library;
- `open`: the library makes a model of the bytes;
- `prove`: the golden photos are decoded, embedded and compared.

The whole is their sum: what the bench itself imports in between is left out. Stages in bytes say how cold it was: `cached`, what of the
files was in the page cache, `evicted`, what left it (the bundle nearly whole, or the load is not called cold), and `disk`, what the
process then read from the disk. What running programs have mapped stays: of Python and numpy that is about a third, because the bench is
one of them. "Cold" is the page cache; a disk's own cache, and the names
and places of files that the kernel knows, are as they are.

The first inference comes before the proof, so that it is the model's very first, and is a row of its own and no part of the load: load
and first inference together are what a person waits for the first answer.
"""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from edgetl.bench.measuring import pagecache
from edgetl.bench.measuring.job import Answer, Job
from edgetl.bench.measuring.loop import Measured, Samples
from edgetl.bench.measuring.programs import command, load
from edgetl.bench.record import Subject
from edgetl.errors import BenchError

_MODEL, _REST = 0.9, 0.5
"""The shares of the bundle, and of all other files of a load, that are let go at least before a load is called cold."""
_COLD = (
    "files of `cached` bytes were in memory, `evicted` of them were made to leave it, `disk` were read again; what stayed, such as Python "
    "itself, is in use by running programs: after a boot a load takes longer"
)


@dataclasses.dataclass(frozen=True)
class Load:
    """One load in one process.

    Attributes:
        stages: stage -> nanoseconds, in their order.
        first: the first inference, nanoseconds.
        disk: what the process had read from the disk by then, bytes: what the page cache had, it has not.
        files: what was read, the bundle left out.
        subject: what was opened.
    """

    stages: dict[str, int]
    first: int
    disk: int
    files: tuple[Path, ...]
    subject: Subject

    def measured(self, note: str = "", cache: Mapping[str, int] | None = None) -> Measured:
        """The load as a scenario's share; `cache` are more stages, bytes."""
        sizes = {**(cache or {}), "disk": self.disk}
        samples: Samples = {None: [sum(self.stages.values())], **{stage: [taken] for stage, taken in {**self.stages, **sizes}.items()}}
        unknown = "" if "start" in self.stages else "without the process's start, which no clock here can time"
        return Measured(samples, dict.fromkeys(sizes, "B"), note="; ".join(filter(None, (note, unknown))))


def cold(job: Job) -> Answer:
    """The task: a warm load and, where the page cache lets go of it, a cold one; the first inference after each."""
    known, warm = run(job), run(job)
    measured = {"warm-load": warm.measured()}
    first = Measured({None: [warm.first]}, note="after a warm load")
    try:
        cache = _evict(Path(job.bundle), known.files)
    except BenchError as error:
        return Answer(warm.subject, {**measured, "first-inference": first}, skipped=(("cold-load", str(error)),))
    chilled = run(job)
    measured = {"cold-load": chilled.measured(_COLD, cache), **measured}
    first = Measured({None: [warm.first], "cold": [chilled.first]}, note="after a warm load; the stage `cold` after a cold one")
    return Answer(warm.subject, {**measured, "first-inference": first})


def run(job: Job) -> Load:
    """Loads once, in a fresh process.

    Raises:
        BenchError: the process failed; its last words.
    """
    spawned = perf_counter_ns() if sys.platform.startswith("linux") else 0
    arguments = (job.bundle, job.variant, json.dumps(job.threads), str(spawned))
    done = subprocess.run(command(load, *arguments), capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL)
    if done.returncode:
        words = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise BenchError(f"{job.bundle}: {job.variant} could not be loaded in a fresh process: {words}")
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    stages = {stage: taken for stage, taken in said["stages"].items() if taken is not None}
    return Load(stages, said["first"], said["disk"], tuple(map(Path, said["files"])), Subject(**said["subject"]))


def _evict(bundle: Path, files: Iterable[Path]) -> dict[str, int]:
    """Lets go of the bundle and the other files; of them `cached` bytes were in the page cache and `evicted` ones left it.

    Raises:
        BenchError: too few for a load to be called cold.
    """
    try:
        model = pagecache.evict(bundle.rglob("*") if bundle.is_dir() else [bundle])
        rest = pagecache.evict(files)
    except OSError as error:
        raise BenchError(f"the page cache cannot be emptied: {error}") from error
    if model.share < _MODEL or rest.share < _REST:
        raise BenchError(
            f"too much stays in memory for a load to be called cold: {_tenths(model.share)} of the bundle and {_tenths(rest.share)} of the "
            f"other files that a load reads could be made to leave it, needed are {100 * _MODEL:.0f} % and {100 * _REST:.0f} %; what other "
            "programs use stays (stop them), and so do files on tmpfs and of another user"
        )
    before = model.before + rest.before
    return {"cached": before, "evicted": before - model.after - rest.after}


def _tenths(share: float) -> str:
    """Coarse, so that rounds that differ a little give the same reason."""
    return f"at least {math.floor(share * 10) * 10} %"
