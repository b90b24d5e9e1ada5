"""What the demo measured, as frozen values: the screen, the report and `record.json` all show these."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from edgetl.bench import Method
from edgetl.session.reports import EvalReport
from edgetl.stats import Proportion
from edgetl.types import Prediction


@dataclasses.dataclass(frozen=True)
class Plan:
    """How much is done.

    Attributes:
        formats: what is exported.
        train: training photos per class; None is all.
        held_out: photos evaluated per class; None is all.
        bench: how the latencies are measured.
    """

    formats: tuple[str, ...]
    train: int | None
    held_out: int | None
    bench: Method


@dataclasses.dataclass(frozen=True)
class Step:
    """One step: its outcome in words, one table, and the numbers behind both.

    Attributes:
        name: one word, e.g. `train`.
        title: what was done, as a heading.
        words: the outcome, in at most three sentences.
        details: the rest, in sentences, for the report and `-v`.
        headers: the table's columns.
        rows: the table's cells, formatted.
        seconds: wall time, s.
        values: counts and differences that the words hold, by name.
        columns: how many of the columns the screen shows without `-v`.
    """

    name: str
    title: str
    words: str
    details: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    seconds: float
    values: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    columns: int | None = None


@dataclasses.dataclass(frozen=True)
class Latency:
    """How long one variant takes; None for what has too few samples.

    Attributes:
        variant: e.g. `tflite-int8`.
        library: the runtime library and its version.
        threads: of the runtime, count.
        p50: median from photo file to class, ms.
        p90: 90th percentile, ms.
        p99: 99th percentile, ms.
        n: photos timed, count.
        warm_load: median of fresh processes, ms.
        cold_load: the same with the files out of the page cache, ms; None too if they stayed in it.
        new_class: median from 20 photos of a new class to the first prediction, ms.
    """

    variant: str
    library: str
    threads: int
    p50: float | None
    p90: float | None
    p99: float | None
    n: int
    warm_load: float | None
    cold_load: float | None
    new_class: float | None


@dataclasses.dataclass(frozen=True)
class Example:
    """One held-out photo and its prediction.

    Attributes:
        path: the photo.
        label: its true class.
        prediction: what the head answered.
    """

    path: str
    label: str
    prediction: Prediction

    @property
    def correct(self) -> bool:
        """Whether the prediction is the true class."""
        return self.prediction.label == self.label


@dataclasses.dataclass(frozen=True)
class Figure:
    """One number to remember: the value with its unit, what it is, and how sure it is (n, interval)."""

    value: str
    name: str
    detail: str


@dataclasses.dataclass(frozen=True)
class DemoRecord:
    """The whole demo.

    Attributes:
        command: the command that repeats it.
        plan: how much was done.
        backbone: the network's name.
        variant: the variant that embedded the photos.
        library: the runtime library that ran it.
        figures: the numbers to remember.
        steps: the steps in order.
        evaluation: held-out photos of all classes, after the new classes were added.
        latencies: one per variant.
        examples: held-out photos with their predictions.
        machine: see :func:`edgetl.machine.describe`.
        seconds: wall time, s.
    """

    command: str
    plan: Plan
    backbone: str
    variant: str
    library: str
    figures: tuple[Figure, ...]
    steps: tuple[Step, ...]
    evaluation: EvalReport
    latencies: tuple[Latency, ...]
    examples: tuple[Example, ...]
    machine: Mapping[str, Any]
    seconds: float


def subset(report: EvalReport, word: str) -> Proportion:
    """The accuracy over the true classes whose name holds `word`, e.g. `mono`."""
    parts = [part for label, part in report.per_class.items() if word in label.split()]
    return Proportion(sum(part.hits for part in parts), sum(part.n for part in parts))


def merged(report: EvalReport) -> Proportion:
    """The accuracy when only functional or defective counts: the class name's last word, whatever the cell's kind."""
    hits = sum(
        count
        for truth, row in zip(report.labels, report.confusion)
        for answer, count in zip(report.labels, row)
        if truth.split()[-1] == answer.split()[-1]
    )
    return Proportion(hits, report.accuracy.n)
