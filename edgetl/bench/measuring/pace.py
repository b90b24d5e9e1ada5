"""The machine's own pace: how long a fixed piece of work takes between the queries.

Clocks follow temperature and neighbours, on a virtual machine unseen: on one of four idle cores processes of EfficientNet-Lite0, 1 s each,
differed by 2 % (n=100), and this piece of work with them; over 8 of them its logarithm was within 0.4 % of theirs. Two records are
therefore compared at one pace (:mod:`edgetl.bench.judging.pacing`). The work is done twice and timed the second time: after a query it
finds other code in the caches, and was 15 % longer in half of the cases.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

EVERY = 50_000_000
"""Nanoseconds from one to the next: both take 0.6 ms, and the query after them finds a little less in the caches."""
_BLOCK = bytes(range(256)) * 256
_TIMES = 8


def pace(clock: Callable[[], int]) -> int:
    """Nanoseconds that the sha256 of half a megabyte takes, on one core, within its caches."""
    _work()
    start = clock()
    _work()
    return clock() - start


def _work() -> None:
    for _ in range(_TIMES):
        hashlib.sha256(_BLOCK).digest()
