"""One suite for every target: what a technician does, on every variant that runs here."""

import hashlib
import json
import os
import signal
import subprocess
import sys

import board
import references

from edgetl import Bundle

GOLDEN = 0.98
"""The least cosine to the golden embedding that any precision is allowed."""
PHOTOS = 6
"""Per class."""
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


def test_the_golden_charts_come_out_as_at_export_and_as_on_the_reference(bundle_path, variant, open_shop, tmp_path, results, pytestconfig):
    bundle = Bundle.open(bundle_path)
    chosen = bundle.variant(variant)
    golden = bundle.self_test(chosen)
    with open_shop(tmp_path / "store.db") as shop:  # which refuses what it computes if that is not the golden embedding
        made = [shop.embedder.infer(tensor) for tensor in golden.tensors]
        library = shop.embedder.runtime.library
    key = references.key(bundle, variant, library)
    record = {
        "variant": variant,
        "library": library,
        "model": chosen.sha256,
        "chart": hashlib.sha256(golden.tensors[0].tobytes()).hexdigest(),
        "cosine": [round(references.cosine(one, expected), 6) for one, expected in zip(made, golden.embeddings)],
        "embedding": references.packed(made[0]),
        **board.record(),
    }
    against, near = references.compared(record, references.records(board.target()).get(key))
    results[key] = {**record, "against": against}
    assert min(record["cosine"]) >= GOLDEN
    assert near or pytestconfig.getoption("--write-reference"), against


def test_teach_add_a_class_forget_and_roll_back(open_shop, tmp_path, drawn):
    store = tmp_path / "store.db"
    with open_shop(store) as shop:
        for label in ("red", "green"):
            shop.add_many([(photo, label) for photo in drawn(label, PHOTOS)])
        first = shop.train()
        assert first.accuracy.value >= 0.9
        assert shop.predict(drawn("red", PHOTOS + 1)[-1]).label == "red"

        shop.add_many([(photo, "blue") for photo in drawn("blue", PHOTOS)])
        second = shop.train()
        assert second.active
        assert second.change is not None
        assert set(second.change.classes) == {"green", "red"}
        asked = drawn("blue", PHOTOS + 1)[-1]
        assert shop.predict(asked).label == "blue"
        assert shop.explain(asked).neighbours[0].label == "blue"

        forgotten = shop.forget(label="blue")
        assert forgotten.removed == {"blue": PHOTOS}
        assert forgotten.traces == 0
        assert forgotten.difference is not None
        assert forgotten.difference <= 1e-5
        assert shop.predict(asked).label != "blue"

        assert shop.rollback().head == second.head
        assert shop.predict(asked).label == "blue"
        shop.export_head(tmp_path / "head.safetensors")
    with open_shop(store) as shop:
        assert shop.counts == {"green": PHOTOS, "red": PHOTOS}
        assert shop.predict(asked).label == "blue"
    with open_shop(tmp_path / "another.db") as other:
        other.import_head(tmp_path / "head.safetensors")
        assert other.predict(asked).label == "blue"


def test_nothing_acknowledged_is_lost_when_the_power_goes(bundle_path, variant, open_shop, tmp_path):
    store = tmp_path / "store.db"
    open_shop(store).close()
    command = [sys.executable, "-c", TEACH_UNTIL_KILLED, os.fspath(bundle_path), os.fspath(store), variant]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as teacher:
        assert teacher.stdout is not None
        acknowledged = 0
        while acknowledged < 10:
            acknowledged = json.loads(teacher.stdout.readline())
        teacher.send_signal(signal.SIGKILL)
        acknowledged = max(
            [acknowledged, *(json.loads(line) for line in teacher.stdout.read().splitlines(keepends=True) if line.endswith("\n"))]
        )
    with open_shop(store) as shop:
        assert shop.counts["noise"] in (acknowledged, acknowledged + 1)
