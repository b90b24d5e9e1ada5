"""Footprint: peak memory in a process of its own, so that looking at it disturbs nothing that is timed.

RSS, the resident set, counts every page that the process has in memory, those included that it shares with other processes; its peak is
kept by the kernel (VmHWM in /proc/PID/status, man 5 proc_pid_status), so that none is missed. PSS, the proportional set, divides a shared
page among those who share it (/proc/PID/smaps_rollup, man 5 proc_pid_smaps); the kernel keeps no peak of it and walks the page tables
to tell it, which is why the parent samples it, every few milliseconds, and not the process itself: it would stop for it, and a thread of
it would take the interpreter from it.

The process stops after each step until the parent has looked. A stage is the peak from the process's start to the end of that step:

- `baseline`: Python and numpy, which a reader may subtract;
- `import`: and `import edgetl`;
- `open`: and the model, opened and proved, with a store of taught classes;
- `predict`: and photos predicted from files, one after the other;
- `learn`: and a class of 20 photos added and trained, which is also the whole.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import subprocess
from pathlib import Path

import numpy as np

from edgetl.bench.measuring.job import Answer, Job
from edgetl.bench.measuring.loop import Measured, Samples
from edgetl.bench.measuring.programs import command, live
from edgetl.bench.record import Subject
from edgetl.bundle.bundle import Bundle
from edgetl.classifier import Classifier
from edgetl.errors import BenchError
from edgetl.machine.files import ROOT, text
from edgetl.store import NewSample, Store

STEPS = ("baseline", "import", "open", "predict", "learn")
_PREDICTIONS, _LESSONS = 64, 20
_SECONDS = 0.005


def memory(job: Job, root: Path = ROOT) -> Answer:
    """The task: the footprint of one process. `root` is where `proc` lies.

    Raises:
        BenchError: the process failed; its last words.
    """
    folder = Path(job.folder)
    told = {
        "bundle": job.bundle, "variant": job.variant, "threads": job.threads, "store": str(_taught(job, folder / "footprint.db")),
        "photos": [job.photos[number % len(job.photos)] for number in range(_PREDICTIONS)], "lessons": job.classes[-1][:_LESSONS],
    }  # fmt: skip
    errors = folder / "footprint.err"
    with errors.open("w") as stderr, subprocess.Popen(
        command(live, json.dumps(told)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr
    ) as process:  # fmt: skip
        watch = Watch(root / f"proc/{process.pid}")
        said = _follow(process, watch)
    if process.returncode:
        words = (errors.read_text(errors="replace").strip().splitlines() or [f"exit code {process.returncode}"])[-1]
        raise BenchError(f"{job.bundle}: {job.variant} failed while its memory was measured: {words}")
    subject = Subject(**json.loads(said))
    if not watch.peaks:
        reason = f"{watch.folder.parent} does not say how much memory a process has (no /proc, or it is hidden): VmHWM in PID/status"
        return Answer(subject, skipped=(("memory", reason),))
    return Answer(subject, {"memory": watch.measured()})


class Watch:
    """What the kernel says of a process's memory.

    Attributes:
        folder: its folder in /proc.
        peaks: step -> peak RSS until its end, bytes.
        pss: what every look gave, bytes.
    """

    def __init__(self, folder: Path) -> None:
        """Nothing has been looked at yet."""
        self.folder = folder
        self.peaks: dict[str, int] = {}
        self.pss: list[int] = []

    def look(self) -> None:
        """Samples the PSS."""
        now = kilobytes(self.folder / "smaps_rollup", "Pss")
        self.pss += [] if now is None else [1024 * now]

    def end(self, step: str) -> None:
        """Keeps the peak of a step that is done."""
        self.look()
        peak = kilobytes(self.folder / "status", "VmHWM")
        if peak is not None:
            self.peaks[step] = 1024 * peak

    def measured(self) -> Measured:
        """As a scenario's share."""
        samples: Samples = {None: [max(self.peaks.values())], **{step: [peak] for step, peak in self.peaks.items()}}
        note = f"peak RSS after {_PREDICTIONS} predictions and a class of {_LESSONS}"
        if self.pss:
            samples = {**samples, "pss": [max(self.pss)]}
            note += "; `pss` is the largest of as many looks, and a shorter peak may be missed"
        else:
            note += "; no PSS: smaps_rollup cannot be read here"
        return Measured(samples, dict.fromkeys(samples, "B"), facts={"pss looks": len(self.pss)}, note=note)


def kilobytes(path: Path, name: str) -> int | None:
    """A number from a file of lines like `VmHWM:     1234 kB`, KiB; None where it does not say."""
    found = re.search(rf"^{name}:\s+(\d+) kB$", text(path) or "", re.MULTILINE)
    return int(found[1]) if found else None


def _follow(process: subprocess.Popen[bytes], watch: Watch) -> bytes:
    """Looks at the process until its last step is done, and lets it go on after each; the last line that it prints."""
    assert process.stdin is not None, "it is a pipe"
    assert process.stdout is not None, "it is a pipe"
    output, steps, said = process.stdout.fileno(), list(STEPS), b""
    while steps:
        watch.look()
        if not select.select([output], [], [], _SECONDS)[0]:
            continue
        heard = os.read(output, 1 << 16)
        if not heard:
            return b""
        said += heard
        # A library may print lines of its own.
        if steps[0].encode() in said.splitlines():
            watch.end(steps.pop(0))
            said = b""
            with contextlib.suppress(BrokenPipeError):  # it was killed; its exit code says so
                process.stdin.write(b"\n")
                process.stdin.flush()
    return (process.stdout.read().splitlines() or [b""])[-1]


def _taught(job: Job, path: Path) -> Path:
    """A store with the job's classes and an active head: what it holds of a photo takes the same room whatever is on it."""
    bundle = Bundle.open(job.bundle)
    fingerprint = bundle.fingerprint(bundle.variant(job.variant))
    random = np.random.Generator(np.random.PCG64(0))
    with Store.open(path, fingerprint) as store:
        for number, photos in enumerate(job.classes[:-1]):
            centre = random.standard_normal(fingerprint.dim, dtype=np.float32)
            near = centre + random.standard_normal((len(photos), fingerprint.dim), dtype=np.float32) / 4
            store.add([NewSample(random.bytes(32), f"class {number}", row, "bench") for row in near])
    with Classifier.open_store(path) as shop:
        shop.train()
    return path
