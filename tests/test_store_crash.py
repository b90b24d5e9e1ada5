"""`kill -9` at 50 random moments: opening, creating, adding, training, folding the journal, making the file smaller.

One process with everything imported forks a writer per round, so that a kill meets the store and not Python's start. The writer prints
a batch's number only after `add` has returned; that batch must be there, whole and correct, and at most one more.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edgetl.store import Store

ROUNDS = 50
DIM = 1280

WRITER = """
import hashlib, os, sys
import numpy as np
from edgetl.store import NewSample, Store, connection
from edgetl.stats import Proportion
from edgetl.types import Capture, Fingerprint, ImageSpec

FINGERPRINT = Fingerprint("a" * 64, ImageSpec(224, 224, 256), "fake", "int8", 1280)

connection.JOURNAL_LIMIT = 2**18  # fold often, so that kills meet that too

def write(path):
    with Store.open(path, FINGERPRINT) as store:
        batch = max((int(label) for label in store.counts()), default=0)
        while True:
            batch += 1
            photos = [hashlib.sha256(b"%d %d" % (batch, k)).digest() for k in range(1 + batch * 7 % 40)]
            rows = np.random.default_rng(batch).normal(size=(len(photos), 1280)).astype(np.float32)
            seen = Capture(640, 480, 1.0, 2.0, 3.0, -0.25, float(batch), b"%d" % batch * 500)
            store.add([NewSample(photo, str(batch), row, "camera", seen) for photo, row in zip(photos, rows)])
            os.write(1, b"batch %d\\n" % batch)
            if batch % 5 == 0:
                accuracy = Proportion(batch, batch)
                head = store.add_head(kind="ncm", labels=["a"], samples=batch, accuracy=accuracy, weights=b"w" * batch, report={})
                os.write(1, b"head %d\\n" % head)
            if batch % 6 == 0:
                store.vacuum()

for path in sys.stdin:
    pid = os.fork()
    if pid == 0:
        write(path.strip())
    os.write(1, b"pid %d\\n" % pid)
    os.waitpid(pid, 0)
    os.write(1, b"gone 0\\n")
"""


def kill_a_writer(nursery: subprocess.Popen[bytes], path: Path, batches: int, delay: float) -> dict[str, int]:
    """The last batch and head that a writer acknowledged before it was killed, `delay` seconds after so many batches."""
    assert nursery.stdin is not None
    assert nursery.stdout is not None
    acknowledged = {"pid": 0, "batch": 0, "head": 0}
    nursery.stdin.write(f"{path}\n".encode())
    nursery.stdin.flush()
    while not acknowledged["pid"] or batches > 0:  # the writer may be faster than its parent
        word, number = nursery.stdout.readline().split()
        acknowledged[word.decode()] = int(number)
        batches -= word == b"batch"
    time.sleep(delay)
    os.kill(acknowledged["pid"], signal.SIGKILL)
    while (line := nursery.stdout.readline()) != b"gone 0\n":
        word, number = line.split()
        acknowledged[word.decode()] = int(number)
    return acknowledged


def check(path: Path, acknowledged: dict[str, int]) -> tuple[int, int]:
    """How many batches and heads are there: what was acknowledged, with the right bytes, and at most one more, whole."""
    with Store.open(path, None, read_only=True) as store:
        kept, heads, active = store.samples(), store.heads(), store.active()
        previews = [store.preview(sample) for sample in kept.ids]
        assert [event.what for event in store.events()] == ["add"] * len(set(kept.labels))
    batches = max((int(label) for label in kept.labels), default=0)
    assert batches in (acknowledged["batch"], acknowledged["batch"] + 1)
    assert kept.labels == [str(batch) for batch in range(1, batches + 1) for _ in range(1 + batch * 7 % 40)]
    embeddings = [np.random.default_rng(batch).normal(size=(1 + batch * 7 % 40, DIM)).astype(np.float32) for batch in range(1, batches + 1)]
    exact = np.concatenate([np.empty((0, DIM), np.float32), *embeddings])
    assert (np.abs(kept.embeddings - exact) <= np.abs(exact).max(axis=1, keepdims=True) / 254 * 1.0001).all()
    assert kept.taken.tolist() == [float(label) for label in kept.labels]
    assert previews == [label.encode() * 500 for label in kept.labels]
    assert len(heads) in (acknowledged["head"], acknowledged["head"] + 1)
    assert active == (heads[-1] if heads else None)
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:  # writing, it would fold the journal
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    return batches, len(heads)


@pytest.mark.slow
def test_kill_9_at_50_random_moments_loses_nothing_that_was_acknowledged(tmp_path):
    chance = random.Random(os.environ.get("EDGETL_SEED", "0"))
    command = [sys.executable, "-c", WRITER]
    landed: list[tuple[int, int]] = []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path) as nursery:
        for step in range(ROUNDS):
            path = tmp_path / f"{step // 5}.db"  # every fifth kill meets a store that is being made, the others a journal that was left
            before = landed[-1] if step % 5 else (0, 0)
            batches, delay = (0, 0.005) if step % 5 == 0 else (chance.randrange(8), 0.02)
            acknowledged = kill_a_writer(nursery, path, batches, chance.uniform(0, delay))
            acknowledged["batch"] = acknowledged["batch"] or before[0]
            acknowledged["head"] = acknowledged["head"] or before[1]
            if not path.exists() or path.stat().st_size == 0:
                assert acknowledged["batch"] == 0
                landed.append((0, 0))
                continue
            check(path, acknowledged)
            landed.append(check(path, acknowledged))
        nursery.stdin.close()
    assert sum(batch for batch, _ in landed) > 100  # the kills met a writer at work
