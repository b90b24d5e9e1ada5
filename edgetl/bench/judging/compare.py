"""Two records of one machine, row by row: what is faster, slower, or cannot be told.

A ratio's interval holds the variation between processes: the standard error of a percentile's logarithm is bootstrapped over the rounds
of each record (:mod:`edgetl.bench.statistics`), and the two are compared as Welch did (1947). A row has a verdict where 1 is outside the
interval, and the difference is no smaller than what matters. What differs between one hour and the next by more than between one process
and the next is in no interval: the load of both runs stands beside the verdicts.

A record has many rows, and one of twenty is outside its 95 % interval by chance. What fails a build are therefore only the headline rows
(the p50 of whole scenarios and of memory, and top-1), and of those the ones that hold after Holm's correction (1979) for their number.

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
from edgetl.bench.judging.loss import difference
from edgetl.bench.record import Accuracy, Record, Result, Row
from edgetl.errors import RecordError
from edgetl.tables import render

Verdict = Literal["faster", "slower", "smaller", "larger", "better", "worse", "same", "cannot tell"]
Metric = Literal["p50", "p90", "p99", "top-1", "size"]

_REGRESSIONS: tuple[Verdict, ...] = ("slower", "larger", "worse")
_PERCENTILES: dict[Metric, float] = {"p50": 50.0, "p90": 90.0, "p99": 99.0}
_SCALES: dict[str, tuple[tuple[int, str], ...]] = {
    "ns": ((10**9, "s"), (10**6, "ms"), (10**3, "µs"), (1, "ns")),
    "B": ((10**6, "MB"), (10**3, "kB"), (1, "B")),
    "uJ": ((10**6, "J"), (10**3, "mJ"), (1, "µJ")),
    "cycles": ((1, "cycles"),),
}


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
        ratio: after divided by before, its interval and its p; None where there is none.
        verdict: of this number alone.
        reason: for the verdict, in words.
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
    reason: str
    headline: bool
    holds: bool = False

    @property
    def regressed(self) -> bool:
        """Whether it fails a build: worse, headline, and not by chance among so many."""
        return self.headline and self.holds and self.verdict in _REGRESSIONS


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Two records, compared.

    Attributes:
        names: what the records are called.
        confidence: of the intervals.
        floor_ns: differences of time below it have no verdict, ns.
        least: relative changes below it have no verdict.
        changes: every number that both have, whole scenarios before their stages.
        differences: what else is not the same: method, libraries, models, bundle, photos, and the machine where that was allowed.
        load: per configuration, how loaded the machine was in either run; empty where unreadable.
        notes: what a reader must know: partial records, warnings, rows that only one has or that were not judged.
    """

    names: tuple[str, str]
    confidence: float
    floor_ns: int
    least: float
    changes: tuple[Change, ...]
    differences: tuple[str, ...]
    load: Mapping[str, str]
    notes: tuple[str, ...]


def compare(
    before: Record, after: Record, *, floor_ns: int = 20_000, least: float = 0.02, other_machine: bool = False,
    names: tuple[str, str] = ("before", "after"),
) -> Comparison:  # fmt: skip
    """Compares what two records both have; records that are partial or carry warnings are compared, and said to be so.

    Args:
        before: the first record.
        after: the second.
        floor_ns: the smallest difference of time that matters, ns; the harness itself takes some of it.
        least: the smallest relative change that matters.
        other_machine: whether the records may be of different machines.
        names: what the records are called in messages, e.g. their files.

    Raises:
        RecordError: they are of different machines and that was not allowed, or have no configuration in common.
    """
    machines = circumstances.machines(before.machine, after.machine)
    if machines and not other_machine:
        raise RecordError(
            f"{names[0]} and {names[1]} are of different machines, so that a difference says nothing about the software: "
            f"{'; '.join(machines)}; compare records of one machine, or add --other-machine"
        )
    pairs = _pairs(before, after, names)
    confidence = max(before.method.confidence, after.method.confidence)
    judge = _Judge(floor_ns, least, confidence, before.method.resamples, before.method.seed)
    changes = [change for one, other in pairs for change in judge.result(one, other)]
    return Comparison(
        names, confidence, floor_ns, least, tuple(_holm(changes, 1 - confidence)),
        (*(f"machine, {each}" for each in machines), *circumstances.differences(before, after, pairs)),
        {one.subject.name: said for one, _ in pairs if (said := circumstances.load(before, after, one.subject.name))},
        (*circumstances.notes(before, after, names), *(note for pair in pairs for note in _unjudged(*pair, names))),
    )  # fmt: skip


