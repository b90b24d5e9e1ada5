"""What a technician may rely on: is it enough, what did it change, can it be taken back, and what does the doctor see."""

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

OpenShop = Callable[..., Classifier]
Run = Callable[..., Result]


def teach(shop: Classifier, count: int = 8, *labels: str, start: int = 0) -> None:
    for label in labels:
        for seed in range(start, start + count):
            shop.add(coloured(label, seed), label)


def logits(shop: Classifier) -> Embeddings:
    """Of the active head, over everything in the store."""
    active = shop.store.active()
    assert active is not None
    return Head.from_bytes(shop.store.head_bytes(active.id)).logits(shop.store.samples().embeddings)


@pytest.fixture
def run(bundle: Path, tmp_path: Path) -> Run:
    """Runs a verb on the fake bundle and the store of `shop`."""

    def run(*arguments: object) -> Result:
        environment = {"EDGETL_BUNDLE": os.fspath(bundle), "EDGETL_STORE": os.fspath(tmp_path / "shop.db"), "EDGETL_USER": "ada"}
        return CliRunner().invoke(main, [str(a) for a in arguments], env=environment)

    return run


def test_assessing_says_per_class_whether_it_is_enough_and_makes_no_head(shop: Classifier, open_shop: OpenShop) -> None:
    teach(shop, 8, "red", "green")
    report = shop.assess()
    assert shop.heads() == []
    assert set(report.assessment.per_class) == {"red", "green"}
    for one in report.assessment.per_class.values():
        assert one.photos == 8
        assert one.accuracy.n == one.bursts
    assert report.assessment.advice
    assert report.accuracy.n == sum(one.bursts for one in report.assessment.per_class.values())
    trained = shop.train()
    assert trained.assessment == report.assessment
    assert trained.accuracy == report.accuracy
    shop.close()
    with open_shop(read_only=True) as reader:
        assert reader.assess().accuracy == report.accuracy


def test_a_dark_photo_is_said_to_be_dark_and_added_all_the_same(shop: Classifier) -> None:
    dark = shop.add(encoded(picture(64, 64, colour=(4, 4, 4), seed=1)), "red")
    assert "dark" in [finding.kind for finding in dark.findings]
    assert dark.findings[0].photo == "bytes"
    assert shop.counts == {"red": 1}
    assert shop.add(coloured("yellow", 2), "yellow").findings == ()


def test_strict_leaves_such_photos_out_and_says_why(shop: Classifier, tmp_path: Path) -> None:
    dark = encoded(picture(64, 64, colour=(4, 4, 4), seed=1))
    with raises(PhotoError, "photo-problem", photo="bytes", problems=["dark"]):
        shop.add(dark, "red", strict=True)
    report = shop.add_many([(dark, "red"), (coloured("yellow", 1), "yellow")], strict=True)
    assert shop.counts == {"yellow": 1}
    assert len(report.failed) == 1
    assert "strict" in report.failed[0][1]


def test_views_of_a_photo_come_and_go_with_it_and_count_once(shop: Classifier) -> None:
    teach(shop, 6, "red", "green")
    plain = shop.train().accuracy.n
    for seed in range(20, 26):
        for label in ("red", "green"):
            shop.add(coloured(label, seed), label, views=3)
    assert shop.counts == {"red": 12, "green": 12}
    ids = shop.store.samples().ids
    assert np.unique(ids, return_counts=True)[1].tolist() == [1] * 12 + [3] * 12
    assert plain < shop.train().accuracy.n <= 24
    shop.forget(photo=coloured("red", 20))
    assert len(shop.store.samples().ids) == len(ids) - 3


@pytest.fixture
def harmed(shop: Classifier) -> Classifier:
    """A trained classifier that was then taught photos of one of its classes under another name."""
    teach(shop, 12, "red", "green")
    shop.train()
    for seed in range(100, 112):
        shop.add(coloured("red", seed), "crimson")
    return shop


def test_a_head_that_harms_an_old_class_is_kept_and_not_used(harmed: Classifier) -> None:
    before, photo = logits(harmed), coloured("green", 50)
    guess = harmed.predict(photo)
    report = harmed.train()
    assert not report.active
    assert report.change is not None
    assert report.change.harmful == ("red",)
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


def test_the_command_line_refuses_such_a_head_with_the_reason_and_the_way_out(harmed: Classifier, run: Run) -> None:
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


def test_training_an_unchanged_store_keeps_its_head_and_any_change_trains_another(shop: Classifier, run: Run) -> None:
    teach(shop, 6, "red", "green")
    first = shop.train()
    again = shop.train()
    assert (first.code, again.code) == ("trained", "unchanged")
    assert (again.head_id, again.active, again.inputs, again.accuracy) == (first.head_id, True, first.inputs, first.accuracy)
    assert [head.id for head in shop.heads()] == [first.head_id]
    assert shop.train("ncm").code == "trained"
    assert shop.train("ncm", unknown="strict").code == "trained"
    assert shop.train("ncm").code == "unchanged"  # the operating point stays what the active head has
    shop.add(coloured("green", 0), "red")  # another label
    moved = shop.train("ncm", allow_loss=1)
    assert (moved.code, moved.inputs == first.inputs) == ("trained", False)
    shop.rollback()
    assert shop.train("ncm", allow_loss=1).code == "trained"  # the head before knew other labels
    shop.store.set_background("0" * 64, np.ones((2, shop.store.fingerprint.dim), np.float32))
    assert shop.train("ncm", allow_loss=1).code == "trained"
    shop.close()
    assert json.loads(run("train", "--head", "ncm", "--json").stdout)["code"] == "unchanged"
    assert "unchanged" in run("train", "--head", "ncm").stdout


