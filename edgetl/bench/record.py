"""A bench record: every sample, the machine, the method; frozen values that :mod:`edgetl.bench.files` writes and reads."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from edgetl.bench.method import Method
from edgetl.bench.statistics import Estimate, Summary, summary
from edgetl.stats import Proportion

Kind = Literal["measured", "emulated"]
Unit = Literal["ns", "B", "uJ"]
LATENCIES = ("predict-file", "predict-array", "embed", "backbone")
"""The scenarios that stand for a configuration, the most telling first."""


@dataclasses.dataclass(frozen=True)
class Subject:
    """What was measured: a model file, on a library, set up in one way.

    Attributes:
        backbone: the bundle's backbone.
        variant: the bundle's variant.
        precision: `fp32`, `fp16` or `int8`.
        family: the runtime family.
        library: the runtime library and its version.
        provider: the execution provider or delegate: `cpu`, `xnnpack`, `cuda`, ...
        placement: `all of the model`, or `mixed 60/64 operators` if the provider left some to the CPU.
        threads: of the runtime, count.
        model: sha256 (hex) of the model.
        size: of the model's files, bytes.
        fingerprint: the digest (hex) of the embeddings' fingerprint.
    """

    backbone: str
    variant: str
    precision: str
    family: str
    library: str
    provider: str
    placement: str
    threads: int
    model: str
    size: int
    fingerprint: str

    @property
    def share(self) -> str:
        """The share of the model's operators that the provider computes, e.g. `100 %` or `94 % (60/64)`; empty if it is not known."""
        if self.placement == "all of the model":
            return "100 %"
        mixed = re.fullmatch(r"mixed (\d+)/(\d+) operators", self.placement)
        return f"{100 * int(mixed[1]) / int(mixed[2]):.0f} % ({mixed[1]}/{mixed[2]})" if mixed else ""

    @property
    def name(self) -> str:
        """The configuration, e.g. `onnx-int8 cpu 4 threads`: unique in a record, equal in two records that may be compared."""
        return f"{self.variant} {self.provider} {self.threads} thread{'s' if self.threads != 1 else ''}"


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """Top-1 of the same file on the same library, over photos that were not trained on.

    Attributes:
        top1: correct, tested, and the Wilson interval.
        correct: one character per test photo, in a fixed order: `1` correct, `0` wrong; two files are compared photo by photo.
        photos: the folder's name.
        digest: of the training and test photos' bytes and classes (hex).
        method: how, in a sentence.
    """

    top1: Proportion
    correct: str
    photos: str
    digest: str
    method: str


@dataclasses.dataclass(frozen=True)
class Minute:
    """One minute of `sustained`.

    Numbered from 0: the queries that began in it, the median and 90th percentile of all of them (ns; None if n is too small), and at its
    end the hottest zone's temperature and the slowest core's frequency, and whether the machine reports throttling; None if unreadable.
    """

    number: int
    n: int
    p50: int
    p90: int | None
    temperature_c: float | None
    frequency_khz: int | None
    throttled: bool | None


@dataclasses.dataclass(frozen=True)
class Row:
    """One scenario of one configuration, or one stage of it.

    Attributes:
        scenario: its name in :data:`edgetl.bench.measuring.scenarios.SCENARIOS`, or a phase: `cold-load`, `warm-load`, `first-inference`,
            `memory`, `energy`.
        stage: a part of it; None is the whole, timed by itself and not summed from its parts.
        kind: how the numbers came to be; only `measured` ones are ranked and compared.
        unit: of the samples: nanoseconds, bytes or microjoules.
        samples: all of them, one tuple per process, in the order in which they were taken; no outlier is removed.
        summary: p50, p90, p99 and max of all of them, each with its interval.
        warm_up: queries before the first that counts, over all rounds; 0 without a warm-up.
        steady: rounds whose warm-up ended steady; the others ran into its bound. None without a warm-up.
        facts: counts over all rounds: `arrived`, `dropped`, `missed`, `correct`, `tested`, ...
        minutes: of `sustained`.
        note: what the numbers do not show, in a sentence.
        machine_speed: how long a fixed piece of work took between the queries, nanoseconds, one tuple per process
            (:func:`edgetl.bench.measuring.loop.machine_speed`). Empty if it was not taken.
    """

    scenario: str
    stage: str | None
    kind: Kind
    unit: Unit
    samples: tuple[tuple[int, ...], ...]
    summary: Summary
    warm_up: int = 0
    steady: int | None = None
    facts: Mapping[str, float] = dataclasses.field(default_factory=dict)
    minutes: tuple[Minute, ...] = ()
    note: str = ""
    machine_speed: tuple[tuple[int, ...], ...] = ()

    @classmethod
    def of(
        cls, scenario: str, stage: str | None, samples: Sequence[Sequence[int]], method: Method, *,
        kind: Kind = "measured", unit: Unit = "ns", **more: Any,
    ) -> Row:  # fmt: skip
        """Makes a row with its summary; `more` are its other attributes."""
        kept = tuple(tuple(process) for process in samples if len(process))
        summed = summary(kept, confidence=method.confidence, resamples=method.resamples, seed=method.seed)
        return cls(scenario, stage, kind, unit, kept, summed, **more)

    @property
    def n(self) -> int:
        """Samples, count."""
        return sum(map(len, self.samples))

    @property
    def p50(self) -> Estimate:
        """The median."""
        return self.summary.p50


