"""The facade: what is taught is known at once and for ever, and what is forgotten was never there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from pictures import COLOURS, coloured, encoded, picture
from PIL import Image
from raising import raises

from edgetl import AddReport, Classifier
from edgetl.errors import BundleMissing, LabelError, NotTrained, PhotoError, StoreError, StoreLocked, TrainError
from edgetl.heads import Head
from edgetl.inputs.photo.source import Source
from edgetl.runtimes import fake
from edgetl.session.workspace import Session
from edgetl.stats import Proportion
from edgetl.types import Embeddings, Photo, Pixels

OpenShop = Callable[..., Classifier]


def teach(shop: Classifier, *labels: str, seeds: int = 4) -> None:
    shop.add_many([(coloured(label, seed), label) for label in labels for seed in range(seeds)])


def statuses(report: AddReport) -> list[str]:
    return [photo.status for photo in report.photos]


def test_the_ten_lines(shop: Classifier, tmp_path: Path) -> None:
    for label in ("red", "green"):
        for seed in range(5):
            path = tmp_path / f"{label}{seed}.jpg"
            path.write_bytes(coloured(label, seed))
            assert statuses(shop.add(path, label)) == ["added"]
    report = shop.train()
    assert report.accuracy.value == 1.0
    assert report.accuracy.n == 10
    guess = shop.predict(tmp_path / "red0.jpg")
    assert guess.label == "red"
    assert guess.probability == guess.top[0][1] > 0.5
    assert [label for label, _ in guess.top] == ["red", "green"]
    assert sum(score for _, score in guess.top) == pytest.approx(1)
    shop.add(coloured("blue", 0), "blue")
    shop.add(coloured("blue", 1), "blue")
    shop.train()
    assert shop.predict(coloured("blue", 7)).label == "blue"
    assert shop.rollback().labels == ("green", "red")
    assert {label for label, _ in shop.predict(coloured("blue", 7)).top} == {"green", "red"}
    assert shop.forget(label="green").removed == {"green": 5}
    assert {label for label, _ in shop.predict(coloured("blue", 7)).top} == {"blue", "red"}


def test_a_guess_is_the_same_for_every_form_of_a_photo(shop: Classifier, tmp_path: Path) -> None:
    teach(shop, "red", "green", "blue")
    shop.train()
    photo = encoded(picture(colour=COLOURS["red"], seed=11), "PNG")
    path = tmp_path / "a.png"
    path.write_bytes(photo)
    image = Image.open(path)
    pixels = np.asarray(image)
    guesses = {shop.predict(form) for form in (path, str(path), photo, image, pixels)}
    guesses.add(shop.predict(pixels[:, :, ::-1], color="bgr"))
    assert len(guesses) == 1


@pytest.mark.parametrize(("top", "listed"), [(0, 1), (1, 1), (2, 2), (9, 3)])
def test_top_lists_as_many_classes_as_there_are(shop: Classifier, top: int, listed: int) -> None:
    teach(shop, "red", "green", "blue")
    shop.train()
    assert len(shop.predict(coloured("red", 9), top=top).top) == listed


def embedded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the photos that reach the backbone."""
    seen: list[int] = []
    real = fake.Model.embed

    def counted(self: fake.Model, batch: Pixels) -> Embeddings:
        seen.append(len(batch))
        return real(self, batch)

    monkeypatch.setattr(fake.Model, "embed", counted)
    return seen


def test_only_new_photos_cost_a_backbone_pass(shop: Classifier, open_shop: OpenShop, monkeypatch: pytest.MonkeyPatch) -> None:
    teach(shop, "red", "green")
    shop.train()
    passes = embedded(monkeypatch)
    teach(shop, "red", "green", "blue")
    assert sum(passes) == 4
    shop.train()
    shop.add(coloured("red", 0), "green")
    shop.forget(photo=coloured("red", 1))
    shop.rollback()
    assert sum(passes) == 4
    shop.close()
    reopened = open_shop()
    del passes[:]
    reopened.train()
    assert passes == []


def test_the_same_photo_again_is_known_and_under_another_label_moves(shop: Classifier) -> None:
    photo = coloured("red", 0)
    assert statuses(shop.add(photo, "red")) == ["added"]
    assert statuses(shop.add(photo, "red")) == ["known"]
    (moved,) = shop.add(photo, "green").photos
    assert (moved.status, moved.previous) == ("relabelled", "red")
    assert shop.counts == {"green": 1}