def test_adding_a_class_that_harms_none_is_used_at_once(shop: Classifier) -> None:
    teach(shop, 12, "red", "green")
    shop.train()
    teach(shop, 12, "blue")
    report = shop.train()
    assert report.active
    assert report.not_activated_because == ""
    assert report.change is not None
    assert report.change.harmful == ()
    assert set(report.change.classes) == {"red", "green"}


def test_forgetting_proves_itself(shop: Classifier, tmp_path: Path) -> None:
    teach(shop, 40, "red", "green", "blue")
    shop.train()
    sample = int(shop.store.samples().ids[0])
    thumbnail = shop.store.preview(sample)
    assert thumbnail[-80:-10] in (tmp_path / "shop.db").read_bytes() + (tmp_path / "shop.db-wal").read_bytes()
    report = shop.forget(label="red", vacuum=True)
    assert report.removed == {"red": 40}
    assert report.traces == 0
    assert report.difference is not None
    assert report.difference <= 1e-5
    assert report.freed > 0
    assert thumbnail[-80:-10] not in (tmp_path / "shop.db").read_bytes()
    assert [event.what for event in shop.events(last=2)] == ["forget", "train"]


def test_stores_of_two_cameras_merged_train_the_head_of_one_that_saw_everything(
    bundle: Path, tmp_path: Path, shop: Classifier, run: Run
) -> None:
    teach(shop, 10, "red", "green", "blue")
    for name, start in (("a", 0), ("b", 5)):
        with Classifier.open(bundle, tmp_path / f"{name}.db") as part:
            for label in ("blue", "red", "green"):
                for seed in range(start, start + 5):
                    part.add(coloured(label, seed), "Red" if (name, label) == ("b", "red") else label)
    merge([tmp_path / "a.db", tmp_path / "b.db"], tmp_path / "whole.db", rename={"Red": "red"})
    shop.train("lda")
    with Classifier.open(bundle, tmp_path / "whole.db") as whole:
        whole.train("lda")
        assert whole.counts == shop.counts
        photos = [coloured(label, seed) for label in ("red", "green", "blue") for seed in range(30, 40)]
        assert [whole.predict(photo).label for photo in photos] == [shop.predict(photo).label for photo in photos]
        heads = [Head.from_bytes(one.store.head_bytes(1)) for one in (shop, whole)]
        samples = shop.store.samples().embeddings
        assert np.abs(heads[0].logits(samples) - heads[1].logits(samples)).max() <= 1e-5
    done = run("store", "merge", "-s", tmp_path / "a.db", "-s", tmp_path / "b.db", "-o", tmp_path / "c.db")
    assert done.exit_code == 0
    renamed = run(
        "store", "merge", "-s", tmp_path / "a.db", "-s", tmp_path / "b.db", "-o", tmp_path / "e.db", "--rename", "Red=red", "--json"
    )
    assert json.loads(renamed.stdout)["renamed"] == {"Red": "red"}
    assert run("store", "merge", "-s", tmp_path / "a.db", "-o", tmp_path / "c.db").exit_code == 1
    assert run("store", "merge", "-s", tmp_path / "a.db", "-o", tmp_path / "d.db", "--rename", "red").exit_code == 2


def test_an_explanation_shows_the_nearest_photos_and_writes_a_page(shop: Classifier, run: Run, tmp_path: Path) -> None:
    teach(shop, 8, "red", "green")
    shop.train()
    report = shop.explain(coloured("red", 30), k=3)
    assert len(report.neighbours) == 3
    assert report.findings
    shop.close()
    photo = tmp_path / "question.jpg"
    photo.write_bytes(coloured("red", 30))
    done = run("explain", photo, "--neighbours", 3, "-o", tmp_path / "why.html", "--json")
    assert done.exit_code == 0
    said = json.loads(done.stdout)
    assert said["verdict"] == report.verdict
    assert [one["sample"] for one in said["neighbours"]] == [one.sample for one in report.neighbours]
    assert all(said["thumbnails"].values())
    page = (tmp_path / "why.html").read_text("utf-8")
    assert page.count("data:image/jpeg;base64,") == 4
    assert "http" not in page.replace("http-equiv", "")


def test_the_doctor_of_a_store_finds_the_photo_with_the_wrong_label(shop: Classifier, run: Run, tmp_path: Path) -> None:
    teach(shop, 15, "red", "green")
    wrong = tmp_path / "wrong.jpg"
    wrong.write_bytes(coloured("red", 70))
    shop.add(wrong, "green")
    diagnosis = shop.diagnose()
    assert diagnosis.photos == 31
    assert diagnosis.suspects[0].source == str(wrong)
    assert diagnosis.suspects[0].looks == "red"
    shop.close()
    done = run("doctor")
    assert done.exit_code == 0
    assert wrong.name in done.stdout
    assert json.loads(run("doctor", "--json").stdout)["suspects"][0]["source"] == str(wrong)


def test_an_adaptation_that_is_refused_changes_nothing(shop: Classifier, run: Run, tmp_path: Path) -> None:
    teach(shop, 12, "red", "green")
    shop.train()
    one_class = tmp_path / "now"
    one_class.mkdir()
    for seed in range(200, 260):
        (one_class / f"{seed}.jpg").write_bytes(coloured("red", seed))
    heads = shop.heads()
    report = shop.adapt(one_class)
    assert report.kind is None
    assert shop.heads() == heads
    with pytest.raises(TrainError):
        shop.adapt([(coloured("red", 1), "unlabelled")])
    shop.close()
    done = run("adapt", one_class)
    assert done.exit_code == 1
    assert "--same-balance" in done.stderr
