"""Why an answer came about: every verdict with a photo that deserves it and one that does not."""

from __future__ import annotations

import dataclasses
import io
import json
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter
from scipy import stats

from edgetl.bundle.bundle import Bundle
from edgetl.diagnostics import explanation
from edgetl.diagnostics.explanation import Explanation, Taught, explain
from edgetl.diagnostics.page import render
from edgetl.embedding.embedder import Embedder
from edgetl.heads import Learner
from edgetl.inputs.photo.source import load
from edgetl.stats import student
from edgetl.store import SampleBatch
from edgetl.store.captures import pack, unpack
from edgetl.types import Capture, Prediction, to_json

DIM = 32
LABELS = ("cup", "pot", "tea", "jug")


def embeddings(random: np.random.Generator, label: str, count: int) -> np.ndarray:
    centre = np.random.default_rng(100 + LABELS.index(label)).normal(size=DIM)
    return (6 * centre / np.linalg.norm(centre) + 0.5 * random.normal(size=(count, DIM))).astype(np.float32)


def capture(random: np.random.Generator, **changes: float) -> Capture:
    made = Capture(640, 480, random.normal(120, 8), random.normal(50, 4), random.normal(0.5, 0.03), random.normal(0.1, 0.05))
    return dataclasses.replace(made, **changes)


def batch(x: np.ndarray, labels: list[str], captures: dict[int, Capture], sources: list[str], views: int = 1) -> SampleBatch:
    """Photos numbered from 1, each with as many rows of `x`."""
    ids = np.arange(1, len(labels) + 1)
    seen = unpack([None if (one := captures.get(sample)) is None else pack(one) for sample in ids.tolist()])
    return SampleBatch(ids, labels, sources, seen, np.full(len(ids), views), x.astype(np.float32), np.ones((len(x), 1), np.float32))


def taught(counts: dict[str, int], views: int = 1, captures: bool = True) -> Taught:
    random = np.random.default_rng(1)
    labels = [label for label, count in counts.items() for _ in range(count)]
    rows = np.concatenate([embeddings(random, label, count) for label, count in counts.items()])
    n = len(labels) * views
    noise = np.where(np.arange(n) % views == 0, 0, 0.01)[:, None] * random.normal(size=(n, DIM))
    kept = {sample: capture(random) for sample in range(1, len(labels) + 1)} if captures else {}
    return Taught.of([batch(rows.repeat(views, 0) + noise, labels, kept, [f"{label}/{i}.jpg" for i, label in enumerate(labels)], views)])


def guessed(**shares: float) -> Prediction:
    top = tuple(sorted(shares.items(), key=lambda pair: -pair[1]))
    return Prediction(top[0][0], top[0][1], top)


SURE = guessed(cup=0.9, pot=0.06, tea=0.03, jug=0.01)
MANY = dict.fromkeys(LABELS, 20)


def ask(known: Taught, guess: Prediction = SURE, label: str = "cup", seed: int = 5, **changes: float) -> Explanation:
    random = np.random.default_rng(seed)
    return explain(guess, embeddings(random, label, 1)[0], capture(random, **changes), known)


def test_the_nearest_stored_photos_are_those_of_the_highest_cosine_each_photo_once_whatever_its_views():
    known = taught(MANY, views=3)
    photo = embeddings(np.random.default_rng(9), "tea", 1)[0]
    shown = explain(SURE, photo, None, known, 7).neighbours
    roots = np.sign(photo) * np.sqrt(np.abs(photo))
    cosines = known.x(slice(None)).astype(np.float64) @ roots / np.linalg.norm(roots)
    best = cosines.reshape(-1, 3).max(1)
    order = np.argsort(-best)[:7]
    assert [one.sample for one in shown] == (order + 1).tolist()
    assert [one.cosine for one in shown] == pytest.approx(best[order], abs=1e-6)
    assert {one.label for one in shown} == {"tea"}
    assert all(one.source == f"{one.label}/{one.sample - 1}.jpg" for one in shown)


def test_a_usual_photo_is_clear_and_ninety_five_of_a_hundred_are():
    known = taught(MANY)
    shown = ask(known)
    assert shown.verdict == "clear"
    assert "5 are 'cup'" in shown.findings[0].sentence
    assert sum(ask(known, label=LABELS[seed % 4], seed=seed).verdict == "clear" for seed in range(200)) >= 190


