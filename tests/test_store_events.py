"""The log: everything that was done, in order, and nothing of a photo."""

from __future__ import annotations

import getpass
import hashlib
import os

import numpy as np
import pytest
from raising import raises

from edgetl.errors import StoreError
from edgetl.stats import Proportion
from edgetl.store import NewSample, Store, events
from edgetl.types import Capture, Fingerprint, ImageSpec

FINGERPRINT = Fingerprint("a" * 64, ImageSpec(224, 224, 256), "fake", "int8", 64)
SEEN = Capture(640, 480, 100.0, 20.0, 3.0, -0.25, None, b"a small JPEG")


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "parts.db", FINGERPRINT) as store:
        yield store


def sample(k: int, label: str = "mug") -> NewSample:
    return NewSample(hashlib.sha256(b"%d" % k).digest(), label, np.random.default_rng(k).normal(size=64), f"secret-{k}.jpg", SEEN)


def relabel_a_missing_sample(store: Store) -> None:
    store.log("relabel", "never")
    store.relabel(9, "cup")


def logged(store: Store, last: int | None = None) -> list[tuple[object, ...]]:
    return [(event.id, event.what, event.why, event.head_id) for event in store.events(last)]


def test_the_numbers_give_the_order_even_if_the_clock_goes_back(store, monkeypatch):
    clock = iter([1.7e9, 0.0, 1.8e9])
    monkeypatch.setattr(events.time, "time", lambda: next(clock))
    store.log("import", "head of the other camera")
    store.log("adapt", "the lamp was changed")
    store.log("forget", "class 'mug'")
    assert [(event.id, event.clock, event.what) for event in store.events()] == [
        (1, 1.7e9, "import"),
        (2, 0.0, "adapt"),
        (3, 1.8e9, "forget"),
    ]
    assert logged(store, 2) == [(2, "adapt", "the lamp was changed", None), (3, "forget", "class 'mug'", None)]
    assert (logged(store, 0), len(logged(store, 9))) == ([], 3)


def test_who_is_the_user_at_this_machine_unless_the_environment_names_somebody(store, monkeypatch):
    monkeypatch.delenv("EDGETL_USER", raising=False)
    store.log("train", "a")
    monkeypatch.setenv("EDGETL_USER", "Anna \udce9\nSchmidt")
    store.log("train", "two\nlines")
    assert [event.who for event in store.events()] == [f"{getpass.getuser()}@{os.uname().nodename}", "Anna \\udce9 Schmidt"]
    assert store.events(1)[0].why == "two lines"


def test_an_event_is_logged_if_and_only_if_its_change_happened(store):
    store.add([sample(1, "mug"), sample(2, "cup"), sample(3, "mug")])
    with raises(StoreError, "photo-known"):
        store.add([sample(1)])
    with store.transaction("training"):
        head = store.add_head(kind="ncm", labels=["mug"], samples=3, accuracy=Proportion(3, 3), weights=b"w", report={})
        store.log("train", "ncm, 3 samples", np.int64(head))
    with raises(StoreError, "sample-missing", sample=9), store.transaction("relabelling"):
        relabel_a_missing_sample(store)
    store.add([sample(4)])
    assert logged(store) == [
        (1, "add", "3 photos: 2 of 'mug', 1 of 'cup'", None),
        (2, "train", "ncm, 3 samples", head),
        (3, "add", "1 photo: 1 of 'mug'", None),
    ]


def test_adding_names_few_classes_and_counts_the_others(store):
    store.add([sample(k, f"class {k % 40}") for k in range(41)])
    why = store.events()[0].why
    assert [f"class {k}" in why for k in range(6)] == [True] * 5 + [False]
    assert why.startswith("41 ")
    assert "35" in why


def test_the_log_of_forgotten_photos_holds_the_name_of_their_class_and_nothing_else(store):
    new = [sample(k) for k in range(3)]
    store.add(new)
    removed = store.remove(label="mug")
    store.log("forget", "class 'mug'")
    assert store.traces(removed) == 0
    left = repr(store.events())
    assert "mug" in left
    for added in new:
        assert added.source not in left
        assert added.digest.hex() not in left


def test_a_reader_reads_the_log_and_does_not_write_it(store):
    store.log("train", "a")
    with Store.open(store.path, None, read_only=True) as reader:
        assert logged(reader) == [(1, "train", "a", None)]
        with raises(StoreError, "store-read-only", doing="writing the log"):
            reader.log("train", "b")
