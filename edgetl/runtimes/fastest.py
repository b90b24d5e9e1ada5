"""Measures which of several opened models answers fastest on this machine, and saves the result.

The file lies in the folder `edgetl` of the user's cache (XDG Base Directory Specification 0.8: $XDG_CACHE_HOME, else ~/.cache), or in the
folder that EDGETL_CACHE names; an empty EDGETL_CACHE, or no HOME, means that nothing is saved. Deleting the folder deletes every result.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from edgetl import machine
from edgetl.types import digest

VARIABLE = "EDGETL_CACHE"
_VERSION = 1
# docs/evidence/fastest.md has the measurements behind the next three.
_WARM_UP, _LEAST, _ROUNDS = 3, 8, 16
_BEHIND = 1.4
"""A candidate whose quickest answer takes this many times the best one's median is measured no further."""
_TIE = 1.05
"""Within this factor of the best, the first in the order of preference is taken: two measurements of one machine differ that much."""
_OTHERS = ("numpy", "pillow")

clock: Callable[[], int] = time.perf_counter_ns
"""Nanoseconds; tests put a clock of their own here."""


def compare(candidates: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Median milliseconds of each candidate's answers, 8 to 16 of them, in turns; clear losers are dropped early.

    Args:
        candidates: name -> one inference.
    """
    for infer in candidates.values():
        for _ in range(_WARM_UP):
            infer()
    samples: dict[str, list[float]] = {name: [] for name in candidates}
    left = list(candidates)
    for count in range(1, _ROUNDS + 1):
        for name in left if count % 2 else reversed(left):
            start = clock()
            candidates[name]()
            samples[name].append((clock() - start) / 1e6)
        if count >= _LEAST:
            best = min(median(samples[name]) for name in left)
            left = [name for name in left if min(samples[name]) <= _BEHIND * best]
            if len(left) == 1:
                break
    return {name: median(taken) for name, taken in samples.items()}


def first(times: Mapping[str, float]) -> str:
    """The name with the least milliseconds; of those within 5 % of it the first, so that a tie is always decided the same way."""
    return next(name for name, taken in times.items() if taken <= _TIE * min(times.values()))


def key(fingerprints: Mapping[str, str], threads: int) -> dict[str, Any]:
    """Everything that a result depends on, JSON-able.

    Args:
        fingerprints: candidate -> digest of its fingerprint, in the order of preference.
        threads: of the runtime, count.
    """
    from edgetl.machine import libraries, processor

    return {
        "version": _VERSION,
        "candidates": dict(fingerprints),
        "threads": threads,
        "cpu": processor.name(),
        "architecture": platform.machine(),
        "instruction_set": machine.instruction_set(),
        "cores": machine.cores(),
        "libraries": {name: version for name, version in libraries.installed().items() if name not in _OTHERS},
    }


def folder() -> Path | None:
    """Where results are saved; None without a place for them."""
    own, cache, home = (os.environ.get(name) for name in (VARIABLE, "XDG_CACHE_HOME", "HOME"))
    if own is not None:
        return Path(own) if own else None
    if cache and Path(cache).is_absolute():  # the specification: relative paths must be ignored
        return Path(cache, "edgetl")
    return Path(home, ".cache", "edgetl") if home else None


def load(key: Mapping[str, Any]) -> dict[str, float] | None:
    """The milliseconds saved for this machine and these candidates; None if none were saved or the file is damaged."""
    path = _file(key)
    if path is None:
        return None
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        times = {name: float(kept["milliseconds"][name]) for name in key["candidates"] if name in kept["milliseconds"]}
        usable = kept["key"] == key and len(times) == len(kept["milliseconds"]) > 1 and all(0 < taken < 1e9 for taken in times.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return times if usable else None


def save(key: Mapping[str, Any], times: Mapping[str, float]) -> str:
    """Saves a result, all of it or nothing; returns why it could not, empty if it could."""
    path = _file(key)
    if path is None:
        return f"{VARIABLE} is empty" if os.environ.get(VARIABLE) is not None else "HOME is not set"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, scratch = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump({"key": key, "milliseconds": times}, file, indent=1)
            Path(scratch).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(scratch).unlink()
            raise
    except OSError as error:
        return f"{path.parent}: {error.strerror or error}"
    return ""


def _file(key: Mapping[str, Any]) -> Path | None:
    parent = folder()
    return None if parent is None else parent / f"runtime-{digest(key)[:16]}.json"