def test_too_few_photos_are_said_of_the_answer_and_of_a_rival_but_of_no_third_class():
    few = {**MANY, "pot": 3}
    assert ask(taught(few)).verdict == "clear"
    close = ask(taught(few), guessed(cup=0.5, pot=0.4, tea=0.1))
    assert [one.code for one in close.findings] == ["few", "two"]
    assert "3 of 'pot'" in close.findings[0].sentence
    assert "at least 2 more" in close.findings[0].advice
    assert "few" in {one.code for one in ask(taught({**MANY, "cup": 1})).findings}


def test_frames_of_one_burst_are_one_photo_too_few():
    rows = np.repeat(embeddings(np.random.default_rng(0), "cup", 1), 30, 0)
    others = embeddings(np.random.default_rng(1), "pot", 30)
    shown = ask(Taught.of([batch(np.concatenate([rows, others]), ["cup"] * 30 + ["pot"] * 30, {}, ["photo"] * 60)]))
    assert shown.findings[-1].code == "few"
    assert shown.findings[-1].numbers == {"cup": 1}


def test_two_classes_of_nearly_the_same_probability_are_named_with_their_neighbours():
    shown = ask(taught(MANY), guessed(cup=0.45, pot=0.40, tea=0.15))
    assert shown.verdict == "two"
    assert "'cup' with 45 % and 'pot' with 40 %" in shown.findings[0].sentence
    assert shown.margin == pytest.approx(0.05)
    assert ask(taught(MANY), guessed(cup=0.6, pot=0.3, tea=0.1)).verdict == "two"
    assert ask(taught(MANY), guessed(cup=0.8, pot=0.15, tea=0.05)).verdict == "clear"


def test_a_photo_that_was_taught_is_no_evidence_for_itself():
    known = taught(MANY)
    sample = int(known.ids[7])
    shown = explain(SURE, known.codes[7], None, known, k=3, itself=sample)
    assert sample not in [neighbour.sample for neighbour in shown.neighbours]
    assert explain(SURE, known.codes[7], None, known, k=3).neighbours[0].sample == sample


def test_a_photo_far_from_every_stored_one_is_outside_and_so_is_one_that_the_head_refuses():
    known = taught(MANY)
    random = np.random.default_rng(3)
    far = explain(SURE, random.normal(size=DIM).astype(np.float32), capture(random), known)
    assert far.verdict == "outside"
    assert far.findings[0].numbers["cosine"] < far.findings[0].numbers["limit"] <= far.findings[0].numbers["usual"]
    refused = ask(known, dataclasses.replace(SURE, label=None, reason="nothing taught is like it"))
    assert (refused.verdict, refused.label) == ("outside", None)
    assert refused.findings[0].sentence == "nothing taught is like it"


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"brightness": 40.0}, "darker"),
        ({"brightness": 200.0}, "brighter"),
        ({"contrast": 15.0}, "flatter"),
        ({"contrast": 110.0}, "richer in contrast"),
        ({"sharpness": 0.2}, "more blurred"),
        ({"sharpness": 0.9}, "sharper"),
        ({"warmth": -0.3}, "bluer: warmth -0.300, "),
        ({"warmth": 0.5}, "redder: warmth 0.500, "),
        ({"width": 1920, "height": 1080}, "its size is 1920 x 1080"),
    ],
)
def test_an_input_unlike_what_was_taught_is_said_with_its_numbers(changes, word):
    shown = ask(taught(MANY), **changes)
    assert [one.code for one in shown.findings] == ["differs"]
    assert word in shown.findings[0].sentence
    assert "n=80" in shown.findings[0].sentence or "of 80 have 640 x 480" in shown.findings[0].sentence
    assert shown.findings[0].advice


def test_a_colour_photo_differs_from_gray_ones_and_another_gray_one_does_not():
    known = taught(MANY)
    captures = known.captures.copy()
    captures["warmth"] = 0.0
    gray = dataclasses.replace(known, captures=captures)
    assert ask(gray, warmth=0.0).verdict == "clear"
    assert "it is redder: warmth 0.050, -0.003 to 0.003 is usual (n=80)" in ask(gray, warmth=0.05).findings[0].sentence


def test_a_turned_camera_is_no_other_camera_and_photos_of_every_size_make_a_new_size_usual():
    assert ask(taught(MANY), width=480, height=640).verdict == "clear"
    known = taught(MANY)
    sizes = known.captures.copy()
    sizes["width"] = 600 + np.arange(len(sizes))
    assert ask(dataclasses.replace(known, captures=sizes), width=1920).verdict == "clear"


def test_nothing_is_said_of_the_input_where_nothing_or_little_was_measured():
    assert ask(taught(MANY, captures=False), brightness=1.0).verdict == "clear"
    few = taught(MANY)
    few = dataclasses.replace(few, captures=few.captures[:9])
    assert ask(few, brightness=1.0).verdict == "clear"


