"""The machine's own pace: how long a fixed piece of work takes between the queries.

Clocks follow temperature and neighbours, on a virtual machine unseen: EfficientNet-Lite0 on one of four idle cores became 3 % slower and
faster within minutes, and this piece of work with it (correlation 0.99 over 8 s, n=24; what was left of it was 0.5 %). Two records are
therefore compared at one pace.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

EVERY = 100_000_000
"""Nanoseconds from one to the next: it takes 0.3 ms, and the query after it finds a little less in the caches."""
_BLOCK = bytes(range(256)) * 256
_TIMES = 8


def pace(clock: Callable[[], int]) -> int:
    """Nanoseconds that the sha256 of half a megabyte takes, on one core, within its caches."""
    start = clock()
    for _ in range(_TIMES):
        hashlib.sha256(_BLOCK).digest()
    return clock() - start
