"""One suite for every target: what a technician does, on every variant that runs here."""

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
    golden = (bundle := Bundle.open(bundle_path)).golden(bundle.variant(variant))
    with open_shop(tmp_path / "store.db") as shop:  # which refuses what it computes if that is not the golden embedding
        made = [shop.embedder.infer(tensor) for tensor in golden.tensors]
        fingerprint, library = shop.embedder.fingerprint.digest, shop.embedder.runtime.library
    key = references.key(fingerprint, library)
    known = references.records(board.target()).get(key)
    near = references.cosine(made[0], references.unpacked(known["chart"])) if known else None
    results[key] = {
        "backbone": bundle.backbone["name"],
        "variant": variant,
        "library": library,
        **board.record(),
        "cosine": [round(references.cosine(one, expected), 6) for one, expected in zip(made, golden.embeddings)],
        "chart": references.packed(made[0]),
        "against": f"{near:.4f} to the reference, {known['kind']} with {known['library']}"
        if known
        else f"no reference for this model on {board.target()} (--write-reference makes one)",
    }
    assert min(results[key]["cosine"]) >= GOLDEN
    assert known is None or near >= references.NEAR or pytestconfig.getoption("--write-reference")


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
