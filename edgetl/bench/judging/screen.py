"""A comparison on the screen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from edgetl.bench.judging.compare import Change, Comparison, judgeable
from edgetl.tables import render

_SCALES: dict[str, tuple[tuple[int, str], ...]] = {
    "ns": ((10**9, "s"), (10**6, "ms"), (10**3, "µs"), (1, "ns")),
    "B": ((10**6, "MB"), (10**3, "kB"), (1, "B")),
    "uJ": ((10**6, "J"), (10**3, "mJ"), (1, "µJ")),
    "cycles": ((1, "cycles"),),
}


_SILENT = ("cannot tell", "same", "no change")


def table(comparison: Comparison) -> str:
    """The answer, the headline numbers and all that have a verdict, then what the verdicts rest on."""
    telling = [change for change in comparison.changes if change.headline or change.verdict not in _SILENT]
    headers = ("configuration", "scenario", "metric", *comparison.names, "ratio", "n", "verdict", "because")
    lines = [render(headers, map(_line, telling))]
    if silent := len(comparison.changes) - len(telling):
        lines.append(f"and {silent} stages, p90, p99 and sizes without a change that can be told")
    lines.append("")
    lines += around(comparison)
    lines.append(
        f"Intervals of {100 * comparison.confidence:g} % over processes; a change matters from "
        f"{comparison.floor_ns / 1000:g} µs and {100 * comparison.margin:g} % on."
    )
    slower = [change for change in comparison.changes if not change.headline and change.stage is None and change.verdict == "slower"]
    lines += [
        f"{_named(change)} became slower, which fails no build without --fail-on {change.metric}."
        for change in slower
        if change.metric not in comparison.fail_on
    ]
    return "\n".join([*lines, *_answer(comparison)])


def _answer(comparison: Comparison) -> Iterator[str]:
    """What the exit code says, in words."""
    headline = [change for change in comparison.changes if change.headline]
    yield from (f"required: {one.configuration} {one.scenario}: {one.words}" for one in comparison.unmet)
    kinds = Counter(change.verdict for change in headline)
    counted = ", ".join(f"{count} {verdict}" for verdict, count in kinds.items())
    yield f"{len(headline)} headline numbers ({', '.join(comparison.fail_on)} of whole scenarios, memory, top-1): {counted}."
    if worse := [_named(change) for change in headline if change.regressed]:
        yield f"Regression, not by chance among so many (Holm): {', '.join(worse)}."
    elif judgeable(comparison):
        yield "No regression."
    else:
        busy = next((change for change in headline if change.cause == "machine-busy"), None)
        few = next((change for change in headline if not change.judged), None)
        reason = "a requirement is not met" if comparison.unmet else (busy or few or headline[0]).reason
        yield f"Cannot tell: {reason}."


def around(comparison: Comparison) -> list[str]:
    """What the verdicts rest on, a line each."""
    return [
        *(f"load, {name}: {said}" for name, said in comparison.load.items()),
        *(f"not the same: {said}" for said in comparison.differences),
        *(f"note: {said}" for said in comparison.notes),
    ]


def shown(value: int, change: Change) -> str:
    """A number in its unit."""
    if change.unit == "photos":
        return str(value)
    size, unit = next((scale for scale in _SCALES[change.unit] if abs(value) >= scale[0]), _SCALES[change.unit][-1])
    return f"{value / size:.4g} {unit}"


def interval(change: Change) -> str:
    """The ratio with its interval."""
    ratio = change.ratio
    return "-" if ratio is None else f"{ratio.value:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]"


def _line(change: Change) -> tuple[str, ...]:
    what = f"{change.scenario} {change.stage or ''}".strip()
    numbers = shown(change.before, change), shown(change.after, change), interval(change)
    n = " and ".join(map(str, dict.fromkeys(change.n)))
    return change.configuration, what, change.metric, *numbers, n, change.verdict, change.reason


def _named(change: Change) -> str:
    return f"{change.configuration} {change.scenario} {change.metric}"
