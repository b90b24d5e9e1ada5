"""Two records of one machine, row by row: what is faster, slower, or cannot be told.

A ratio's interval includes how processes vary: the standard error of a percentile's logarithm is bootstrapped over the rounds of each
record (:mod:`edgetl.bench.statistics`), and the two are compared as Welch did (1947), after the machine's own speed is taken out
(:mod:`edgetl.bench.judging.machine_speed`). A row has a verdict if 1 is outside the interval and the difference is no smaller than the
margin, and "no change" if the whole interval lies within the margin. No time is judged on a busy machine; below that limit 1 must be
outside by more than 5 % of the share that other processes had.

One of twenty rows is outside its 95 % interval by chance. Only the headline numbers fail a build (of whole scenarios the p50, or the
requested percentiles; memory; top-1), and of those the ones that hold after Holm's correction (1979) for their number. How often verdicts
are right: docs/evidence/bench-verdicts.md.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from edgetl.bench import statistics
from edgetl.bench.judging import circumstances
from edgetl.bench.judging.circumstances import Difference, MachineLoad, Note
from edgetl.bench.judging.machine_speed import Adjusted, at_one_speed
from edgetl.bench.measuring.scenarios import SCENARIOS
from edgetl.bench.record import Accuracy, Record, Result, Row
from edgetl.errors import RecordError
from edgetl.stats import paired_difference, sign_test

Verdict = Literal["faster", "slower", "smaller", "larger", "better", "worse", "same", "no change", "cannot tell"]
Cause = Literal[
    "changed", "inside-margin", "holds-one", "below-margin", "below-floor", "load", "machine-busy", "few-processes", "other-photos",
    "no-ratio", "counted",
]  # fmt: skip
"""Why a verdict is what it is."""
Percentile = Literal["p50", "p90", "p99"]
Metric = Literal[Percentile, "top-1", "size"]

_LOADED = 0.05
"""By how much a time may be longer while others have all cores."""
_UNJUDGED: tuple[Cause, ...] = ("machine-busy", "few-processes")
_REGRESSIONS: tuple[Verdict, ...] = ("slower", "larger", "worse")
_PERCENTILES: dict[Percentile, float] = {"p50": 50.0, "p90": 90.0, "p99": 99.0}


@dataclasses.dataclass(frozen=True)
class MetricChange:
    """One number of one configuration in two records.

    Attributes:
        scenario: the rows' scenario; `accuracy` and `model` for top-1 and the size.
        stage: the rows' stage; None is the whole.
        unit: of `before` and `after`: a row's, or `photos`: correct ones of `n`.
        n: samples or photos in either; files for the size.
        rounds: processes in either; 0 if the number does not depend on the process.
        ratio: after divided by before, its interval and its p, at one speed of the machine; None without one.
        headline: whether it may fail a build.
        holds: whether the verdict holds among all headline numbers (Holm).
        machine_speed: by what factor the machine itself was slower, which is taken out of `ratio`; None if it was not measured.
        flipped: test photos that became correct, and that became wrong, count; None for other metrics.
    """

    configuration: str
    scenario: str
    stage: str | None
    metric: Metric
    unit: str
    before: int
    after: int
    n: tuple[int, int]
    rounds: tuple[int, int]
    ratio: statistics.Ratio | None
    verdict: Verdict
    cause: Cause
    headline: bool
    holds: bool = False
    machine_speed: float | None = None
    flipped: tuple[int, int] | None = None

    @property
    def regressed(self) -> bool:
        """Whether it fails a build: worse, headline, and not by chance among so many."""
        return self.headline and self.holds and self.verdict in _REGRESSIONS

    @property
    def judged(self) -> bool:
        """Whether it could be judged: the machine was quiet enough, and enough processes were measured."""
        return self.cause not in _UNJUDGED

    @property
    def width(self) -> float:
        """How far the further end of the ratio's interval is from the ratio, as a share of it."""
        ratio = self.ratio
        return max(ratio.high / ratio.value, ratio.value / ratio.low) - 1 if ratio and ratio.low > 0 else float("inf")


