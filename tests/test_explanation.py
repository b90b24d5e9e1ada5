"""Explanations: every reason with a photo that has it and one that does not."""

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
from edgetl.diagnostics import capture_check
from edgetl.diagnostics.explanation import Explanation, explain
from edgetl.diagnostics.page import render
from edgetl.diagnostics.stored_photos import StoredPhotos
from edgetl.diagnostics.text import advise_reason, describe_reason
from edgetl.embedding.embedder import Embedder
from edgetl.heads import Learner
from edgetl.inputs.photo.source import load
from edgetl.stats import student
from edgetl.store import SampleBatch
from edgetl.store.captures import pack, unpack
from edgetl.store.encoding import codes, encode
from edgetl.types import Capture, Prediction, to_json

DIM = 32
LABELS = ("cup", "pot", "tea", "jug")


def embeddings(random: np.random.Generator, label: str, count: int) -> np.ndarray:
    centre = np.random.default_rng(100 + LABELS.index(label)).normal(size=DIM)
    return (6 * centre / np.linalg.norm(centre) + 0.5 * random.normal(size=(count, DIM))).astype(np.float32)


def capture(random: np.random.Generator, **changes: float) -> Capture:
    usual = Capture(640, 480, random.normal(120, 8), random.normal(50, 4), random.normal(0.5, 0.03), random.normal(0.1, 0.05))
    return dataclasses.replace(usual, **changes)


def batch(x: np.ndarray, labels: list[str], captures: dict[int, Capture], sources: list[str]) -> SampleBatch:
    """Photos numbered from 1, with a row of `x` each."""
    ids = np.arange(1, len(labels) + 1)
    measured = unpack([None if (seen := captures.get(sample)) is None else pack(seen) for sample in ids.tolist()])
    values, scales = codes(encode(x.astype(np.float32)), x.shape[1])
    return SampleBatch(ids, labels, sources, measured, values, scales)


def stored(counts: dict[str, int], captures: bool = True) -> StoredPhotos:
    random = np.random.default_rng(1)
    labels = [label for label, count in counts.items() for _ in range(count)]
    rows = np.concatenate([embeddings(random, label, count) for label, count in counts.items()])
    kept = {sample: capture(random) for sample in range(1, len(labels) + 1)} if captures else {}
    return StoredPhotos.load([batch(rows, labels, kept, [f"{label}/{i}.jpg" for i, label in enumerate(labels)])])


def guessed(**shares: float) -> Prediction:
    top = tuple(sorted(shares.items(), key=lambda pair: -pair[1]))
    return Prediction(top[0][0], top[0][1], top)


SURE = guessed(cup=0.9, pot=0.06, tea=0.03, jug=0.01)
MANY = dict.fromkeys(LABELS, 20)


def ask(known: StoredPhotos, guess: Prediction = SURE, label: str = "cup", seed: int = 5, **changes: float) -> Explanation:
    random = np.random.default_rng(seed)
    return explain(guess, embeddings(random, label, 1)[0], capture(random, **changes), known)


def test_the_neighbours_have_the_highest_cosines():
    known = stored(MANY)
    photo = embeddings(np.random.default_rng(9), "tea", 1)[0]
    shown = explain(SURE, photo, None, known, 7).neighbours
    roots = np.sign(photo) * np.sqrt(np.abs(photo))
    cosines = known.normalise(slice(None)).astype(np.float64) @ roots / np.linalg.norm(roots)
    order = np.argsort(-cosines)[:7]
    assert [photo.sample for photo in shown] == (order + 1).tolist()
    assert [photo.cosine for photo in shown] == pytest.approx(cosines[order], abs=1e-6)
    assert {photo.label for photo in shown} == {"tea"}
    assert all(photo.source == f"{photo.label}/{photo.sample - 1}.jpg" for photo in shown)


def test_a_usual_photo_is_clear_and_ninety_five_of_a_hundred_are():
    known = stored(MANY)
    shown = ask(known)
    assert shown.verdict == "clear"
    assert (shown.reasons[0].values["label"], shown.reasons[0].values["same"]) == ("cup", 5)
    assert sum(ask(known, label=LABELS[seed % 4], seed=seed).verdict == "clear" for seed in range(200)) >= 190


def test_few_photos_matter_of_the_best_class_and_its_rival_but_not_of_a_third():
    few = {**MANY, "pot": 3}
    assert ask(stored(few)).verdict == "clear"
    close = ask(stored(few), guessed(cup=0.5, pot=0.4, tea=0.1))
    assert [reason.code for reason in close.reasons] == ["few-photos", "two-classes"]
    assert close.reasons[0].values == {"groups": {"pot": 3}, "needed": 5}
    assert "few-photos" in {reason.code for reason in ask(stored({**MANY, "cup": 1})).reasons}