def test_the_same_photo_many_times_in_one_batch_is_one_sample(shop: Classifier) -> None:
    photo, other = coloured("red", 0), coloured("red", 1)
    shop.add(other, "blue")
    labels = [(photo, "red"), (photo, "red"), (other, "green"), (photo, "green"), (other, "green"), (other, "blue")]
    report = shop.add_many(labels)
    said = [(added.status, added.previous) for added in report.photos]
    assert said == [
        ("added", None),
        ("known", None),
        ("relabelled", "blue"),
        ("relabelled", "red"),
        ("known", None),
        ("relabelled", "green"),
    ]
    assert shop.counts == report.counts == {"green": 1, "blue": 1}
    assert [report.number(status) for status in ("added", "known", "relabelled")] == [1, 2, 3]


def test_a_folder_is_taught_with_its_names_as_labels(shop: Classifier, folder: Path) -> None:
    (folder / "red" / "notes.txt").write_text("mine")
    seen: list[tuple[int, int]] = []
    report = shop.add_many(folder, progress=lambda done, total: seen.append((done, total)))
    assert shop.counts == {"red": 6, "green": 6, "blue": 6}
    assert report.number("added") == 18
    assert [(Path(name).name, reason) for name, reason in report.failed] == [("notes.txt", "not a photo by its name (.txt)")]
    assert seen[-1] == (18, 18)
    assert shop.add_many(folder / "red", label="rouge").number("relabelled") == 6
    assert shop.counts == {"rouge": 6, "green": 6, "blue": 6}


def test_eval_counts_what_is_right_and_teaches_nothing(shop: Classifier, folder: Path) -> None:
    teach(shop, "red", "green")
    with raises(NotTrained):
        shop.evaluate(folder)
    shop.train()
    before = shop.counts
    truth = {"red": 6, "green": 6, "blue": 6}
    (folder / "red" / "bad.jpg").write_bytes(b"")
    seen: list[tuple[int, int]] = []
    report = shop.evaluate(folder, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 19) for done in range(1, 20)]
    guesses = {label: [shop.predict(folder / label / f"{i}.jpg") for i in range(6)] for label in truth}
    answers = {label: [guess.label for guess in rows] for label, rows in guesses.items()}
    known = [(label, answer) for label in ("green", "red") for answer in answers[label]]
    assert report.labels == ("blue", "green", "red")
    for row, label in zip(report.confusion, report.labels):
        assert row == tuple(answers[label].count(given) for given in (*report.labels, None))
    assert report.per_class == {label: Proportion(answers[label].count(label), 6) for label in ("green", "red")}
    assert report.accuracy == Proportion(sum(label == answer for label, answer in known), 12)
    assert report.rejected == Proportion(sum(answer is None for _, answer in known), 12)
    assert report.wrong == Proportion(sum(answer not in (label, None) for label, answer in known), 12)
    assert report.best_guess == Proportion(sum(guess.top[0][0] == label for label in ("green", "red") for guess in guesses[label]), 12)
    assert report.unknown_rejected == Proportion(answers["blue"].count(None), 6)
    assert [Path(name).name for name, _ in report.failed] == ["bad.jpg"]
    assert (report.stored, report.untrained) == (8, {"blue": 6})
    assert shop.counts == before


def test_a_bad_label_in_a_batch_is_one_photos_fault(shop: Classifier) -> None:
    pairs = [(coloured("red", 0), "red"), (coloured("red", 1), "a/b"), (coloured("green", 0), "green")]
    report = shop.add_many(pairs)
    assert shop.counts == {"red": 1, "green": 1}
    assert [(name, "path separator" in reason) for name, reason in report.failed] == [("bytes", True)]
    shop.train("ncm")
    assert shop.evaluate(pairs).accuracy.n == 2


def test_one_label_is_for_a_folder(shop: Classifier, folder: Path) -> None:
    with raises(LabelError, "label-path", label="a/b"):
        shop.add_many(folder / "red", label="a/b")
    with raises(LabelError):
        shop.add_many([(coloured("red", 0), "red")], label="blue")
    assert shop.counts == {}


