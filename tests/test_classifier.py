"""The facade: added photos are known at once and durable, and the head after forgetting is one that never saw the photos."""

from __future__ import annotations

import itertools
import subprocess
import sys
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
from edgetl.heads.warnings import TrainingWarning
from edgetl.inputs.photo.source import PhotoSource
from edgetl.runtimes import fake
from edgetl.session import training
from edgetl.session.workspace import Session
from edgetl.stats import Proportion
from edgetl.types import Embeddings, Photo, Pixels

OpenClassifier = Callable[..., Classifier]


def add_photos(classifier: Classifier, *labels: str, seeds: int = 4) -> None:
    classifier.add_many([(coloured(label, seed), label) for label in labels for seed in range(seeds)])


def statuses(report: AddReport) -> list[str]:
    return [photo.status for photo in report.photos]


def test_the_ten_lines(classifier: Classifier, tmp_path: Path) -> None:
    for label in ("red", "green"):
        for seed in range(5):
            path = tmp_path / f"{label}{seed}.jpg"
            path.write_bytes(coloured(label, seed))
            assert statuses(classifier.add(path, label)) == ["added"]
    report = classifier.train()
    assert report.accuracy.value == 1.0
    assert report.accuracy.n == 10
    guess = classifier.predict(tmp_path / "red0.jpg")
    assert guess.label == "red"
    assert guess.probability == guess.top[0][1] > 0.5
    assert [label for label, _ in guess.top] == ["red", "green"]
    assert sum(score for _, score in guess.top) == pytest.approx(1)
    classifier.add(coloured("blue", 0), "blue")
    classifier.add(coloured("blue", 1), "blue")
    classifier.train()
    assert classifier.predict(coloured("blue", 7)).label == "blue"
    assert classifier.rollback().labels == ("green", "red")
    assert {label for label, _ in classifier.predict(coloured("blue", 7)).top} == {"green", "red"}
    assert classifier.forget(label="green").removed == {"green": 5}
    assert {label for label, _ in classifier.predict(coloured("blue", 7)).top} == {"blue", "red"}


def test_a_prediction_is_the_same_for_every_form_of_a_photo(classifier: Classifier, tmp_path: Path) -> None:
    add_photos(classifier, "red", "green", "blue")
    classifier.train()
    photo = encoded(picture(colour=COLOURS["red"], seed=11), "PNG")
    path = tmp_path / "a.png"
    path.write_bytes(photo)
    image = Image.open(path)
    pixels = np.asarray(image)
    guesses = {classifier.predict(form) for form in (path, str(path), photo, image, pixels)}
    guesses.add(classifier.predict(pixels[:, :, ::-1], color="bgr"))
    assert len(guesses) == 1


@pytest.mark.parametrize(("top", "listed"), [(0, 1), (1, 1), (2, 2), (9, 3)])
def test_top_lists_as_many_classes_as_there_are(classifier: Classifier, top: int, listed: int) -> None:
    add_photos(classifier, "red", "green", "blue")
    classifier.train()
    assert len(classifier.predict(coloured("red", 9), top=top).top) == listed