def test_frames_of_one_burst_count_as_one_photo():
    rows = np.repeat(embeddings(np.random.default_rng(0), "cup", 1), 30, 0)
    others = embeddings(np.random.default_rng(1), "pot", 30)
    shown = ask(StoredPhotos.load([batch(np.concatenate([rows, others]), ["cup"] * 30 + ["pot"] * 30, {}, ["photo"] * 60)]))
    assert shown.reasons[-1].code == "few-photos"
    assert shown.reasons[-1].values["groups"] == {"cup": 1}


def test_two_classes_of_similar_probability_come_with_their_neighbours():
    shown = ask(stored(MANY), guessed(cup=0.45, pot=0.40, tea=0.15))
    assert shown.verdict == "two-classes"
    assert shown.reasons[0].values["probabilities"] == {"cup": 0.45, "pot": 0.40}
    assert sum(shown.reasons[0].values["neighbours"].values()) <= shown.reasons[0].values["n"] == 5
    assert shown.margin == pytest.approx(0.05)
    doubtful = ask(stored(MANY), guessed(cup=0.6, pot=0.3, tea=0.1))
    assert doubtful.verdict == "two-classes"
    assert doubtful.reasons[0].values["neighbours"] == {"cup": 5, "pot": 0}
    assert "'cup'" in (advice := advise_reason(doubtful.reasons[0]))
    assert "'pot'" not in advice  # no similar photo has that class
    assert ask(stored(MANY), guessed(cup=0.8, pot=0.15, tea=0.05)).verdict == "clear"


def test_a_stored_photo_is_not_its_own_neighbour():
    known = stored(MANY)
    sample = int(known.ids[7])
    shown = explain(SURE, known.codes[7], None, known, k=3, itself=sample)
    assert sample not in [neighbour.sample for neighbour in shown.neighbours]
    assert explain(SURE, known.codes[7], None, known, k=3).neighbours[0].sample == sample


def test_a_photo_far_from_all_others_or_rejected_by_the_head_is_unfamiliar():
    known = stored(MANY)
    random = np.random.default_rng(3)
    far = explain(SURE, random.normal(size=DIM).astype(np.float32), capture(random), known)
    assert far.verdict == "unfamiliar"
    assert far.reasons[0].values["cosine"] < far.reasons[0].values["limit"] <= far.reasons[0].values["usual"]
    rejected = ask(known, dataclasses.replace(SURE, label=None, code="unknown-object"))
    assert (rejected.verdict, rejected.label, rejected.reasons[0].values["rejected"]) == ("unfamiliar", None, "unknown-object")
    reject_class = ask(known, dataclasses.replace(SURE, label=None, code="reject-class"))
    assert (reject_class.reasons[0].values["rejected"], reject_class.reasons[0].values["label"]) == ("reject-class", "cup")
    assert describe_reason(reject_class.reasons[0]) == "looks like the reject class 'cup'"


@pytest.mark.parametrize(
    ("measure", "value", "higher"),
    [
        ("brightness", 40.0, False),
        ("brightness", 200.0, True),
        ("contrast", 15.0, False),
        ("contrast", 110.0, True),
        ("sharpness", 0.2, False),
        ("sharpness", 0.9, True),
        ("warmth", -0.3, False),
        ("warmth", 0.5, True),
    ],
)
def test_a_photo_that_differs_from_the_stored_ones_comes_with_the_numbers(measure, value, higher):
    (reason,) = ask(stored(MANY), **{measure: value}).reasons
    assert (reason.code, reason.values["n"], list(reason.values["measures"])) == ("input-differs", 80, [measure])
    numbers = reason.values["measures"][measure]
    assert (numbers["value"], numbers["higher"]) == (value, higher)
    assert (value > numbers["high"]) == higher != (value < numbers["low"])
    assert measure in describe_reason(reason)
    assert advise_reason(reason)


def test_a_photo_of_another_size_comes_with_the_usual_size():
    (reason,) = ask(stored(MANY), width=1920, height=1080).reasons
    assert (reason.code, reason.values["measures"]) == ("input-differs", {})
    assert reason.values["size"] == {"width": 1920, "height": 1080, "usual": (640, 480), "count": 80}
    assert "1920 x 1080 pixels" in describe_reason(reason)


