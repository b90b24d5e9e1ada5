"""Tasks whose processes must be fresh: loads, with the page cache warm and cold, and peak memory.

A load has the stages `start` (until the interpreter runs its first line), `import` (edgetl, with numpy and Pillow), `read` (the model's
bytes, through their sha256), `library` (the runtime's), `open` (the library makes a model of the bytes) and `prove` (the self-test); the
whole is their sum. `disk` are the bytes that the process read from the disk. The first inference comes before the proof, so that it is the
model's very first; it is a row of its own: load and first inference together are the time to the first answer. "Cold" is the page cache;
a disk's own cache, and what the kernel knows of files, stay as they are.

Memory is the peak of the resident set, which the kernel keeps (VmHWM, man 5 proc_pid_status). A stage is the peak from the process's start
to the end of that step: `baseline` (Python and numpy), `import`, `open` (with a store of trained classes), `predict`, and `learn` (a class
of 20 photos added and trained), which is also the whole.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from time import perf_counter_ns
from types import ModuleType
from typing import Any

import numpy as np

from edgetl.bench.measuring import live, load
from edgetl.bench.measuring.child import BenchJob, JobAnswer, command, last_words
from edgetl.bench.measuring.loop import Measured, Samples
from edgetl.bench.record import Subject
from edgetl.bundle.bundle import Bundle
from edgetl.classifier import Classifier
from edgetl.errors import BenchError
from edgetl.store import NewSample, Store

_COLDEST = 0.9
"""The share of the model's size that a load must read from the disk to be called cold."""
_PREDICTIONS, _NEW = 64, 20
_COLD = "what stayed in the page cache, such as Python itself, is in use by running programs: after a boot a load takes longer"


def cold(job: BenchJob) -> JobAnswer:
    """The task: a warm load and, if the page cache can be emptied, a cold one; the first inference after each."""
    known, warm = run_load(job), run_load(job)
    subject = Subject(**warm["subject"])
    measured = {"warm-load": _load(warm)}
    first: Samples = {None: [warm["first"]]}
    bundle = Path(job.bundle)
    if hasattr(os, "posix_fadvise"):
        evict([*map(Path, known["files"]), *(bundle.rglob("*") if bundle.is_dir() else [bundle])])
    chilled = run_load(job)
    if chilled["disk"] < _COLDEST * subject.size:
        skipped = (("cold-load", "the page cache could not be emptied here"),)
        return JobAnswer(subject, {**measured, "first-inference": Measured(first)}, skipped=skipped)
    first["cold"] = [chilled["first"]]
    note = "after a warm load; the stage `cold` after a cold one"
    return JobAnswer(subject, {"cold-load": _load(chilled, _COLD), **measured, "first-inference": Measured(first, note=note)})


def memory(job: BenchJob) -> JobAnswer:
    """The task: peak memory of one process.

    Raises:
        BenchError: the process failed.
    """
    store = _trained(job, Path(job.folder) / "footprint.db")
    photos = [job.photos[number % len(job.photos)] for number in range(_PREDICTIONS)]
    arguments = {"bundle": job.bundle, "variant": job.variant, "threads": job.threads, "store": str(store), "photos": photos}
    if not Path("/proc/self/status").exists():
        return JobAnswer(skipped=(("memory", "this system does not report a process's peak memory (no VmHWM in /proc)"),))
    output = _run(live, job, json.dumps({**arguments, "new": job.classes[-1][:_NEW]}))
    peaks: dict[str, int] = output["peaks"]
    samples: Samples = {None: [max(peaks.values())], **{step: [peak] for step, peak in peaks.items()}}
    note = f"peak RSS after {_PREDICTIONS} predictions and a class of {_NEW}"
    return JobAnswer(Subject(**output["subject"]), {"memory": Measured(samples, dict.fromkeys(samples, "B"), note=note)})


def run_load(job: BenchJob) -> dict[str, Any]:
    """Loads once in a fresh process: what :mod:`edgetl.bench.measuring.load` prints.

    Raises:
        BenchError: the process failed.
    """
    spawned = perf_counter_ns() if sys.platform.startswith("linux") else 0  # elsewhere processes do not share a monotonic clock
    return _run(load, job, job.bundle, job.variant, json.dumps(job.threads), str(spawned))


def _run(program: ModuleType, job: BenchJob, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(command(program, *arguments), capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL)
    if done.returncode:
        words = last_words(done.stderr, done.returncode)
        raise BenchError(f"{job.bundle}: {job.variant} failed in a fresh process: {words}", code="process-failed", words=words)
    output: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return output


def _load(output: dict[str, Any], note: str = "") -> Measured:
    stages = {stage: taken for stage, taken in output["stages"].items() if taken is not None}
    samples: Samples = {None: [sum(stages.values())], **{stage: [taken] for stage, taken in stages.items()}, "disk": [output["disk"]]}
    return Measured(samples, {"disk": "B"}, note=note or ("" if "start" in stages else "without the process's start"))


def evict(paths: Iterable[Path]) -> None:
    """Lets files leave the page cache, but for what a running process has mapped, and what is not on the disk yet.

    /proc/sys/vm/drop_caches would slow down everything else on the machine, needs root, and frees no more of these files.
    """
    for path in {path.resolve() for path in paths}:
        if path.is_file() and os.access(path, os.R_OK):
            with path.open("rb") as file:
                with contextlib.suppress(OSError):  # a disk that is read-only has nothing to write back
                    os.fdatasync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _trained(job: BenchJob, path: Path) -> Path:
    """A store with the job's classes and an active head: a sample takes the same room whatever is on its photo."""
    bundle = Bundle.open(job.bundle)
    fingerprint = bundle.fingerprint(bundle.variant(job.variant))
    random = np.random.Generator(np.random.PCG64(0))
    with Store.open(path, fingerprint) as store:
        for number, photos in enumerate(job.classes[:-1]):
            centre = random.standard_normal(fingerprint.dim, dtype=np.float32)
            near = centre + random.standard_normal((len(photos), fingerprint.dim), dtype=np.float32) / 4
            store.add([NewSample(random.bytes(32), f"class {number}", row, "bench") for row in near])
    with Classifier.open_store(path) as classifier:
        classifier.train()
    return path
