"""The run: every configuration in turn, each time in a fresh process, until the method's rounds are done."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from edgetl import machine
from edgetl.bench import child
from edgetl.bench.configurations import configurations
from edgetl.bench.gathering import Gathering
from edgetl.bench.job import Job
from edgetl.bench.method import FULL, Method
from edgetl.bench.photos import Photos
from edgetl.bench.plan import Turn, asked, plan
from edgetl.bench.record import Record, Round
from edgetl.bench.stand import Options
from edgetl.bench.worker import TASKS
from edgetl.bundle import Bundle
from edgetl.intake import Progress
from edgetl.machine import sensors
from edgetl.store.encoding import row_size


def run(
    bundle: str | os.PathLike[str],
    *,
    photos: str | os.PathLike[str] | None = None,
    labelled: str | os.PathLike[str] | None = None,
    variants: Sequence[str] | None = None,
    threads: Sequence[int] | None = None,
    providers: Sequence[str] | None = None,
    scenarios: Sequence[str] | None = None,
    method: Method = FULL,
    options: Options | None = None,
    meter: str | None = None,
    progress: Progress | None = None,
) -> Record:
    """Measures a bundle on this machine; takes minutes (`quick`) to an hour (`full`) for six variants.

    Every configuration (variant x threads x provider) is measured in fresh processes, which take turns: A B C, C A B, ..., so that
    whatever else the machine does slows them alike. Ctrl-C ends it: what was measured until then is in the record, which says so.

    Args:
        bundle: the bundle's path.
        photos: a folder; its photos are what the queries rotate over. None makes synthetic ones.
        labelled: a folder `root/<class>/<photo>`: every configuration's top-1 over it stands beside its latencies.
        variants: only these; None is every variant. One that does not work here is listed with its reason.
        threads: of the runtime, each a configuration of its own; None is every core, at most 4.
        providers: execution providers or delegates, likewise; None is each runtime's own.
        scenarios: names in :data:`edgetl.bench.scenarios.SCENARIOS`; None is those that are always measured.
        method: how often and how long.
        options: of single scenarios.
        meter: of energy (see :func:`edgetl.bench.energy.open_meter`).
        progress: called with (steps done, steps in all).

    Raises:
        BundleError: the bundle is damaged, or has no such variant.
        PhotoError: the folder is missing or holds no photo, or one that cannot be decoded.
        BenchError: an unknown scenario.
    """
    opened = Bundle.open(bundle)
    chosen = configurations(opened, variants, threads, providers)
    also = ["accuracy"] if labelled is not None else []
    # A task that is not written yet is not planned.
    turns = [turn for turn in plan(chosen, asked(scenarios), method, also) if turn.task in TASKS]
    created, here, begun = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), machine.describe(), time.monotonic()
    gathering = Gathering(method)
    rounds: list[Round] = []
    ended = ""
    with tempfile.TemporaryDirectory(prefix="edgetl-bench-") as scratch:
        material = Photos.make(photos, method, Path(scratch))
        job = Job(
            task="", bundle=str(opened.path), variant="", threads=None, provider=None, scenarios=(), photos=material.files,
            classes=material.classes, labelled=None if labelled is None else os.fspath(labelled), method=method,
            options=options or Options(), folder="", meter=meter,
        )  # fmt: skip
        walked = _Walked(turns, progress)
        try:
            for number, turn in enumerate(turns):
                if not gathering.refused(turn):
                    before, started = sensors.reading(), time.monotonic() - begun
                    asked_for = turn.configuration.job(job, task=turn.task, scenarios=turn.scenarios)
                    answer = child.run(asked_for, Path(scratch) / f"{number}", walked.step)
                    rounds.append(Round(turn.number, turn.configuration.name, started, before, sensors.reading(), turn.task))
                    gathering.take(turn, answer)
                walked.end(turn)
        except KeyboardInterrupt:
            ended = f"interrupted after {len(rounds)} of {len(turns)} processes"
    return Record(
        created=created,
        ended=ended,
        edgetl=metadata.version("edgetl"),
        machine=here,
        bundle=_described(opened),
        photos=material.told(),
        method=method,
        overhead=gathering.overhead(),
        results=gathering.results(),
        rounds=tuple(rounds),
        skipped=gathering.skipped(),
        warnings=(),
    )


class _Walked:
    """How far the run has come: the steps of the turns that ended, and those that the running process says are done."""

    def __init__(self, turns: Sequence[Turn], progress: Progress | None) -> None:
        self._all = sum(turn.steps for turn in turns)
        self._ended = self._done = 0
        self._progress = progress or (lambda done, total: None)

    def step(self, _: str) -> None:
        self._done += 1
        self._progress(min(self._done, self._all), self._all)

    def end(self, turn: Turn) -> None:
        self._ended += turn.steps
        self._done = self._ended
        self._progress(self._done, self._all)


def _described(bundle: Bundle) -> dict[str, Any]:
    return {
        "name": bundle.path.name, "backbone": bundle.backbone, "created_by": bundle.created_by, "dim": bundle.dim,
        "levels": list(bundle.levels), "sample_bytes": row_size(bundle.dim, "int8"),
    }  # fmt: skip
