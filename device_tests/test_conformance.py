"""One suite for every target: what a technician does, on every variant that runs here."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgetl import Classifier
from edgetl.errors import RuntimeUnavailable

TEACH_UNTIL_KILLED = """
import sys
import numpy as np
from edgetl import Classifier
shop = Classifier.open(sys.argv[1], sys.argv[2], variant=sys.argv[3])
for seed in range(10_000):
    photo = np.random.default_rng(seed).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    shop.add(photo, "noise")
    print(sum(shop.counts.values()), flush=True)
"""


def opened(bundle: Path, store: Path, variant: str) -> Classifier:
    try:
        return Classifier.open(bundle, store, variant=variant)
    except RuntimeUnavailable as error:
        pytest.skip(str(error))


def test_teach_add_a_class_forget_and_roll_back(bundle_path, variant, tmp_path, drawn):
    store = tmp_path / "store.db"
    with opened(bundle_path, store, variant) as shop:
        for label in ("red", "green"):
            shop.add_many([(photo, label) for photo in drawn(label, 6)])
        first = shop.train()
        assert first.accuracy.value >= 0.9
        assert shop.predict(drawn("red", 7)[-1]).label == "red"

        shop.add_many([(photo, "blue") for photo in drawn("blue", 6)])
        second = shop.train()
        assert second.active
        assert second.change is not None
        assert set(second.change.classes) == {"green", "red"}
        assert shop.predict(drawn("blue", 7)[-1]).label == "blue"
        assert shop.explain(drawn("blue", 7)[-1]).neighbours[0].label == "blue"

        forgotten = shop.forget(label="blue")
        assert forgotten.removed == {"blue": 6}
        assert forgotten.traces == 0
        assert forgotten.difference is not None
        assert forgotten.difference <= 1e-5
        assert shop.predict(drawn("blue", 7)[-1]).label != "blue"

        assert shop.rollback().head == second.head
        assert shop.predict(drawn("blue", 7)[-1]).label == "blue"
    with opened(bundle_path, store, variant) as shop:
        assert shop.counts == {"green": 6, "red": 6}
        assert shop.predict(drawn("blue", 7)[-1]).label == "blue"


def test_nothing_acknowledged_is_lost_when_the_power_goes(bundle_path, variant, tmp_path):
    store = tmp_path / "store.db"
    opened(bundle_path, store, variant).close()
    command = [sys.executable, "-c", TEACH_UNTIL_KILLED, os.fspath(bundle_path), os.fspath(store), variant]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as teacher:
        assert teacher.stdout is not None
        acknowledged = 0
        while acknowledged < 20:
            acknowledged = json.loads(teacher.stdout.readline())
        teacher.send_signal(signal.SIGKILL)
        acknowledged = max(
            [acknowledged, *(json.loads(line) for line in teacher.stdout.read().splitlines(keepends=True) if line.endswith("\n"))]
        )
    with opened(bundle_path, store, variant) as shop:
        assert shop.counts["noise"] in (acknowledged, acknowledged + 1)
