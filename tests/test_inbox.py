"""The inbox: what is kept, what goes first, what is proposed, and several processes at once."""

from __future__ import annotations

import itertools
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import coloured
from raising import raises
from scipy.cluster.hierarchy import fcluster, linkage

from edgetl.errors import InboxError
from edgetl.heads import Learner
from edgetl.heads.linalg.normalisation import power_normalise
from edgetl.inbox import Inbox, grouping, inbox, ranking
from edgetl.types import Fingerprint, ImageSpec, Prediction

MODEL = Fingerprint("00" * 32, ImageSpec(32, 32, 36), "fake", "fp32", 16)
UNKNOWN = Prediction(None, 0.5, (("mug", 0.5), ("cup", 0.5)), code="unknown-object")
JPEG = coloured("red", 0)


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "BETWEEN_S", 0.0)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "parts.db"


@pytest.fixture
def opened(store: Path) -> Iterator[Inbox]:
    box = Inbox.open(store, MODEL)
    yield box
    box.close()


def vector(seed: int) -> Any:
    return np.random.default_rng(seed).normal(size=16).astype(np.float32)


def offer(box: Inbox, seed: int, prediction: Prediction = UNKNOWN, photo: bytes = JPEG) -> int | None:
    return box.offer(lambda: photo, vector(seed), prediction, taken=1e9 + seed, camera="fake")


def sure(probability: float) -> Prediction:
    return Prediction("mug", probability, (("mug", probability), ("cup", 1 - probability)))


def test_what_the_head_was_sure_of_or_rejects_by_name_is_not_kept(opened: Inbox) -> None:
    assert offer(opened, 1, sure(0.95)) is None
    assert offer(opened, 2, Prediction(None, 0.9, (("background", 0.9),), code="reject-class")) is None
    assert offer(opened, 3, sure(0.6)) is not None
    assert offer(opened, 4) is not None
    items = opened.items()
    assert [(item.label, item.code, item.time, item.camera) for item in items] == [
        ("mug", "labelled", 1e9 + 3, "fake"),
        (None, "unknown-object", 1e9 + 4, "fake"),
    ]
    np.testing.assert_allclose(items[1].embedding, vector(4), rtol=1e-3)


def test_the_same_view_is_kept_once_and_its_photo_is_not_even_encoded(opened: Inbox) -> None:
    assert offer(opened, 1) is not None

    def encode() -> bytes:
        raise AssertionError("not needed")

    assert opened.offer(encode, vector(1), UNKNOWN, taken=0.0) is None
    assert len(opened) == 1


def test_the_oldest_go_first_by_number_and_by_bytes(store: Path) -> None:
    with_most = Inbox.open(store, MODEL, most=5)
    for seed in range(8):
        offer(with_most, seed)
    assert [item.time - 1e9 for item in with_most.items()] == [3, 4, 5, 6, 7]
    with_most.close()
    with_bytes = Inbox.open(store, MODEL, most_bytes=3 * len(JPEG))
    offer(with_bytes, 9)
    assert [item.time - 1e9 for item in with_bytes.items()] == [6, 7, 9]
    with_bytes.close()


def test_removed_frames_come_back_and_go_before_others(store: Path) -> None:
    box = Inbox.open(store, MODEL, most=4)
    ids = [offer(box, seed) for seed in range(4)]
    box.remove([ids[3], 999])  # type: ignore[list-item]  # they were kept
    assert len(box) == 3
    assert box.photo(ids[3]) == JPEG  # type: ignore[arg-type]
    box.restore([ids[3]])  # type: ignore[list-item]
    assert len(box) == 4
    box.remove([ids[3]])  # type: ignore[list-item]
    offer(box, 5)
    with raises(InboxError, "frame-missing", frame=ids[3]):
        box.photo(ids[3])  # type: ignore[arg-type]
    assert len(box) == 4
    box.close()


