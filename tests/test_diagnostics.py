"""Findings on photos, classes and stores, and photos without any."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from edgetl.adaptation.gate import AttemptCode
from edgetl.bundle.bundle import Bundle
from edgetl.choose.choose import RecommendationCode
from edgetl.diagnostics import Diagnosis, Finding, FindingCode, PhotoHistory, check, check_classes, diagnose
from edgetl.diagnostics.explanation import ReasonCode
from edgetl.diagnostics.forecast import ActionCode, OutlookCode
from edgetl.diagnostics.label_errors import rank_label_errors
from edgetl.diagnostics.photo_history import LIMIT, RECENT, SPREAD, KeptPhoto
from edgetl.diagnostics.regression import RegressionCode
from edgetl.diagnostics.text import describe_finding
from edgetl.embedding.embedder import Embedder
from edgetl.heads import Fit, Learner
from edgetl.heads.linalg.normalisation import power_normalise
from edgetl.inputs.photo.capture import measure
from edgetl.inputs.photo.folders import labelled_photos_in
from edgetl.inputs.photo.preprocess import tensor
from edgetl.inputs.photo.source import load
from edgetl.store import NewSample, SampleBatch, Store
from edgetl.store.captures import pack, unpack
from edgetl.types import Array, Capture, Embeddings, Fingerprint, ImageSpec, to_json

DIM = 64
GOOD = Capture(640, 480, brightness=120, contrast=45, sharpness=0.5, warmth=0.1)


def embedding(label: str, seed: int, spread: float = 0.8) -> Embeddings:
    """A point near its class's own, behind a ReLU."""
    centre = np.random.default_rng(sum(label.encode())).normal(size=DIM)
    return np.maximum(centre + spread * np.random.default_rng(seed).normal(size=DIM), 0).astype(np.float32)


def history(n: int = 60) -> PhotoHistory:
    """A history of n photos of mugs and pots in changing light."""
    photos, light = PhotoHistory(DIM), np.random.default_rng(0).uniform(-1, 1, (n, 4))
    for i, (a, b, c, d) in enumerate(light):
        capture = Capture(640, 480, 120 + 30 * a, 45 + 10 * b, 0.5 + 0.1 * c, 0.1 + 0.2 * d, taken=1000.0 + 10 * i)
        photos.add(f"{i}.jpg", ("mug", "pot")[i % 2], capture, embedding(("mug", "pot")[i % 2], i))
    return photos


def codes(
    capture: Capture | None = GOOD, x: Embeddings | None = None, label: str = "mug", before: PhotoHistory | None = None, **more: float
) -> list[str]:
    chosen = embedding(label, 999) if x is None else x
    return [finding.code for finding in check("new.jpg", label, capture, chosen, history() if before is None else before, more or None)]


def batch(x: Array, labels: list[str], captures: dict[int, Capture] | None = None, sources: dict[int, str] | None = None) -> SampleBatch:
    """Photos numbered from 1."""
    ids, codes = np.arange(1, len(labels) + 1), np.asarray(x, np.float32)
    named = [(sources or {}).get(i, f"{i}.jpg") for i in ids.tolist()]
    measured = unpack([pack((captures or {}).get(i)) for i in ids.tolist()])
    return SampleBatch(ids, labels, named, measured, codes, np.ones((len(ids), 1), np.float32))


def stored(path: Path, photos: list[NewSample]) -> Store:
    store = Store.open(path, Fingerprint("0" * 64, ImageSpec(32, 32, 36), "fake", "fp32", photos[0].embedding.shape[-1]))
    store.add(photos)
    return store


def new(i: int, label: str, x: Embeddings, capture: Capture | None = None) -> NewSample:
    return NewSample(f"{i}".encode().ljust(32), label, x, f"{i}.jpg", capture)


def fitted(photos: SampleBatch) -> Fit:
    learner = Learner(photos.codes.shape[1])
    learner.add(photos.ids, photos.embeddings, photos.labels)
    return learner.fit()


def changed(labels: list[str], share: float, seed: int) -> tuple[list[str], set[int]]:
    """The labels, some of them replaced by another class's; and which."""
    random, names = np.random.default_rng(seed), sorted(set(labels))
    wrong = set(random.choice(len(labels), round(share * len(labels)), replace=False).tolist())
    return [str(random.choice([n for n in names if n != label])) if i in wrong else label for i, label in enumerate(labels)], wrong