def test_one_bad_photo_in_a_thousand_is_reported_at_the_end(shop: Classifier, tmp_path: Path) -> None:
    root = tmp_path / "thousand"
    for i in range(1000):
        path = root / ("even", "odd")[i % 2] / f"{i:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(Image.new("RGB", (32, 32), (i % 256, i // 256, 7)), "PNG"))
    broken = root / "odd" / "0501.png"
    broken.write_bytes(broken.read_bytes()[:50])
    report = shop.add_many(root)
    assert shop.counts == {"even": 500, "odd": 499}
    assert report.number("added") == 999
    ((name, reason),) = report.failed
    assert name == str(broken)
    assert "0501.png: corrupt or truncated" in reason


def test_training_needs_two_classes_and_says_so(shop: Classifier) -> None:
    with raises(TrainError):
        shop.train()
    teach(shop, "red")
    with raises(TrainError):
        shop.train()
    with raises(TrainError):
        shop.train("forest")  # type: ignore[arg-type]  # the fault under test
    assert shop.heads() == []


def test_one_photo_per_class_trains_with_a_warning(shop: Classifier) -> None:
    teach(shop, "red", "green", seeds=1)
    report = shop.train()
    assert any("one photo only of 'green', 'red'" in warning for warning in report.warnings)
    assert report.accuracy.hits == 0
    assert shop.predict(coloured("red", 5)).label == "red"


def test_the_history_tells_what_each_head_is(shop: Classifier, open_shop: OpenShop) -> None:
    teach(shop, "red", "green")
    first = shop.train("ncm")
    teach(shop, "blue")
    second = shop.train("ridge")
    infos = shop.heads()
    assert [(info.id, info.kind, info.labels, info.samples, info.active) for info in infos] == [
        (first.head_id, "ncm", ("green", "red"), 8, False),
        (second.head_id, "ridge", ("blue", "green", "red"), 12, True),
    ]
    assert [info.accuracy for info in infos] == [first.accuracy, second.accuracy]
    before = shop.predict(coloured("blue", 8))
    shop.close()
    assert open_shop().predict(coloured("blue", 8)) == before


def test_going_back_further_than_there_are_heads_is_refused(shop: Classifier) -> None:
    with raises(NotTrained, "nothing-to-roll-back"):
        shop.rollback()
    teach(shop, "red", "green")
    shop.train()
    with raises(NotTrained, "nothing-to-roll-back"):
        shop.rollback()
    assert shop.predict(coloured("red", 5)).label == "red"


def test_forgetting_what_is_not_there_is_refused_by_name(shop: Classifier) -> None:
    teach(shop, "red", "green")
    with raises(LabelError, "label-unknown", label="mug", labels=["green", "red"]):
        shop.forget(label="mug")
    with raises(PhotoError, "photo-unknown", photo="bytes"):
        shop.forget(photo=coloured("blue", 0))
    for wrong in ({}, {"label": "red", "photo": coloured("red", 0)}):
        with raises(LabelError, "label-or-photo"):
            shop.forget(**wrong)
    assert shop.counts == {"red": 4, "green": 4}


def test_forgetting_down_to_one_class_leaves_no_head_active(shop: Classifier) -> None:
    teach(shop, "red", "green")
    shop.train()
    report = shop.forget(label="green")
    assert report.head_id is None
    assert report.counts == {"red": 4}
    with pytest.raises(NotTrained):
        shop.predict(coloured("red", 0))
    teach(shop, "blue")
    shop.train()
    assert shop.predict(coloured("blue", 9)).label == "blue"


def test_a_store_alone_can_train_forget_and_list_and_has_no_verb_for_photos(shop: Classifier, tmp_path: Path) -> None:
    teach(shop, "red", "green", "blue")
    shop.close()
    with Classifier.open_store(tmp_path / "shop.db") as stored:
        assert stored.train().accuracy.n == 12
        assert stored.forget(label="blue").counts == {"red": 4, "green": 4}
        assert len(stored.heads()) == 2
        assert not [
            verb for verb in ("add", "add_many", "predict", "predict_many", "evaluate", "explain", "adapt") if hasattr(stored, verb)
        ]
    with raises(StoreError, "store-missing"), Classifier.open_store(tmp_path / "missing.db"):
        pass


