"""Cold load and first inference, each in a process that has imported nothing yet."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from edgetl.bundle import Bundle, Variant
from edgetl.errors import RuntimeUnavailable
from edgetl.runtimes import open_runtime

# The clock starts before edgetl is imported, which is why this is no module to run with -m.
_PROGRAM = """
import time
started = time.perf_counter_ns()
import edgetl
imported = time.perf_counter_ns()
from edgetl.bench import cold
cold.report(imported - started)
"""

LOADING = ("import", "read", "open")
"""The stages of a cold load: edgetl and what it imports; the model's bytes through their sha256; the library and the model."""


def measure(bundle: Path, variant: Variant, threads: int | None) -> dict[str, int]:
    """Nanoseconds of each stage of :data:`LOADING`, and of `first`, the first inference, in a fresh process.

    Raises:
        RuntimeUnavailable: that process failed, with its last words.
    """
    command = [sys.executable, "-c", _PROGRAM, str(bundle), variant.name, json.dumps(threads)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        words = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise RuntimeUnavailable(f"{bundle}: {variant.name} could not be loaded in a fresh process: {words}")
    taken: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return taken


def report(imported: int) -> None:
    """Runs in the fresh process: loads the variant named on its command line and prints what each stage took, as JSON."""
    path, name, threads = sys.argv[1:]
    start = time.perf_counter_ns()
    bundle = Bundle.open(path)
    variant = bundle.variant(name)
    files = bundle.model(variant)
    read = time.perf_counter_ns()
    runtime = open_runtime(variant.family, files, json.loads(threads))
    opened = time.perf_counter_ns()
    photo = bundle.golden(variant).tensors[:1]
    ready = time.perf_counter_ns()
    runtime.embed(photo)
    first = time.perf_counter_ns() - ready
    print(json.dumps({"import": imported, "read": read - start, "open": opened - read, "first": first}))
