"""The run: every configuration in turn, each time in a fresh process, until the method's rounds are done."""

from __future__ import annotations

import itertools
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from edgetl import machine
from edgetl.bench.measuring import child
from edgetl.bench.measuring.accuracy import Split
from edgetl.bench.measuring.caveats import caveats
from edgetl.bench.measuring.configurations import configurations
from edgetl.bench.measuring.forecast import Forecast, duration
from edgetl.bench.measuring.gathering import Gathering
from edgetl.bench.measuring.job import SCRATCH, Job
from edgetl.bench.measuring.meter import open_meter
from edgetl.bench.measuring.photos import Photos
from edgetl.bench.measuring.plan import Turn, asked, counted, plan, told
from edgetl.bench.measuring.spending import leading, screening, spend
from edgetl.bench.measuring.stand import Options
from edgetl.bench.measuring.stop import Stop
from edgetl.bench.method import FULL, Method
from edgetl.bench.record import Record, Round, Skipped
from edgetl.bundle.bundle import Bundle
from edgetl.errors import BenchError, EdgetlError
from edgetl.inputs.photo.folders import Progress
from edgetl.machine import libraries, sensors
from edgetl.store.encoding import row_size

logger = logging.getLogger("edgetl")


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

    Every configuration (variant x threads x provider) is measured in fresh processes, which take turns: A B C, C A B, ..., so that
    whatever else the machine does slows them alike. Ctrl-C ends it: what was measured until then is in the record, which says so.

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
        meter: of energy (see :func:`edgetl.bench.measuring.meter.open_meter`).
        progress: called with (steps done, steps in all).
        stop: what turns signals into a wish to stop; None is for the run alone.

    Raises:
        BundleError: the bundle is damaged, or has no such variant.
        PhotoError: a folder is missing or holds no photo, or one that cannot be decoded.
        TrainError: fewer than two classes of `labelled` have two photos.
        BenchError: an unknown scenario, a meter that cannot be read, or no room for temporary files.
    """
    opened = Bundle.open(bundle)
    chosen = configurations(opened, variants, threads, providers)
    names, unread = _names(scenarios, meter, labelled is not None)
    if labelled is not None:
        Split.of(labelled, method.seed)  # it is read again by each process, but refused before the minutes that it is for
    also, options = ["accuracy"] if labelled is not None else [], options or Options()
    with nullcontext(stop) if stop else Stop() as stopping, _scratch() as scratch:
        created, here = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), machine.describe(folder=scratch)
        material = Photos.make(photos, method, scratch)
        job = Job(
            task="", bundle=str(opened.path), variant="", threads=None, provider=None, scenarios=(), photos=material.files,
            classes=material.classes, labelled=None if labelled is None else os.fspath(labelled), method=method,
            options=options, folder=str(scratch), meter=meter,
        )  # fmt: skip
        gathering, forecast = Gathering(method, chosen), Forecast(method, options)
        if method.budget is None:
            turns = plan(chosen, names, method, also)
            logger.info("%s; about %s", told(chosen, turns, method), duration(forecast.left(turns)))
            walked = _Walked(turns, forecast, progress)
            rounds, ended = _walk(turns, job, gathering, walked, stopping)
        else:
            least = forecast.left(itertools.chain(*screening(chosen, names, also)))
            logger.info("%s", _screened(counted(len(chosen), "configuration"), leading(names), least, method.budget))
            spent = _Spent(method.budget, progress)
            rounds, ended = _walk(spend(chosen, names, method, gathering, method.budget, also), job, gathering, spent, stopping)
        results = gathering.results()
    return Record(
        created=created,
        ended=ended,
        edgetl=libraries.version(),
        machine={**here, "builds": gathering.builds()},
        bundle=_described(opened),
        photos=material.told(),
        method=method,
        overhead=gathering.overhead(),
        results=results,
        rounds=tuple(rounds),
        skipped=(*gathering.skipped(), *unread),
        warnings=(*material.caveats(), *caveats(results, rounds, machine.cores())),
    )


def _names(scenarios: Sequence[str] | None, meter: str | None, labelled: bool) -> tuple[tuple[str, ...], list[Skipped]]:
    """What is measured; energy where a meter can be read: a meter that was named must be, and so must one where nothing else was asked."""
    names = asked(scenarios, labelled=labelled)
    if meter is None and "energy" not in names:
        return names, []
    try:
        open_meter(meter)
    except BenchError as error:
        if meter is not None or names == ("energy",):
            raise
        return tuple(name for name in names if name != "energy"), [Skipped("energy", str(error).removeprefix("no energy: "))]
    return tuple(dict.fromkeys((*names, "energy"))), []


def _screened(configurations: str, scenario: str, least: float, budget: float) -> str:
    """The plan of a run with a budget; `least` is what the screening alone takes, s."""
    if least <= budget:
        return f"screening {configurations} by {scenario}, {duration(budget)}"
    return (
        f"screening {configurations} by {scenario} takes about {duration(least)}, longer than the budget of {budget:g} s; "
        "nothing is measured after it"
    )


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder for temporary files, gone afterwards."""
    try:
        with tempfile.TemporaryDirectory(prefix=SCRATCH, ignore_cleanup_errors=True) as folder:
            yield Path(folder)
    except OSError as error:
        if isinstance(error, EdgetlError):
            raise
        raise BenchError(
            f"no room for temporary files in {tempfile.gettempdir()}: {error}; name a folder that has some: TMPDIR=/that/folder"
        ) from error


