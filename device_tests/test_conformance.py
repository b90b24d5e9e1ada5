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

LEAST_COSINE = 0.98
"""To the export's embedding, of any precision."""
PHOTOS = 6
"""Per class."""
ADD_UNTIL_KILLED = """
import sys
import numpy as np
from edgetl import Classifier
classifier = Classifier.open(sys.argv[1], sys.argv[2], variant=sys.argv[3])
for seed in range(10_000):
    photo = np.random.default_rng(seed).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    classifier.add(photo, "noise")
    print(sum(classifier.counts.values()), flush=True)
"""


def test_the_self_test_images_embed_as_at_export_and_as_on_the_reference(
    bundle_path, variant, open_classifier, tmp_path, results, pytestconfig
):
    bundle = Bundle.open(bundle_path)
    chosen = bundle.variant(variant)
    expected = bundle.self_test(chosen)
    with open_classifier(tmp_path / "store.db") as classifier:  # which fails if the self-test does
        embeddings = [classifier.embedder.infer(tensor) for tensor in expected.tensors]
        library = classifier.embedder.runtime.library
    key = references.key(bundle, variant, library)
    record = {
        "variant": variant,
        "library": library,
        "model": chosen.sha256,
        "chart": hashlib.sha256(expected.tensors[0].tobytes()).hexdigest(),
        "cosine": [round(references.cosine(*pair), 6) for pair in zip(embeddings, expected.embeddings)],
        "embedding": references.packed(embeddings[0]),
        **board.record(),
    }
    against, near = references.compare(record, references.records(board.target()).get(key))
    results[key] = {**record, "against": against}
    assert min(record["cosine"]) >= LEAST_COSINE
    assert near or pytestconfig.getoption("--write-reference"), against


def test_train_add_a_class_forget_and_roll_back(open_classifier, tmp_path, draw):
    store = tmp_path / "store.db"
    with open_classifier(store) as classifier:
        for label in ("red", "green"):
            classifier.add_many([(photo, label) for photo in draw(label, PHOTOS)])
        first = classifier.train()
        assert first.accuracy.value >= 0.9
        assert classifier.predict(draw("red", PHOTOS + 1)[-1]).label == "red"

        classifier.add_many([(photo, "blue") for photo in draw("blue", PHOTOS)])
        second = classifier.train()
        assert second.active
        assert second.change is not None
        assert set(second.change.classes) == {"green", "red"}
        photo = draw("blue", PHOTOS + 1)[-1]
        assert classifier.predict(photo).label == "blue"
        assert classifier.explain(photo).neighbours[0].label == "blue"

        forgotten = classifier.forget(label="blue")
        assert forgotten.removed == {"blue": PHOTOS}
        assert forgotten.traces == 0
        assert forgotten.difference is not None
        assert forgotten.difference <= 1e-5
        assert classifier.predict(photo).label != "blue"

        assert classifier.rollback().id == second.head_id
        assert classifier.predict(photo).label == "blue"
        classifier.export_head(tmp_path / "head.safetensors")
    with open_classifier(store) as classifier:
        assert classifier.counts == {"green": PHOTOS, "red": PHOTOS}
        assert classifier.predict(photo).label == "blue"
    with open_classifier(tmp_path / "another.db") as other:
        other.import_head(tmp_path / "head.safetensors")
        assert other.predict(photo).label == "blue"


def test_nothing_acknowledged_is_lost_when_the_power_fails(bundle_path, variant, open_classifier, tmp_path):
    store = tmp_path / "store.db"
    open_classifier(store).close()
    command = [sys.executable, "-c", ADD_UNTIL_KILLED, os.fspath(bundle_path), os.fspath(store), variant]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        acknowledged = 0
        while acknowledged < 10:
            acknowledged = json.loads(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        acknowledged = max(
            [acknowledged, *(json.loads(line) for line in writer.stdout.read().splitlines(keepends=True) if line.endswith("\n"))]
        )
    with open_classifier(store) as classifier:
        assert classifier.counts["noise"] in (acknowledged, acknowledged + 1)