def test_a_removed_frame_is_gone_after_a_day(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box = Inbox.open(store, MODEL)
    kept = [offer(box, seed) for seed in range(2)]
    box.remove([kept[0]])  # type: ignore[list-item]
    box.close()
    monkeypatch.setattr(inbox, "_DAY_S", -1.0)
    box = Inbox.open(store, MODEL)
    box.restore([kept[0]])  # type: ignore[list-item]
    assert [item.id for item in box.items()] == kept[1:]
    box.close()


def test_frames_of_another_model_are_deleted(store: Path) -> None:
    box = Inbox.open(store, MODEL)
    offer(box, 1)
    box.close()
    other = Inbox.open(store, Fingerprint("11" * 32, ImageSpec(32, 32, 36), "fake", "fp32", 8))
    assert len(other) == 0
    other.close()


def test_a_process_with_another_model_neither_reads_nor_writes(store: Path) -> None:
    old = Inbox.open(store, MODEL)
    offer(old, 1)
    new = Inbox.open(store, Fingerprint("11" * 32, ImageSpec(32, 32, 36), "fake", "fp32", 16))
    assert offer(old, 2) is None
    assert old.items() == new.items() == []
    assert offer(new, 3) is not None
    old.close()
    new.close()


def test_a_photo_larger_than_the_inbox_is_not_kept_and_empties_nothing(store: Path) -> None:
    box = Inbox.open(store, MODEL, most_bytes=2 * len(JPEG))
    offer(box, 1)
    assert offer(box, 2, photo=bytes(3 * len(JPEG))) is None
    assert len(box) == 1
    box.close()


def test_a_view_kept_before_a_restart_is_not_kept_again(store: Path) -> None:
    box = Inbox.open(store, MODEL)
    offer(box, 1)
    box.close()
    box = Inbox.open(store, MODEL)
    assert offer(box, 1) is None
    assert box.offer(lambda: JPEG, vector(2), UNKNOWN, taken=float("nan")) is not None
    box.close()


@pytest.mark.parametrize("change", ["label = 'cup'", "probability = 0.1", "time = 5", "id = 77"])
def test_any_changed_value_of_a_frame_is_noticed(store: Path, change: str) -> None:
    box = Inbox.open(store, MODEL)
    offer(box, 1)
    box._db.execute(f"UPDATE frame SET {change}")
    assert box.items() == []
    (number,) = box._db.execute("SELECT id FROM frame").fetchone()
    with raises(InboxError, "frame-damaged", frame=number):
        box.photo(number)
    box.close()


def test_a_damaged_file_is_an_error_and_a_damaged_frame_is_left_out(store: Path) -> None:
    box = Inbox.open(store, MODEL)
    ids = [offer(box, seed) for seed in range(3)]
    box.close()
    with sqlite3.connect(box.path) as db:
        db.execute("UPDATE frame SET photo = ? WHERE id = ?", (JPEG[:-1] + b"x", ids[1]))
    db.close()
    box = Inbox.open(store, MODEL)
    assert [item.id for item in box.items()] == [ids[0], ids[2]]
    box.close()
    content = bytearray(box.path.read_bytes())
    content[100:4000] = b"\x55" * 3900
    box.path.write_bytes(content)
    with raises(InboxError, "inbox-damaged", path=str(box.path)):
        Inbox.open(store, MODEL)
    box.path.write_bytes(b"not a database, but long enough to be read as one" * 20)
    with raises(InboxError, "inbox-damaged"):
        Inbox.open(store, MODEL)
    other = store.with_name("other.db.inbox")
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE x (y)")
    db.close()
    before = other.read_bytes()
    with raises(InboxError, "inbox-damaged"):
        Inbox.open(store.with_name("other.db"), MODEL)
    assert other.read_bytes() == before


def test_a_full_disk_keeps_no_frame_and_stops_nothing(opened: Inbox) -> None:
    offer(opened, 1)
    pages = opened._db.execute("PRAGMA page_count").fetchone()[0]
    opened._db.execute(f"PRAGMA max_page_count={pages}")
    assert offer(opened, 2, photo=b"x" * 100_000) is None
    opened._db.execute("PRAGMA max_page_count=100000")
    assert offer(opened, 3) is not None
    assert len(opened) == 2


WRITER = """
import sys, numpy as np
from edgetl.inbox import Inbox, inbox
from edgetl.types import Fingerprint, ImageSpec, Prediction
inbox.BETWEEN_S = 0.0
box = Inbox.open(sys.argv[1], Fingerprint("00" * 32, ImageSpec(32, 32, 36), "fake", "fp32", 16), most=1000)
prediction = Prediction(None, 0.5, (("mug", 0.5),), code="unknown-object")
for seed in range(int(sys.argv[2]), int(sys.argv[2]) + 40):
    vector = np.random.default_rng(seed).normal(size=16).astype(np.float32)
    assert box.offer(lambda: b"%d" % seed, vector, prediction, taken=float(seed)) is not None
"""


def test_several_processes_write_and_nothing_is_lost(store: Path) -> None:
    Inbox.open(store, MODEL).close()
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(store), str(start)]) for start in (0, 100, 200)]
    assert [writer.wait(120) for writer in writers] == [0, 0, 0]
    box = Inbox.open(store, MODEL)
    assert {box.photo(item.id) for item in box.items()} == {b"%d" % seed for start in (0, 100, 200) for seed in range(start, start + 40)}
    box.close()