def _walk(turns: Iterable[Turn], job: Job, gathering: Gathering, walk: _Walk, stop: Stop) -> tuple[list[Round], str]:
    """Runs every process in its turn; the rounds, and why it ended before the last one, empty if it did not."""
    begun = time.monotonic()
    rounds: list[Round] = []
    for number, turn in enumerate(turns):
        if stop.reason:
            break
        if not gathering.refused(turn):
            before, started = sensors.reading(), time.monotonic() - begun
            asked_for, folder = turn.configuration.job(job, task=turn.task, scenarios=turn.scenarios), Path(job.folder) / f"{number}"
            try:
                answer = child.run(asked_for, folder, walk.step, stop)
            except OSError as error:
                return rounds, f"a process could not be started after {len(rounds)}: {error}"
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            rounds.append(Round(turn.number, turn.configuration.name, started, before, sensors.reading(), turn.task))
            gathering.take(turn, answer)
            walk.took(turn, time.monotonic() - begun - started)
        walk.end(turn)
    return rounds, f"{stop.reason} in process {len(rounds)}{walk.of}" if stop.reason else ""


class _Walk:
    """How far the run has come; it says so, and logs a line per round."""

    of = ""

    def step(self, _: str) -> None:
        """The running process says that a step is done."""

    def took(self, turn: Turn, seconds: float) -> None:
        """A process ended after so many seconds."""

    def end(self, turn: Turn) -> None:
        """A turn ended; its process may never have begun."""


class _Walked(_Walk):
    """Of processes that are known beforehand."""

    def __init__(self, turns: Sequence[Turn], forecast: Forecast, progress: Progress | None) -> None:
        self._turns, self._forecast = turns, forecast
        self._all = sum(turn.steps for turn in turns)
        self._turn = self._ended = self._done = 0
        self._begun = time.monotonic()
        self._progress = progress or (lambda done, total: None)
        self._progress(0, self._all)
        self.of = f" of {len(turns)}"

    def step(self, _: str) -> None:
        self._done += 1
        self._progress(min(self._done, self._all), self._all)

    def took(self, turn: Turn, seconds: float) -> None:
        self._forecast.learn(turn, seconds)

    def end(self, turn: Turn) -> None:
        self._turn += 1
        self._ended += turn.steps
        self._done = self._ended
        self._progress(self._done, self._all)
        rest = self._turns[self._turn :]
        if rest and (rest[0].number, rest[0].task == "memory") != (turn.number, turn.task == "memory"):
            name = "memory" if turn.task == "memory" else "round"
            of = max(one.number + 1 for one in self._turns if (one.task == "memory") == (turn.task == "memory"))
            passed, left = duration(time.monotonic() - self._begun), duration(self._forecast.left(rest))
            logger.info("%s %d of %d done after %s; about %s left", name, turn.number + 1, of, passed, left)


class _Spent(_Walk):
    """Of a budget of seconds."""

    def __init__(self, seconds: float, progress: Progress | None) -> None:
        self._seconds, self._begun, self._number = max(1, round(seconds)), time.monotonic(), 0
        self._progress = progress or (lambda done, total: None)
        self._names: dict[str, None] = {}
        self._progress(0, self._seconds)

    def end(self, turn: Turn) -> None:
        passed = time.monotonic() - self._begun
        self._progress(min(round(passed), self._seconds), self._seconds)
        if turn.number != self._number:
            self._say(passed)
        self._names[turn.configuration.name] = None

    def _say(self, passed: float) -> None:
        what = "screened" if not self._number else f"round {self._number}:"
        logger.info("%s %s after %s of %s", what, ", ".join(self._names), duration(passed), duration(self._seconds))
        self._number, self._names = self._number + 1, {}


def _described(bundle: Bundle) -> dict[str, Any]:
    return {
        "name": bundle.path.name, "backbone": bundle.backbone, "created_by": bundle.created_by, "dim": bundle.dim,
        "levels": list(bundle.levels), "sample_bytes": row_size(bundle.dim),
    }  # fmt: skip
