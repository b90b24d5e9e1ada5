"""A budget, and how a configuration stands to each of its limits.

A latency fits where the upper end of its interval does; a percentile that n cannot carry, or without an interval, fits nothing. Memory
and size are what was seen. A loss is judged by its value, because its interval is about other photos than those that were asked; where the
limit lies within it, the judgement says so.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

from edgetl.bench.judging.loss import Loss
from edgetl.bench.record import Result
from edgetl.bench.statistics import PROCESSES, Estimate, least


@dataclasses.dataclass(frozen=True)
class Budget:
    """What a configuration may cost; None is no limit.

    Attributes:
        scenario: whose latency.
        p50_ms: milliseconds.
        p99_ms: milliseconds.
        peak_mb: peak resident memory of a process that opens, predicts and learns (scenario `memory`), 10^6 bytes.
        size_mb: of the model's files, 10^6 bytes.
        max_loss: points of top-1 against the most accurate float configuration on the same photos.
    """

    scenario: str = "predict-file"
    p50_ms: float | None = None
    p99_ms: float | None = None
    peak_mb: float | None = None
    size_mb: float | None = None
    max_loss: float | None = None


@dataclasses.dataclass(frozen=True)
class Judgement:
    """How a configuration stands to one limit.

    Attributes:
        fits: None where it cannot be told.
        words: the value, and what is wrong with it.
        over: by how much it misses, as a share of the limit; 0 where it does not, or where that cannot be told.
    """

    fits: bool | None
    words: str
    over: float = 0.0


def of_latency(name: Literal["p50", "p99"], limit: float, time: Estimate | None, n: int, confidence: float) -> Judgement:
    """A percentile in nanoseconds, from n queries, against milliseconds."""
    if time is None:
        needed = least(float(name[1:]), confidence)
        return Judgement(None, f"{name} cannot be told from n={n}: it takes {needed} queries; measure longer, without --quick")
    words = f"{name} {shown(time, 1e6)} ms, n={n}"
    high = (time.interval or (0, time.value))[1] / 1e6
    if time.value / 1e6 > limit:
        return Judgement(False, f"{words}: its upper end is {high - limit:.3f} ms over {limit:g} ms", _share(high, limit))
    if time.interval is None:
        return Judgement(None, f"{words}: fewer than {PROCESSES} processes give no interval; measure without --rounds, or more of them")
    if high > limit:
        return Judgement(None, f"{words}: cannot be told to be at most {limit:g} ms; measure longer, or on a quieter machine")
    return Judgement(True, words)


def of_memory(limit: float, peak: int | None, processes: int) -> Judgement:
    """The largest peak of so many processes, bytes, against 10^6 bytes."""
    if peak is None:
        return Judgement(None, "its peak memory was not measured: edgetl bench BUNDLE --scenario memory")
    return _of_bytes(f"peak {peak / 1e6:.1f} MB, n={processes}", limit, peak)


def of_size(limit: float, size: int) -> Judgement:
    """The model's bytes against 10^6 bytes."""
    return _of_bytes(f"size {size / 1e6:.1f} MB", limit, size)


def of_loss(limit: float, loss: Loss | None, result: Result) -> Judgement:
    """The loss of a result against points; None is one that cannot be told."""
    if result.accuracy is None:
        return Judgement(None, "it has no accuracy: edgetl bench BUNDLE --labelled FOLDER")
    if loss is None:
        what = f"no fp32 configuration of {result.subject.backbone} was asked the same photos ({result.accuracy.photos})"
        return Judgement(None, f"its loss cannot be told: {what}; measure one with the same --labelled")
    if loss.points > limit:
        return Judgement(False, f"loss {loss}: {loss.points - limit:.2f} over {limit:g}", _share(loss.points, limit))
    doubt = f" ({limit:g} lies within the interval: other photos may say more)" if loss.high > limit else ""
    return Judgement(True, f"loss {loss}{doubt}")


def shown(one: Estimate, factor: float) -> str:
    """A number and its interval, `factor` of the record's units."""
    ends = one.interval
    return f"{one.value / factor:.3f} " + ("(no interval)" if ends is None else f"[{ends[0] / factor:.3f}, {ends[1] / factor:.3f}]")


def _of_bytes(words: str, limit: float, count: int) -> Judgement:
    value = count / 1e6
    if value > limit:
        return Judgement(False, f"{words}: {value - limit:.2f} over {limit:g}", _share(value, limit))
    return Judgement(True, words)


def _share(value: float, limit: float) -> float:
    """How far above a limit, as a share of it; a limit of nothing is missed by the whole value."""
    return (value - limit) / (abs(limit) or value)