def test_many_predictions_are_those_of_predict_and_a_bad_photo_stops_none(shop: Classifier, folder: Path) -> None:
    with raises(NotTrained):
        shop.predict_many([])
    shop.add_many(folder)
    shop.train()
    photos: list[Photo] = [*sorted(folder.rglob("*.jpg")), coloured("yellow", 3), np.asarray(picture(seed=5))]
    options: dict[str, Any] = {"top": 2, "unknown": "strict"}
    expected = [shop.predict(photo, **options) for photo in photos]
    assert list(shop.predict_many(photos, **options)) == expected
    broken = list(shop.predict_many([photos[0], b"not a photo", photos[1]], **options))
    assert [broken[0], broken[2]] == expected[:2]
    assert isinstance(broken[1], PhotoError)


def test_predictions_of_a_camera_that_reuses_its_buffer(shop: Classifier) -> None:
    teach(shop, "red", "green")
    shop.train()
    frames = [np.asarray(picture(64, 64, colour=COLOURS[("red", "green")[i % 2]], seed=i)) for i in range(40)]
    buffer = np.empty_like(frames[0])

    def camera() -> Iterator[Pixels]:
        for frame in frames:
            buffer[:] = frame
            yield buffer

    assert list(shop.predict_many(camera())) == [shop.predict(frame) for frame in frames]


def test_reading_works_beside_a_writer_and_changes_nothing(shop: Classifier, open_shop: OpenShop) -> None:
    teach(shop, "red", "green")
    shop.train()
    reader = open_shop(read_only=True)
    assert reader.predict(coloured("red", 8)) == shop.predict(coloured("red", 8))
    teach(shop, "blue")
    assert reader.counts == {"red": 4, "green": 4, "blue": 4}
    for change in (
        lambda: reader.add(coloured("red", 9), "red"),
        reader.train,
        reader.rollback,
        lambda: reader.forget(label="red"),
    ):
        with raises(StoreError, "store-read-only"):
            change()
    assert reader.predict(coloured("red", 8)).label == "red"
    assert shop.counts == {"red": 4, "green": 4, "blue": 4}


def test_a_second_writer_is_refused(shop: Classifier, open_shop: OpenShop) -> None:
    with raises(StoreLocked):
        open_shop()
    shop.close()
    open_shop().add(coloured("red", 0), "red")


def test_closing_twice_is_closing_once_and_use_afterwards_is_refused(shop: Classifier) -> None:
    teach(shop, "red", "green")
    shop.train()
    shop.close()
    shop.close()
    for use in (lambda: shop.add(coloured("red", 9), "red"), shop.train, lambda: shop.counts):
        with raises(StoreError, "store-closed"):
            use()


def test_an_error_while_opening_lets_go_of_the_store(bundle: Path, tmp_path: Path, open_shop: OpenShop) -> None:
    open_shop().close()
    with pytest.raises(BundleMissing):
        Classifier.open(bundle, tmp_path / "shop.db", variant="tflite-int8")
    open_shop().add(coloured("red", 0), "red")


def test_predicting_goes_on_while_others_teach_train_and_forget(shop: Classifier) -> None:
    teach(shop, "red", "green")
    shop.train()
    stop = threading.Event()
    wrong: list[object] = []

    def predict() -> None:
        while not stop.is_set():
            try:
                guess = shop.predict(coloured("red", 8))
                if guess.label != "red" or abs(sum(score for _, score in guess.top) - 1) > 1e-5:
                    wrong.append(guess)
            except BaseException as error:
                wrong.append(error)

    def add(label: str) -> None:
        for seed in range(10, 20):
            shop.add(coloured(label, seed), label)

    predictors = [threading.Thread(target=predict) for _ in range(2)]
    adders = [threading.Thread(target=add, args=(label,)) for label in ("blue", "yellow")]
    for thread in predictors + adders:
        thread.start()
    for _ in range(5):
        shop.train()
        teach(shop, "green", seeds=6)
        shop.forget(photo=coloured("green", 5))
        shop.rollback()
    for thread in adders:
        thread.join()
    stop.set()
    for thread in predictors:
        thread.join()
    assert wrong == []
    assert shop.counts == {"red": 4, "green": 5, "blue": 10, "yellow": 10}
    shop.train()
    assert shop.predict(coloured("yellow", 30)).label == "yellow"