def embedded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the photos that reach the backbone."""
    seen: list[int] = []
    real = fake.Model.embed

    def counted(self: fake.Model, batch: Pixels) -> Embeddings:
        seen.append(len(batch))
        return real(self, batch)

    monkeypatch.setattr(fake.Model, "embed", counted)
    return seen


def test_only_new_photos_cost_a_backbone_pass(
    classifier: Classifier, open_classifier: OpenClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_photos(classifier, "red", "green")
    classifier.train()
    passes = embedded(monkeypatch)
    add_photos(classifier, "red", "green", "blue")
    assert sum(passes) == 4
    classifier.train()
    classifier.add(coloured("red", 0), "green")
    classifier.forget(photo=coloured("red", 1))
    classifier.rollback()
    assert sum(passes) == 4
    classifier.close()
    reopened = open_classifier()
    del passes[:]
    reopened.train()
    assert passes == []


def test_the_same_photo_again_is_known_and_under_another_label_moves(classifier: Classifier) -> None:
    photo = coloured("red", 0)
    assert statuses(classifier.add(photo, "red")) == ["added"]
    assert statuses(classifier.add(photo, "red")) == ["known"]
    (moved,) = classifier.add(photo, "green").photos
    assert (moved.status, moved.previous) == ("relabelled", "red")
    assert classifier.counts == {"green": 1}


def test_the_same_photo_many_times_in_one_batch_is_one_sample(classifier: Classifier) -> None:
    photo, other = coloured("red", 0), coloured("red", 1)
    classifier.add(other, "blue")
    labels = [(photo, "red"), (photo, "red"), (other, "green"), (photo, "green"), (other, "green"), (other, "blue")]
    report = classifier.add_many(labels)
    results = [(added.status, added.previous) for added in report.photos]
    assert results == [
        ("added", None),
        ("known", None),
        ("relabelled", "blue"),
        ("relabelled", "red"),
        ("known", None),
        ("relabelled", "green"),
    ]
    assert classifier.counts == report.counts == {"green": 1, "blue": 1}
    assert [report.number(status) for status in ("added", "known", "relabelled")] == [1, 2, 3]


def test_a_folder_is_added_with_its_folder_names_as_labels(classifier: Classifier, folder: Path) -> None:
    (folder / "red" / "notes.txt").write_text("mine")
    seen: list[tuple[int, int]] = []
    report = classifier.add_many(folder, progress=lambda done, total: seen.append((done, total)))
    assert classifier.counts == {"red": 6, "green": 6, "blue": 6}
    assert report.number("added") == 18
    assert [(Path(failure.source).name, failure.code) for failure in report.failed] == [("notes.txt", "not-a-photo")]
    assert seen[-1] == (18, 18)
    assert classifier.add_many(folder / "red", label="rouge").number("relabelled") == 6
    assert classifier.counts == {"rouge": 6, "green": 6, "blue": 6}


def test_evaluate_counts_the_answers_of_predict_and_stores_nothing(classifier: Classifier, folder: Path) -> None:
    add_photos(classifier, "red", "green")
    with raises(NotTrained):
        classifier.evaluate(folder)
    classifier.train()
    before = classifier.counts
    truth = {"red": 6, "green": 6, "blue": 6}
    (folder / "red" / "bad.jpg").write_bytes(b"")
    seen: list[tuple[int, int]] = []
    report = classifier.evaluate(folder, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 19) for done in range(1, 20)]
    guesses = {label: [classifier.predict(folder / label / f"{i}.jpg") for i in range(6)] for label in truth}
    answers = {label: [guess.label for guess in rows] for label, rows in guesses.items()}
    known = [(label, answer) for label in ("green", "red") for answer in answers[label]]
    assert report.labels == ("blue", "green", "red")
    for row, label in zip(report.confusion, report.labels):
        assert row == tuple(answers[label].count(answer) for answer in (*report.labels, None))
    assert report.per_class == {label: Proportion(answers[label].count(label), 6) for label in ("green", "red")}
    assert report.accuracy == Proportion(sum(label == answer for label, answer in known), 12)
    assert report.rejected == Proportion(sum(answer is None for _, answer in known), 12)
    assert report.wrong == Proportion(sum(answer not in (label, None) for label, answer in known), 12)
    assert report.best_guess == Proportion(sum(guess.top[0][0] == label for label in ("green", "red") for guess in guesses[label]), 12)
    assert report.unknown_rejected == Proportion(answers["blue"].count(None), 6)
    assert [(Path(failure.source).name, failure.code) for failure in report.failed] == [("bad.jpg", "photo-empty")]
    assert (report.stored, report.untrained) == (8, {"blue": 6})
    assert classifier.counts == before


def test_a_bad_label_in_a_batch_is_one_photos_fault(classifier: Classifier) -> None:
    pairs = [(coloured("red", 0), "red"), (coloured("red", 1), "a/b"), (coloured("green", 0), "green")]
    report = classifier.add_many(pairs)
    assert classifier.counts == {"red": 1, "green": 1}
    assert [(failure.source, failure.code) for failure in report.failed] == [("bytes", "label-path")]
    classifier.train("ncm")
    assert classifier.evaluate(pairs).accuracy.n == 2


def test_one_label_is_for_a_folder(classifier: Classifier, folder: Path) -> None:
    with raises(LabelError, "label-path", label="a/b"):
        classifier.add_many(folder / "red", label="a/b")
    with pytest.raises(LabelError, match="pairs"):
        classifier.add_many([(coloured("red", 0), "red")], label="blue")
    assert classifier.counts == {}


def test_one_bad_photo_in_a_thousand_is_reported_at_the_end(classifier: Classifier, tmp_path: Path) -> None:
    root = tmp_path / "thousand"
    for i in range(1000):
        path = root / ("even", "odd")[i % 2] / f"{i:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(Image.new("RGB", (32, 32), (i % 256, i // 256, 7)), "PNG"))
    broken = root / "odd" / "0501.png"
    broken.write_bytes(broken.read_bytes()[:50])
    report = classifier.add_many(root)
    assert classifier.counts == {"even": 500, "odd": 499}
    assert report.number("added") == 999
    assert [(failure.source, failure.code) for failure in report.failed] == [(str(broken), "photo-corrupt")]


def test_training_needs_two_classes_and_a_known_kind(classifier: Classifier) -> None:
    with raises(TrainError, "no-photos"):
        classifier.train()
    add_photos(classifier, "red")
    with raises(TrainError, "one-class", label="red"):
        classifier.train()
    with raises(TrainError, "unknown-head-kind", kind="forest"):
        classifier.train("forest")  # type: ignore[arg-type]  # the fault under test
    assert classifier.heads() == []


def test_one_photo_per_class_trains_with_a_warning(classifier: Classifier) -> None:
    add_photos(classifier, "red", "green", seeds=1)
    report = classifier.train()
    assert TrainingWarning("one-photo", ("green", "red")) in report.warnings
    assert report.accuracy.hits == 0
    assert classifier.predict(coloured("red", 5)).label == "red"


def test_the_history_lists_kind_labels_and_samples_of_each_head(classifier: Classifier, open_classifier: OpenClassifier) -> None:
    add_photos(classifier, "red", "green")
    first = classifier.train("ncm")
    add_photos(classifier, "blue")
    second = classifier.train("ridge")
    infos = classifier.heads()
    assert [(info.id, info.kind, info.labels, info.samples, info.active) for info in infos] == [
        (first.head_id, "ncm", ("green", "red"), 8, False),
        (second.head_id, "ridge", ("blue", "green", "red"), 12, True),
    ]
    assert [info.accuracy for info in infos] == [first.accuracy, second.accuracy]
    before = classifier.predict(coloured("blue", 8))
    classifier.close()
    assert open_classifier().predict(coloured("blue", 8)) == before


def test_rolling_back_without_an_earlier_head_is_an_error(classifier: Classifier) -> None:
    with raises(NotTrained, "nothing-to-roll-back"):
        classifier.rollback()
    add_photos(classifier, "red", "green")
    classifier.train()
    with raises(NotTrained, "nothing-to-roll-back"):
        classifier.rollback()
    assert classifier.predict(coloured("red", 5)).label == "red"


def test_forgetting_a_class_or_photo_that_is_not_stored_is_an_error(classifier: Classifier) -> None:
    add_photos(classifier, "red", "green")
    with raises(LabelError, "label-unknown", label="mug", labels=["green", "red"]):
        classifier.forget(label="mug")
    with raises(PhotoError, "photo-unknown", photo="bytes"):
        classifier.forget(photo=coloured("blue", 0))
    for wrong in ({}, {"label": "red", "photo": coloured("red", 0)}):
        with raises(LabelError, "label-or-photo"):
            classifier.forget(**wrong)
    assert classifier.counts == {"red": 4, "green": 4}


def test_forgetting_down_to_one_class_leaves_no_head_active(classifier: Classifier) -> None:
    add_photos(classifier, "red", "green")
    classifier.train()
    report = classifier.forget(label="green")
    assert report.head_id is None
    assert report.counts == {"red": 4}
    with pytest.raises(NotTrained):
        classifier.predict(coloured("red", 0))
    add_photos(classifier, "blue")
    classifier.train()
    assert classifier.predict(coloured("blue", 9)).label == "blue"


def test_a_store_alone_can_train_forget_and_list_and_has_no_verb_for_photos(classifier: Classifier, tmp_path: Path) -> None:
    add_photos(classifier, "red", "green", "blue")
    classifier.close()
    with Classifier.open_store(tmp_path / "parts.db") as stored:
        assert stored.train().accuracy.n == 12
        assert stored.forget(label="blue").counts == {"red": 4, "green": 4}
        assert len(stored.heads()) == 2
        assert not [
            verb for verb in ("add", "add_many", "predict", "predict_many", "evaluate", "explain", "adapt") if hasattr(stored, verb)
        ]
    with raises(StoreError, "store-missing"), Classifier.open_store(tmp_path / "missing.db"):
        pass


def test_many_predictions_are_those_of_predict_and_a_bad_photo_stops_none(classifier: Classifier, folder: Path) -> None:
    with raises(NotTrained):
        classifier.predict_many([])
    classifier.add_many(folder)
    classifier.train()
    photos: list[Photo] = [*sorted(folder.rglob("*.jpg")), coloured("yellow", 3), np.asarray(picture(seed=5))]
    options: dict[str, Any] = {"top": 2, "unknown": "strict"}
    expected = [classifier.predict(photo, **options) for photo in photos]
    assert list(classifier.predict_many(photos, **options)) == expected
    broken = list(classifier.predict_many([photos[0], b"not a photo", photos[1]], **options))
    assert [broken[0], broken[2]] == expected[:2]
    assert isinstance(broken[1], PhotoError)


def test_predictions_of_a_camera_that_reuses_its_buffer(classifier: Classifier) -> None:
    add_photos(classifier, "red", "green")
    classifier.train()
    frames = [np.asarray(picture(64, 64, colour=COLOURS[("red", "green")[i % 2]], seed=i)) for i in range(40)]
    buffer = np.empty_like(frames[0])

    def camera() -> Iterator[Pixels]:
        for frame in frames:
            buffer[:] = frame
            yield buffer

    assert list(classifier.predict_many(camera())) == [classifier.predict(frame) for frame in frames]


def test_reading_works_beside_a_writer_and_changes_nothing(classifier: Classifier, open_classifier: OpenClassifier) -> None:
    add_photos(classifier, "red", "green")
    classifier.train()
    reader = open_classifier(read_only=True)
    assert reader.predict(coloured("red", 8)) == classifier.predict(coloured("red", 8))
    add_photos(classifier, "blue")
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
    assert classifier.counts == {"red": 4, "green": 4, "blue": 4}


def test_a_second_writer_is_an_error(classifier: Classifier, open_classifier: OpenClassifier) -> None:
    with raises(StoreLocked):
        open_classifier()
    classifier.close()
    open_classifier().add(coloured("red", 0), "red")


def test_closing_twice_is_allowed_and_using_a_closed_classifier_is_an_error(classifier: Classifier) -> None:
    add_photos(classifier, "red", "green")
    classifier.train()
    classifier.close()
    classifier.close()
    for use in (lambda: classifier.add(coloured("red", 9), "red"), classifier.train, lambda: classifier.counts):
        with raises(StoreError, "store-closed"):
            use()


def test_an_error_while_opening_lets_go_of_the_store(bundle: Path, tmp_path: Path, open_classifier: OpenClassifier) -> None:
    open_classifier().close()
    with pytest.raises(BundleMissing):
        Classifier.open(bundle, tmp_path / "parts.db", variant="tflite-int8")
    open_classifier().add(coloured("red", 0), "red")


def test_predicting_goes_on_while_other_threads_add_train_and_forget(classifier: Classifier) -> None:
    add_photos(classifier, "red", "green")
    classifier.train()
    stop = threading.Event()
    wrong: list[object] = []

    def predict() -> None:
        while not stop.is_set():
            try:
                guess = classifier.predict(coloured("red", 8))
                if guess.label != "red" or abs(sum(score for _, score in guess.top) - 1) > 1e-5:
                    wrong.append(guess)
            except BaseException as error:
                wrong.append(error)

    def add(label: str) -> None:
        for seed in range(10, 20):
            classifier.add(coloured(label, seed), label)

    predictors = [threading.Thread(target=predict) for _ in range(2)]
    adders = [threading.Thread(target=add, args=(label,)) for label in ("blue", "yellow")]
    for thread in predictors + adders:
        thread.start()
    for _ in range(5):
        classifier.train()
        add_photos(classifier, "green", seeds=6)
        classifier.forget(photo=coloured("green", 5))
        classifier.rollback()
    for thread in adders:
        thread.join()
    stop.set()
    for thread in predictors:
        thread.join()
    assert wrong == []
    assert classifier.counts == {"red": 4, "green": 5, "blue": 10, "yellow": 10}
    classifier.train()
    assert classifier.predict(coloured("yellow", 30)).label == "yellow"


def test_the_same_photo_from_many_threads_is_added_once(classifier: Classifier) -> None:
    photo = coloured("red", 0)
    results: list[str] = []
    threads = [threading.Thread(target=lambda: results.extend(statuses(classifier.add(photo, "red")))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["added"] + ["known"] * 7
    assert classifier.counts == {"red": 1}


def test_a_photo_without_a_label_has_no_set_of_classes(classifier: Classifier) -> None:
    classifier.add_many([(coloured(colour, seed), label) for colour, label in (("red", "red"), ("green", "none")) for seed in range(12)])
    classifier.train()
    assert classifier.predict(coloured("red", 50), confidence=0.8).candidates == ("red",)
    unknown = classifier.predict(coloured("green", 50), confidence=0.8)
    assert (unknown.label, unknown.code, unknown.candidates) == (None, "reject-class", None)


def test_a_corrected_label_outlasts_its_folder(classifier: Classifier, folder: Path) -> None:
    classifier.add_many(folder)
    wrong = folder / "red" / "3.jpg"
    (sample,) = [photo.sample for photo in classifier.add(wrong, "green").photos]
    others = [photo for photo in classifier.add_many(folder).photos if photo.status != "known"]
    assert [(photo.status, photo.previous, photo.sample) for photo in others] == [("kept", "green", sample)]
    assert classifier.counts == {"blue": 6, "green": 7, "red": 5}
    assert classifier.add_many(folder / "red", label="red").number("relabelled") == 1
    classifier.relabel(sample, "green")
    assert classifier.add_many(folder, relabel=True).number("relabelled") == 1
    assert classifier.counts == {"blue": 6, "green": 6, "red": 6}


def test_classes_of_an_imported_head_are_not_lost_in_silence(
    classifier: Classifier, open_classifier: OpenClassifier, tmp_path: Path, bundle: Path
) -> None:
    add_photos(classifier, "red", "green", "blue")
    classifier.train()
    classifier.export_head(tmp_path / "head")
    with Classifier.open(bundle, tmp_path / "second.db") as second:
        add_photos(second, "yellow", "red")
        imported = second.import_head(tmp_path / "head").id
        with raises(TrainError, "imported-classes-lost", head_id=imported, labels=["blue", "green"]):
            second.train()
        assert second.predict(coloured("blue", 30)).label == "blue"
        add_photos(second, "green", "blue")
        assert second.train().active
        second.rollback()
        second.forget(label="green")
        second.forget(label="blue")
    with Classifier.open(bundle, tmp_path / "third.db") as third:
        add_photos(third, "yellow", "red")
        third.import_head(tmp_path / "head")
        assert third.train(allow_loss=1).active


def test_photos_are_added_and_moved_while_a_training_runs(classifier: Classifier) -> None:
    add_photos(classifier, "red", "green")
    classifier.train()
    moved = coloured("green", 3)
    with classifier.session.learning():  # what a training holds while it computes
        inputs = classifier.session.inputs()[1]
        adder = threading.Thread(target=lambda: [classifier.add(coloured("red", 20), "red"), classifier.add(moved, "red")])
        adder.start()
        adder.join(60)
        assert not adder.is_alive()
        forgetter = threading.Thread(target=lambda: classifier.forget(label="green"))
        forgetter.start()
        forgetter.join(0.2)
        assert forgetter.is_alive()  # the head in the making knows its photos
        assert classifier.counts == {"red": 6, "green": 3}
    forgetter.join(60)
    assert classifier.counts == {"red": 6}
    add_photos(classifier, "blue")
    report = classifier.train()
    assert report.inputs != inputs
    assert {label: row.photos for label, row in report.assessment.per_class.items()} == {"red": 6, "blue": 4}
    assert training.distance(classifier.session) <= 1e-5


def test_a_photo_forgotten_while_it_is_added_is_an_error_and_can_be_added_again(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = coloured("red", 0)
    classifier.add(photo, "red")
    real = Session.knows

    def known_and_then_forgotten(self: Session, source: PhotoSource) -> bool:
        known = real(self, source)
        classifier.forget(photo=photo)
        return known

    with monkeypatch.context() as patch:
        patch.setattr(Session, "knows", known_and_then_forgotten)
        with raises(StoreError, "forgotten-meanwhile", photo="bytes"):
            classifier.add(photo, "red")
    assert statuses(classifier.add(photo, "red")) == ["added"]


def test_a_camera_may_give_the_same_buffer_again_and_again(classifier: Classifier) -> None:
    frames = [np.asarray(picture(64, 64, colour=COLOURS[label], seed=seed)) for seed in range(20) for label in ("red", "green")]
    buffer = np.empty_like(frames[0])

    def camera() -> Iterator[tuple[Pixels, str]]:
        for i, frame in enumerate(frames):
            buffer[:] = frame
            yield buffer, ("red", "green")[i % 2]

    assert classifier.add_many(camera()).number("added") == 40
    assert all(statuses(classifier.add(frame, ("red", "green")[i % 2])) == ["known"] for i, frame in enumerate(frames))


def test_a_damaged_head_is_a_warning_and_repaired_by_training(
    classifier: Classifier, open_classifier: OpenClassifier, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    add_photos(classifier, "red", "green")
    good = classifier.train()
    classifier.store.add_head(
        kind="ncm", labels=("red",), samples=1, accuracy=good.accuracy, weights=b"not a head", report={"asked": "auto"}
    )
    classifier.close()
    damaged = open_classifier()
    assert [record.args[0] for record in caplog.records if record.levelname == "WARNING" and record.args] == [tmp_path / "parts.db"]
    with pytest.raises(NotTrained):
        damaged.predict(coloured("red", 9))
    assert damaged.rollback().id == good.head_id
    assert damaged.predict(coloured("red", 9)).label == "red"
    damaged.train()
    assert damaged.predict(coloured("red", 9)).label == "red"


def fill_up(classifier: Classifier, more: int) -> None:
    """The disk is full after so many more pages: SQLite itself then raises what it raises there."""
    with classifier.store._connection.reading() as db:
        (pages,) = db.execute("PRAGMA page_count").fetchone()
    classifier.store._connection._db.execute(f"PRAGMA max_page_count={pages + more}")


def test_on_a_full_disk_nothing_acknowledged_is_lost(classifier: Classifier, open_classifier: OpenClassifier) -> None:
    add_photos(classifier, "red", "green")
    classifier.train()
    head, before = classifier.heads(), classifier.predict(coloured("red", 8))
    acknowledged = 0

    def count(done: int, _: int) -> None:
        nonlocal acknowledged
        acknowledged = done

    fill_up(classifier, 60)
    with pytest.raises(StoreError) as caught:
        classifier.add_many([(coloured("blue", seed), "blue") for seed in range(600)], progress=count)
    assert "full" in caught.value.values["reason"]
    assert 0 < acknowledged < 600
    for change in (lambda: classifier.add(coloured("yellow", 0), "yellow"), classifier.train):
        with raises(StoreError, "disk-failed-before"):
            change()
    assert classifier.predict(coloured("red", 8)) == before
    classifier.close()
    reopened = open_classifier()
    assert reopened.counts == {"red": 4, "green": 4, "blue": acknowledged}
    assert reopened.heads() == head
    reopened.train()
    assert reopened.predict(coloured("blue", 700)).label == "blue"


LABELS = st.sampled_from(sorted(COLOURS))
PHOTOS = [np.asarray(picture(16, 16, colour=COLOURS[label], seed=seed)) for seed in range(5) for label in sorted(COLOURS)]
NUMBERS = st.integers(0, len(PHOTOS) - 1)
EXACT = ("ncm", "lda", "ridge")
"""`auto` chooses by samples that are drawn by their numbers; these three depend on the samples alone."""


class Changes(RuleBasedStateMachine):
    """Any sequence of changes against a dictionary, and the head against one that was trained only on what is left."""

    bundle: Path
    folder: Path
    number = 0

    @initialize()
    def begin(self) -> None:
        Changes.number += 1
        self.path = self.folder / f"{Changes.number}.db"
        self.classifier = Classifier.open(self.bundle, self.path)
        self.labels: dict[int, str] = {}

    @rule(number=NUMBERS, label=LABELS)
    def add(self, number: int, label: str) -> None:
        before = self.labels.pop(number, None)
        expected = "added" if before is None else "known" if before == label else "relabelled"
        added = self.classifier.add(PHOTOS[number], label)
        (photo,) = added.photos
        assert (photo.status, photo.previous) == (expected, before if expected == "relabelled" else None)
        self.labels[number] = label

    @rule(pairs=st.lists(st.tuples(NUMBERS, LABELS), max_size=12))
    def add_many(self, pairs: list[tuple[int, str]]) -> None:
        report = self.classifier.add_many([(PHOTOS[number], label) for number, label in pairs])
        assert len(report.photos) == len(pairs)
        self.labels.update(pairs)

    @rule(label=LABELS)
    def forget_a_class(self, label: str) -> None:
        gone = [number for number, kept in self.labels.items() if kept == label]
        if not gone:
            with pytest.raises(LabelError):
                self.classifier.forget(label=label)
            return
        assert self.classifier.forget(label=label).removed == {label: len(gone)}
        for number in gone:
            del self.labels[number]

    @rule(number=NUMBERS)
    def forget_a_photo(self, number: int) -> None:
        if number not in self.labels:
            with pytest.raises(PhotoError):
                self.classifier.forget(photo=PHOTOS[number])
            return
        assert self.classifier.forget(photo=PHOTOS[number]).removed == {self.labels.pop(number): 1}

    @rule()
    def reopen(self) -> None:
        self.classifier.close()
        self.classifier = Classifier.open(self.bundle, self.path)

    @precondition(lambda self: len(set(self.labels.values())) >= 2)
    @rule(kind=st.sampled_from(EXACT))
    def train(self, kind: str) -> None:
        report = self.classifier.train(kind)  # type: ignore[arg-type]  # one of EXACT
        Changes.number += 1
        with Classifier.open(self.bundle, self.folder / f"{Changes.number}.db") as fresh:
            fresh.add_many([(PHOTOS[number], label) for number, label in sorted(self.labels.items())])
            expected = fresh.train(kind)  # type: ignore[arg-type]  # one of EXACT
            ours, theirs = self.logits(self.classifier, report.head_id), self.logits(fresh, expected.head_id)
        assert report.accuracy == expected.accuracy
        assert report.per_class == expected.per_class
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)

    def logits(self, classifier: Classifier, head: int) -> Embeddings:
        assert classifier.embedder is not None
        probes = np.stack([classifier.embedder.infer(photo) for photo in PHOTOS])
        return Head.from_bytes(classifier.store.head_bytes(head)).logits(probes)

    def teardown(self) -> None:
        if hasattr(self, "classifier"):
            counts = {label: list(self.labels.values()).count(label) for label in set(self.labels.values())}
            assert self.classifier.counts == counts
            self.classifier.close()


@pytest.mark.parametrize("examples", [10, pytest.param(30, marks=pytest.mark.slow)])
def test_after_any_changes_the_head_is_that_of_what_is_left(examples: int, tmp_path: Path) -> None:
    Changes.bundle = fake.write_bundle(str(tmp_path / "fake.edgetl"), encoded(picture(seed=9)), dim=16, size=16).path
    Changes.folder = tmp_path
    machine = Changes.TestCase
    # Every step waits for the disk, so a failure is shown as it was found: shrinking it would take minutes.
    phases = (Phase.explicit, Phase.reuse, Phase.generate)
    machine.settings = settings(
        max_examples=examples, stateful_step_count=20, deadline=None, phases=phases, suppress_health_check=list(HealthCheck)
    )
    machine().runTest()


def test_a_reader_uses_the_head_that_another_process_trains(classifier: Classifier, bundle: Path, tmp_path: Path, folder: Path) -> None:
    classifier.add_many(folder)
    classifier.train("ncm")
    code = (
        "import sys; from edgetl import Classifier\n"
        "with Classifier.open_store(sys.argv[1]) as other:\n"
        "    other.forget(label='blue') if sys.argv[2] == 'forget' else other.rollback()"
    )
    photo = next((folder / "blue").iterdir())
    with Classifier.open(bundle, tmp_path / "parts.db", read_only=True) as reader:
        assert reader.predict(photo).label == "blue"
        live = reader.predict_many(itertools.repeat(photo))
        assert next(live).top[0][0] == "blue"
        before = reader.session.head
        classifier.add(coloured("red", 999), "red")  # a change that is not a head
        reader.predict(photo)
        assert reader.session.head is before
        classifier.close()
        subprocess.run([sys.executable, "-c", code, str(tmp_path / "parts.db"), "forget"], check=True)
        assert "blue" not in dict(reader.predict(photo).top)
        assert "blue" not in dict(next(live).top)
        subprocess.run([sys.executable, "-c", code, str(tmp_path / "parts.db"), "rollback"], check=True)
        assert dict(reader.predict(photo).top).keys() == {"red", "green", "blue"}
