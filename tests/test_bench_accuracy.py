"""Top-1 beside latency: the split, the answers against the classifier's own, and what is left out."""

from __future__ import annotations

import dataclasses
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest
from pictures import encoded, picture
from test_bench_scenarios import TINY

from edgetl.bench.measuring import accuracy
from edgetl.bench.measuring.accuracy import Split
from edgetl.bench.measuring.child import BenchJob
from edgetl.bench.measuring.stand import Options
from edgetl.classifier import Classifier
from edgetl.embedding.embedder import Embedder
from edgetl.errors import PhotoError, TrainError
from edgetl.runtimes import fake

ALIKE = {"ochre": (150, 120, 100), "olive": (120, 130, 100), "slate": (120, 120, 130)}
"""Colours that a picture's noise often hides: the answers are right and wrong."""


def write_class(folder: Path, label: str, count: int) -> None:
    (folder / label).mkdir(parents=True)
    for number in range(count):
        colour = ALIKE.get(label, (128, 128, 128))
        photo = picture(48, 40, colour=colour, seed=sum(colour) * 1000 + number)
        (folder / label / f"{number:02}.jpg").write_bytes(encoded(photo))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    result = tmp_path_factory.mktemp("accuracy") / "things"
    for label in ALIKE:
        write_class(result, label, 30)
    return result


@pytest.fixture(scope="module")
def embedder(folder: Path) -> Embedder:
    bundle = fake.write_bundle(str(folder.parent / "fake.edgetl"), (folder / "ochre/00.jpg").read_bytes())
    return Embedder.open(bundle)


def names(split: Split) -> tuple[list[str], list[str]]:
    training, test = ([f"{path.parent.name}/{path.name}" for path, _ in part] for part in (split.training, split.test))
    return training, test


def test_half_of_a_class_trains_and_the_rest_tests(tmp_path: Path) -> None:
    for label, count in {"many": 50, "odd": 7, "two": 2, "one": 1}.items():
        write_class(tmp_path, label, count)
    split = Split.make(tmp_path)
    assert Counter(label for _, label in split.training) == {"many": 20, "odd": 3, "two": 1}
    assert Counter(label for _, label in split.test) == {"many": 30, "odd": 4, "two": 1}
    assert not set(split.training) & set(split.test)
    assert split.folder == tmp_path.name


def test_the_split_depends_on_names_and_seed_alone(folder: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(folder, moved)
    assert names(Split.make(moved)) == names(Split.make(folder))
    assert names(Split.make(folder, seed=1)) != names(Split.make(folder))


def test_at_most_a_thousand_are_tested_and_all_classes_are_among_them(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(accuracy, "TEST", 24)
    test = Split.make(folder).test
    assert len(test) == 24
    assert {label for _, label in test} == set(ALIKE)


def test_a_folder_that_cannot_be_split_is_an_error_with_its_counts(tmp_path: Path) -> None:
    with pytest.raises(PhotoError):
        Split.make(tmp_path / "none")
    write_class(tmp_path, "ochre", 9)
    write_class(tmp_path, "olive", 1)
    with pytest.raises(TrainError) as caught:
        Split.make(tmp_path)
    assert (caught.value.code, caught.value.values["counts"]) == ("too-few-labelled", {"ochre": 9, "olive": 1})


def test_the_answers_are_those_of_the_classifier(folder: Path, embedder: Embedder, tmp_path: Path) -> None:
    split = Split.make(folder)
    measured = accuracy.measure(embedder, split)
    with Classifier.open(embedder.bundle.path, tmp_path / "parts.db") as classifier:
        classifier.add_many(list(split.training))
        classifier.train()
        report = classifier.evaluate(list(split.test))
        correct = "".join("01"[classifier.predict(path).top[0][0] == label] for path, label in split.test)
    assert report.best_guess == measured.top1
    assert correct == measured.correct
    assert 0.5 < measured.top1.value < 0.95  # neither is empty
    assert measured.photos == "things"


def counts(method: str) -> list[int]:
    """Training photos, classes, most a class, seed, tested, most, unreadable, copies."""
    return [int(number) for number in re.findall(r"\d+", method.partition("trained on ")[2])]


def test_unreadable_photos_and_copies_are_left_out_and_change_the_digest(folder: Path, embedder: Embedder, tmp_path: Path) -> None:
    whole, split = accuracy.measure(embedder, Split.make(folder)), Split.make(folder)
    assert accuracy.measure(embedder, split) == whole
    assert counts(whole.method) == [45, 3, 20, 0, 45, 1000, 0, 0]
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photo")
    (_, label), *others = split.test
    damaged = accuracy.measure(embedder, dataclasses.replace(split, test=((broken, label), *others)))
    assert damaged.correct == whole.correct[1:]
    assert counts(damaged.method)[-2:] == [1, 0]
    copied = accuracy.measure(embedder, dataclasses.replace(split, test=(split.training[0], *others)))
    assert copied.correct == whole.correct[1:]
    assert counts(copied.method)[-2:] == [0, 1]
    assert len({whole.digest, damaged.digest}) == 2
    assert damaged.digest == copied.digest
    with pytest.raises(PhotoError) as caught:
        accuracy.measure(embedder, dataclasses.replace(split, test=((broken, label),)))
    assert caught.value.code == "no-test-photos"


def test_the_task_answers_for_its_configuration(folder: Path, embedder: Embedder, tmp_path: Path) -> None:
    job = BenchJob(
        task="accuracy", bundle=str(embedder.bundle.path), variant="fake-fp32", threads=1, provider=None, scenarios=(), photos=(),
        classes=(), labelled=str(folder), method=TINY, options=Options(), folder=str(tmp_path),
    )  # fmt: skip
    answer = accuracy.task(job)
    assert answer.subject is not None
    assert (answer.subject.variant, answer.subject.threads) == ("fake-fp32", 1)
    assert answer.accuracy == accuracy.measure(embedder, Split.make(folder))
