"""Comparisons, picks and trends in words: the only place where judging writes text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from edgetl.bench.judging.circumstances import MachineLoad
from edgetl.bench.judging.compare import Comparison, MetricChange, Unmet, judgeable
from edgetl.bench.judging.pick import Judgement, MachinePick, Pick, PickCandidate
from edgetl.bench.judging.trend import Trend
from edgetl.bench.record import Unit
from edgetl.bench.screen import SCALES, interval
from edgetl.tables import render

_STEPS: dict[str, tuple[tuple[int, str], ...]] = {
    "ns": ((10**9, "s"), (10**6, "ms"), (10**3, "µs"), (1, "ns")),
    "B": ((10**6, "MB"), (10**3, "kB"), (1, "B")),
    "uJ": ((10**6, "J"), (10**3, "mJ"), (1, "µJ")),
}
_UNTOLD = ("cannot tell", "same", "no change")
_LIMITS = {
    "p50_ms": ("p50", "ms"), "p99_ms": ("p99", "ms"), "peak_mb": ("peak", "MB"), "size_mb": ("size", "MB"), "max_loss": ("loss", "points"),
}  # fmt: skip
_HINTS = {
    "interval-over": "its interval reaches over it: measure longer, or on a quieter machine",
    "no-interval": "fewer than 3 processes give no interval: measure with 3 rounds or more",
    "too-few-samples": "too few queries: measure longer, without --quick",
    "not-measured": "not measured: add --scenario memory, or --labelled FOLDER for a loss",
    "no-reference": "no fp32 configuration with the same photos to compare with",
}


def comparison_table(comparison: Comparison) -> str:
    """The headline numbers and all that have a verdict, then what the verdicts rest on, then the answer."""
    telling = [change for change in comparison.changes if change.headline or change.verdict not in _UNTOLD]
    headers = ("configuration", "scenario", "metric", *comparison.names, "ratio", "n", "verdict", "because")
    lines = [render(headers, (_line(change, comparison) for change in telling))]
    if silent := len(comparison.changes) - len(telling):
        lines.append(f"and {silent} stages, p90, p99 and sizes without a verdict")
    lines += ["", *around(comparison)]
    floor = f"{comparison.floor_ns / 1000:g} µs and {100 * comparison.margin:g} %"
    lines.append(f"Intervals of {100 * comparison.confidence:g} % over processes; a change matters from {floor} on.")
    slower = [change for change in comparison.changes if not change.headline and change.stage is None and change.verdict == "slower"]
    lines += [
        f"{_named(change)} became slower, which fails no build without --fail-on {change.metric}."
        for change in slower
        if change.metric not in comparison.fail_on
    ]
    return "\n".join([*lines, *_answer(comparison)])


def _answer(comparison: Comparison) -> Iterator[str]:
    """The exit code in words."""
    headline = comparison.headline
    yield from (f"required: {unmet.configuration} {unmet.scenario}: {requirement(unmet, comparison)}" for unmet in comparison.unmet)
    kinds = Counter(change.verdict for change in headline)
    counted = ", ".join(f"{count} {verdict}" for verdict, count in kinds.items())
    yield f"{len(headline)} headline numbers ({', '.join(comparison.fail_on)} of whole scenarios, memory, top-1): {counted}."
    if worse := [_named(change) for change in headline if change.regressed]:
        yield f"Regression, beyond chance (Holm): {', '.join(worse)}."
    elif judgeable(comparison):
        yield "No regression."
    else:
        busy = next((change for change in headline if change.cause == "machine-busy"), None)
        few = next((change for change in headline if not change.judged), None)
        yield f"Cannot tell: {'a requirement is not met' if comparison.unmet else reason(busy or few or headline[0], comparison)}."


def around(comparison: Comparison) -> list[str]:
    """What the verdicts rest on, a line each."""
    return [
        *(f"load, {name}: other processes had {_shares(load)} of all cores' time" for name, load in comparison.load.items()),
        *(f"not the same: machine, {words}" for words in comparison.machines),
        *(f"not the same: {entry.part}, {entry.name}: {entry.before} and {entry.after}" for entry in comparison.differences),
        *(f"{_words(note.code)}: {', '.join(filter(None, (note.record, note.subject, note.detail)))}" for note in comparison.notes),
    ]


def requirement(unmet: Unmet, comparison: Comparison) -> str:
    """An unmet requirement in words."""
    words = f"{unmet.metric} {_words(unmet.code)}".strip()
    if unmet.change is None or unmet.code == "not-judged":
        return words
    return f"{words}: known to ±{100 * unmet.change.width:.1f} %, required are ±{100 * (comparison.require or 0):g} %. Measure longer"


def reason(change: MetricChange, comparison: Comparison) -> str:
    """Why a verdict is what it is."""
    words = _words(change.cause)
    if change.flipped:
        words = f"{change.flipped[0]} won and {change.flipped[1]} lost of {change.n[0]} photos"
    elif change.cause in ("machine-busy", "load"):
        words = f"{words}: other processes had {_shares(comparison.load[change.configuration])} of all cores' time"
    adjusted = change.machine_speed is not None and change.judged
    return words + (f", adjusted for the machine's speed ({change.machine_speed:.3f})" if adjusted else "")


def _words(code: str) -> str:
    return code.replace("-", " ")


def shown(value: int, change: MetricChange) -> str:
    """A number in its unit."""
    if change.unit == "photos":
        return str(value)
    size, unit = next((step for step in _STEPS[change.unit] if abs(value) >= step[0]), _STEPS[change.unit][-1])
    return f"{value / size:.4g} {unit}"


def ratio_text(change: MetricChange) -> str:
    """The ratio with its interval."""
    ratio = change.ratio
    return "-" if ratio is None else f"{ratio.value:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]"


def _line(change: MetricChange, comparison: Comparison) -> tuple[str, ...]:
    what = f"{change.scenario} {change.stage or ''}".strip()
    numbers = shown(change.before, change), shown(change.after, change), ratio_text(change)
    n = " and ".join(map(str, dict.fromkeys(change.n)))
    return change.configuration, what, change.metric, *numbers, n, change.verdict, reason(change, comparison)


def _named(change: MetricChange) -> str:
    return f"{change.configuration} {change.scenario} {change.metric}"


def _shares(load: MachineLoad) -> str:
    return " and ".join("an unknown share" if share is None else f"{100 * share:.0f} %" for share in load.others)


def pick_table(pick: Pick) -> str:
    """Per machine the configurations, the answer, and why the others are not chosen."""
    return "\n\n".join("\n".join(_machine_lines(machine, pick)) for machine in pick.machines)


def answer(machine: MachinePick, pick: Pick) -> str:
    """What to ship on a machine, in a sentence."""
    start = f"on {machine.machine}: "
    if machine.chosen is None:
        if machine.nearest is None:
            return f"{start}nothing to choose from: no measured {pick.budget.scenario}"
        doubt = "" if machine.nearest.fits is False else " for sure"
        return f"{start}nothing fits{doubt}; nearest is {_candidate(machine.nearest, machine)}: {missed(machine.nearest)}"
    chosen, (unit, factor) = machine.chosen, SCALES[machine.chosen.unit]
    limited = any(judgement.limit in ("p50_ms", "p99_ms") for judgement in chosen.judgements)
    time = chosen.unit == "ns"
    speed = [f"the {'fastest' if time else 'least'} that fits: p50 {interval(chosen.p50, factor)} {unit}, n={chosen.n}"]
    words = "; ".join([*(speed if not limited else []), *map(_judgement, chosen.judgements)])
    names = ", ".join(_candidate(candidate, machine) for candidate in machine.tied)
    ties = f"; tied with {names}: their intervals overlap" if names else ""
    return f"{start}ship {_candidate(chosen, machine)}: {pick.budget.scenario}: {words}{ties}"


def missed(candidate: PickCandidate) -> str:
    """Why a candidate does not fit."""
    return "; ".join(_judgement(judgement) for judgement in candidate.judgements if not judgement.fits)


def _judgement(judgement: Judgement) -> str:
    name, unit = _LIMITS[judgement.limit]
    value = "" if judgement.value is None else f" {judgement.value:.3f} {unit}, n={judgement.n}"
    over = f": {(judgement.high or 0) - judgement.allowed:.3f} over {judgement.allowed:g}" if judgement.code == "over" else ""
    hint = f": {_HINTS[judgement.code]}" if judgement.code in _HINTS else ""
    return f"{name}{value}{over}{hint}"


def _candidate(candidate: PickCandidate, machine: MachinePick) -> str:
    """The configuration, and its record if others are of another."""
    several = len({other.record for other in machine.candidates}) > 1
    return candidate.subject.name + (f" of {candidate.record}" if several else "")


def _machine_lines(machine: MachinePick, pick: Pick) -> Iterator[str]:
    candidates = machine.candidates
    unit, factor = SCALES[candidates[0].unit] if candidates else SCALES["ns"]
    headers = (
        "rank", "configuration", f"p50 {unit} [95 %]", f"p99 {unit} [95 %]", "n", "loss, points [95 %]", "photos", "peak MB",
        "processes", "size MB", "fits",
    )  # fmt: skip
    rows = [
        (
            f"{place + 1} ≈" if place and entry.p50.overlaps(candidates[place - 1].p50) else str(place + 1), _candidate(entry, machine),
            interval(entry.p50, factor), interval(entry.p99, factor) if entry.p99 else "n too small", entry.n,
            f"{entry.loss.points:.2f} [{entry.loss.low:.2f}, {entry.loss.high:.2f}]" if entry.loss else None,
            entry.loss.n if entry.loss else None, f"{entry.peak / 1e6:.1f}" if entry.peak else None, entry.processes or None,
            f"{entry.subject.size / 1e6:.1f}", {True: "yes", False: "no", None: "cannot tell"}[entry.fits],
        )
        for place, entry in enumerate(candidates)
    ]  # fmt: skip
    if rows:
        yield f"{pick.budget.scenario} on {machine.machine} ({', '.join(machine.records)})"
        yield render(headers, rows)
    yield answer(machine, pick)
    yield from (f"not {_candidate(entry, machine)}: {missed(entry)}" for entry in candidates if not entry.fits)
    yield from (f"left out: {skipped.what}: {skipped.reason}" for skipped in machine.left_out)
    yield from (f"note: {what}: {note}" for what, note in machine.notes)


def trend_table(trends: Sequence[Trend]) -> str:
    """A table per configuration, the oldest record first."""
    return "\n\n".join("\n".join(_trend_lines(trend)) for trend in trends)


def _trend_lines(trend: Trend) -> Iterator[str]:
    unit: Unit = trend.unit
    name, factor = SCALES[unit]
    headers = ("date", "edgetl", "record", f"p50 {name} [95 %]", "n", "processes", "ratio", "against the one before")
    rows = []
    for point in trend.points:
        change = point.change
        ratio = f"{change.ratio.value:.3f}" if change and change.ratio else None
        verdict = change and change.verdict + (f": {change.cause.replace('-', ' ')}" if change.verdict == "cannot tell" else "")
        date = point.created[:16].replace("T", " ")
        rows.append((date, point.edgetl, point.record, interval(point.p50, factor), point.n, point.processes, ratio, verdict))
    yield f"{trend.scenario} of {trend.configuration} on {trend.machine}"
    yield render(headers, rows)