def test_a_colour_photo_differs_from_gray_ones_and_another_gray_one_does_not():
    known = stored(MANY)
    captures = known.captures.copy()
    captures["warmth"] = 0.0
    gray = dataclasses.replace(known, captures=captures)
    assert ask(gray, warmth=0.0).verdict == "clear"
    warmth = ask(gray, warmth=0.05).reasons[0].values["measures"]["warmth"]
    assert (warmth["value"], round(warmth["low"], 3), round(warmth["high"], 3)) == (0.05, -0.003, 0.003)


def test_a_turned_camera_is_the_same_and_with_many_sizes_a_new_one_is_usual():
    assert ask(stored(MANY), width=480, height=640).verdict == "clear"
    known = stored(MANY)
    sizes = known.captures.copy()
    sizes["width"] = 600 + np.arange(len(sizes))
    assert ask(dataclasses.replace(known, captures=sizes), width=1920).verdict == "clear"


def test_without_enough_measured_photos_the_input_is_not_compared():
    assert ask(stored(MANY, captures=False), brightness=1.0).verdict == "clear"
    few = stored(MANY)
    few = dataclasses.replace(few, captures=few.captures[:9])
    assert ask(few, brightness=1.0).verdict == "clear"


@pytest.mark.parametrize("freedom", [9, 29, 1000])
def test_students_quantile_is_scipys(freedom):
    for probability in (0.9, 0.975, 1 - capture_check.UNUSUAL / 8):
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
def test_equal_zero_and_single_photos_give_finite_numbers(rows):
    n = len(rows)
    same = {sample: Capture(640, 480, 0.0, 0.0, 0.0, 0.0) for sample in range(1, n + 1)}
    known = StoredPhotos.load([batch(rows, ["cup"] * n, same, ["photo"] * n)])
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


def test_the_page_is_valid_loads_nothing_and_escapes_hostile_names():
    known = stored(MANY)
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
def test_real_dark_blurred_and_other_photos_are_found_and_usual_ones_pass(lite0, data):
    random = np.random.default_rng(0)
    kinds = sorted(folder for folder in (data / "sign-digits").iterdir() if folder.is_dir())
    paths = {kind.name: [sorted(kind.iterdir())[i] for i in random.permutation(len(list(kind.iterdir())))[:16]] for kind in kinds}
    with_label = [(path, label) for label, all_of in paths.items() for path in all_of[:12]]
    embedder = Embedder.open(Bundle.open(lite0), variant="tflite-int8")
    try:
        ready = [embedder.embed_sample(load(path)) for path, _ in with_label]
        rows = np.stack([photo.embedding for photo in ready])
        labels = [label for _, label in with_label]
        kept = {i: photo.capture for i, photo in enumerate(ready, 1) if photo.capture is not None}
        known = StoredPhotos.load([batch(rows, labels, kept, [str(path) for path, _ in with_label])])
        learner = Learner(rows.shape[1])
        learner.add(np.arange(len(rows)), rows, labels)
        head = learner.fit().head

        def reasons(image: Image.Image) -> set[str]:
            file = io.BytesIO()
            image.save(file, "PNG")
            photo = embedder.embed_sample(load(file.getvalue()))
            shares = head.probabilities(photo.embedding)
            top = tuple((head.labels[i], float(shares[i])) for i in np.argsort(-shares)[:5])
            return {reason.code for reason in explain(Prediction(*top[0], top), photo.embedding, photo.capture, known).reasons}

        fresh = [Image.open(path).convert("RGB") for all_of in paths.values() for path in all_of[12:]]
        usual = [reasons(image) for image in fresh]
        assert sum("input-differs" in reasons for reasons in usual) <= 4
        assert sum("unfamiliar" in reasons for reasons in usual) <= 4
        assert sum("input-differs" in reasons(ImageEnhance.Brightness(image).enhance(0.2)) for image in fresh[:20]) >= 19
        assert sum("input-differs" in reasons(image.filter(ImageFilter.GaussianBlur(3))) for image in fresh[:20]) >= 19
        cast = [
            Image.merge(
                "RGB", [band.point([min(255, int(i * gain)) for i in range(256)]) for band, gain in zip(image.split(), (1.5, 1, 0.45))]
            )
            for image in fresh[:20]
        ]
        assert sum("input-differs" in reasons(image) for image in cast) >= 19
        flowers = sorted((data / "flowers").glob("*/*.jpg"))[::200]
        assert all("unfamiliar" in reasons(Image.open(path).convert("RGB")) for path in flowers)
    finally:
        embedder.close()