def regressed(comparison: Comparison) -> bool:
    """Whether a build should fail: a headline number became worse, and not by chance among so many."""
    return any(change.regressed for change in comparison.changes)


def table(comparison: Comparison) -> str:
    """For the screen: the headline numbers and all that have a verdict, then what the verdicts rest on."""
    telling = [change for change in comparison.changes if change.headline or change.verdict not in ("cannot tell", "same")]
    headers = ("configuration", "scenario", "metric", *comparison.names, "ratio", "n", "verdict", "because")
    lines = [render(headers, map(_line, telling))] if telling else []
    if silent := len(comparison.changes) - len(telling):
        lines.append(f"and {silent} stages, p90, p99 and sizes without a change that can be told")
    lines.append("")
    lines += [f"load, {name}: {said}" for name, said in comparison.load.items()]
    lines += [f"not the same: {said}" for said in comparison.differences]
    lines += [f"note: {said}" for said in comparison.notes]
    headline = [change for change in comparison.changes if change.headline]
    worse = [f"{change.configuration} {change.scenario}" for change in headline if change.regressed]
    lines.append(
        f"Intervals of {100 * comparison.confidence:g} % over processes; no verdict on differences below "
        f"{comparison.floor_ns / 1000:g} µs or {100 * comparison.least:g} %."
    )
    said = f"{len(worse)} of {len(headline)} headline numbers (p50 of whole scenarios and memory, top-1) became worse"
    lines.append(f"{said}, and not by chance among so many (Holm){': ' + ', '.join(worse) if worse else '.'}")
    return "\n".join(lines)


def _line(change: Change) -> tuple[str, ...]:
    what = f"{change.scenario} {change.stage or ''}".strip()
    numbers = shown(change.before, change), shown(change.after, change), interval(change)
    n = " and ".join(map(str, dict.fromkeys(change.n)))
    return change.configuration, what, change.metric, *numbers, n, change.verdict, change.reason


def shown(value: int, change: Change) -> str:
    """A number in its unit, for the screen."""
    if change.unit == "photos":
        return str(value)
    size, unit = next((scale for scale in _SCALES[change.unit] if abs(value) >= scale[0]), _SCALES[change.unit][-1])
    return f"{value / size:.4g} {unit}"


def interval(change: Change) -> str:
    """The ratio with its interval, for the screen."""
    ratio = change.ratio
    return "-" if ratio is None else f"{ratio.value:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]"