@given(seed=st.integers(0, 2**32), m=st.integers(3, 60))
def test_groups_are_those_of_wards_method(seed: int, m: int) -> None:
    rows = np.random.default_rng(seed).normal(size=(m, 6)).astype(np.float32)
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    groups = grouping.group(units)
    centred = units - units.mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    count = min(max(m // grouping.FRAMES_OF_A_GROUP, 2), grouping.MOST)
    expected = fcluster(linkage(centred.astype(np.float64), "ward"), count, "maxclust")
    assert len(set(zip(groups.tolist(), expected.tolist()))) == len(set(groups.tolist())) == count
    sizes = np.bincount(groups)
    assert (np.diff(sizes) <= 0).all()


def test_few_frames_are_one_group_and_none_are_none(opened: Inbox) -> None:
    assert opened.groups([]) == []
    offer(opened, 1)
    offer(opened, 2, sure(0.5))
    (group,) = opened.groups(opened.items())
    assert sorted(group.ids) == [item.id for item in opened.items()]


def test_doubt_comes_first_and_then_what_is_different() -> None:
    units = np.eye(4, dtype=np.float32)[[0, 0, 1, 2]]
    probabilities = np.array([[0.5, 0.5], [0.52, 0.48], [0.7, 0.3], [0.99, 0.01]])
    assert ranking.rank(units, probabilities, np.zeros(4, bool), np.zeros(4), 3).tolist() == [0, 2, 3]
    assert ranking.rank(units, probabilities, np.array([False, False, False, True]), np.zeros(4), 9).tolist()[:2] == [0, 3]
    near = np.array([0.9, 0.9, 0.0, 1.0])  # like photos that are labelled already
    assert ranking.rank(units, probabilities, np.zeros(4, bool), near, 2).tolist() == [2, 0]
    assert len(ranking.rank(units[:0], probabilities[:0], np.zeros(0, bool), np.zeros(0), 3)) == 0


@pytest.fixture(scope="session")
def embedded(data: Path, lite0: Path) -> Callable[[str, int, int], tuple[Any, Any]]:
    """Embeds photos of the first classes of a data set with the real network."""
    from edgetl.bundle.bundle import Bundle
    from edgetl.embedding.embedder import Embedder
    from edgetl.inputs.photo.source import load

    def embed(name: str, classes: int, each: int) -> tuple[Any, Any]:
        folders = sorted(folder for folder in (data / name).iterdir() if folder.is_dir())[:classes]
        photos = [(photo, folder.name) for folder in folders for photo in itertools.islice(sorted(folder.iterdir()), each)]
        embedder = Embedder.open(Bundle.open(lite0), variant="tflite-int8")
        rows = np.stack([embedder.embed(load(photo)) for photo, _ in photos])
        embedder.close()
        return rows, np.array([label for _, label in photos])

    return embed


@pytest.mark.slow
def test_groups_of_real_photos_are_purer_than_chance(embedded: Callable[[str, int, int], tuple[Any, Any]]) -> None:
    rows, labels = embedded("sign-digits", 6, 30)
    x = power_normalise(rows)
    groups = grouping.group(x / np.linalg.norm(x, axis=1, keepdims=True))
    shuffled = [np.random.default_rng(seed).permutation(groups) for seed in range(20)]

    def purity(each: Any) -> float:
        return sum(np.unique(labels[each == number], return_counts=True)[1].max() for number in set(each.tolist())) / len(labels)

    assert purity(groups) > max(map(purity, shuffled)) + 0.2


@pytest.mark.slow
def test_proposed_photos_teach_more_than_random_ones(embedded: Callable[[str, int, int], tuple[Any, Any]]) -> None:
    rows, labels = embedded("sign-digits", 8, 50)

    def accuracy(seed: int, propose: bool) -> float:
        """Of held-out photos, the mean over four rounds of ten labels, from three photos a class."""
        random = np.random.default_rng(seed)
        order = random.permutation(len(labels))
        test, pool = order[:150], list(order[150:])
        known = [row for label in sorted(set(labels)) for row in [r for r in pool if labels[r] == label][:3]]
        scores = []
        for _ in range(4):
            rest = np.array([row for row in pool if row not in set(known)])
            learner = Learner(rows.shape[1])
            learner.add(np.array(known), rows[known], labels[known].tolist())
            head = learner.fit("lda").head
            if propose:
                x = power_normalise(rows)
                units = x / np.linalg.norm(x, axis=1, keepdims=True)
                near = (units[rest] @ units[known].T).max(axis=1)
                chosen = ranking.rank(units[rest], head.probabilities(rows[rest]), np.zeros(len(rest), bool), near, 10)
            else:
                chosen = random.choice(len(rest), 10, replace=False)
            known += rest[chosen].tolist()
            learner.add(rest[chosen], rows[rest[chosen]], labels[rest[chosen]].tolist())
            answers = np.array(head.labels)[learner.fit("lda").head.probabilities(rows[test]).argmax(axis=1)]
            scores.append(float((answers == labels[test]).mean()))
        return float(np.mean(scores))

    gains = np.array([accuracy(seed, True) - accuracy(seed, False) for seed in range(6)])
    assert gains.mean() > 0, gains
