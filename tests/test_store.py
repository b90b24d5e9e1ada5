"""The store's promises, on a real file."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from raising import raises

from edgetl.errors import FingerprintMismatch, NotTrained, StoreCorrupt, StoreError, StoreLocked
from edgetl.stats import Proportion
from edgetl.store import NewSample, Removed, Store, erasure
from edgetl.store.encoding import decode, encode
from edgetl.store.merge import merge
from edgetl.types import Capture, Fingerprint, ImageSpec

FINGERPRINT = Fingerprint("a" * 64, ImageSpec(224, 224, 256), "fake", "int8", 16)


def photo(k: int) -> bytes:
    return hashlib.sha256(b"%d" % k).digest()


def sample(k: int, label: str = "mug", dim: int = 16) -> NewSample:
    return NewSample(photo(k), label, np.random.default_rng(k).normal(size=dim).astype(np.float32), f"{label}/{k}.jpg")


WIDE = dataclasses.replace(FINGERPRINT, dim=6000)
"""A row of it fills pages of its own."""


def train(store: Store, *labels: str, activate: bool = True) -> int:
    return store.add_head(
        kind="ncm", labels=labels, samples=4, accuracy=Proportion(3, 4), weights=b"w", report={"asked": "auto"}, activate=activate
    )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "parts.db"


@pytest.fixture
def store(path):
    with Store.open(path, FINGERPRINT) as store:
        yield store


@pytest.fixture
def wide(path):
    with Store.open(path, WIDE) as store:
        yield store


def test_samples_come_back_in_the_order_of_their_ids_after_reopening(path):
    with Store.open(path, FINGERPRINT) as store:
        assert store.add([sample(3, "mug"), sample(1, "茶壶 🫖")]) == [1, 2]
        assert store.add([sample(2, "mug")]) == [3]
        assert store.add([]) == []
    with Store.open(path, None) as store:
        kept = store.samples()
        assert (kept.ids.dtype, kept.ids.tolist()) == (np.int64, [1, 2, 3])
        assert kept.labels == ["mug", "茶壶 🫖", "mug"]
        assert (kept.embeddings.dtype, kept.embeddings.shape) == (np.float32, (3, 16))
        assert np.allclose(kept.embeddings, [sample(k).embedding for k in (3, 1, 2)], atol=0.02)
        assert store.samples(after=2).ids.tolist() == [3]
        assert store.samples(after=3).embeddings.shape == (0, 16)
        assert store.counts() == {"mug": 2, "茶壶 🫖": 1}
        known = store.find(photo(1))
        assert (known.id, known.label, known.source, known.capture) == (2, "茶壶 🫖", "茶壶 🫖/1.jpg", None)
        assert store.find(photo(9)) is None
        assert (store.fingerprint, store.path) == (FINGERPRINT, path.resolve())


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_an_embedding_that_is_not_finite_keeps_its_whole_batch_out(store, path, broken):
    bad = sample(2)
    bad.embedding[7] = broken
    with raises(StoreError, "embedding-not-finite", path=str(path), photo="mug/2.jpg"):
        store.add([sample(1), bad])
    assert store.counts() == {}
    assert store.add([sample(1)]) == [1]


@pytest.mark.parametrize(
    ("bad", "code", "values"),
    [
        (dataclasses.replace(sample(2), embedding=np.zeros(15, np.float32)), "embedding-shape", {"shape": [15], "expected": 16}),
        (dataclasses.replace(sample(2), embedding=np.zeros((0, 16), np.float32)), "embedding-shape", {"shape": [0, 16]}),
        (dataclasses.replace(sample(2), embedding=np.zeros((2, 8), np.float32)), "embedding-shape", {"shape": [2, 8]}),
        (dataclasses.replace(sample(2), embedding=np.zeros((1, 16), np.float32)), "embedding-shape", {"shape": [1, 16]}),
        (dataclasses.replace(sample(2), embedding=np.full(16, np.nan, np.float32)), "embedding-not-finite", {"photo": "mug/2.jpg"}),
        (dataclasses.replace(sample(2), embedding=np.full(16, 3e38, np.float32)), "embedding-out-of-range", {"photo": "mug/2.jpg"}),
        (dataclasses.replace(sample(2), digest=b"short"), "digest-length", {"count": 5}),
        (sample(1), "photo-known", {"photo": "mug/1.jpg"}),
        (sample(0), "photo-known", {"photo": "mug/0.jpg"}),
    ],
    ids=["wrong length", "no row", "wrong row", "two axes", "NaN", "too large", "wrong digest", "twice in the batch", "known"],
)
def test_a_batch_with_one_bad_sample_stays_out_whole(store, bad, code, values):
    store.add([sample(0)])
    with raises(StoreError, code, **values):
        store.add([sample(1), bad])
    assert store.samples().ids.tolist() == [1]


def test_a_file_name_that_is_not_utf8_does_not_stop_its_photo(store):
    store.add([dataclasses.replace(sample(1), source="mug/caf\udce9.jpg")])
    assert store.find(photo(1)).source == "mug/caf\\udce9.jpg"


def test_ids_are_never_given_twice(store):
    store.add([sample(1), sample(2)])
    assert store.remove(digest=photo(2)) == {2: "mug"}
    assert store.add([sample(2)]) == [3]


def test_remove_takes_exactly_what_fits_and_leaves_no_byte_of_it(store, path):
    store.add([sample(1, "mug"), sample(2, "teapot"), sample(3, "mug")])
    rows = encode(np.stack([sample(k).embedding for k in (1, 2, 3)]))
    assert store.remove(label="teapot", digest=photo(1)) == {}
    assert store.remove(label="cup") == {}
    assert store.remove(label="mug") == {1: "mug", 3: "mug"}
    left = path.read_bytes() + Path(f"{path}-wal").read_bytes()
    assert [row in left for row in rows] == [False, True, False]
    with raises(StoreError, "nothing-to-remove"):
        store.remove()


def captures(store: Store) -> dict[int, Capture]:
    """What was measured, by sample."""
    pairs = (pair for batch in store.batches() for pair in zip(batch.ids.tolist(), batch.captures))
    return {sample: capture for sample, capture in pairs if capture is not None}


@pytest.mark.parametrize("thumbnail", [b"", b"small", bytes(range(256)) * 100], ids=["none", "small", "of several pages"])
@pytest.mark.parametrize("taken", [None, 0.0, 1.7e9 + 0.25], ids=["unknown", "1970", "2023"])
def test_what_was_measured_of_a_photo_comes_back_exactly(store, taken, thumbnail):
    capture = Capture(4032, 3024, 101.1, 1 / 3, 1e-9, -1 / 7, taken, thumbnail)
    store.add([sample(1), dataclasses.replace(sample(2), capture=capture)])
    without = dataclasses.replace(capture, thumbnail=b"")
    assert (store.find(photo(2)).capture, captures(store)) == (without, {2: without})
    assert (store.preview(2), store.preview(1)) == (thumbnail, b"")
    assert np.array_equal(store.samples().taken, [np.nan, np.nan if taken is None else taken], equal_nan=True)
    assert store.sources([2, 1]) == ["mug/2.jpg", "mug/1.jpg"]
    for read in (store.preview, lambda number: store.sources([1, number])):
        with raises(StoreError, "sample-missing", sample=3):
            read(3)


SEEN = Capture(640, 480, 100.0, 20.0, 3.0, -0.25, None)


def seen(k: int, label: str = "mug", dim: int = WIDE.dim) -> NewSample:
    """A photo with a thumbnail that may fill pages of its own."""
    thumbnail = np.random.default_rng(1000 + k).bytes(k % 7 * 1500)
    return dataclasses.replace(sample(k, label, dim), capture=dataclasses.replace(SEEN, thumbnail=thumbnail))


def test_nothing_of_removed_photos_can_be_found_in_the_file_or_the_journal(wide):
    store = wide
    for start in range(0, 300, 20):
        store.add([seen(k, f"c{k % 7}") for k in range(start, start + 20)])
    gone = [store.remove(label="c3"), store.remove(digest=photo(5)), store.remove(label="c0", digest=photo(7)), store.remove(label="never")]
    assert [len(removed) for removed in gone] == [43, 1, 1, 0]
    assert len(gone[0].pieces) > 43 * 10
    assert [store.purge(removed) for removed in gone] == [0, 0, 0, 0]


def test_what_sqlite_leaves_of_removed_photos_is_found_and_purged(wide, path):
    store = wide
    with store._connection.reading() as db:
        pass
    db.execute("PRAGMA secure_delete=OFF")
    store.add([seen(k, f"c{k % 2}") for k in range(100)])
    careless, whole = store.remove(label="c1"), path.read_bytes()
    left = sum(piece in whole for piece in careless.pieces)
    assert store.traces(careless) == left > len(careless.pieces) / 2
    with store.transaction("a change"), raises(StoreError, "transaction-open"):
        store.purge(careless)
    assert store.purge(careless) == 0
    assert not any(piece in path.read_bytes() for piece in careless.pieces)
    assert store.counts() == {"c0": 50}


def test_photos_removed_in_any_order_while_others_come_leave_nothing_once_purged(tmp_path):  # SQLite moves rows between pages
    chance, alive = np.random.default_rng(0), []
    with Store.open(tmp_path / "parts.db", FINGERPRINT) as store:
        for step in range(20):
            new = [seen(30 * step + k, dim=16) for k in range(30)]
            store.add(new)
            alive += [added.digest for added in new]
            chance.shuffle(alive)
            with store.transaction("removing some"):
                gone = [store.remove(digest=alive.pop()) for _ in range(25)]
            removed = Removed({}, frozenset().union(*[removed.pieces for removed in gone]))
            assert store.purge(removed) == 0


def test_a_trace_is_found_wherever_it_lies_in_the_file_and_in_the_journal(tmp_path, monkeypatch):
    monkeypatch.setattr(erasure, "BLOCK", 1000)
    whole = random.Random(0).randbytes(2500)
    pieces = [whole[at : at + erasure.PIECE] for at in range(0, len(whole) - erasure.PIECE, 7)]
    gone = random.Random(1).randbytes(erasure.PIECE)
    file, journal = tmp_path / "a.db", tmp_path / "a.db-wal"
    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        db.executescript("CREATE TABLE sample (id, digest, embedding); CREATE TABLE preview (id, content); CREATE TABLE background (rows)")
        for holder, other in ((file, journal), (journal, file)):
            holder.write_bytes(whole)
            other.write_bytes(b"")
            assert erasure.count(db, file, Removed({}, frozenset([*pieces, gone]))) == len(pieces)
        db.execute("INSERT INTO sample VALUES (1, ?, ?)", (pieces[0], b"something else"))
        db.execute("INSERT INTO preview VALUES (1, ?)", (pieces[9] + pieces[8],))
        assert erasure.count(db, file, Removed({}, frozenset(pieces))) == len(pieces) - 3


def test_a_photo_that_another_one_shares_bytes_with_leaves_no_trace_of_its_own(wide):
    store = wide
    first, other = seen(290), dataclasses.replace(seen(290), digest=photo(1), label="cup")
    store.add([first, other])
    assert store.purge(store.remove(label="mug")) == 0
    assert len(store.samples().ids) == 1


def test_traces_stay_while_somebody_reads_the_file_and_go_afterwards(wide, path):
    store = wide
    store.add([seen(k, f"c{k % 2}") for k in range(290, 300)])
    with store._connection.reading() as db:
        pass
    db.execute("PRAGMA busy_timeout=1")
    with Store.open(path, None, read_only=True) as reader:
        assert store.traces(store.remove(digest=photo(290))) == 0  # a reader that is not reading just now blocks nobody
        with reader._connection.reading():
            assert reader.counts() == {"c0": 4, "c1": 5}
            removed = store.remove(label="c0")
            assert store.traces(removed) >= 4
            assert store.purge(removed) >= 4
            assert store.vacuum() == 0
            assert reader.counts() == {"c0": 4, "c1": 5}
        assert store.purge(removed) == 0
        assert reader.counts() == {"c1": 5}


def test_a_journal_that_a_reader_kept_in_use_is_emptied_by_the_next_writer(path):
    with Store.open(path, WIDE) as store:
        store.add([seen(k, f"c{k % 2}") for k in range(290, 300)])
        with store._connection.reading() as db:
            pass
        db.execute("PRAGMA busy_timeout=1")
        reader = Store.open(path, None, read_only=True)
        with reader._connection.reading():
            reader.counts()
            removed = store.remove(label="c0")
            store.close()
    with Store.open(path, None) as store:
        assert store.traces(removed) == 0
    reader.close()


def test_vacuum_gives_the_room_of_removed_photos_back(wide, path):
    store = wide
    store.add([seen(k, f"c{k % 2}") for k in range(200, 300)])
    train(store, "c1")
    store.remove(label="c0")
    before, kept, size = store.events(), store.samples(), path.stat().st_size
    given_back = store.vacuum()
    assert given_back == size - path.stat().st_size > size / 3
    assert (store.events(), store.active().id, store.vacuum()) == (before, 1, 0)
    assert store.samples().embeddings.tobytes() == kept.embeddings.tobytes()
    assert store.add([seen(400)]) == [101]
    with store.transaction("a change"), raises(StoreError, "transaction-open"):
        store.vacuum()
    with Store.open(path, None, read_only=True) as reader, raises(StoreError, "store-read-only"):
        reader.vacuum()


def test_relabel_changes_the_class_and_nothing_else(store):
    store.add([sample(1), dataclasses.replace(sample(2), capture=dataclasses.replace(SEEN, thumbnail=b"jpeg"))])
    before = store.samples().embeddings
    for number in store.samples().ids:
        store.relabel(number, f"cup {number}")
    assert store.samples().labels == ["cup 1", "cup 2"]
    assert (captures(store), store.preview(2), store.counts()) == ({2: SEEN}, b"jpeg", {"cup 1": 1, "cup 2": 1})
    assert np.array_equal(store.samples().embeddings, before)
    with raises(StoreError, "sample-missing", sample=9):
        store.relabel(9, "cup")


def test_going_back_undoes_trainings_one_by_one(store):
    for step in range(3):
        train(store, f"c{step}")
    assert [store.rollback().id, store.rollback().id] == [2, 1]
    with raises(NotTrained, "nothing-to-roll-back", head_id=1):
        store.rollback()
    assert store.active().id == 1


def test_a_head_trained_after_going_back_has_the_head_of_that_moment_before_it(store):
    a, b = train(store, "a"), train(store, "b")
    store.rollback()
    c = train(store, "c")
    assert [info.id for info in store.heads()] == [a, b, c]
    assert store.rollback().id == a


def test_going_back_passes_over_a_time_without_a_head(store):
    a = train(store, "a")
    store.activate(None)
    assert store.active() is None
    b = train(store, "b")
    assert store.rollback().id == a
    store.activate(None)
    assert store.rollback().id == a
    store.activate(b)
    store.activate(b)
    assert store.rollback().id == a


def test_a_head_keeps_its_weights_report_and_numbers(store, path):
    weights = bytes(range(256)) * 50
    head = store.add_head(
        kind="lda",
        labels=["b", "a"],
        samples=np.int64(9),
        accuracy=Proportion(np.int64(8), 9),
        weights=weights,
        report={"why": "é", "p": {"a": 1.5}},
    )
    kept = train(store, "x", activate=False)
    info = store.active()
    assert (info.id, info.kind, info.labels, info.samples, info.accuracy) == (head, "lda", ("b", "a"), 9, Proportion(8, 9))
    assert (info.size, info.active) == (len(weights), True)
    assert abs(info.created - time.time()) < 60
    assert [info.active for info in store.heads()] == [True, False]
    assert store.head_bytes(head) == weights
    assert store.head_report(head) == {"why": "é", "p": {"a": 1.5}}
    for use in (store.head_bytes, store.head_report, store.activate):
        with raises(StoreError, "head-missing", head_id=kept + 1):
            use(kept + 1)


def test_several_changes_in_one_transaction_happen_together_or_not_at_all(store, path):
    store.add([sample(1, "mug"), sample(2, "cup")])

    def forget() -> None:
        with store.transaction("forgetting 'mug'"):
            store.remove(label="mug")
            train(store, "cup")
            assert store.counts() == {"cup": 1}
            raise ZeroDivisionError

    def part() -> None:
        with store.transaction("a part"):
            store.relabel(1, "never")
            store.add([sample(4), sample(3)])

    with pytest.raises(ZeroDivisionError):
        forget()
    assert (store.counts(), store.heads()) == ({"cup": 1, "mug": 1}, [])
    with store.transaction("adding what is new"):
        store.add([sample(3)])
        for _ in range(2):
            with raises(StoreError, "photo-known"):
                part()
        with Store.open(path, None, read_only=True) as beside:
            assert beside.counts() == {"cup": 1, "mug": 1}
    assert store.counts() == {"cup": 1, "mug": 2}


def test_a_store_of_another_model_is_an_error_with_every_difference(path):
    Store.open(path, FINGERPRINT).close()
    other = dataclasses.replace(FINGERPRINT, family="litert", input=ImageSpec(240, 240, 260))
    with raises(FingerprintMismatch, path=str(path)) as caught:
        Store.open(path, other)
    assert [line.split(":")[0] for line in caught.value.values["differences"]] == ["input", "family"]
    assert "family: fake != litert" in caught.value.values["differences"]
    Store.open(path, FINGERPRINT).close()


@pytest.mark.parametrize("read_only", [False, True])
def test_a_store_that_is_absent_is_made_only_for_a_known_model(path, read_only):
    with raises(StoreError, "store-missing", path=str(path)):
        Store.open(path, FINGERPRINT if read_only else None, read_only=read_only)
    assert not path.exists()


def test_an_empty_file_and_a_draft_of_a_crashed_creation_are_a_new_store(path):
    path.touch()
    path.with_name("parts.db.new").write_bytes(b"half")
    path.with_name("parts.db.new-journal").write_bytes(b"half")
    with Store.open(path, FINGERPRINT) as store:
        store.add([sample(1)])
    assert sorted(file.name for file in path.parent.iterdir()) == ["parts.db", "parts.db.lock"]


def test_a_folder_that_is_missing_is_named(path):
    with raises(StoreError, "folder-missing", folder=str(path.parent / "nowhere")):
        Store.open(path.parent / "nowhere" / "parts.db", FINGERPRINT)


def test_a_second_writer_in_this_process_is_locked_out_and_a_reader_is_not(store, path):
    (path.parent / "alias.db").symlink_to(path)
    for name in ("parts.db", "alias.db"):
        with raises(StoreLocked, path=str(path), pid=os.getpid()):
            Store.open(path.parent / name, FINGERPRINT)
    store.add([sample(1)])
    with Store.open(path, FINGERPRINT, read_only=True) as reader:
        assert reader.counts() == {"mug": 1}
        store.add([sample(2)])
        assert reader.counts() == {"mug": 2}
        with raises(StoreError, "store-read-only", doing="adding 1 photos"):
            reader.add([sample(3)])


def test_a_second_writer_learns_which_process_holds_the_store(path):
    hold = "import sys; from edgetl.store import Store; store = Store.open(sys.argv[1], None); print('open', flush=True); sys.stdin.read()"
    Store.open(path, FINGERPRINT).close()
    with subprocess.Popen([sys.executable, "-c", hold, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"open\n"
        with raises(StoreLocked, path=str(path), pid=other.pid):
            Store.open(path, FINGERPRINT)
        with Store.open(path, FINGERPRINT, read_only=True) as reader:
            assert reader.counts() == {}
        other.kill()
    Store.open(path, FINGERPRINT).close()


def test_a_foreign_writer_delays_and_does_not_poison(store, path):
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with store._connection.reading() as db:
        pass
    db.execute("PRAGMA busy_timeout=1")
    with raises(StoreLocked, path=str(path)):
        store.add([sample(1)])
    other.execute("ROLLBACK")
    other.close()
    assert store.add([sample(1)]) == [1]


def test_readers_that_come_and_go_while_writers_come_and_go_always_read(path):
    Store.open(path, FINGERPRINT).close()
    failures: list[Exception] = []

    def read() -> None:
        seen = 0
        while seen < 30:
            try:
                with Store.open(path, None, read_only=True) as reader:
                    assert len(reader.samples().ids) >= seen
                    seen = max(seen, sum(reader.counts().values()))
            except Exception as error:
                failures.append(error)
                return

    readers = [threading.Thread(target=read) for _ in range(2)]
    for thread in readers:
        thread.start()
    for k in range(30):
        with Store.open(path, FINGERPRINT) as store:
            store.add([sample(k)])
    for thread in readers:
        thread.join(timeout=30)
    assert failures == []


def test_threads_share_a_store(store):
    threads = [threading.Thread(target=lambda base=base: [store.add([sample(base + k)]) for k in range(20)]) for base in (0, 100, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.samples().ids.tolist() == list(range(1, 61))


def test_a_closed_store_can_be_closed_again_and_not_used(store):
    store.close()
    store.close()
    for use in (store.counts, lambda: store.add([sample(1)])):
        with raises(StoreError, "store-closed"):
            use()


@pytest.mark.parametrize("version", [0, 2])
def test_a_store_of_another_version_is_an_error_with_both_versions(path, version):
    Store.open(path, FINGERPRINT).close()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version={version}")
    for read_only in (False, True):
        with raises(StoreError, "store-version-unknown", version=version, expected=1):
            Store.open(path, FINGERPRINT, read_only=read_only)


def test_the_file_is_kept_at_the_durable_settings(store):
    with store._connection.reading() as db:
        read = {
            name: db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous", "secure_delete", "foreign_keys")
        }
        mmap = db.execute("PRAGMA mmap_size").fetchone()
    assert read == {"journal_mode": b"wal", "synchronous": 2, "secure_delete": 1, "foreign_keys": 1}
    assert mmap in ((0,), None)  # None where SQLite was built without it


def test_the_background_survives_reopening_merging_and_forgetting_the_same_photo(path, tmp_path):
    rows = np.stack([sample(k).embedding for k in range(1, 4)])
    with Store.open(path, FINGERPRINT) as store:
        assert store.background_digest() is None
        assert store.background().shape == (0, FINGERPRINT.dim)
        store.set_background("ab" * 32, rows[:1])
        store.set_background("cd" * 32, rows)
        store.add([sample(1), sample(9)])
        assert store.traces(store.remove(digest=photo(1))) == 0  # the background still holds its bytes
    merge([path], tmp_path / "both.db")
    for name in (path, tmp_path / "both.db"):
        with Store.open(name, None, read_only=True) as store:
            assert store.background_digest() == "cd" * 32
            kept = np.empty_like(rows)
            decode(encode(rows), kept)
            np.testing.assert_array_equal(store.background(), kept)
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE background SET rows = substr(rows, 1, length(rows) - 1) || x'55'")
        db.commit()
    with Store.open(path, None) as store, raises(StoreCorrupt, part="background"):
        store.background()


NORMAL = st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False)


@given(arrays.arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 40)), elements=NORMAL))
def test_int8_loses_at_most_the_documented_amount(rows):
    kept = np.empty_like(rows)
    decode(encode(rows), kept)
    exact, kept = rows.astype(np.float64), kept.astype(np.float64)
    largest = np.abs(exact).max(axis=1, keepdims=True)
    assert (np.abs(kept - exact) <= largest / 254 * (1 + 1e-4)).all()
    norms = np.linalg.norm(exact, axis=1) * np.linalg.norm(kept, axis=1)
    sound = largest[:, 0] > 1e-30  # smaller squares vanish in the cosine itself
    cosine = (exact * kept).sum(axis=1)[sound] / norms[sound]
    assert (cosine >= np.sqrt(1 - rows.shape[1] / 254**2) - 1e-6).all()


def test_embeddings_keep_their_direction_and_take_the_documented_bytes():
    rng = np.random.default_rng(0)
    normal = rng.normal(size=(500, 1280)).astype(np.float32)
    for rows in (normal, np.abs(normal), np.minimum(np.maximum(normal, 0), 6)):
        packed, kept = encode(rows), np.empty_like(rows)
        decode(packed, kept)
        assert {len(row) for row in packed} == {1284}
        cosine = (rows * kept).sum(1) / np.linalg.norm(rows, axis=1) / np.linalg.norm(kept, axis=1)
        assert cosine.min() > 0.9999


def test_20000_samples_come_back_within_the_loss_and_bytes_documented(path):
    fingerprint = dataclasses.replace(FINGERPRINT, dim=1280)
    rng = np.random.default_rng(0)
    rows = rng.random((20_000, 1280), np.float32)
    with Store.open(path, fingerprint) as store:
        store.add(NewSample(photo(k), f"class {k % 81}", row, f"{k}.jpg") for k, row in enumerate(rows))
    with Store.open(path, fingerprint) as store:
        kept = store.samples()
    assert np.abs(kept.embeddings - rows).max() <= np.abs(rows).max() / 254 * 1.001
    assert path.stat().st_size < 20_000 * 1500


def posix_locks(path: Path) -> int:
    """Locks that processes hold on a file."""
    inode = f":{path.stat().st_ino} "
    return sum(inode in line for line in Path("/proc/locks").read_text().splitlines())


def test_looking_for_traces_and_opening_again_keep_the_locks_of_sqlite(store: Store) -> None:
    store.add([sample(0), sample(1)])
    before = posix_locks(store.path)
    assert before > 0
    removed = store.remove(digest=sample(0).digest)
    assert store.purge(removed) == 0
    assert posix_locks(store.path) == before
    Store.open(store.path, None, read_only=True).close()
    assert posix_locks(store.path) == before
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        store.traces(removed)
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