@dataclasses.dataclass(frozen=True)
class _Judge:
    floor_ns: int
    least: float
    confidence: float
    resamples: int
    seed: int

    def result(self, before: Result, after: Result) -> Iterator[Change]:
        name = before.subject.name
        if before.accuracy and after.accuracy:
            yield self._accuracy(name, before.accuracy, after.accuracy)
        yield self._size(name, before.subject.size, after.subject.size)
        for row in before.rows:
            other = after.row(row.scenario, row.stage)
            if other and _judged(row, other):
                yield from self._row(name, row, other)

    def _row(self, name: str, before: Row, after: Row) -> Iterator[Change]:
        both = [
            (metric, one, other)
            for metric in _PERCENTILES
            if (one := getattr(before.summary, metric)) and (other := getattr(after.summary, metric))
        ]
        pools = statistics.Pool(before.samples), statistics.Pool(after.samples)
        qs = [_PERCENTILES[metric] for metric, _, _ in both]
        ratios = statistics.ratios(*pools, qs, confidence=self.confidence, resamples=self.resamples, seed=self.seed)
        rounds = pools[0].rounds, pools[1].rounds
        for (metric, one, other), ratio in zip(both, ratios):
            verdict, reason = self._verdict(before.unit, one.value, other.value, ratio, min(rounds))
            yield Change(
                name, before.scenario, before.stage, metric, before.unit, one.value, other.value, (before.n, after.n), rounds, ratio,
                verdict, reason, before.stage is None and metric == "p50" and before.unit in ("ns", "B"),
            )  # fmt: skip

    def _verdict(self, unit: str, before: int, after: int, ratio: statistics.Ratio, rounds: int) -> tuple[Verdict, str]:
        if rounds < 2:
            return "cannot tell", "one process does not show how much processes differ"
        if ratio.low <= 1 <= ratio.high:
            return "cannot tell", "the interval holds 1"
        if unit == "ns" and abs(after - before) < self.floor_ns:
            return "cannot tell", f"the difference is below {self.floor_ns / 1000:g} µs"
        if self._slight(ratio.value):
            return "cannot tell", f"the change is below {100 * self.least:g} %"
        verdicts: tuple[Verdict, Verdict] = ("faster", "slower") if unit in ("ns", "cycles") else ("smaller", "larger")
        return verdicts[ratio.value > 1], "1 is outside the interval"

    def _slight(self, ratio: float) -> bool:
        return max(ratio, 1 / ratio) < 1 + self.least

    def _size(self, name: str, before: int, after: int) -> Change:
        ratio = after / before if before else 1.0
        verdict: Verdict = "same" if not ratio or self._slight(ratio) else "larger" if ratio > 1 else "smaller"
        exact = statistics.Ratio(ratio, ratio, ratio, float(before == after))
        return Change(name, "model", None, "size", "B", before, after, (1, 1), (0, 0), exact, verdict, "counted, not measured", False)

    def _accuracy(self, name: str, before: Accuracy, after: Accuracy) -> Change:
        """McNemar's exact test (1947) of the photos on which the two differ, and :func:`edgetl.bench.judging.loss.difference`."""
        hits, n = (before.top1.hits, after.top1.hits), (before.top1.n, after.top1.n)

        def change(ratio: statistics.Ratio | None, verdict: Verdict, reason: str) -> Change:
            return Change(
                name, "accuracy", None, "top-1", "photos", *hits, n, (0, 0), ratio, verdict, reason, ratio is not None
            )  # fmt: skip

        if before.digest != after.digest or len(before.right) != len(after.right):
            return change(None, "cannot tell", "other photos were asked")
        lost = sum(one > other for one, other in zip(before.right, after.right))
        won = sum(one < other for one, other in zip(before.right, after.right))
        said = f"{won} won and {lost} lost of {n[0]} photos"
        if not hits[0]:
            return change(None, "cannot tell", f"{said}; a ratio to none has no meaning")
        p = statistics.sign_test(won, lost)
        low, high = (1 + share * n[0] / hits[0] for share in difference(after.right, before.right))
        verdict: Verdict = "cannot tell" if p > 1 - self.confidence else "better" if won > lost else "worse"
        return change(statistics.Ratio(hits[1] / hits[0], low, high, p), verdict, said)


def _judged(before: Row, after: Row) -> bool:
    return before.kind == after.kind == "measured" and before.unit == after.unit


def _holm(changes: Sequence[Change], alpha: float) -> Iterator[Change]:
    """Marks the headline numbers that hold together: the k-th smallest of m p's is at most alpha / (m - k + 1), and so all before it."""
    judged = [i for i, change in enumerate(changes) if change.headline and min(change.rounds) != 1]
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


def _unjudged(before: Result, after: Result, names: tuple[str, str]) -> Iterator[str]:
    """What only one has, and what was not measured."""
    keys = [dict.fromkeys((row.scenario, row.stage) for row in result.rows) for result in (before, after)]
    for name, here, there in ((names[0], *keys), (names[1], *reversed(keys))):
        yield from (f"only in {name}: {before.subject.name} {key[0]} {key[1] or ''}".rstrip() for key in here if key not in there)
    for row in before.rows:
        other = after.row(row.scenario, row.stage)
        if other and not _judged(row, other):
            what = f"{before.subject.name} {row.scenario} {row.stage or ''}".rstrip()
            yield f"not judged: {what} is {row.kind} in {row.unit} and {other.kind} in {other.unit}"