@dataclasses.dataclass(frozen=True)
class Unmet:
    """A requirement that is not met.

    `scenario` is `every scenario` if the configuration is missing, and `metric` then empty; `change` is the number if both records have it.
    """

    configuration: str
    scenario: str
    code: Literal["missing", "not-judged", "too-wide"]
    metric: str = ""
    change: MetricChange | None = None


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Two records, compared.

    Attributes:
        floor_ns: differences of time below it have no verdict, ns.
        margin: the smallest relative change that matters.
        fail_on: the percentiles of whole scenarios that may fail a build.
        require: to within which share every headline number must be known; None requires nothing.
        changes: every number that both have, whole scenarios before their stages.
        machines: the facts in which the machines differ, if that was allowed.
        differences: what else is not the same: method, libraries, models, bundle, photos.
        load: per configuration, how loaded the machine was in either record.
        notes: what a reader must know: partial records, warnings, rows that only one has or that were not judged.
    """

    names: tuple[str, str]
    confidence: float
    floor_ns: int
    margin: float
    fail_on: tuple[Percentile, ...]
    require: float | None
    changes: tuple[MetricChange, ...]
    machines: tuple[str, ...]
    differences: tuple[Difference, ...]
    load: Mapping[str, MachineLoad]
    notes: tuple[Note, ...]
    unmet: tuple[Unmet, ...] = ()

    @property
    def headline(self) -> list[MetricChange]:
        """The numbers that may fail a build."""
        return [change for change in self.changes if change.headline]


def compare(
    before: Record, after: Record, *, floor_ns: int = 20_000, margin: float = 0.03, other_machine: bool = False,
    fail_on: tuple[Percentile, ...] = ("p50",), require: float | None = None, names: tuple[str, str] = ("before", "after"),
) -> Comparison:  # fmt: skip
    """Compares what two records both have; records that are partial or carry warnings are compared, with notes.

    Args:
        before: the first record.
        after: the second.
        floor_ns: the smallest difference of time that matters, ns; the harness itself takes some of it.
        margin: the smallest relative change that matters.
        other_machine: whether the records may be of different machines.
        fail_on: the percentiles of whole scenarios that may fail a build; of memory and top-1 it is always the p50 and the count.
        require: every headline number of the first record must be in the second, judged, and known to within this share.
        names: of the records in messages, e.g. their files.

    Raises:
        RecordError: they are of different machines and that was not allowed, or have no configuration or no headline number in common.
    """
    machines = circumstances.machines(before.machine, after.machine)
    if machines and not other_machine:
        message = f"{names[0]} and {names[1]} are of different machines ({'; '.join(machines)}): a difference would not be the software's"
        raise RecordError(f"{message}. Compare records of one machine, or add --other-machine", code="other-machine", differences=machines)
    pairs = _pairs(before, after, names)
    confidence = max(before.method.confidence, after.method.confidence)
    asked = tuple(metric for metric in _PERCENTILES if metric in fail_on)
    judge = _Judge(floor_ns, margin, confidence, asked, not machines, before.method.resamples, before.method.seed)
    loads = {mine.subject.name: circumstances.load(before, after, mine.subject) for mine, _ in pairs}
    changes = [change for mine, theirs in pairs for change in judge.result(mine, theirs, loads[mine.subject.name])]
    notes = [note for pair in pairs for note in (*circumstances.unjudged(*pair, names), *judge.uncarried(*pair))]
    if not any(change.headline for change in changes):
        raise RecordError(
            f"{names[0]} and {names[1]} have no number in common that may fail a build ({', '.join(asked)} of whole scenarios, memory, "
            "top-1 of the same photos). Measure the same scenarios, long enough",
            code="nothing-in-common", notes=[dataclasses.asdict(note) for note in notes],
        )  # fmt: skip
    return Comparison(
        names, confidence, floor_ns, margin, asked, require, tuple(_holm(changes, 1 - confidence)), tuple(machines),
        tuple(circumstances.differences(before, after, pairs)), loads, (*circumstances.notes(before, after, names), *notes),
        () if require is None else tuple(_unmet(before, after, changes, asked, require)),
    )  # fmt: skip


def regressed(comparison: Comparison) -> bool:
    """Whether a build should fail: a headline number became worse, and not by chance among so many."""
    return any(change.regressed for change in comparison.changes)


def judgeable(comparison: Comparison) -> bool:
    """Whether a build may pass by it: some headline number was judged, none met a busy machine, and all requirements are met."""
    return not (unjudged(comparison) or comparison.unmet)


def unjudged(comparison: Comparison) -> list[MetricChange]:
    """The headline numbers that keep a build from passing: those of a busy machine, or all of them if none could be judged."""
    headline = comparison.headline
    if not any(change.judged for change in headline):
        return headline
    return [change for change in headline if change.cause == "machine-busy"]


@dataclasses.dataclass(frozen=True)
class _Judge:
    floor_ns: int
    margin: float
    confidence: float
    fail_on: tuple[Percentile, ...]
    same_machine: bool
    resamples: int
    seed: int

    def result(self, before: Result, after: Result, load: MachineLoad) -> Iterator[MetricChange]:
        """The numbers of one configuration."""
        name = before.subject.name
        if before.accuracy and after.accuracy:
            yield self._accuracy(name, before.accuracy, after.accuracy)
        yield self._size(name, before.subject.size, after.subject.size)
        for row in before.rows:
            other = after.row(row.scenario, row.stage)
            if other and circumstances.judged(row, other):
                wholes = before.row(row.scenario), after.row(row.scenario)
                adjusted = at_one_speed(row, other, wholes) if self.same_machine and row.unit == "ns" else None
                yield from self._row(name, row, other, load, adjusted)

    def uncarried(self, before: Result, after: Result) -> Iterator[Note]:
        """Which percentiles that may fail a build are missing because n is too small."""
        for row in before.rows:
            other = after.row(row.scenario, row.stage)
            if other and row.stage is None and row.unit == "ns" and circumstances.judged(row, other):
                for metric in self.fail_on:
                    if not (getattr(row.summary, metric) and getattr(other.summary, metric)):
                        needed = statistics.least(_PERCENTILES[metric], self.confidence)
                        detail = f"n={row.n} and {other.n}, {needed} needed in both"
                        yield Note("percentile-missing", "", f"{metric} of {before.subject.name} {row.scenario}", detail)

    def _row(self, name: str, before: Row, after: Row, load: MachineLoad, adjusted: Adjusted | None) -> Iterator[MetricChange]:
        both = [
            (metric, mine, theirs)
            for metric in _PERCENTILES
            if (mine := getattr(before.summary, metric)) and (theirs := getattr(after.summary, metric))
        ]
        samples = (adjusted.before, adjusted.after) if adjusted else (before.samples, after.samples)
        pools = statistics.Pool(samples[0]), statistics.Pool(samples[1])
        qs = [_PERCENTILES[metric] for metric, _, _ in both]
        common = adjusted.error if adjusted else (0.0, 1)
        ratios = statistics.ratios(*pools, qs, common=common, confidence=self.confidence, resamples=self.resamples, seed=self.seed)
        rounds = pools[0].rounds, pools[1].rounds
        for (metric, mine, theirs), ratio in zip(both, ratios):
            verdict, cause = self._verdict(before.unit, mine.value, ratio, min(rounds), load)
            headline = before.stage is None and (metric in self.fail_on if before.unit == "ns" else metric == "p50" and before.unit == "B")
            yield MetricChange(
                name, before.scenario, before.stage, metric, before.unit, mine.value, theirs.value, (before.n, after.n), rounds, ratio,
                verdict, cause, headline, machine_speed=adjusted.factor if adjusted else None,
            )  # fmt: skip

    def _verdict(self, unit: str, before: int, ratio: statistics.Ratio, rounds: int, load: MachineLoad) -> tuple[Verdict, Cause]:
        time = unit == "ns"
        if rounds < statistics.PROCESSES:
            return "cannot tell", "few-processes"
        if time and load.busy:
            return "cannot tell", "machine-busy"
        allowed = 1 + max(self.margin, self.floor_ns / before if time and before else 0.0)
        if 1 / allowed <= ratio.low and ratio.high <= allowed:
            return "no change", "inside-margin"
        if ratio.low <= 1 <= ratio.high:
            return "cannot tell", "holds-one"
        room = 1 + _LOADED * load.most
        if time and ratio.low / room <= 1 <= ratio.high * room:
            return "cannot tell", "load"
        if time and before * abs(ratio.value - 1) < self.floor_ns:
            return "cannot tell", "below-floor"
        if self._slight(ratio.value):
            return "cannot tell", "below-margin"
        verdicts: tuple[Verdict, Verdict] = ("faster", "slower") if time else ("smaller", "larger")
        return verdicts[ratio.value > 1], "changed"

    def _slight(self, ratio: float) -> bool:
        return max(ratio, 1 / ratio) < 1 + self.margin

    def _size(self, name: str, before: int, after: int) -> MetricChange:
        ratio = after / before if before else 1.0
        slight = before == after or not ratio or self._slight(ratio)
        verdict: Verdict = "same" if slight else "larger" if ratio > 1 else "smaller"
        cause: Cause = "below-margin" if slight and before != after else "counted"
        exact = statistics.Ratio(ratio, ratio, ratio, float(before == after))
        return MetricChange(name, "model", None, "size", "B", before, after, (1, 1), (0, 0), exact, verdict, cause, headline=False)

    def _accuracy(self, name: str, before: Accuracy, after: Accuracy) -> MetricChange:
        """McNemar's exact test (1947) of the photos on which the two differ, and :func:`edgetl.stats.paired_difference`."""
        hits, n = (before.top1.hits, after.top1.hits), (before.top1.n, after.top1.n)

        def change(
            ratio: statistics.Ratio | None, verdict: Verdict, cause: Cause, flipped: tuple[int, int] | None = None
        ) -> MetricChange:  # fmt: skip
            headline = ratio is not None
            return MetricChange(
                name, "accuracy", None, "top-1", "photos", *hits, n, (0, 0), ratio, verdict, cause, headline, flipped=flipped
            )  # fmt: skip

        if before.digest != after.digest or len(before.correct) != len(after.correct):
            return change(None, "cannot tell", "other-photos")
        lost = sum(mine > theirs for mine, theirs in zip(before.correct, after.correct))
        won = sum(mine < theirs for mine, theirs in zip(before.correct, after.correct))
        if not hits[0]:
            return change(None, "cannot tell", "no-ratio", (won, lost))
        p = sign_test(won, lost)
        low, high = (1 + share * n[0] / hits[0] for share in paired_difference(after.correct, before.correct))
        ratio = statistics.Ratio(hits[1] / hits[0], low, high, p)
        if p <= 1 - self.confidence:
            return change(ratio, "better" if won > lost else "worse", "changed", (won, lost))
        if 1 / (1 + self.margin) <= low and high <= 1 + self.margin:
            return change(ratio, "no change", "inside-margin", (won, lost))
        return change(ratio, "cannot tell", "holds-one", (won, lost))


