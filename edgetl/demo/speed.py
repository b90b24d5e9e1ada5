"""What the demo shows of a bench's record."""

from __future__ import annotations

from edgetl.bench import Record as Bench
from edgetl.bench import Result, Row
from edgetl.bench.statistics import Estimate
from edgetl.bundle.bundle import Bundle
from edgetl.demo.record import Latency, Step

_HEADERS = ("variant", "p50", "p90", "p99", "n", "warm load", "cold load", "new class", "cosine", "threads", "runtime")


SCENARIOS = ("predict-file", "add-a-class", "cold")
"""What the demo measures."""


def latencies(bench: Bench) -> tuple[Latency, ...]:
    """One per variant whose prediction was timed, in the bundle's order."""
    return tuple(_latency(result, whole) for result in bench.results if (whole := result.row(SCENARIOS[0])))


def step(bench: Bench, bundle: Bundle, seconds: float) -> Step:
    """The step's table: latency, and beside it how close the variant's embeddings are to the float ones."""
    rows = []
    for one in latencies(bench):
        parity = bundle.variants[one.variant].parity
        times = [milliseconds(value) for value in (one.p50, one.p90, one.p99)]
        others = [milliseconds(value) for value in (one.warm_load, one.cold_load, one.new_class)]
        cosine = "-" if parity is None else f"{parity.cosine_mean:.5f}"
        rows.append((one.variant, *times, str(one.n), *others, cosine, str(one.threads), one.library))
    words = [
        "From a photo's file to its class, decoding included, on this machine: the median, and what 90 % and 99 % of the photos stay "
        "below; n is how often it was timed, and a dash means that n is too small to say. Load is a fresh process until the model is "
        "open and proved: warm, and cold with its files out of the page cache where they could be made to leave it; new class is 20 "
        "photos of a class that did not exist until the first prediction (medians)."
    ]
    words += [f"Not measured: {what} ({reason})." for reason, what in bench.unmeasured().items()]
    words += [f"It ended early: {bench.ended}."] if bench.ended else []
    return Step("bench", "Measure the latency of every variant", " ".join(words), _HEADERS, tuple(rows), seconds)


def milliseconds(value: float | None) -> str:
    """Three significant digits, e.g. `8.31 ms`."""
    if value is None:
        return "-"
    return f"{value:.2f} ms" if value < 10 else f"{value:.1f} ms" if value < 100 else f"{value:.0f} ms"


def _latency(result: Result, whole: Row) -> Latency:
    subject = result.subject
    return Latency(
        variant=subject.variant,
        library=subject.library,
        threads=subject.threads,
        p50=whole.p50.value / 1e6,
        p90=_ms(whole.summary.p90),
        p99=_ms(whole.summary.p99),
        n=whole.n,
        warm_load=_median(result.row("warm-load")),
        cold_load=_median(result.row("cold-load")),
        new_class=_median(result.row("add-a-class")),
    )


def _median(row: Row | None) -> float | None:
    return None if row is None else row.p50.value / 1e6


def _ms(estimate: Estimate | None) -> float | None:
    return None if estimate is None else estimate.value / 1e6
