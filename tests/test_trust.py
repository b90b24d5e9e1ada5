"""What a technician may rely on: readiness, what a training changed, taking it back, and the doctor."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from pictures import coloured, encoded, picture
from raising import raises

from edgetl import Classifier
from edgetl.cli import main
from edgetl.errors import PhotoError, TrainError
from edgetl.heads import Head
from edgetl.store.merge import merge
from edgetl.types import Embeddings

OpenClassifier = Callable[..., Classifier]
Run = Callable[..., Result]


def add_photos(classifier: Classifier, count: int = 8, *labels: str, start: int = 0) -> None:
    for label in labels:
        for seed in range(start, start + count):
            classifier.add(coloured(label, seed), label)


def logits(classifier: Classifier) -> Embeddings:
    """Of the active head, over everything in the store."""
    active = classifier.store.active()
    assert active is not None
    return Head.from_bytes(classifier.store.head_bytes(active.id)).logits(classifier.store.samples().embeddings)


@pytest.fixture
def run(bundle: Path, tmp_path: Path) -> Run:
    """Runs a verb on the fake bundle and the store of `classifier`."""

    def run(*arguments: object) -> Result:
        environment = {"EDGETL_BUNDLE": os.fspath(bundle), "EDGETL_STORE": os.fspath(tmp_path / "parts.db"), "EDGETL_USER": "ada"}
        return CliRunner().invoke(main, [str(a) for a in arguments], env=environment)

    return run


def test_assessing_says_per_class_whether_it_is_enough_and_makes_no_head(classifier: Classifier, open_classifier: OpenClassifier) -> None:
    add_photos(classifier, 8, "red", "green")
    report = classifier.assess()
    assert classifier.heads() == []
    assert set(report.assessment.per_class) == {"red", "green"}
    for row in report.assessment.per_class.values():
        assert row.photos == 8
        assert row.accuracy.n == row.groups
    assert report.accuracy.n == sum(row.groups for row in report.assessment.per_class.values())
    trained = classifier.train()
    assert trained.assessment == report.assessment
    assert trained.accuracy == report.accuracy
    classifier.close()
    with open_classifier(read_only=True) as reader:
        assert reader.assess().accuracy == report.accuracy


def test_a_dark_photo_is_a_finding_and_added_anyway(classifier: Classifier) -> None:
    dark = classifier.add(encoded(picture(64, 64, colour=(4, 4, 4), seed=1)), "red")
    assert "dark" in [finding.code for finding in dark.findings]
    assert dark.findings[0].photo == "bytes"
    assert classifier.counts == {"red": 1}
    assert classifier.add(coloured("yellow", 2), "yellow").findings == ()


def test_strict_leaves_such_photos_out_with_the_reason(classifier: Classifier, tmp_path: Path) -> None:
    dark = encoded(picture(64, 64, colour=(4, 4, 4), seed=1))
    with raises(PhotoError, "photo-problem", photo="bytes", problems=["dark"]):
        classifier.add(dark, "red", strict=True)
    report = classifier.add_many([(dark, "red"), (coloured("yellow", 1), "yellow")], strict=True)
    assert classifier.counts == {"yellow": 1}
    assert len(report.failed) == 1
    assert report.failed[0].code == "photo-problem"


@pytest.fixture
def harmed(classifier: Classifier) -> Classifier:
    """A trained classifier to which photos of one of its classes were added under another name."""
    add_photos(classifier, 12, "red", "green")
    classifier.train()
    for seed in range(100, 112):
        classifier.add(coloured("red", seed), "crimson")
    return classifier


def test_a_head_that_harms_an_old_class_is_saved_but_not_activated(harmed: Classifier) -> None:
    before, photo = logits(harmed), coloured("green", 50)
    guess = harmed.predict(photo)
    report = harmed.train()
    assert not report.active
    assert report.change is not None
    assert report.change.worse == ("red",)
    assert report.change.new == ("crimson",)
    assert any(pair.truth == "red" and pair.taken_for == "crimson" for pair in report.change.confused)
    assert f"edgetl head activate {report.head_id}" in report.not_activated_because
    assert [head.active for head in harmed.heads()] == [True, False]
    assert harmed.predict(photo) == guess
    assert (logits(harmed) == before).all()

    assert harmed.activate(report.head_id).active
    assert "crimson" in [label for label, _ in harmed.predict(photo).top]
    assert harmed.rollback().id == 1
    assert harmed.predict(photo) == guess
    assert harmed.train(allow_loss=1).active


def test_train_exits_with_1_for_such_a_head_and_names_the_command_that_activates_it(harmed: Classifier, run: Run) -> None:
    harmed.close()
    done = run("train")
    assert done.exit_code == 1
    assert "edgetl head activate 2" in done.stdout
    assert run("train", "--allow-loss", "1").exit_code == 0
    log = json.loads(run("store", "log", "--json").stdout)
    assert [event["id"] for event in log] == list(range(1, len(log) + 1))
    assert [event["what"] for event in log[-2:]] == ["train", "train"]
    assert "not activated" in log[-2]["why"]
    assert "red" in log[-2]["why"]
    assert {event["who"] for event in log[-2:]} == {"ada"}


def test_training_an_unchanged_store_keeps_its_head_and_any_change_trains_another(classifier: Classifier, run: Run) -> None:
    add_photos(classifier, 6, "red", "green")
    first = classifier.train()
    again = classifier.train()
    assert (first.code, again.code) == ("trained", "unchanged")
    assert (again.head_id, again.active, again.inputs, again.accuracy) == (first.head_id, True, first.inputs, first.accuracy)
    assert [head.id for head in classifier.heads()] == [first.head_id]
    assert classifier.train("ncm").code == "trained"
    assert classifier.train("ncm", unknown="strict").code == "trained"
    assert classifier.train("ncm").code == "unchanged"  # the operating point stays what the active head has
    classifier.add(coloured("green", 0), "red")  # another label
    moved = classifier.train("ncm", allow_loss=1)
    assert (moved.code, moved.inputs == first.inputs) == ("trained", False)
    classifier.rollback()
    assert classifier.train("ncm", allow_loss=1).code == "trained"  # the head before knew other labels
    classifier.store.set_background("0" * 64, np.ones((2, classifier.store.fingerprint.dim), np.float32))
    assert classifier.train("ncm", allow_loss=1).code == "trained"
    classifier.close()
    assert json.loads(run("train", "--head", "ncm", "--json").stdout)["code"] == "unchanged"
    assert "unchanged" in run("train", "--head", "ncm").stdout


def test_a_head_with_a_new_class_that_harms_none_is_active_at_once(classifier: Classifier) -> None:
    add_photos(classifier, 12, "red", "green")
    classifier.train()
    add_photos(classifier, 12, "blue")
    report = classifier.train()
    assert report.active
    assert report.not_activated_because == ""
    assert report.change is not None
    assert report.change.worse == ()
    assert set(report.change.classes) == {"red", "green"}


def test_forgetting_proves_itself(classifier: Classifier, tmp_path: Path) -> None:
    add_photos(classifier, 40, "red", "green", "blue")
    classifier.train()
    sample = int(classifier.store.samples().ids[0])
    thumbnail = classifier.store.preview(sample)
    assert thumbnail[-80:-10] in (tmp_path / "parts.db").read_bytes() + (tmp_path / "parts.db-wal").read_bytes()
    report = classifier.forget(label="red", vacuum=True)
    assert report.removed == {"red": 40}
    assert report.traces == 0
    assert report.difference is not None
    assert report.difference <= 1e-5
    assert report.freed > 0
    assert thumbnail[-80:-10] not in (tmp_path / "parts.db").read_bytes()
    assert [event.what for event in classifier.events(last=2)] == ["forget", "train"]


def test_stores_of_two_cameras_merged_train_the_head_of_one_that_saw_everything(
    bundle: Path, tmp_path: Path, classifier: Classifier, run: Run
) -> None:
    add_photos(classifier, 10, "red", "green", "blue")
    for name, start in (("a", 0), ("b", 5)):
        with Classifier.open(bundle, tmp_path / f"{name}.db") as part:
            for label in ("blue", "red", "green"):
                for seed in range(start, start + 5):
                    part.add(coloured(label, seed), "Red" if (name, label) == ("b", "red") else label)
    merge([tmp_path / "a.db", tmp_path / "b.db"], tmp_path / "whole.db", rename={"Red": "red"})
    classifier.train("lda")
    with Classifier.open(bundle, tmp_path / "whole.db") as whole:
        whole.train("lda")
        assert whole.counts == classifier.counts
        photos = [coloured(label, seed) for label in ("red", "green", "blue") for seed in range(30, 40)]
        assert [whole.predict(photo).label for photo in photos] == [classifier.predict(photo).label for photo in photos]
        heads = [Head.from_bytes(opened.store.head_bytes(1)) for opened in (classifier, whole)]
        samples = classifier.store.samples().embeddings
        assert np.abs(heads[0].logits(samples) - heads[1].logits(samples)).max() <= 1e-5
    done = run("store", "merge", "-s", tmp_path / "a.db", "-s", tmp_path / "b.db", "-o", tmp_path / "c.db")
    assert done.exit_code == 0
    renamed = run(
        "store", "merge", "-s", tmp_path / "a.db", "-s", tmp_path / "b.db", "-o", tmp_path / "e.db", "--rename", "Red=red", "--json"
    )
    assert json.loads(renamed.stdout)["renamed"] == {"Red": "red"}
    assert run("store", "merge", "-s", tmp_path / "a.db", "-o", tmp_path / "c.db").exit_code == 1
    assert run("store", "merge", "-s", tmp_path / "a.db", "-o", tmp_path / "d.db", "--rename", "red").exit_code == 2


def test_an_explanation_shows_the_nearest_photos_and_writes_a_page(classifier: Classifier, run: Run, tmp_path: Path) -> None:
    add_photos(classifier, 8, "red", "green")
    classifier.train()
    report = classifier.explain(coloured("red", 30), k=3)
    assert len(report.neighbours) == 3
    assert report.reasons
    classifier.close()
    photo = tmp_path / "question.jpg"
    photo.write_bytes(coloured("red", 30))
    done = run("explain", photo, "--neighbours", 3, "-o", tmp_path / "why.html", "--json")
    assert done.exit_code == 0
    explained = json.loads(done.stdout)
    assert explained["verdict"] == report.verdict == explained["reasons"][0]["code"]
    assert explained["reasons"][0]["values"] == report.reasons[0].values
    assert [row["sample"] for row in explained["neighbours"]] == [row.sample for row in report.neighbours]
    assert all(explained["thumbnails"].values())
    page = (tmp_path / "why.html").read_text("utf-8")
    assert page.count("data:image/jpeg;base64,") == 4
    assert "http" not in page.replace("http-equiv", "")


def test_the_doctor_of_a_store_finds_the_photo_with_the_wrong_label(classifier: Classifier, run: Run, tmp_path: Path) -> None:
    add_photos(classifier, 15, "red", "green")
    wrong = tmp_path / "wrong.jpg"
    wrong.write_bytes(coloured("red", 70))
    classifier.add(wrong, "green")
    diagnosis = classifier.diagnose()
    assert diagnosis.photos == 31
    assert diagnosis.label_errors[0].source == str(wrong)
    assert diagnosis.label_errors[0].looks_like == "red"
    classifier.close()
    done = run("doctor")
    assert done.exit_code == 0
    assert wrong.name in done.stdout
    printed = json.loads(run("doctor", "--json").stdout)
    assert printed["label_errors"][0]["source"] == str(wrong)
    assert all(finding["code"] and isinstance(finding["values"], dict) for finding in printed["findings"])


def test_an_adaptation_that_is_not_expected_to_help_changes_nothing(classifier: Classifier, run: Run, tmp_path: Path) -> None:
    add_photos(classifier, 12, "red", "green")
    classifier.train()
    one_class = tmp_path / "now"
    one_class.mkdir()
    for seed in range(200, 260):
        (one_class / f"{seed}.jpg").write_bytes(coloured("red", seed))
    heads = classifier.heads()
    report = classifier.adapt(one_class)
    assert report.kind is None
    assert classifier.heads() == heads
    with pytest.raises(TrainError):
        classifier.adapt([(coloured("red", 1), "unlabelled")])
    classifier.close()
    done = run("adapt", one_class)
    assert done.exit_code == 1
    assert "--same-balance" in done.stderr
    printed = json.loads(run("adapt", one_class, "--json").stdout)
    assert (printed["kind"], printed["code"]) == (None, "class-balance")
    assert printed["tried"][0]["values"]["gain"] > printed["tried"][0]["values"]["limit"]