def _unmet(
    before: Record, after: Record, changes: Sequence[MetricChange], metrics: Sequence[str], width: float
) -> Iterator[Unmet]:  # fmt: skip
    """What is missing of the numbers of `before` that may fail a build, of the changes, or of their precision `width`."""
    known = {(change.configuration, change.scenario, str(change.metric)): change for change in changes if change.headline}
    others = {result.subject.name for result in after.results}
    for result in before.results:
        name = result.subject.name
        needed = [(row.scenario, metric) for row in result.rows for metric in _required(row, metrics)]
        needed += [("accuracy", "top-1")] if result.accuracy else []
        if needed and name not in others:
            yield Unmet(name, "every scenario", "missing")
            continue
        for scenario, metric in needed:
            change = known.get((name, scenario, metric))
            if change is None:
                yield Unmet(name, scenario, "missing", metric)
            elif not change.judged:
                yield Unmet(name, scenario, "not-judged", metric, change)
            elif change.width > width:
                yield Unmet(name, scenario, "too-wide", metric, change)


def _required(row: Row, metrics: Sequence[str]) -> Sequence[str]:
    """The numbers of a row that may fail a build; one that a single process measures by design is never judged, and not required."""
    once = row.scenario in SCENARIOS and SCENARIOS[row.scenario].once
    if row.stage is not None or row.kind != "measured" or once:
        return ()
    return metrics if row.unit == "ns" else ("p50",) if row.unit == "B" else ()


