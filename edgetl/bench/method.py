"""The method: how often, how long, in how many processes; all of it is in the record."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Method:
    """How a bench measures. Counts and seconds are of one scenario of one configuration, over all of its rounds.

    Attributes:
        queries: measured at least, count; `seconds` likewise, s.
        rounds: fresh processes per configuration, count. The configurations take turns: each round runs every one of them once, in an
            order shuffled with `seed`. Processes differ by where their memory lies, so intervals are over rounds.
        trainings: repetitions of the training scenarios in a round, count.
        window: queries in a window of the warm-up, count, which ends when a window's median is within the share `steady` of the median of
            the window before, or after `warm_up_seconds`; the row then says that it was not steady.
        photos: different photos that the queries rotate over, count; at least 16.
        most: samples of a scenario that a round keeps at most, count: it bounds the memory of a run.
        confidence: of every interval, from `resamples` bootstrap resamples.
        seed: of the order, of the bootstrap, and of the split into training and test photos.
        budget: seconds that the run may take: every configuration in one process first, then the fastest in as many rounds as fit;
            `queries` and `seconds` divided by `rounds` are a process's share. None: every configuration in every round.
    """

    name: str = "full"
    queries: int = 1024
    seconds: float = 60.0
    rounds: int = 10
    trainings: int = 5
    window: int = 32
    steady: float = 0.03
    warm_up_seconds: float = 10.0
    photos: int = 32
    most: int = 1 << 16
    confidence: float = 0.95
    resamples: int = 1000
    seed: int = 0
    budget: float | None = None


SLACK = 0.25
"""How much longer than the fastest a configuration's median may be to stay in a budget's rounds (docs/evidence/bench-time.md)."""
FULL = Method()
QUICK = Method("quick", queries=372, seconds=5.0, rounds=4, trainings=3, window=16, warm_up_seconds=3.0)


def sentences(method: Method) -> tuple[str, ...]:
    """The method in sentences, for a report."""
    rounds = f"Every configuration ran in {method.rounds} fresh processes (rounds)."
    budget = (
        f"The run had {method.budget or 0:g} s: every configuration ran in one fresh process, then those with a median within "
        f"{100 * SLACK:g} % of the fastest in one more process a round, while there was time."
    )
    return (
        "One query after the other (single stream): the next one begins when the one before is answered.",
        rounds if method.budget is None else budget,
        f"The configurations took turns, in a new order for each round (seed {method.seed}), so that other load slowed them alike.",
        f"Warm-up: windows of {method.window} queries until the median of one was within {100 * method.steady:g} % of the one before, "
        f"{method.warm_up_seconds:g} s at most; a row says if that was not reached.",
        f"Then at least {method.queries} queries and {method.seconds:g} s per scenario, shared by {method.rounds} rounds; a round keeps at "
        f"most {method.most} samples. Training scenarios were repeated {method.trainings} times in a round.",
        f"Queries rotate over up to {method.photos} photos. Times are from the monotonic clock, in nanoseconds.",
        "No outlier was removed. Percentiles are nearest-rank: always a sample that was taken. One that n cannot carry is not given.",
        f"Intervals are {100 * method.confidence:g} %, from {method.resamples} bootstrap resamples over whole rounds and over blocks "
        "within them (the wider counts), widened for few rounds; fewer than 3 rounds give none. Those of accuracy are Wilson's, 95 %.",
    )
