"""What the demo shows of a bench's record."""

from __future__ import annotations

from edgetl.bench import Record as Bench
from edgetl.bench import Result, Row
from edgetl.bench.statistics import Estimate
from edgetl.bundle.bundle import Bundle
from edgetl.demo.record import Latency, Step

_HEADERS = ("variant", "p50", "p90", "p99", "n", "load", "new class", "cold load", "cosine", "threads", "runtime")
_COLUMNS = 7


SCENARIOS = ("predict-file", "add-a-class", "cold")
"""What the demo measures."""


def latencies(bench: Bench) -> tuple[Latency, ...]:
    """One per variant whose prediction was timed, in the bundle's order."""
    return tuple(_latency(result, row) for result in bench.results if (row := result.row(SCENARIOS[0])))


def step(bench: Bench, bundle: Bundle, seconds: float) -> Step:
    """The step's table: latency, and beside it how close the variant's embeddings are to the float ones."""
    rows = []
    for latency in latencies(bench):
        parity = bundle.variants[latency.variant].parity
        times = [milliseconds(value) for value in (latency.p50, latency.p90, latency.p99)]
        warm, cold, new = (milliseconds(value) for value in (latency.warm_load, latency.cold_load, latency.new_class))
        cosine = "-" if parity is None else f"{parity.cosine_mean:.5f}"
        rows.append((latency.variant, *times, str(latency.n), warm, new, cold, cosine, str(latency.threads), latency.library))
    words = "Median, 90th and 99th percentile from a photo's file to its class, decoding included. A dash means too few samples."
    if bench.ended:
        words += f" It ended early: {bench.ended}."
    details = [
        "n is how often a photo was timed. Load is a fresh process until the model is open and self-tested: warm, and cold with its files "
        "out of the page cache if they could be removed. New class is from 20 photos of a new class to the first prediction (medians)."
    ]
    unmeasured = bench.unmeasured()
    details += [f"Not measured: {what} ({reason})." for reason, what in unmeasured.items()]
    values = {"ended": bench.ended, "unmeasured": unmeasured}
    return Step("bench", "Measure the latency of every variant", words, " ".join(details), _HEADERS, tuple(rows), seconds, values, _COLUMNS)


def milliseconds(value: float | None) -> str:
    """Three significant digits, e.g. `8.31 ms`."""
    if value is None:
        return "-"
    return f"{value:.2f} ms" if value < 10 else f"{value:.1f} ms" if value < 100 else f"{value:.0f} ms"


def _latency(result: Result, prediction: Row) -> Latency:
    subject = result.subject
    return Latency(
        variant=subject.variant,
        library=subject.library,
        threads=subject.threads,
        p50=prediction.p50.value / 1e6,
        p90=_ms(prediction.summary.p90),
        p99=_ms(prediction.summary.p99),
        n=prediction.n,
        warm_load=_median(result.row("warm-load")),
        cold_load=_median(result.row("cold-load")),
        new_class=_median(result.row("add-a-class")),
    )


def _median(row: Row | None) -> float | None:
    return None if row is None else row.p50.value / 1e6


def _ms(estimate: Estimate | None) -> float | None:
    return None if estimate is None else estimate.value / 1e6