@pytest.mark.parametrize("freedom", [9, 29, 1000])
def test_students_quantile_is_scipys(freedom):
    for probability in (0.9, 0.975, 1 - explanation.UNUSUAL / 8):
        assert student(stats.norm.ppf(probability), freedom) == pytest.approx(stats.t.ppf(probability, freedom), rel=2e-3)


@pytest.mark.parametrize(
    "rows",
    [
        np.zeros((12, DIM), np.float32),
        np.ones((12, DIM), np.float32),
        np.random.default_rng(0).normal(size=(1, DIM)).astype(np.float32),
        np.random.default_rng(0).normal(size=(2, DIM)).astype(np.float32),
    ],
)
def test_equal_zero_and_single_photos_give_plain_sentences_and_no_nan(rows):
    n = len(rows)
    same = {sample: Capture(640, 480, 0.0, 0.0, 0.0, 0.0) for sample in range(1, n + 1)}
    known = Taught.of([batch(rows, ["cup"] * n, same, ["photo"] * n)])
    for photo in (np.zeros(DIM, np.float32), rows[0]):
        shown = explain(guessed(cup=1.0), photo, Capture(0, 0, 0.0, 0.0, 0.0, 0.0), known)
        text = json.dumps(to_json(shown), allow_nan=False)
        assert "nan" not in text.lower()
        assert "nan" not in render(shown, b"", {}).lower()


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_whole_loads_nothing_and_takes_hostile_names_as_text():
    known = taught(MANY)
    evil = '<script>alert("&")</script>'
    guess = Prediction(evil, 0.5, ((evil, 0.5), ("pot", 0.45)))
    known = dataclasses.replace(known, labels={sample: label if label == "pot" else evil for sample, label in known.labels.items()})
    shown = ask(known, guess)
    html = render(shown, b"photo", {shown.neighbours[0].sample: b"thumbnail"})
    page = _Page()
    page.feed(html)
    page.close()
    assert page.open == []
    assert "<script" not in html
    assert evil in page.text
    assert len(page.sources) == 2
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.sources)


@pytest.mark.slow
def test_real_photos_darkened_blurred_and_of_another_kind_are_found_and_others_left_alone(lite0, data):
    random = np.random.default_rng(0)
    kinds = sorted(folder for folder in (data / "sign-digits").iterdir() if folder.is_dir())
    paths = {kind.name: [sorted(kind.iterdir())[i] for i in random.permutation(len(list(kind.iterdir())))[:16]] for kind in kinds}
    with_label = [(path, label) for label, all_of in paths.items() for path in all_of[:12]]
    embedder = Embedder.open(Bundle.open(lite0), variant="tflite-int8")
    try:
        ready = [embedder.teach(load(path)) for path, _ in with_label]
        rows = np.stack([one.views[0] for one in ready])
        labels = [label for _, label in with_label]
        kept = {i: one.capture for i, one in enumerate(ready, 1) if one.capture is not None}
        known = Taught.of([batch(rows, labels, kept, [str(path) for path, _ in with_label])])
        learner = Learner(rows.shape[1])
        learner.add(np.arange(len(rows)), rows, labels)
        head = learner.fit().head

        def codes(image: Image.Image) -> set[str]:
            file = io.BytesIO()
            image.save(file, "PNG")
            made = embedder.teach(load(file.getvalue()))
            shares = head.probabilities(made.views[0])
            top = tuple((head.labels[i], float(shares[i])) for i in np.argsort(-shares)[:5])
            return {one.code for one in explain(Prediction(*top[0], top), made.views[0], made.capture, known).findings}

        fresh = [Image.open(path).convert("RGB") for all_of in paths.values() for path in all_of[12:]]
        usual = [codes(image) for image in fresh]
        assert sum("differs" in found for found in usual) <= 4
        assert sum("outside" in found for found in usual) <= 4
        assert sum("differs" in codes(ImageEnhance.Brightness(image).enhance(0.2)) for image in fresh[:20]) >= 19
        assert sum("differs" in codes(image.filter(ImageFilter.GaussianBlur(3))) for image in fresh[:20]) >= 19
        cast = [
            Image.merge(
                "RGB", [band.point([min(255, int(i * gain)) for i in range(256)]) for band, gain in zip(image.split(), (1.5, 1, 0.45))]
            )
            for image in fresh[:20]
        ]
        assert sum("differs" in codes(image) for image in cast) >= 19
        flowers = sorted((data / "flowers").glob("*/*.jpg"))[::200]
        assert all("outside" in codes(Image.open(path).convert("RGB")) for path in flowers)
    finally:
        embedder.close()
