"""How a store handles files that the disk, or another program, wrote."""

from __future__ import annotations

import contextlib
import hashlib
import random
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from raising import raises

from edgetl.errors import EdgetlError, StoreCorrupt, StoreError
from edgetl.stats import Proportion
from edgetl.store import NewSample, Store
from edgetl.store.encoding import encode
from edgetl.types import Capture, Fingerprint, ImageSpec

FINGERPRINT = Fingerprint("a" * 64, ImageSpec(224, 224, 256), "fake", "int8", 64)
ROWS = np.random.default_rng(0).normal(size=(300, 64)).astype(np.float32)
PHOTOS = [hashlib.sha256(b"%d" % k).digest() for k in range(len(ROWS))]
WEIGHTS = [random.Random(k).randbytes(700) for k in range(3)]
CAPTURES = {  # every third photo was measured
    k: Capture(640, 480, 100.5, 20.25, 3.0 + k, -0.25, 1.7e9 + k, random.Random(1000 + k).randbytes(500 + 20 * k))
    for k in range(0, len(ROWS), 3)
}


def sample(k: int) -> NewSample:
    return NewSample(PHOTOS[k], f"class{k % 7}", ROWS[k], f"folder/{k}.jpg", CAPTURES.get(k))


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "parts.db"
    with Store.open(path, FINGERPRINT) as store:
        for start in range(0, len(ROWS), 30):
            store.add([sample(k) for k in range(start, start + 30)])
        for weights in WEIGHTS:
            store.add_head(kind="ncm", labels=["a", "b"], samples=3, accuracy=Proportion(1, 2), weights=weights, report={})
        store.set_background("ab" * 32, -ROWS[:30])
    return path