def _holm(changes: Sequence[MetricChange], alpha: float) -> Iterator[MetricChange]:
    """Marks the headline numbers that hold together: the k-th smallest of m p's is at most alpha / (m - k + 1), and so all before it."""
    judged = [i for i, change in enumerate(changes) if change.headline and change.judged]
    family = sorted((ratio.p, i) for i in judged if (ratio := changes[i].ratio))
    holding = set()
    for k, (p, i) in enumerate(family):
        if p > alpha / (len(family) - k):
            break
        holding.add(i)
    return (dataclasses.replace(change, holds=i in holding) for i, change in enumerate(changes))


def _pairs(before: Record, after: Record, names: tuple[str, str]) -> list[tuple[Result, Result]]:
    others = {result.subject.name: result for result in after.results}
    pairs = [(result, others[result.subject.name]) for result in before.results if result.subject.name in others]
    if not pairs:
        has = [[result.subject.name for result in record.results] for record in (before, after)]
        raise RecordError(
            f"{names[0]} and {names[1]} have no configuration in common: {names[0]} has {', '.join(has[0]) or 'none'}, {names[1]} has "
            f"{', '.join(has[1]) or 'none'}. Measure the same variants, providers and threads",
            code="no-common-configuration", before=has[0], after=has[1],
        )  # fmt: skip
    return pairs
