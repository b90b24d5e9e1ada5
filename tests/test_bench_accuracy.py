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
from edgetl.bench.measuring.job import Job
from edgetl.bench.measuring.loop import Loop
from edgetl.bench.measuring.scenarios import SCENARIOS
from edgetl.bench.measuring.stand import Options, Stand
from edgetl.classifier import Classifier
from edgetl.embedding.embedder import Embedder
from edgetl.errors import BenchError, PhotoError, TrainError
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
    made = tmp_path_factory.mktemp("accuracy") / "things"
    for label in ALIKE:
        write_class(made, label, 30)
    return made


@pytest.fixture(scope="module")
def embedder(folder: Path) -> Embedder:
    bundle = fake.write_bundle(str(folder.parent / "fake.edgetl"), (folder / "ochre/00.jpg").read_bytes())
    return Embedder.open(bundle)


def names(split: Split) -> tuple[list[str], list[str]]:
    taught, asked = ([f"{path.parent.name}/{path.name}" for path, _ in part] for part in (split.taught, split.asked))
    return taught, asked


def test_half_of_a_class_is_taught_and_the_rest_is_asked(tmp_path: Path) -> None:
    for label, count in {"many": 50, "odd": 7, "two": 2, "one": 1}.items():
        write_class(tmp_path, label, count)
    split = Split.of(tmp_path)
    assert Counter(label for _, label in split.taught) == {"many": 20, "odd": 3, "two": 1}
    assert Counter(label for _, label in split.asked) == {"many": 30, "odd": 4, "two": 1}
    assert not set(split.taught) & set(split.asked)
    assert split.folder == tmp_path.name


def test_the_split_depends_on_names_and_seed_alone(folder: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(folder, moved)
    assert names(Split.of(moved)) == names(Split.of(folder))
    assert names(Split.of(folder, seed=1)) != names(Split.of(folder))


def test_at_most_a_thousand_are_asked_and_all_classes_are_among_them(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(accuracy, "ASKED", 24)
    asked = Split.of(folder).asked
    assert len(asked) == 24
    assert {label for _, label in asked} == set(ALIKE)


def test_a_folder_that_cannot_be_split_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match="no such folder"):
        Split.of(tmp_path / "none")
    write_class(tmp_path, "ochre", 9)
    write_class(tmp_path, "olive", 1)
    with pytest.raises(TrainError, match="at least two classes of two photos each; there are 9 of 'ochre', 1 of 'olive'"):
        Split.of(tmp_path)


def test_the_answers_are_those_of_the_classifier(folder: Path, embedder: Embedder, tmp_path: Path) -> None:
    split = Split.of(folder)
    measured = accuracy.measure(embedder, split)
    with Classifier.open(embedder.bundle.path, tmp_path / "shop.db") as shop:
        shop.add_many(list(split.taught))
        shop.train()
        report = shop.evaluate(list(split.asked))
        said = "".join("01"[shop.predict(path).top[0][0] == label] for path, label in split.asked)
    assert report.best_guess == measured.top1
    assert said == measured.right
    assert 0.5 < measured.top1.value < 0.95  # neither is empty
    assert measured.photos == "things"
    assert "drawn with seed 0" in measured.method


def test_the_curve_ends_where_the_accuracy_is(folder: Path, embedder: Embedder, tmp_path: Path) -> None:
    half = tmp_path / "half"
    for label in ALIKE:
        write_class(half, label, 12)
        shutil.rmtree(half / label)
        shutil.copytree(folder / label, half / label, ignore=shutil.ignore_patterns("1*"))
    with Classifier.open(embedder.bundle.path, tmp_path / "shop.db") as shop:
        stand = Stand(shop, [], [], [], [], [], tmp_path, Options(), half)
        measured = SCENARIOS["n-shot"].run(stand, Loop(TINY))
    top1 = accuracy.measure(embedder, Split.of(half)).top1
    assert set(measured.samples) == {None, "1-shot", "2-shot", "5-shot", "10-shot"}
    assert {len(taken) for taken in measured.samples.values()} == {TINY.lessons}
    parts = zip(*(taken for stage, taken in measured.samples.items() if stage))
    assert [sum(part) for part in parts] == list(measured.samples[None])
    assert measured.facts["10-shot right"] == top1.hits
    assert {measured.facts[f"{shots}-shot asked"] for shots in (1, 2, 5, 10)} == {top1.n}
    assert "the smallest class has 10 photos to teach" in measured.note


def test_what_cannot_be_read_or_was_taught_is_left_out_and_the_digest_tells(folder: Path, embedder: Embedder, tmp_path: Path) -> None:
    whole, split = accuracy.measure(embedder, Split.of(folder)), Split.of(folder)
    assert accuracy.measure(embedder, split) == whole
    assert re.fullmatch(
        r"top-1 of the head that auto chose \(\w+\), from \d+ photos of \d classes: half of each, at most 20, drawn with seed 0; "
        r"asked for \d+ others, of at most 1000; left out: 0 unreadable, 0 copies of taught ones; photos of one burst may be on both sides",
        whole.method,
    )
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photo")
    (_, label), *others = split.asked
    damaged = accuracy.measure(embedder, dataclasses.replace(split, asked=((broken, label), *others)))
    assert damaged.right == whole.right[1:]
    assert "left out: 1 unreadable, 0 copies of taught ones" in damaged.method
    copied = accuracy.measure(embedder, dataclasses.replace(split, asked=(split.taught[0], *others)))
    assert copied.right == whole.right[1:]
    assert "left out: 0 unreadable, 1 copies of taught ones" in copied.method
    assert len({whole.digest, damaged.digest}) == 2
    assert damaged.digest == copied.digest
    with pytest.raises(PhotoError, match="none of its 1 photos to ask can be read"):
        accuracy.measure(embedder, dataclasses.replace(split, asked=((broken, label),)))


def test_the_task_answers_for_its_configuration(folder: Path, embedder: Embedder, tmp_path: Path) -> None:
    job = Job(
        task="accuracy", bundle=str(embedder.bundle.path), variant="fake-fp32", threads=1, provider=None, scenarios=(), photos=(),
        classes=(), labelled=str(folder), method=TINY, options=Options(), folder=str(tmp_path),
    )  # fmt: skip
    answer = accuracy.task(job)
    assert answer.subject is not None
    assert (answer.subject.variant, answer.subject.threads) == ("fake-fp32", 1)
    assert answer.accuracy == accuracy.measure(embedder, Split.of(folder))
    with pytest.raises(BenchError, match="--labelled"):
        accuracy.task(dataclasses.replace(job, labelled=None))