def flip(path: Path, whole: bytes, bit: int) -> None:
    changed = bytearray(whole)
    changed[bit // 8] ^= 1 << bit % 8
    path.write_bytes(changed)


def read(path: Path) -> tuple[object, ...]:
    with Store.open(path, None, read_only=True) as store:
        kept = store.samples()
        heads = store.heads()
        return (
            kept.ids.tolist(),
            kept.labels,
            kept.embeddings.tobytes(),
            heads,
            store.active(),
            [store.head_bytes(info.id) for info in heads],
            kept.taken.tobytes(),
            [batch.captures for batch in store.batches()],
            [store.preview(sample) for sample in dict.fromkeys(kept.ids.tolist())],
            store.events(),
            store.background().tobytes(),
        )


def test_a_flipped_bit_in_any_embedding_is_noticed_with_its_row_and_class(path):
    whole, chance = path.read_bytes(), random.Random(0)
    for k, row in enumerate(encode(ROWS)):
        flip(path, whole, 8 * whole.index(row) + chance.randrange(8 * len(row)))
        with Store.open(path, None, read_only=True) as store:
            with raises(StoreCorrupt, path=str(path), part="sample", row=k + 1, label=f"class{k % 7}"):
                store.samples()
            with raises(StoreCorrupt, part="sample", row=k + 1):
                store.find(PHOTOS[k])


def test_a_flipped_bit_in_a_preview_is_noticed_and_keeps_no_embedding_back(path):
    whole, chance = path.read_bytes(), random.Random(2)
    for k, capture in list(CAPTURES.items())[:30]:
        beginning = capture.thumbnail[:300]  # a long one goes on in pages of its own
        flip(path, whole, 8 * whole.index(beginning) + chance.randrange(8 * len(beginning)))
        with Store.open(path, None, read_only=True) as store:
            assert len(store.samples().ids) == 300
            with raises(StoreCorrupt, path=str(path), part="preview", row=k + 1):
                store.preview(k + 1)


@pytest.mark.parametrize(
    ("damage", "part", "row"),
    [
        ("DELETE FROM preview WHERE id = 4", "preview", 4),
        ("UPDATE preview SET content = (SELECT content FROM preview WHERE id = 1) WHERE id = 4", "preview", 4),
        ("UPDATE sample SET measured = zeroblob(56) WHERE id = 4", "sample", 4),
        ("UPDATE sample SET embedding = embedding || embedding WHERE id = 4", "sample", 4),
        ("DELETE FROM event WHERE id = 10", "event", None),
        ("DELETE FROM event WHERE id = 4", "event", None),
        ("UPDATE event SET why = 'nothing' WHERE id = 4", "event", 4),
        ("UPDATE event SET head = 2 WHERE id = 4", "event", 4),
    ],
)
def test_a_row_that_another_program_changed_is_noticed(path, damage, part, row):
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute(damage)
        db.commit()
    with raises(StoreCorrupt, part=part, row=row):
        read(path)


@pytest.mark.parametrize("flips", [200, pytest.param(1200, marks=pytest.mark.slow)])
def test_a_flipped_bit_anywhere_is_harmless_or_noticed_and_never_a_silent_change(path, flips):
    whole, chance, noticed = path.read_bytes(), random.Random(1), 0
    before, part = read(path), 8 * path.stat().st_size / flips
    for number in range(flips):  # one in each part of the file, so that few of them reach all of it
        flip(path, whole, int((number + chance.random()) * part))
        try:
            after = read(path)
        except EdgetlError:
            noticed += 1
        else:
            assert after == before
    assert noticed > flips / 4  # the others fell on free space, on an index that was not read, or on a counter


def test_a_row_that_is_missing_from_its_page_is_noticed(path):
    whole, before, noticed = path.read_bytes(), read(path)[:-1], 0  # a lost background is copied again from the bundle
    for page in range(4096, len(whole), 4096):
        rows = int.from_bytes(whole[page + 3 : page + 5], "big")
        if whole[page] == 0x0D and rows:  # a leaf of a table; its number of rows is 2 bytes from byte 3 (SQLite file format, 1.6)
            path.write_bytes(whole[: page + 3] + (rows - 1).to_bytes(2, "big") + whole[page + 5 :])
            try:
                assert read(path)[:-1] == before
            except StoreCorrupt:
                noticed += 1
    assert noticed > 10  # all but SQLite's own list of the highest ids


def test_forgetting_the_class_of_a_damaged_sample_removes_it(path):
    whole = path.read_bytes()
    flip(path, whole, 8 * whole.index(encode(ROWS)[9]) + 5)
    with Store.open(path, FINGERPRINT) as store:
        store.remove(label="class2")
        assert "class2" not in store.samples().labels


def test_a_flipped_bit_in_a_heads_weights_is_noticed_when_they_are_read(path):
    whole = path.read_bytes()
    flip(path, whole, 8 * whole.index(WEIGHTS[1][:500]) + 77)
    with Store.open(path, None, read_only=True) as store:
        assert len(store.heads()) == 3
        assert store.head_bytes(3) == WEIGHTS[2]
        with raises(StoreCorrupt, part="head", row=2):
            store.head_bytes(2)


@pytest.mark.parametrize("length", [1, 50, 99, 100, 4096, 20_000, -4096])
def test_a_truncated_store_is_an_error_and_left_as_it_is(path, length):
    cut = path.read_bytes()[:length]
    path.write_bytes(cut)
    with pytest.raises(StoreCorrupt) as caught:
        Store.open(path, FINGERPRINT)
    assert caught.value.values["path"] == str(path)
    assert path.read_bytes() == cut


def test_a_store_whose_last_page_is_cut_is_harmless_or_noticed(path):
    whole, before = path.read_bytes(), read(path)
    for missing in range(1, 4096, 97):
        path.write_bytes(whole[:-missing])
        with contextlib.suppress(StoreCorrupt):
            assert read(path) == before


@pytest.mark.parametrize(
    "content", [b"\xff\xd8\xff\xe0" * 2000, b"SQLite format 2\0" + bytes(5000), b"{}"], ids=["photo", "sqlite 2", "json"]
)
def test_a_file_that_is_not_a_store_is_an_error_and_left_as_it_is(tmp_path, content):
    path = tmp_path / "holiday.jpg"
    path.write_bytes(content)
    with raises(StoreCorrupt, "not-a-store", path=str(path)):
        Store.open(path, FINGERPRINT)
    assert path.read_bytes() == content


def test_another_programs_database_is_an_error_and_left_as_it_is(tmp_path):
    path = tmp_path / "places.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE sample (id INTEGER)")
    db.close()
    before = path.read_bytes()
    for read_only in (False, True):
        with raises(StoreError, "store-of-another-program", path=str(path)):
            Store.open(path, FINGERPRINT, read_only=read_only)
    assert path.read_bytes() == before


def test_a_folder_is_not_a_store(tmp_path):
    (tmp_path / "photos").mkdir()
    with raises(StoreError, "store-unreadable", path=str(tmp_path / "photos")):
        Store.open(tmp_path / "photos", FINGERPRINT)


def test_a_journal_whose_store_is_gone_is_not_played_into_a_new_one(path):
    journal = Path(f"{path}-wal")
    with Store.open(path, FINGERPRINT) as store:
        store.remove(digest=PHOTOS[0])
        store.add([NewSample(PHOTOS[0], "mug", ROWS[0], "again")])
        left = journal.read_bytes()
    path.unlink()
    journal.write_bytes(left)
    with raises(StoreError, "journal-left", journal=str(journal)):
        Store.open(path, FINGERPRINT)
    assert not path.exists()
    assert journal.read_bytes() == left
