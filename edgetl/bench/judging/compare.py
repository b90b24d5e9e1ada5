"""Two records of one machine, row by row: what is faster, slower, or cannot be told.

A ratio's interval holds the variation between processes: the standard error of a percentile's logarithm is bootstrapped over the rounds
of each record (:mod:`edgetl.bench.statistics`), and the two are compared as Welch did (1947). A row has a verdict where 1 is outside the
interval, and the difference is no smaller than what matters (the margin); where the whole interval lies within the margin, the verdict is
"no change", so that a build passes by evidence and not because nothing could be told. Before that the pace of the one machine is taken
out, where both records have it (:mod:`edgetl.bench.judging.pacing`): a clock that follows heat and neighbours would else be called a
change (on an idle virtual machine in 11 of 20 pairs of records of one model, 20 s each). What else differs between one hour and the next
by more than between one process and the next is in no interval (two idle hours of a virtual machine were 2.4 % apart, at one pace): hence
the margin, 3 %.

The load of both runs stands beside the verdicts. Where others had more than 30 % of all cores' time, or 5 points more in one record than in
the other, no time is judged; below that a time is slower or faster only where 1 is outside by more than 5 % of the share that they had.

A record has many rows, and one of twenty is outside its 95 % interval by chance. What fails a build are therefore only the headline
numbers (of whole scenarios the p50, or the percentiles that are asked for; memory; top-1), and of those the ones that hold after Holm's
correction (1979) for their number: a p99 that everyone had to pay for would hide changes of the median.

Simulated pairs of records, 300 of each kind, p50, 10 rounds of 128 queries: without a change there is a verdict in 0 of 100 where processes
differ by 1 % and latencies are normal, in 2 of 100 where processes differ by 2 % and in 5 of 100 where latencies are bimodal as well; 5 %
slower is found in 100, 99 and 96 of 100. Welch's interval of the rounds' own medians would find 100, 100 and 94, but with one round of ten
half as slow again it finds 29 of 100, and the bootstrap 100: hence the bootstrap. With 4 rounds of 32 queries 5 % are found in 100 of 100
where processes differ by 1 %, and in 61 where they differ by 2 %: measure 10 rounds to find a difference as small.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from edgetl.bench import statistics
from edgetl.bench.judging import circumstances
from edgetl.bench.judging.circumstances import Others
from edgetl.bench.judging.loss import difference
from edgetl.bench.judging.pacing import Paced, at_one_pace
from edgetl.bench.judging.requirements import Unmet, unmet
from edgetl.bench.record import Accuracy, Record, Result, Row
from edgetl.errors import RecordError

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
class Change:
    """One number of one configuration in two records.

    Attributes:
        configuration: the subjects' name.
        scenario: the rows' scenario; `accuracy` and `model` for top-1 and the size.
        stage: the rows' stage; None is the whole.
        metric: `p50`, `p90`, `p99`, `top-1` or `size`.
        unit: of `before` and `after`: a row's, or `photos` right of `n`.
        before: in the first record.
        after: in the second.
        n: samples or photos in either; files for the size.
        rounds: processes in either; 0 where the number does not depend on the process.
        ratio: after divided by before, its interval and its p, at one pace of the machine; None where there is none.
        pace: by what factor the machine itself was slower, which is taken out of `ratio`; None where it was not measured.
        verdict: of this number alone.
        cause: of the verdict.
        reason: the same in words.
        headline: whether it may fail a build.
        holds: whether the verdict holds among all headline numbers (Holm).
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
    reason: str
    headline: bool
    holds: bool = False
    pace: float | None = None

    @property
    def regressed(self) -> bool:
        """Whether it fails a build: worse, headline, and not by chance among so many."""
        return self.headline and self.holds and self.verdict in _REGRESSIONS

    @property
    def judged(self) -> bool:
        """Whether it could be judged: the machine was quiet enough, and enough processes were measured."""
        return self.cause not in _UNJUDGED


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Two records, compared.

    Attributes:
        names: what the records are called.
        confidence: of the intervals.
        floor_ns: differences of time below it have no verdict, ns.
        margin: the smallest relative change that matters.
        fail_on: the percentiles of whole scenarios that may fail a build.
        changes: every number that both have, whole scenarios before their stages.
        differences: what else is not the same: method, libraries, models, bundle, photos, and the machine where that was allowed.
        load: per configuration, how loaded the machine was in either run; empty where unreadable.
        notes: what a reader must know: partial records, warnings, rows that only one has or that were not judged.
        unmet: what was required of both records and is not there.
    """

    names: tuple[str, str]
    confidence: float
    floor_ns: int
    margin: float
    fail_on: tuple[Percentile, ...]
    changes: tuple[Change, ...]
    differences: tuple[str, ...]
    load: Mapping[str, str]
    notes: tuple[str, ...]
    unmet: tuple[Unmet, ...] = ()


def compare(
    before: Record, after: Record, *, floor_ns: int = 20_000, margin: float = 0.03, other_machine: bool = False,
    fail_on: tuple[Percentile, ...] = ("p50",), require: float | None = None, names: tuple[str, str] = ("before", "after"),
) -> Comparison:  # fmt: skip
    """Compares what two records both have; records that are partial or carry warnings are compared, and said to be so.

    Args:
        before: the first record.
        after: the second.
        floor_ns: the smallest difference of time that matters, ns; the harness itself takes some of it.
        margin: the smallest relative change that matters; a smaller one than both is "no change" where the whole interval says so.
        other_machine: whether the records may be of different machines.
        fail_on: the percentiles of whole scenarios that may fail a build; of memory and top-1 it is always the p50 and the count.
        require: every headline number of the first record must be in the second, judged, and known to within this share; None requires
            nothing.
        names: what the records are called in messages, e.g. their files.

    Raises:
        RecordError: they are of different machines and that was not allowed, or have no configuration or no headline number in common.
    """
    machines = circumstances.machines(before.machine, after.machine)
    if machines and not other_machine:
        raise RecordError(
            f"{names[0]} and {names[1]} are of different machines, so that a difference says nothing about the software: "
            f"{'; '.join(machines)}; compare records of one machine, or add --other-machine"
        )
    pairs = _pairs(before, after, names)
    confidence = max(before.method.confidence, after.method.confidence)
    asked = tuple(metric for metric in _PERCENTILES if metric in fail_on)
    judge = _Judge(floor_ns, margin, confidence, asked, not machines, before.method.resamples, before.method.seed)
    changes = [change for one, other in pairs for change in judge.result(one, other, circumstances.others(before, after, one.subject))]
    notes = [note for pair in pairs for note in (*circumstances.unjudged(*pair, names), *judge.uncarried(*pair))]
    if not any(change.headline for change in changes):
        why = "; ".join(notes) or "their rows are of other scenarios"
        raise RecordError(
            f"{names[0]} and {names[1]} hold nothing that both measured and that may fail a build ({', '.join(asked)} of whole scenarios, "
            f"memory, top-1 of the same photos): {why}; measure the same scenarios, long enough"
        )
    return Comparison(
        names, confidence, floor_ns, margin, asked, tuple(_holm(changes, 1 - confidence)),
        (*(f"machine, {each}" for each in machines), *circumstances.differences(before, after, pairs)),
        {one.subject.name: said for one, _ in pairs if (said := circumstances.load(before, after, one.subject))},
        (*circumstances.notes(before, after, names), *notes),
        () if require is None else tuple(unmet(before, after, changes, asked, require)),
    )  # fmt: skip


def regressed(comparison: Comparison) -> bool:
    """Whether a build should fail: a headline number became worse, and not by chance among so many."""
    return any(change.regressed for change in comparison.changes)


def judgeable(comparison: Comparison) -> bool:
    """Whether a build may pass by it: some headline number was judged, no machine was too busy for another, nothing required is missing."""
    return not (unjudged(comparison) or comparison.unmet)


def unjudged(comparison: Comparison) -> list[Change]:
    """The headline numbers that keep a build from passing: those of a busy machine, or all of them where none could be judged."""
    headline = [change for change in comparison.changes if change.headline]
    if not any(change.judged for change in headline):
        return headline
    return [change for change in headline if change.cause == "machine-busy"]


@dataclasses.dataclass(frozen=True)
class _Judge:
    floor_ns: int
    margin: float
    confidence: float
    fail_on: tuple[Percentile, ...]
    paced: bool
    resamples: int
    seed: int

    def result(self, before: Result, after: Result, others: Others) -> Iterator[Change]:
        """The numbers of one configuration, while `others` had their share of all cores."""
        name = before.subject.name
        if before.accuracy and after.accuracy:
            yield self._accuracy(name, before.accuracy, after.accuracy)
        yield self._size(name, before.subject.size, after.subject.size)
        for row in before.rows:
            other = after.row(row.scenario, row.stage)
            if other and circumstances.judged(row, other):
                whole = before.row(row.scenario), after.row(row.scenario)
                yield from self._row(name, row, other, others, at_one_pace(row, other, whole) if self.paced and row.unit == "ns" else None)

    def uncarried(self, before: Result, after: Result) -> Iterator[str]:
        """Which percentiles that may fail a build are not there to do so; in words."""
        for row in before.rows:
            other = after.row(row.scenario, row.stage)
            if other and row.stage is None and row.unit == "ns" and circumstances.judged(row, other):
                for metric in self.fail_on:
                    if not (getattr(row.summary, metric) and getattr(other.summary, metric)):
                        takes = statistics.least(_PERCENTILES[metric], self.confidence)
                        yield f"no {metric} of {before.subject.name} {row.scenario}: n={row.n} and {other.n}, it takes {takes} in both"

    def _row(self, name: str, before: Row, after: Row, others: Others, paced: Paced | None) -> Iterator[Change]:
        both = [
            (metric, one, other)
            for metric in _PERCENTILES
            if (one := getattr(before.summary, metric)) and (other := getattr(after.summary, metric))
        ]
        taken = (paced.before, paced.after) if paced else (before.samples, after.samples)
        pools = statistics.Pool(taken[0]), statistics.Pool(taken[1])
        qs = [_PERCENTILES[metric] for metric, _, _ in both]
        ratios = statistics.ratios(
            *pools, qs, common=paced.error if paced else (0.0, 1), confidence=self.confidence, resamples=self.resamples, seed=self.seed
        )
        rounds = pools[0].rounds, pools[1].rounds
        for (metric, one, other), ratio in zip(both, ratios):
            verdict, cause, reason = self._verdict(before.unit, one.value, ratio, min(rounds), others)
            judged = cause not in _UNJUDGED
            yield Change(
                name, before.scenario, before.stage, metric, before.unit, one.value, other.value, (before.n, after.n), rounds, ratio,
                verdict, cause, reason + (f", with the machine's own pace ({paced.factor:.3f}) taken out" if paced and judged else ""),
                self._headline(before, metric), pace=paced.factor if paced else None,
            )  # fmt: skip

    def _headline(self, row: Row, metric: Percentile) -> bool:
        return row.stage is None and (metric in self.fail_on if row.unit == "ns" else metric == "p50" and row.unit == "B")

    def _verdict(self, unit: str, before: int, ratio: statistics.Ratio, rounds: int, others: Others) -> tuple[Verdict, Cause, str]:
        floor, percent = f"{self.floor_ns / 1000:g} µs", f"{100 * self.margin:g} %"
        if rounds < statistics.PROCESSES:
            return "cannot tell", "few-processes", f"it takes {statistics.PROCESSES} processes to show how much processes differ"
        if unit == "ns" and others.busy:
            return "cannot tell", "machine-busy", f"machine busy: {others}"
        below = self.floor_ns / before if unit == "ns" and before else 0.0
        if 1 / (1 + max(self.margin, below)) <= ratio.low and ratio.high <= 1 + max(self.margin, below):
            return "no change", "inside-margin", f"no change larger than {floor if below > self.margin else percent}"
        if ratio.low <= 1 <= ratio.high:
            return "cannot tell", "holds-one", "the interval holds 1"
        room = 1 + _LOADED * others.most
        if unit == "ns" and ratio.low / room <= 1 <= ratio.high * room:
            return "cannot tell", "load", f"it may be the load: {others}"
        if unit == "ns" and before * abs(ratio.value - 1) < self.floor_ns:
            return "cannot tell", "below-floor", f"the difference is below {floor}"
        if self._slight(ratio.value):
            return "cannot tell", "below-margin", f"the change is below {percent}"
        verdicts: tuple[Verdict, Verdict] = ("faster", "slower") if unit in ("ns", "cycles") else ("smaller", "larger")
        return verdicts[ratio.value > 1], "changed", "1 is outside the interval"

    def _slight(self, ratio: float) -> bool:
        return max(ratio, 1 / ratio) < 1 + self.margin

    def _size(self, name: str, before: int, after: int) -> Change:
        ratio = after / before if before else 1.0
        slight = before == after or not ratio or self._slight(ratio)
        verdict: Verdict = "same" if slight else "larger" if ratio > 1 else "smaller"
        reason = f"the change is below {100 * self.margin:g} %" if slight and before != after else "counted, not measured"
        exact = statistics.Ratio(ratio, ratio, ratio, float(before == after))
        return Change(name, "model", None, "size", "B", before, after, (1, 1), (0, 0), exact, verdict, "counted", reason, False)

    def _accuracy(self, name: str, before: Accuracy, after: Accuracy) -> Change:
        """McNemar's exact test (1947) of the photos on which the two differ, and :func:`edgetl.bench.judging.loss.difference`."""
        hits, n = (before.top1.hits, after.top1.hits), (before.top1.n, after.top1.n)

        def change(ratio: statistics.Ratio | None, verdict: Verdict, cause: Cause, reason: str) -> Change:
            return Change(
                name, "accuracy", None, "top-1", "photos", *hits, n, (0, 0), ratio, verdict, cause, reason, ratio is not None
            )  # fmt: skip

        if before.digest != after.digest or len(before.right) != len(after.right):
            return change(None, "cannot tell", "other-photos", "other photos were asked")
        lost = sum(one > other for one, other in zip(before.right, after.right))
        won = sum(one < other for one, other in zip(before.right, after.right))
        said = f"{won} won and {lost} lost of {n[0]} photos"
        if not hits[0]:
            return change(None, "cannot tell", "no-ratio", f"{said}; a ratio to none has no meaning")
        p = statistics.sign_test(won, lost)
        low, high = (1 + share * n[0] / hits[0] for share in difference(after.right, before.right))
        ratio = statistics.Ratio(hits[1] / hits[0], low, high, p)
        if p <= 1 - self.confidence:
            return change(ratio, "better" if won > lost else "worse", "changed", said)
        if 1 / (1 + self.margin) <= low and high <= 1 + self.margin:
            return change(ratio, "no change", "inside-margin", f"{said}: no change larger than {100 * self.margin:g} %")
        return change(ratio, "cannot tell", "holds-one", said)


def _holm(changes: Sequence[Change], alpha: float) -> Iterator[Change]:
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
        has = [", ".join(result.subject.name for result in record.results) or "none" for record in (before, after)]
        raise RecordError(
            f"{names[0]} and {names[1]} have no configuration in common: {names[0]} has {has[0]}; {names[1]} has {has[1]}; "
            "measure the same variants, providers and threads (edgetl bench run --help)"
        )
    return pairs
