"""Merging stores: what comes out does not depend on how the photos were spread, and nothing is half made."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sqlite3
import tempfile
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raising import raises

from edgetl.errors import FingerprintMismatch, LabelError, StoreCorrupt, StoreError, StoreLocked
from edgetl.stats import Proportion
from edgetl.store import NewSample, Store
from edgetl.store.class_names import reconcile
from edgetl.store.merge import Conflict, MergeReport, PhotoCopy, merge
from edgetl.types import Capture, Fingerprint, ImageSpec, to_json

FINGERPRINT = Fingerprint("a" * 64, ImageSpec(224, 224, 256), "fake", "int8", 16)
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # where waiting for the disk costs nothing
CAPTURE = Capture(640, 480, 100.5, 20.25, 3.0, -0.25, 1.7e9, b"a small JPEG")


def photo(k: int) -> bytes:
    return hashlib.sha256(b"%d" % k).digest()


def sample(k: int, label: str = "mug", source: str | None = None) -> NewSample:
    embedding = np.random.default_rng(k).normal(size=16).astype(np.float32)
    capture = dataclasses.replace(CAPTURE, taken=1.7e9 + k, thumbnail=b"jpeg %d" % k) if k % 2 else None
    return NewSample(photo(k), label, embedding, source or f"{label}/{k}.jpg", capture)


def make(path: Path, *batch: NewSample) -> Path:
    with Store.open(path, FINGERPRINT) as store:
        store.add(batch)
    return path


def held(path: Path) -> Counter[tuple[object, ...]]:
    """Every photo with all that is kept of it, but its number."""
    with sqlite3.connect(path) as db:
        columns = "digest, label, source, embedding, measured, content"
        rows = Counter(db.execute(f"SELECT {columns} FROM sample LEFT JOIN preview USING (id)"))
    db.close()
    with Store.open(path, None, read_only=True) as store:  # every checksum is right too
        assert sum(rows.values()) == len(set(store.samples().ids.tolist()))
        for number in store.samples().ids.tolist():
            store.preview(number)
    return rows


LABELS = ("mug", "tea pot", "茶壶", "Straße")
PLACES = st.lists(st.tuples(st.sampled_from(LABELS), st.sets(st.integers(0, 3), min_size=1)), max_size=12)


@settings(max_examples=60, deadline=None)
@given(PLACES, st.permutations(range(4)))
def test_photos_spread_over_stores_merge_in_any_order_into_what_one_store_holds(places, order):
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        folder = Path(name)
        spread = [(sample(k, label), where) for k, (label, where) in enumerate(places)]
        whole = make(folder / "whole.db", *[new for new, _ in spread])
        parts = [make(folder / f"{i}.db", *[new for new, where in spread if i in where]) for i in range(4)]
        report = merge([parts[i] for i in order], folder / "merged.db")
        assert held(folder / "merged.db") == held(whole)
        assert report.counts == Counter(label for label, _ in places)
        assert report.duplicates == sum(len(where) - 1 for _, where in places)
        assert sum(share.added for share in report.stores) == len(places)
        assert (report.conflicts, report.renamed) == ((), {})
        again = merge([folder / "merged.db", whole], folder / "again.db")
        assert held(folder / "again.db") == held(whole)
        assert again.duplicates == len(places)


def test_a_photo_under_two_classes_keeps_the_class_of_the_first_store_and_is_listed(tmp_path):
    a = make(tmp_path / "a.db", sample(1, "mug"), sample(2, "mug"))
    b = make(tmp_path / "b.db", sample(1, "cup", "desk.jpg"), sample(2, "mug", "other name.jpg"), sample(3, "cup"))
    report = merge([b, a], tmp_path / "c.db")
    first = Conflict(PhotoCopy(str(b), "desk.jpg", "cup"), PhotoCopy(str(a), "mug/1.jpg", "mug"))
    assert report.conflicts == (first,)
    assert report.counts == {"cup": 2, "mug": 1}
    assert (report.duplicates, [share.added for share in report.stores]) == (2, [3, 0])
    swapped = merge([a, b], tmp_path / "d.db")
    assert swapped.conflicts == (Conflict(first.dropped, first.kept),)
    assert swapped.counts == {"cup": 1, "mug": 2}
    assert json.loads(json.dumps(to_json(report)))["conflicts"][0]["kept"]["source"] == "desk.jpg"


def test_spellings_of_one_class_become_the_most_frequent_one_and_are_listed(tmp_path):
    a = make(tmp_path / "a.db", sample(1, "Tea-Pot"), sample(2, "cafe\N{COMBINING ACUTE ACCENT}"), sample(3, "tee"))
    b = make(tmp_path / "b.db", sample(4, "tea pot"), sample(5, "tea pot"), sample(6, "CAFÉ"), sample(1, "tea__pot"))
    report = merge([a, b], tmp_path / "c.db")
    assert report.counts == {"cafe\N{COMBINING ACUTE ACCENT}": 2, "tea pot": 3, "tee": 1}
    assert report.renamed == {"Tea-Pot": "tea pot", "tea__pot": "tea pot", "CAFÉ": "cafe\N{COMBINING ACUTE ACCENT}"}
    assert report.conflicts == ()
    assert merge([b, a], tmp_path / "d.db").renamed["cafe\N{COMBINING ACUTE ACCENT}"] == "CAFÉ"  # as many: the first store's


@pytest.mark.parametrize(
    ("stores", "rename", "names"),
    [
        ([{"mug": 1}, {"Mug": 5}], {"Mug": "cup"}, {"mug": "mug", "Mug": "cup"}),
        ([{"mugs": 1}, {"Mug": 5, "MUG": 9}], {"mugs": "mug"}, {"mugs": "mug", "Mug": "mug", "MUG": "mug"}),
        ([{"a": 3, "b": 1}, {"A": 9}], {"a": "b", "b": "a"}, {"a": "b", "b": "a", "A": "a"}),
        ([{"a b": 2, "a-b": 2}, {"A_B": 2}], {}, {"a b": "a b", "a-b": "a b", "A_B": "a b"}),
        ([{"_a": 1, "a": 1, "a1": 1, "a 1": 1}], {}, {"_a": "_a", "a": "a", "a1": "a1", "a 1": "a 1"}),
    ],
    ids=["one spelling alone", "others follow", "swapped", "as many", "not the same"],
)
def test_renamed_classes_win_and_their_other_spellings_follow(stores, rename, names):
    assert reconcile(stores, rename) == names


def test_a_name_that_no_store_has_or_that_is_not_allowed_makes_nothing(tmp_path):
    a = make(tmp_path / "a.db", sample(1, "mug"))
    with raises(StoreError, "class-missing", label="mgu", labels=["mug"]):
        merge([a], tmp_path / "c.db", rename={"mgu": "cup"})
    with pytest.raises(LabelError):
        merge([a], tmp_path / "c.db", rename={"mug": "a/b"})
    assert not list(tmp_path.glob("c.db*"))


def test_stores_of_different_models_are_an_error_file_by_file(tmp_path):
    a = make(tmp_path / "a.db")
    for name, change in (("b.db", {"family": "litert"}), ("c.db", {"precision": "fp32"})):
        Store.open(tmp_path / name, dataclasses.replace(FINGERPRINT, **change)).close()
    lines = [f"{tmp_path / 'b.db'}: family: fake != litert", f"{tmp_path / 'c.db'}: precision: int8 != fp32"]
    with raises(FingerprintMismatch, path=str(tmp_path / "d.db"), differences=lines):
        merge([a, a, tmp_path / "b.db", tmp_path / "c.db"], tmp_path / "d.db")
    assert not list(tmp_path.glob("d.db*"))


def test_a_store_in_use_is_merged_as_it_is_without_its_heads(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGETL_USER", "anna")
    with Store.open(tmp_path / "a.db", FINGERPRINT) as writer:
        writer.add([sample(1)])
        writer.add_head(kind="ncm", labels=["mug"], samples=1, accuracy=Proportion(1, 1), weights=b"w", report={})
        with writer.transaction("in the midst"):
            writer.add([sample(2)])
            report = merge([tmp_path / "a.db"], tmp_path / "c.db")
        assert report.stores[0].photos == 1
    with Store.open(tmp_path / "c.db", None) as store:
        assert store.heads() == []
        assert [(event.who, event.what, event.why) for event in store.events()] == [("anna", "merge", "1 of the 1 photos of a.db")]
        assert store.add([sample(2)]) == [2]


def test_nothing_is_written_over_and_nothing_is_half_made(tmp_path):
    a, b = make(tmp_path / "a.db", *map(sample, range(20))), make(tmp_path / "b.db", *map(sample, range(20, 40)))
    with raises(StoreError, "target-exists", path=str(b)):
        merge([a], b)
    with raises(StoreError, "store-unreadable", path=str(tmp_path / "gone.db")):
        merge([a, tmp_path / "gone.db"], tmp_path / "c.db")
    with raises(StoreError, "nothing-to-merge"):
        merge([], tmp_path / "c.db")
    with sqlite3.connect(b) as db:
        db.execute("UPDATE sample SET embedding = zeroblob(20) WHERE id = 20")
    db.close()
    with raises(StoreCorrupt, path=str(b), part="sample", row=20, label="mug"):
        merge([a, b], tmp_path / "c.db")
    assert not (tmp_path / "c.db").exists()
    assert not (tmp_path / "c.db.new").exists()
    with Store.open(tmp_path / "d.db", FINGERPRINT), raises(StoreError, "target-exists"):
        merge([a], tmp_path / "d.db")
    (tmp_path / "c.db").touch()  # an empty file is not a store
    assert merge([a], tmp_path / "c.db").counts == {"mug": 20}
    assert {file.name for file in tmp_path.glob("c.db*")} == {"c.db", "c.db.lock"}


def test_a_target_that_somebody_is_making_is_locked(tmp_path):
    from edgetl.store.lock import WriterLock

    lock = WriterLock(tmp_path / "c.db")
    with pytest.raises(StoreLocked):
        merge([make(tmp_path / "a.db", sample(1))], tmp_path / "c.db")
    lock.release()


def test_a_merge_needs_memory_for_a_few_rows_only(tmp_path):
    thumbnail = bytes(20_000)
    for name, start in (("a.db", 0), ("b.db", 1000)):
        with Store.open(tmp_path / name, FINGERPRINT) as store:
            for k in range(start, start + 1000, 100):
                batch = [
                    dataclasses.replace(sample(i), capture=dataclasses.replace(CAPTURE, thumbnail=thumbnail)) for i in range(k, k + 100)
                ]
                store.add(batch)
    tracemalloc.start()
    report: MergeReport = merge([tmp_path / "a.db", tmp_path / "b.db"], tmp_path / "c.db")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert report.counts == {"mug": 2000}
    assert peak < 2_000_000  # the thumbnails alone are 40 MB