def test_a_good_photo_has_no_findings() -> None:
    assert codes(mug=0.9, pot=0.1) == []
    assert codes(before=PhotoHistory(DIM)) == []
    assert codes(None) == []


@pytest.mark.parametrize(
    ("code", "bad", "good"),
    [
        ("dark", {"brightness": 20, "contrast": 10}, {"brightness": 40, "contrast": 40}),
        ("overexposed", {"brightness": 245, "contrast": 8}, {"brightness": 215, "contrast": 40}),
        ("low-contrast", {"contrast": 2}, {"contrast": 6}),
        ("blurred", {"sharpness": 0.12}, {"sharpness": 0.2}),
        ("too-small", {"width": 60}, {"width": 64, "height": 64}),
    ],
)
def test_a_bad_capture_is_found_even_as_the_first_photo_and_a_passable_one_is_not(
    code: str, bad: dict[str, int], good: dict[str, int]
) -> None:
    assert codes(dataclasses.replace(GOOD, **bad), before=PhotoHistory(DIM)) == [code]  # type: ignore[arg-type]  # fields of one type each
    assert codes(dataclasses.replace(GOOD, **good), before=PhotoHistory(DIM)) == []  # type: ignore[arg-type]  # as above


def test_the_expected_sharpness_depends_on_the_photos_before() -> None:
    duller = dataclasses.replace(GOOD, sharpness=0.3)
    assert codes(duller) == ["blurred"]
    assert codes(dataclasses.replace(GOOD, sharpness=0.39)) == []
    assert codes(duller, before=history(19)) == []


def test_an_embedding_outside_the_range_is_unusual_from_twenty_photos_on() -> None:
    covered = np.eye(1, DIM, 3, dtype=np.float32)[0] * 9
    (finding,) = check("new.jpg", "mug", GOOD, covered, history())
    assert finding.code == "unusual"
    assert (finding.values["measure"], finding.values["value"], finding.values["photos"]) == ("density", 0.125, 60)
    assert finding.values["value"] < finding.values["low"] < finding.values["high"]
    assert codes(x=covered, before=history(19)) == []
    assert codes(dataclasses.replace(GOOD, brightness=190)) == ["unusual"]


@pytest.mark.parametrize(("warmth", "usual"), [(-0.9, -0.15), (1.3, 0.35)])
def test_another_lamp_or_camera_is_unusual_by_its_warmth(warmth: float, usual: float) -> None:
    (finding,) = check("new.jpg", "mug", dataclasses.replace(GOOD, warmth=warmth), embedding("mug", 999), history())
    assert finding.code == "unusual"
    assert (finding.values["measure"], finding.values["value"], finding.values["photos"]) == ("warmth", warmth, 60)
    assert -0.1 < finding.values["low"] < 0 < finding.values["high"] < 0.4
    assert codes(dataclasses.replace(GOOD, warmth=usual)) == []
    assert codes(dataclasses.replace(GOOD, warmth=warmth), before=history(19)) == []


def test_one_odd_photo_among_many_does_not_hide_a_colour_cast() -> None:
    before, random = PhotoHistory(DIM), np.random.default_rng(0)
    for i, warmth in enumerate(random.normal(0, 0.1, 200)):
        before.add(f"{i}.jpg", "mug", dataclasses.replace(GOOD, warmth=3.0 if i == 50 else warmth), embedding("mug", i))
    assert codes(dataclasses.replace(GOOD, warmth=1.3), before=before) == ["unusual"]
    assert codes(dataclasses.replace(GOOD, warmth=0.3), before=before) == []


def test_a_colour_photo_after_gray_ones_is_unusual_and_another_gray_one_is_not() -> None:
    before = PhotoHistory(DIM)
    for i in range(60):
        before.add(f"{i}.jpg", "mug", dataclasses.replace(GOOD, warmth=0.0), embedding("mug", i))
    assert codes(dataclasses.replace(GOOD, warmth=0.0), before=before) == []
    assert codes(dataclasses.replace(GOOD, warmth=-0.04), before=before) == ["unusual"]


def test_many_frames_of_few_views_do_not_make_a_range() -> None:
    before = PhotoHistory(DIM)
    for i in range(60):
        before.add(f"{i}.jpg", "mug", GOOD, embedding("mug", i % 3))
    assert codes(dataclasses.replace(GOOD, brightness=180, sharpness=0.3), before=before) == []


