"""The run: every configuration in turn, each time in a fresh process, until the method's rounds are done."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from edgetl import machine
from edgetl.bench.measuring import child
from edgetl.bench.measuring.accuracy import Split
from edgetl.bench.measuring.child import SCRATCH, BenchJob, Stop
from edgetl.bench.measuring.gathering import Gathering, warnings
from edgetl.bench.measuring.photos import BenchPhotos
from edgetl.bench.measuring.plan import Configuration, Turn, configurations, leading, plan, requested, spend
from edgetl.bench.measuring.stand import Options
from edgetl.bench.method import FULL, Method
from edgetl.bench.record import Record, Round, Skipped
from edgetl.bundle.bundle import Bundle
from edgetl.errors import BenchError, EdgetlError
from edgetl.inputs.photo.folders import Progress
from edgetl.machine import libraries, sensors
from edgetl.machine.meter import open_meter
from edgetl.store.encoding import row_size

logger = logging.getLogger("edgetl")
_OPEN = 2.0  # s of a process beside its share of seconds (docs/evidence/bench-time.md)


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
    stop: Stop | None = None,
) -> Record:
    """Measures a bundle on this machine; takes minutes (`quick`) to an hour (`full`) for six variants.

    Every configuration (variant x threads x provider) is measured in fresh processes, which take turns: A B C, C A B, ..., so that other
    load slows them alike. Ctrl-C ends it: the record holds what was measured until then, and says that it is partial.

    Args:
        bundle: the bundle's path.
        photos: a folder; its photos are what the queries rotate over. None makes synthetic ones.
        labelled: a folder `root/<class>/<photo>`: every configuration's top-1 over it stands beside its latencies.
        variants: only these; None is every variant. One that does not work here is listed with its reason.
        threads: of the runtime, each a configuration of its own; None is every core, at most 4.
        providers: execution providers or delegates, likewise; None is each runtime's own.
        scenarios: names in :data:`edgetl.bench.measuring.scenarios.SCENARIOS` or :data:`edgetl.bench.measuring.plan.PHASES`; None is those
            that are always measured.
        method: how often and how long.
        options: of single scenarios.
        meter: of energy (see :func:`edgetl.machine.meter.open_meter`).
        progress: called with (steps done, steps in all).
        stop: turns signals into a wish to stop; None is for the run alone.

    Raises:
        BundleError: the bundle is damaged, or has no such variant.
        PhotoError: a folder is missing or holds no photo, or one that cannot be decoded.
        TrainError: fewer than two classes of `labelled` have two photos.
        BenchError: an unknown scenario, a meter that cannot be read, or no room for temporary files.
    """
    opened = Bundle.open(bundle)
    chosen = configurations(opened, variants, threads, providers)
    names, unread = _names(scenarios, meter)
    if labelled is not None:
        Split.make(labelled, method.seed)  # each process reads it again, but errors come before the minutes of measuring
    with nullcontext(stop) if stop else Stop() as stopping, _scratch() as scratch:
        created, here = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), machine.describe(folder=scratch)
        material = BenchPhotos.make(photos, method, scratch)
        job = BenchJob(
            task="", bundle=str(opened.path), variant="", threads=None, provider=None, scenarios=(), photos=material.files,
            classes=material.classes, labelled=None if labelled is None else os.fspath(labelled), method=method,
            options=options or Options(), folder=str(scratch), meter=meter,
        )  # fmt: skip
        gathering = Gathering(method, chosen)
        turns, watch = _schedule(chosen, names, method, ["accuracy"] if labelled is not None else [], gathering, progress)
        rounds, ended = _walk(turns, job, gathering, watch, stopping)
        results = gathering.results()
    return Record(
        created=created, ended=ended, edgetl=libraries.version(), machine={**here, "builds": gathering.builds()},
        bundle=_described(opened), photos=material.described(), method=method, overhead=gathering.overhead(),
        results=results, rounds=tuple(rounds),
        skipped=(*gathering.skipped(), *unread), warnings=(*material.warnings(), *warnings(results, rounds, machine.cores())),
    )  # fmt: skip


def _names(scenarios: Sequence[str] | None, meter: str | None) -> tuple[tuple[str, ...], list[Skipped]]:
    """What is measured; energy if a meter can be read: it must be if it was named, or if nothing else was requested."""
    names = requested(scenarios)
    if meter is None and "energy" not in names:
        return names, []
    try:
        open_meter(meter)
    except BenchError as error:
        if meter is not None or names == ("energy",):
            raise
        return tuple(name for name in names if name != "energy"), [Skipped("energy", str(error))]
    return tuple(dict.fromkeys((*names, "energy"))), []


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder for temporary files, gone afterwards."""
    try:
        with tempfile.TemporaryDirectory(prefix=SCRATCH, ignore_cleanup_errors=True) as folder:
            yield Path(folder)
    except OSError as error:
        if isinstance(error, EdgetlError):
            raise
        where = tempfile.gettempdir()
        message = f"no room for temporary files in {where}: {error}. Name a folder that has some: TMPDIR=/that/folder"
        raise BenchError(message, code="no-room", path=where) from error