@dataclasses.dataclass(frozen=True)
class Result:
    """One configuration, measured.

    The rows come scenario by scenario, the whole before its stages; there is no accuracy without a labelled folder.
    """

    subject: Subject
    accuracy: Accuracy | None
    rows: tuple[Row, ...]

    def row(self, scenario: str, stage: str | None = None) -> Row | None:
        """One row; None if it was not measured."""
        return next((row for row in self.rows if (row.scenario, row.stage) == (scenario, stage)), None)

    @property
    def headline(self) -> Row | None:
        """The row that stands for the configuration: a whole prediction from a file if that was measured."""
        return next((row for name in LATENCIES if (row := self.row(name))), None)


@dataclasses.dataclass(frozen=True)
class Skipped:
    """A configuration or scenario that could not be measured here, and why."""

    what: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Round:
    """One process of one configuration, and the machine around it.

    Attributes:
        number: of the round, from 0.
        configuration: its name as requested: its subject's name, without a provider that was left to the runtime.
        seconds: from the start of the run to the start of the process, monotonic.
        before: :func:`edgetl.machine.sensors.reading` when it was started.
        after: the same when it had ended.
        task: what it did, a name in :data:`edgetl.bench.measuring.worker.TASKS`.
    """

    number: int
    configuration: str
    seconds: float
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    task: str = "latency"


@dataclasses.dataclass(frozen=True)
class Record:
    """One run.

    Attributes:
        created: when it began, UTC, ISO 8601, by this machine's clock.
        ended: empty if it ran to its end; else why it did not: such a record is partial.
        edgetl: the version that measured, and its git commit if it ran from a checkout.
        machine: :func:`edgetl.machine.describe`, taken at the beginning.
        bundle: its name, backbone and the edgetl that wrote it; the embedding's length and its levels', values; a stored photo's bytes.
        photos: what the queries rotate over, and the training photos, in words.
        method: counts, seconds, rounds, seeds.
        overhead: the harness's own time per query, measured with a query that does nothing, ns.
        results: one per configuration.
        rounds: the processes in the order in which they ran.
        skipped: what was not measured, with its reason.
        warnings: what a reader must know: the clock jumped, the machine throttled or was loaded.
        digest: sha256 (hex) that its file holds; empty if it was not read from a file.
    """

    created: str
    ended: str
    edgetl: str
    machine: Mapping[str, Any]
    bundle: Mapping[str, Any]
    photos: Mapping[str, Any]
    method: Method
    overhead: Summary | None
    results: tuple[Result, ...]
    rounds: tuple[Round, ...]
    skipped: tuple[Skipped, ...]
    warnings: tuple[str, ...]
    digest: str = dataclasses.field(default="", compare=False)

    def unmeasured(self) -> dict[str, str]:
        """Reason -> what was not measured for it, in one line."""
        whats: dict[str, list[str]] = {}
        for skipped in self.skipped:
            whats.setdefault(skipped.reason, []).append(skipped.what)
        return {reason: ", ".join(names) for reason, names in whats.items()}

    def rows(self) -> Iterator[tuple[Result, Row]]:
        """Every row with its result."""
        return ((result, row) for result in self.results for row in result.rows)
