"""What a reader must know before believing a record: the machine was busy, slowed down, or its clock jumped."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from statistics import mean

from edgetl.bench.record import Result, Round
from edgetl.bench.statistics import percentile
from edgetl.machine import sensors

_OTHERS, _STEAL, _SLOWER = 0.05, 0.01, 1.05
_MEDIAN = 6  # samples that carry one


def caveats(results: Sequence[Result], rounds: Sequence[Round], cores: int) -> tuple[str, ...]:
    """Sentences with numbers, each with its n; nothing where nothing was found.

    Args:
        results: what was measured.
        rounds: the processes, in the order in which they ran, with the sensors' readings around each.
        cores: that the run could use, count.
    """
    asked = [result.subject for result in results if result.subject.threads > cores]
    crowded = [f"{one.name}: more threads than this run has cores ({cores}): they wait for each other" for one in asked]
    return (*crowded, *_clocks(rounds), *_throttled(rounds), *_load(rounds), *_slower(results))


def _clocks(rounds: Sequence[Round]) -> list[str]:
    """Within every process, and between one and the next."""
    moments = [(one, edge) for one in rounds for edge in (one.before, one.after)]
    return [
        f"{_where(later)}: {trouble}"
        for (_, before), (later, after) in itertools.pairwise(moments)
        if (trouble := sensors.clock_trouble(before, after))
    ]


def _throttled(rounds: Sequence[Round]) -> list[str]:
    slowed = [one for one in rounds if sensors.throttled(one.before, one.after)]
    if not slowed:
        return []
    return [f"the machine says that it throttled in {len(slowed)} of {len(rounds)} processes, first in {_where(slowed[0])}"]


def _load(rounds: Sequence[Round]) -> list[str]:
    """What did not work for this run."""
    shares = [(one, sensors.between(one.before, one.after)) for one in rounds]
    said = []
    for name, words, least in (
        ("others", "other processes used {0} of all cores' time", _OTHERS),
        ("steal", "the hypervisor gave {0} of all cores' time to other guests", _STEAL),
    ):
        taken = [(part, one) for one, share in shares if (part := share[name]) is not None]
        if not taken:
            continue
        average = mean(part for part, _ in taken)
        most, when = max(taken, key=lambda pair: pair[0])
        if average >= least or most >= 5 * least:
            at_most = f"at most {100 * most:.1f} %, in {_where(when)}; n={len(taken)} processes"
            said.append(words.format(f"{100 * average:.1f} % ({at_most})"))
    waits = [share["quota_waits"] for _, share in shares if share["quota_waits"]]
    if waits:
        said.append(f"the CPU quota of this container was used up {sum(waits):.0f} times, in {len(waits)} of {len(rounds)} processes")
    return said


def _slower(results: Sequence[Result]) -> list[str]:
    """Whether all configurations together became slower or faster: the rounds of one half are all slower than those of the other.

    Rows count of which every round has enough samples for a median: single loads differ more than a machine does.
    """
    ratios: dict[int, list[float]] = {}
    for result in results:
        for row in result.rows:
            enough = len(row.samples) > 3 and min(map(len, row.samples)) >= _MEDIAN
            if enough and row.stage is None and row.unit == "ns" and row.p50.value > 0:
                for number, taken in enumerate(row.samples):
                    ratios.setdefault(number, []).append(math.log(max(1, percentile(taken, 50)) / row.p50.value))
    pace = [mean(taken) for _, taken in sorted(ratios.items())]
    half = len(pace) // 2
    first, last = pace[:half], pace[len(pace) - half :]
    ratio = math.exp(mean(last) - mean(first)) if half else 1.0
    apart = half and (min(last) > max(first) or max(last) < min(first))
    if not apart or 1 / _SLOWER < ratio < _SLOWER:
        return []
    return [
        f"the last {half} rounds took {ratio:.2f} times as long as the first {half}, over all rows: it became "
        f"{'slower, as a machine that gets hot or busy' if ratio > 1 else 'faster, as one whose other work ended'}"
    ]


def _where(one: Round) -> str:
    return f"round {one.number} of {one.configuration}"
