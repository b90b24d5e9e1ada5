"""The method: how often, how long, in how many processes; all of it is in the record."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Method:
    """How a bench measures. Counts and seconds are of one scenario of one configuration, over all of its rounds.

    Attributes:
        name: `full`, `quick`, or what the caller calls it.
        queries: at least so many are measured, count.
        seconds: and at least so long, s.
        rounds: fresh processes per configuration, count. The configurations take turns: each round runs every one of them once, in an
            order shuffled with `seed`. A process differs from the next by where its memory lies, so intervals are taken over rounds.
        lessons: how often the learning scenarios (`learn-one`, `add-a-class`) and `n-shot` are repeated in a round, count.
        window: queries in a window of the warm-up, count.
        steady: the warm-up ends when a window's median is within this share of the median of the window before.
        warm_up_seconds: or after so long, s; the row says that it was not steady.
        photos: different photos that the queries rotate over, count; at least 16.
        most: samples of a scenario that a round keeps at most, count: it bounds the memory of a run. The round ends there, and the row
            says so.
        confidence: of every interval.
        resamples: bootstrap resamples behind an interval, count.
        seed: of the order, of the bootstrap, and of what is taught and asked.
        budget: seconds that the run might take: every configuration in one process first, then the leaders in as many rounds as there was
            time for; `queries` and `seconds` divided by `rounds` are a process's share. None: every configuration in every round.
    """

    name: str = "full"
    queries: int = 1024
    seconds: float = 60.0
    rounds: int = 10
    lessons: int = 5
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
"""How much longer than the fastest one a leader's median may be (docs/evidence/bench-time.md)."""
FULL = Method()
QUICK = Method("quick", queries=372, seconds=5.0, rounds=4, lessons=3, window=16, warm_up_seconds=3.0)


def words(method: Method) -> tuple[str, ...]:
    """The method in sentences, for those who were not there."""
    percent = f"{100 * method.confidence:g} %"
    return (
        "One query after the other (single stream): the next one begins when the one before is answered.",
        f"Every configuration ran in {method.rounds} fresh processes, the rounds."
        if method.budget is None
        else f"The run had {method.budget:g} s: every configuration ran in one fresh process, then those whose median was within "
        f"{100 * SLACK:g} % of the fastest in one more process a round, while there was time.",
        f"The configurations took turns, in a new order for each round (seed {method.seed}), so that whatever else the machine did slowed "
        "them alike.",
        f"A round warmed up in windows of {method.window} queries until the median of one was within {100 * method.steady:g} % of the "
        f"median of the one before, for {method.warm_up_seconds:g} s at most; a row says where that was not reached.",
        f"Then at least {method.queries} queries and {method.seconds:g} s were measured per scenario, shared by {method.rounds} rounds; a "
        "round keeps "
        f"at most {method.most} samples. The learning scenarios were repeated {method.lessons} times in a round.",
        f"Queries rotate over up to {method.photos} photos. Times are from the monotonic clock, in nanoseconds.",
        "No outlier was removed. Percentiles are nearest-rank: always a sample that was taken. One that n cannot carry is not given.",
        f"Intervals are {percent}, from {method.resamples} bootstrap resamples over whole rounds and over blocks within them (the wider "
        "one counts), widened for few rounds; fewer than 3 rounds give none. Those of accuracy are Wilson's, 95 %.",
    )