def test_the_first_photos_of_a_new_class_may_be_far_from_all_others() -> None:
    assert codes(x=embedding("kettle", 1), label="kettle") == []


def test_a_near_duplicate_names_the_earlier_photo() -> None:
    before = history()
    again = embedding("mug", 56) * 1.01
    (finding,) = check("new.jpg", "mug", GOOD, again, before)
    assert finding.code == "near-duplicate"
    assert (finding.values["other"], finding.values["ago"]) == ("56.jpg", 4)
    assert finding.values["similarity"] == pytest.approx(1, abs=1e-3)
    for i in range(RECENT):
        before.add(f"later-{i}.jpg", "mug", GOOD, embedding("mug", 100 + i))
    assert codes(x=again, before=before) == []


def test_two_labels_in_one_group_are_found_by_similarity_and_by_the_clock() -> None:
    assert codes(x=embedding("pot", 57)) == ["near-duplicate", "two-labels"]
    assert codes(dataclasses.replace(GOOD, taken=1570.4)) == ["two-labels"]
    assert codes(dataclasses.replace(GOOD, taken=1571.4)) == []
    assert codes(dataclasses.replace(GOOD, taken=1580.4)) == []  # a photo of the same class


def test_a_stopped_clock_is_ignored() -> None:
    before = PhotoHistory(DIM)
    for i in range(40):
        before.add(f"{i}.jpg", ("mug", "pot")[i % 2], dataclasses.replace(GOOD, taken=1.0), embedding(("mug", "pot")[i % 2], i))
    assert codes(dataclasses.replace(GOOD, taken=1.0), before=before) == []


def test_a_label_is_doubted_if_the_head_is_sure_of_another() -> None:
    assert codes(mug=0.02, pot=0.97) == ["mislabelled"]
    assert codes(mug=0.3, pot=0.7) == []
    assert codes(mug=0.0, pot=0.4, jug=0.35, pan=0.25) == []
    assert codes(pot=0.99, pan=0.01) == []  # the head does not know the class yet


def is_same(left: PhotoHistory, right: PhotoHistory) -> bool:
    arrays = ("samples", "seen", "low", "high")
    return left.kept == right.kept and left.counts == right.counts and all((getattr(left, a) == getattr(right, a)).all() for a in arrays)


def test_the_history_of_a_store_is_that_of_its_photos_one_by_one(tmp_path: Path) -> None:
    n = RECENT + SPREAD + 80
    labels = ["mug" if i % 3 else "pot" for i in range(n)]
    captures = {i: dataclasses.replace(GOOD, brightness=float(i)) for i in range(0, n, 2)}
    rows = [embedding("mug", i) for i in range(n)]
    with stored(tmp_path / "a.db", [new(i, labels[i], rows[i], captures.get(i)) for i in range(n)]) as store:
        loaded, kept = PhotoHistory.load(store), store.select(range(n + 1))
    stepwise = PhotoHistory(DIM)
    for i, x in enumerate(kept.embeddings):
        stepwise.add(f"{i}.jpg", labels[i], captures.get(i), x)
    assert [photo and photo[:2] for photo in loaded.kept] == [photo and photo[:2] for photo in stepwise.kept]
    assert loaded.counts == stepwise.counts
    np.testing.assert_allclose(loaded.low, stepwise.low, rtol=1e-6)
    np.testing.assert_allclose(loaded.high, stepwise.high, rtol=1e-6)
    assert (loaded.seen == stepwise.seen).all()
    assert {photo.source for photo in loaded.kept[:RECENT] if photo} == {f"{i}.jpg" for i in range(n - RECENT, n)}