def _schedule(
    chosen: Sequence[Configuration], names: Sequence[str], method: Method, also: Sequence[str], gathering: Gathering,
    progress: Progress | None,
) -> tuple[Iterable[Turn], _Watch]:  # fmt: skip
    """The processes in their order, and who watches them go by."""
    if method.budget is not None:
        scenario, least = leading(names), len(chosen) * (_OPEN + method.seconds / method.rounds)
        logger.info(
            "screening %d configurations by %s takes about %s of %s", len(chosen), scenario, duration(least), duration(method.budget)
        )
        return spend(chosen, names, method, gathering.median, also), _Watch(progress, seconds=method.budget)
    turns = plan(chosen, names, method, also)
    what = ", ".join(configuration.name for configuration in chosen)
    logger.info("measuring %s in %d processes, %d rounds: %s", what, len(turns), method.rounds, ", ".join((*names, *also)))
    return turns, _Watch(progress, turns)


def _walk(turns: Iterable[Turn], job: BenchJob, gathering: Gathering, watch: _Watch, stop: Stop) -> tuple[list[Round], str]:
    """Runs every process in its turn; the rounds, and why it ended before the last one, empty if it did not."""
    begun = time.monotonic()
    rounds: list[Round] = []
    for number, turn in enumerate(turns):
        if stop.reason:
            break
        if not gathering.failed(turn):
            before, started = sensors.reading(), time.monotonic() - begun
            try:
                answer = child.run(_job(job, turn), folder := Path(job.folder) / f"{number}", watch.step, stop)
            except OSError as error:
                return rounds, f"a process could not be started after {len(rounds)}: {error}"
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            rounds.append(Round(turn.number, turn.configuration.name, started, before, sensors.reading(), turn.task))
            gathering.take(turn, answer)
        watch.end(turn)
    return rounds, f"{stop.reason} in process {len(rounds)}{watch.total}" if stop.reason else ""


def _job(job: BenchJob, turn: Turn) -> BenchJob:
    from dataclasses import asdict, replace

    return replace(job, task=turn.task, scenarios=turn.scenarios, **asdict(turn.configuration))


class _Watch:
    """How far the run is: of processes that are known beforehand, or of a budget of seconds. Logs a line per round."""

    def __init__(
        self, progress: Progress | None, turns: Sequence[Turn] = (), seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._seconds, self._clock = seconds, clock
        self._progress, self._begun = progress or (lambda done, total: None), clock()
        self._all = sum(turn.steps for turn in turns) if seconds is None else max(1, round(seconds))
        self._ended = self._done = 0
        self._name = ""
        self.total = f" of {len(turns)}" if turns else ""
        self._progress(0, self._all)

    def step(self, _: str) -> None:
        """The running process has done a step."""
        if self._seconds is None:
            self._done += 1
            self._progress(min(self._done, self._all), self._all)

    def end(self, turn: Turn) -> None:
        """A turn ended; its process may never have begun."""
        passed = self._clock() - self._begun
        name = f"{'memory' if turn.task == 'memory' else 'round'} {turn.number + 1}"
        self._ended += turn.steps
        self._done = self._ended if self._seconds is None else min(round(passed), self._all)
        self._progress(self._done, self._all)
        if name != self._name:
            left = passed / self._done * (self._all - self._done) if self._done else 0.0
            logger.info("%s begun after %s; about %s left", name, duration(passed), duration(left))
        self._name = name


def duration(seconds: float) -> str:
    """For people: `45 s`, `3 min 20 s`, `1 h 05 min`."""
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def _described(bundle: Bundle) -> dict[str, Any]:
    return {
        "name": bundle.path.name, "backbone": bundle.backbone, "created_by": bundle.created_by, "dim": bundle.dim,
        "levels": list(bundle.levels), "sample_bytes": row_size(bundle.dim),
    }  # fmt: skip