def test_the_same_photo_from_many_threads_is_added_once(shop: Classifier) -> None:
    photo = coloured("red", 0)
    said: list[str] = []
    threads = [threading.Thread(target=lambda: said.extend(statuses(shop.add(photo, "red")))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == ["added"] + ["known"] * 7
    assert shop.counts == {"red": 1}


def test_a_photo_forgotten_while_it_is_added_again_is_refused_and_can_be_added(shop: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = coloured("red", 0)
    shop.add(photo, "red")
    real = Session.knows

    def known_and_then_forgotten(self: Session, source: Source) -> bool:
        known = real(self, source)
        shop.forget(photo=photo)
        return known

    with monkeypatch.context() as patch:
        patch.setattr(Session, "knows", known_and_then_forgotten)
        with raises(StoreError, "forgotten-meanwhile", photo="bytes"):
            shop.add(photo, "red")
    assert statuses(shop.add(photo, "red")) == ["added"]


def test_a_camera_may_give_the_same_buffer_again_and_again(shop: Classifier) -> None:
    frames = [np.asarray(picture(64, 64, colour=COLOURS[label], seed=seed)) for seed in range(20) for label in ("red", "green")]
    buffer = np.empty_like(frames[0])

    def camera() -> Iterator[tuple[Pixels, str]]:
        for i, frame in enumerate(frames):
            buffer[:] = frame
            yield buffer, ("red", "green")[i % 2]

    assert shop.add_many(camera()).number("added") == 40
    assert all(statuses(shop.add(frame, ("red", "green")[i % 2])) == ["known"] for i, frame in enumerate(frames))


def test_a_damaged_head_is_said_aloud_and_mended_by_a_training(
    shop: Classifier, open_shop: OpenShop, caplog: pytest.LogCaptureFixture
) -> None:
    teach(shop, "red", "green")
    good = shop.train()
    shop.store.add_head(kind="ncm", labels=("red",), samples=1, accuracy=good.accuracy, weights=b"not a head", report={"asked": "auto"})
    shop.close()
    damaged = open_shop()
    assert any("the active head cannot be read" in line and "train again" in line for line in caplog.messages)
    with pytest.raises(NotTrained):
        damaged.predict(coloured("red", 9))
    assert damaged.rollback().id == good.head_id
    assert damaged.predict(coloured("red", 9)).label == "red"
    damaged.train()
    assert damaged.predict(coloured("red", 9)).label == "red"


def fill_up(shop: Classifier, more: int) -> None:
    """The disk is full after so many more pages: SQLite itself then raises what it raises there."""
    with shop.store._connection.reading() as db:
        (pages,) = db.execute("PRAGMA page_count").fetchone()
    shop.store._connection._db.execute(f"PRAGMA max_page_count={pages + more}")


def test_on_a_full_disk_nothing_acknowledged_is_lost(shop: Classifier, open_shop: OpenShop) -> None:
    teach(shop, "red", "green")
    shop.train()
    head, before = shop.heads(), shop.predict(coloured("red", 8))
    acknowledged = 0

    def count(done: int, _: int) -> None:
        nonlocal acknowledged
        acknowledged = done

    fill_up(shop, 60)
    with pytest.raises(StoreError) as caught:
        shop.add_many([(coloured("blue", seed), "blue") for seed in range(600)], progress=count)
    assert "full" in caught.value.values["reason"]
    assert 0 < acknowledged < 600
    for change in (lambda: shop.add(coloured("yellow", 0), "yellow"), shop.train):
        with raises(StoreError, "disk-failed-before"):
            change()
    assert shop.predict(coloured("red", 8)) == before
    shop.close()
    reopened = open_shop()
    assert reopened.counts == {"red": 4, "green": 4, "blue": acknowledged}
    assert reopened.heads() == head
    reopened.train()
    assert reopened.predict(coloured("blue", 700)).label == "blue"


LABELS = st.sampled_from(sorted(COLOURS))
PHOTOS = [np.asarray(picture(16, 16, colour=COLOURS[label], seed=seed)) for seed in range(5) for label in sorted(COLOURS)]
NUMBERS = st.integers(0, len(PHOTOS) - 1)
EXACT = ("ncm", "lda", "ridge")
"""`logistic` and `auto` also choose by folds, which go by the samples' numbers; these three depend on the samples alone."""


class Shop(RuleBasedStateMachine):
    """Any sequence of changes against a dictionary, and the head against one that was only ever taught what is left."""

    bundle: Path
    folder: Path
    number = 0

    @initialize()
    def begin(self) -> None:
        Shop.number += 1
        self.path = self.folder / f"{Shop.number}.db"
        self.shop = Classifier.open(self.bundle, self.path)
        self.taught: dict[int, str] = {}

    @rule(number=NUMBERS, label=LABELS)
    def add(self, number: int, label: str) -> None:
        before = self.taught.pop(number, None)
        expected = "added" if before is None else "known" if before == label else "relabelled"
        added = self.shop.add(PHOTOS[number], label)
        (photo,) = added.photos
        assert (photo.status, photo.previous) == (expected, before if expected == "relabelled" else None)
        self.taught[number] = label

    @rule(pairs=st.lists(st.tuples(NUMBERS, LABELS), max_size=12))
    def add_many(self, pairs: list[tuple[int, str]]) -> None:
        report = self.shop.add_many([(PHOTOS[number], label) for number, label in pairs])
        assert len(report.photos) == len(pairs)
        self.taught.update(pairs)

    @rule(label=LABELS)
    def forget_a_class(self, label: str) -> None:
        gone = [number for number, kept in self.taught.items() if kept == label]
        if not gone:
            with pytest.raises(LabelError):
                self.shop.forget(label=label)
            return
        assert self.shop.forget(label=label).removed == {label: len(gone)}
        for number in gone:
            del self.taught[number]

    @rule(number=NUMBERS)
    def forget_a_photo(self, number: int) -> None:
        if number not in self.taught:
            with pytest.raises(PhotoError):
                self.shop.forget(photo=PHOTOS[number])
            return
        assert self.shop.forget(photo=PHOTOS[number]).removed == {self.taught.pop(number): 1}

    @rule()
    def reopen(self) -> None:
        self.shop.close()
        self.shop = Classifier.open(self.bundle, self.path)

    @precondition(lambda self: len(set(self.taught.values())) >= 2)
    @rule(kind=st.sampled_from(EXACT))
    def train(self, kind: str) -> None:
        report = self.shop.train(kind)  # type: ignore[arg-type]  # one of EXACT
        Shop.number += 1
        with Classifier.open(self.bundle, self.folder / f"{Shop.number}.db") as fresh:
            fresh.add_many([(PHOTOS[number], label) for number, label in sorted(self.taught.items())])
            expected = fresh.train(kind)  # type: ignore[arg-type]  # one of EXACT
            ours, theirs = self.logits(self.shop, report.head_id), self.logits(fresh, expected.head_id)
        assert report.accuracy == expected.accuracy
        assert report.per_class == expected.per_class
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)

    def logits(self, shop: Classifier, head: int) -> Embeddings:
        assert shop.embedder is not None
        probes = np.stack([shop.embedder.infer(photo) for photo in PHOTOS])
        return Head.from_bytes(shop.store.head_bytes(head)).logits(probes)

    def teardown(self) -> None:
        if hasattr(self, "shop"):
            counts = {label: list(self.taught.values()).count(label) for label in set(self.taught.values())}
            assert self.shop.counts == counts
            self.shop.close()


@pytest.mark.parametrize("examples", [10, pytest.param(30, marks=pytest.mark.slow)])
def test_after_any_changes_the_head_is_that_of_what_is_left(examples: int, tmp_path: Path) -> None:
    Shop.bundle = fake.write_bundle(str(tmp_path / "fake.edgetl"), encoded(picture(seed=9)), dim=16, size=16).path
    Shop.folder = tmp_path
    machine = Shop.TestCase
    # Every step waits for the disk, so a failure is shown as it was found: shrinking it would take minutes.
    phases = (Phase.explicit, Phase.reuse, Phase.generate)
    machine.settings = settings(
        max_examples=examples, stateful_step_count=20, deadline=None, phases=phases, suppress_health_check=list(HealthCheck)
    )
    machine().runTest()