def test_of_a_large_store_the_last_photos_and_some_of_each_age_are_kept(tmp_path: Path) -> None:
    n = LIMIT + 500
    x = np.random.default_rng(0).normal(size=(n, 8)).astype(np.float32)
    with stored(tmp_path / "a.db", [new(i, ("mug", "pot")[2 * i >= n], x[i]) for i in range(n)]) as store:
        loaded = PhotoHistory.load(store)
    assert loaded.counts == {"mug": n // 2, "pot": n - n // 2}
    assert {photo.source for photo in loaded.kept[:RECENT] if photo} == {f"{i}.jpg" for i in range(n - RECENT, n)}
    assert 90 < sum(photo is not None and photo.label == "mug" for photo in loaded.kept[RECENT:]) < 166  # of 256, binomial, 4.7 sigma


def test_a_saved_history_continues_and_forgetting_a_photo_deletes_it(tmp_path: Path) -> None:
    photos = [new(i, ("mug", "pot")[i % 2], embedding("mug", i), GOOD if i % 3 else None) for i in range(400)]
    with stored(tmp_path / "a.db", photos[:390]) as store:
        PhotoHistory.load(store).save(store)
        assert is_same(PhotoHistory.load(store), PhotoHistory.load(store))
        kept, (last, content) = PhotoHistory.load(store), store.derived("past") or (0, b"")
        assert last == 390
        store.add(photos[390:])
        for i, photo in enumerate(photos[390:], 391):
            kept.keep(
                KeptPhoto(photo.source, photo.label),
                photo.capture,
                kept.compare(photo.label, photo.capture, store.select([i]).embeddings[0]),
                i,
            )
        again = PhotoHistory.load(store)
        assert [photo and photo.source for photo in again.kept] == [photo and photo.source for photo in kept.kept]
        assert (again.samples == kept.samples).all()
        assert (again.seen == kept.seen).all()
        np.testing.assert_allclose(again.high, kept.high, rtol=1e-6)
        with store._connection.transaction("a flipped bit") as db:
            db.execute("UPDATE derived SET content = ? WHERE name = 'past'", (bytes([content[0] ^ 1]) + content[1:],))
        assert store.derived("past") is None
        assert (PhotoHistory.load(store).seen == again.seen).all()
        again.save(store)
        assert store.remove(digest=photos[7].digest)
        assert store.derived("past") is None
        assert 8 not in PhotoHistory.load(store).samples


def labelled_codes(findings: tuple[Finding, ...]) -> list[tuple[str, str | None]]:
    return [(finding.code, finding.label) for finding in findings]


def test_small_uneven_and_few_view_classes_are_found() -> None:
    def check_groups(labels: list[str], bursts: list[int]) -> list[tuple[str, str | None]]:
        return labelled_codes(check_classes(labels, np.array(bursts, np.int64), [f"{i}.jpg" for i in range(len(labels))]))

    assert check_groups(["a"] * 10 + ["b"] * 2, list(range(12))) == []
    assert check_groups(["a"] * 10 + ["b"], list(range(11))) == [("one-photo", "b"), ("imbalance", "b")]
    assert check_groups(["a"] * 11 + ["b"] * 2, list(range(13))) == [("imbalance", "b")]
    assert check_groups(["a"] * 20 + ["b"] * 20, [i % 3 for i in range(20)] + list(range(3, 23))) == [("few-views", "a")]
    assert check_groups(["a"] * 20, [i % 7 for i in range(20)]) == []
    assert check_groups(["a", "a", "b", "b"], [0, 1, 1, 2]) == [("two-labels", "a")]
    assert check_groups([], []) == []


def test_changed_labels_come_first_and_look_like_their_true_class() -> None:
    truth = [label for label in ("mug", "pot", "pan") for _ in range(40)]
    labels, wrong = changed(truth, 0.1, seed=1)
    photos = batch(np.stack([embedding(label, i, 0.7) for i, label in enumerate(truth)]), labels)
    errors = diagnose([photos], fitted(photos)).label_errors
    assert {error.sample - 1 for error in errors[: len(wrong)]} == wrong
    assert all(error.looks_like == truth[error.sample - 1] for error in errors[: len(wrong)])
    assert errors[0].source == f"{errors[0].sample}.jpg"
    assert sorted(errors, key=lambda error: -error.score) == list(errors)


def test_the_frames_of_a_mislabelled_burst_do_not_confirm_each_other() -> None:
    truth = [label for label in ("mug", "pot") for _ in range(30)]
    x = np.stack([embedding(label, i) for i, label in enumerate(truth)])
    x[:5] = x[0] + 0.01 * np.random.default_rng(0).random((5, DIM))
    labels = ["pot"] * 5 + truth[5:]
    rows, _, score = rank_label_errors(fitted(batch(x, labels)))
    assert set(rows[:5].tolist()) == set(range(5))
    assert score[4] > 0.9


def test_scores_are_the_product_of_head_and_neighbours() -> None:
    truth = [label for label in ("mug", "pot", "pan") for _ in range(15)]
    labels, _ = changed(truth, 0.2, seed=3)
    photos = batch(np.stack([embedding(label, i, 1.0) for i, label in enumerate(truth)]), labels)
    fit, x = fitted(photos), power_normalise(photos.embeddings)
    rows, looks_like, score = rank_label_errors(fit)
    assert sorted(rows.tolist()) == list(range(len(labels)))
    p = np.exp(fit.held / fit.head.temperature)
    p /= p.sum(1, keepdims=True)
    centred = x - x.mean(0)
    for row, other, shown in zip(rows.tolist(), looks_like.tolist(), score.tolist()):
        cosines = centred @ centred[row] / np.linalg.norm(centred, axis=1) / np.linalg.norm(centred[row])
        cosines[fit.bursts == fit.bursts[row]] = 0
        near = np.argsort(-cosines)[:20]
        weight = np.maximum(cosines[near], 0)
        evidence = p[row] * (weight @ p[near]) / weight.sum()
        own = fit.head.labels.index(fit.truth[row])
        assert shown == pytest.approx(evidence[other] / (evidence[other] + evidence[own]), abs=1e-5)
        assert evidence[other] == pytest.approx(max(np.delete(evidence, own)), rel=1e-4)


def lopsided() -> tuple[Array, list[str]]:
    x = np.maximum(np.random.default_rng(0).normal(size=(10_001, 32)), 0)
    return x, ["many"] * 10_000 + ["one"]


BAD = {
    "no photo": (np.zeros((0, 8)), []),
    "one photo": (np.ones((1, 8)), ["a"]),
    "one class": (np.random.default_rng(0).normal(size=(9, 8)), ["a"] * 9),
    "one photo each": (np.random.default_rng(0).normal(size=(3, 8)), ["a", "b", "c"]),
    "all photos equal": (np.ones((12, 8)), ["a", "b"] * 6),
    "all embeddings zero": (np.zeros((12, 8)), ["a", "b"] * 6),
    "one to ten thousand": lopsided(),
    **{
        f"{100 * noise:.0f} % of the labels wrong": (
            np.stack([embedding(label, i) for i, label in enumerate(["mug", "pot"] * 20)]),
            changed(["mug", "pot"] * 20, noise, 0)[0],
        )
        for noise in (0.0, 0.2, 0.4)
    },
}


def examined(x: Array, labels: list[str]) -> Diagnosis:
    photos = batch(x, labels, {1: GOOD})
    return diagnose([photos], fitted(photos) if len(set(labels)) > 1 else None)


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gives_findings_with_finite_numbers(name: str) -> None:
    x, labels = BAD[name]
    report = examined(x, labels)
    assert report.photos == len(labels)
    assert sum(health.photos for health in report.classes) == len(labels)
    assert {health.label for health in report.classes} == set(labels)
    text = json.dumps(to_json(report), allow_nan=False)
    assert "nan" not in text
    assert "inf" not in text
    assert report.findings or report.notes


def test_equal_photos_are_one_view_and_one_group_with_two_labels() -> None:
    assert labelled_codes(examined(*BAD["all photos equal"]).findings) == [("few-views", "a"), ("few-views", "b"), ("two-labels", "a")]


def test_a_store_is_examined_as_its_photos_were_when_they_were_added() -> None:
    x = np.stack([embedding("mug", i) for i in range(40)])
    captures = {i + 1: GOOD for i in range(40)}
    captures[31] = dataclasses.replace(GOOD, brightness=10, contrast=5)
    report = diagnose([batch(x, ["mug"] * 40, captures, {31: "night.jpg"})])
    assert [(finding.code, finding.photo) for finding in report.findings] == [("dark", "night.jpg"), ("unusual", "night.jpg")]
    assert report.notes == (Finding("one-class", values={"photos": 40}),)


FINDINGS = {
    "dark": Finding("dark", "a.jpg", "mug", {"brightness": 20.4, "contrast": 9.6}),
    "overexposed": Finding("overexposed", "a.jpg", "mug", {"brightness": 245.0, "contrast": 8.0}),
    "low-contrast": Finding("low-contrast", "a.jpg", "mug", {"brightness": 120.0, "contrast": 2.0}),
    "blurred": Finding("blurred", "a.jpg", "mug", {"sharpness": 0.12, "expected": 0.15}),
    "blurred beside others": Finding("blurred", "a.jpg", "mug", {"sharpness": 0.3, "low": 0.4, "high": 0.6, "photos": 60}),
    "too-small": Finding("too-small", "a.jpg", "mug", {"width": 60, "height": 80, "expected": 64}),
    "unusual": Finding("unusual", "a.jpg", "mug", {"measure": "warmth", "value": -0.9, "low": -0.01, "high": 0.3, "photos": 60}),
    "near-duplicate": Finding("near-duplicate", "a.jpg", "mug", {"other": "b.jpg", "ago": 1, "similarity": 0.998}),
    "two-labels": Finding("two-labels", "a.jpg", "mug", {"labels": {"pot": "b.jpg"}, "similarity": 0.998}),
    "two-labels by the clock": Finding("two-labels", "a.jpg", "mug", {"labels": {"pot": "b.jpg"}, "similarity": None}),
    "two-labels in a group": Finding("two-labels", "a.jpg", "mug", {"photos": 3, "labels": {"mug": "a.jpg", "pot": "b.jpg"}}),
    "mislabelled": Finding("mislabelled", "a.jpg", "mug", {"looks_like": "pot", "probability": 0.97, "own_probability": 0.02}),
    "one-photo": Finding("one-photo", None, "mug"),
    "few-views": Finding("few-views", None, "mug", {"photos": 20, "views": 1}),
    "imbalance": Finding("imbalance", None, "a", {"largest": "mug", "photos": 90, "times": 5, "smaller": {"a": 1, "b": 2, "c": 3, "d": 4}}),
    "no-photos": Finding("no-photos"),
    "one-class": Finding("one-class", values={"photos": 40}),
    "not-trained": Finding("not-trained"),
    "not-measured": Finding("not-measured", values={"photos": 40, "unmeasured": 3}),
}


def test_the_words_of_every_finding_are_those_of_the_golden_file() -> None:
    assert {finding.code for finding in FINDINGS.values()} == set(get_args(FindingCode))
    text = "".join(f"{name}: {describe_finding(finding)}\n" for name, finding in FINDINGS.items())
    path = Path(__file__).parent / "golden" / "findings.txt"
    if os.environ.get("EDGETL_GOLDEN") == "write":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text("utf-8")


def test_every_code_of_a_result_is_documented() -> None:
    documented = (Path(__file__).parent.parent / "docs" / "errors.md").read_text("utf-8").split("## Codes of results")[1]
    kinds = (FindingCode, ReasonCode, OutlookCode, ActionCode, RegressionCode, AttemptCode, RecommendationCode)
    assert [code for kind in kinds for code in get_args(kind) if f"`{code}`" not in documented] == []


@pytest.mark.slow
def test_on_real_flowers_changed_labels_come_first_and_good_photos_pass(data: Path, lite0: Path) -> None:
    flowers, _ = labelled_photos_in(data / "flowers")
    photos = [pair for label in sorted({label for _, label in flowers}) for pair in [p for p in flowers if p[1] == label][:100]]
    order = np.random.default_rng(0).permutation(len(photos))
    embedder = Embedder.open(Bundle.open(lite0), variant="tflite-int8")
    before, seen, x = PhotoHistory(embedder.fingerprint.dim), 0, []
    for path, label in (photos[i] for i in order):
        source = load(path)
        pixels = tensor(source, embedder.bundle.input)
        capture = measure(pixels, source)
        x.append(embedder.infer(pixels))
        seen += bool({finding.code for finding in check(str(path), label, capture, x[-1], before)} - {"near-duplicate", "two-labels"})
        before.add(str(path), label, capture, x[-1])
    assert seen <= 0.03 * len(photos)
    covered = np.clip(np.random.default_rng(0).normal(4, 1.5, pixels.shape), 0, 255).astype(np.uint8)
    for bad, code in ((pixels * 0.15).astype(np.uint8), "dark"), (covered, "dark"), (covered, "unusual"):
        assert code in {f.code for f in check("bad", label, measure(bad, source), embedder.infer(bad), before)}
    embedder.close()
    hits = 0
    for seed in range(5):
        labels, wrong = changed([photos[i][1] for i in order], 0.1, seed)
        photos_of = batch(np.stack(x), labels)
        errors = diagnose([photos_of], fitted(photos_of)).label_errors[:20]
        hits += sum(error.sample - 1 in wrong for error in errors)
    assert hits >= 0.7 * 5 * 20
