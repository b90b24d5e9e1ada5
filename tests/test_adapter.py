"""Adapters: what they fold into the head is exact, the published definitions hold, and what would do harm is refused."""

from __future__ import annotations

import dataclasses
import json
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import encoded, picture
from PIL import Image
from scipy.linalg import inv, sqrtm
from scipy.stats import multivariate_normal

from edgetl import Classifier
from edgetl.adaptation import adapters
from edgetl.adaptation.gate import LEAST, adapt
from edgetl.adaptation.mixture import Mixture
from edgetl.errors import HeadError, TrainError
from edgetl.heads import Fit, Head, Learner, open_set
from edgetl.heads.confidence.calibration import softmax
from edgetl.heads.confidence.conformal import Conformal
from edgetl.heads.confidence.rejection import Rejection
from edgetl.types import Array, to_json

DIM, CLASSES = 24, 4
CENTRES = np.random.default_rng(0).normal(0, 1, (CLASSES, DIM)) + 1
LIGHT = 0.9 * (CENTRES[0] - CENTRES[1]) + 0.45 * (CENTRES[2] - CENTRES[3])
"""What another light adds to every embedding."""


def photos(numbers: list[int], seed: int, light: float = 0.0) -> tuple[Array, list[str]]:
    """So many photos of each class: embeddings float32 [n, d] of any length, and their labels."""
    random = np.random.default_rng(seed)
    classes = random.permutation(np.repeat(np.arange(CLASSES), numbers))
    x = CENTRES[classes] + random.normal(0, 0.8, (len(classes), DIM)) + light * LIGHT
    return x.astype(np.float32), [f"class {i}" for i in classes]


@pytest.fixture(scope="module")
def taught() -> tuple[Fit, Array]:
    x, labels = photos([30] * CLASSES, seed=2)
    learner = Learner(DIM)
    learner.add(np.arange(len(x)), x, labels)
    return learner.fit(), x


def accuracy(head: Head, x: Array, labels: list[str]) -> float:
    return float(np.mean([head.labels[i] == label for i, label in zip(head.logits(x).argmax(1), labels)]))


def unit(x: Array) -> Array:
    """Power normalisation, then L2; a zero row stays zero."""
    roots = np.sign(x) * np.sqrt(np.abs(x))
    return roots / np.maximum(np.linalg.norm(roots, axis=1, keepdims=True), 1e-30)


def by_definition(kind: str, source: Array, target: Array) -> tuple[Array, Array]:
    """D [d, d] and t [d] of x -> D x + t, written with whole matrices."""
    before, after = source.mean(0), target.mean(0)
    if kind == "mean":
        matrix = np.eye(len(before))
    elif kind == "scale":
        floor = adapters.VARIANCE * source.var(0).mean()
        matrix = np.diag(np.sqrt(source.var(0) + floor) / np.sqrt(target.var(0) + floor))
    else:
        colour, white = (np.cov(x.T, bias=True) + adapters.COVARIANCE * np.eye(len(before)) for x in (source, target))
        matrix = np.real(sqrtm(colour)) @ inv(np.real(sqrtm(white)))
    return matrix, before - matrix @ after


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    dim=st.integers(2, 12),
    sizes=st.tuples(st.integers(2, 30), st.integers(2, 30)),
    kind=st.sampled_from(["mean", "scale", "coral"]),
)
def test_an_adapted_head_gives_what_the_head_gives_for_the_moved_embedding(
    seed: int, dim: int, sizes: tuple[int, int], kind: adapters.AdapterKind
) -> None:
    random = np.random.default_rng(seed)
    source, target = (unit(random.normal(middle, 1, (size, dim))) for middle, size in zip((1, 0), sizes))
    weight, far = random.normal(size=(2, 3, dim)).astype(np.float32)
    bias, zero = random.normal(size=3).astype(np.float32), np.zeros((3, 3), np.float32)
    rejection = Rejection("margin", np.tile(far, (2, 1)), np.tile(bias, 2), zero[0], zero, 0.0, -1e9)
    head = Head("lda", ("a", "b", "c"), weight, bias, 1.0, dim, rejection=rejection)
    made = adapters.Adapter(kind, head, source.astype(np.float32)).to(target.astype(np.float32))
    matrix, offset = by_definition(kind, source, target)
    x = unit(random.normal(size=(5, dim)))
    moved = x @ matrix.T + offset
    np.testing.assert_allclose(made.linear(x), moved @ weight.T + bias, rtol=1e-4, atol=1e-4)
    assert made.rejection is not None
    values = np.sort(moved @ far.T + bias, axis=1)
    measured = [made.rejection.measure(row) for row in x.astype(np.float32)]
    np.testing.assert_allclose(measured, values[:, -1] - values[:, -2], rtol=1e-4, atol=2e-4)


def test_coral_gives_the_new_photos_the_mean_and_the_covariance_of_those_taught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapters, "COVARIANCE", 1e-15)
    random = np.random.default_rng(3)
    source, target = (random.normal(size=(n, 6)) @ random.normal(size=(6, 6)) + random.normal(size=6) for n in (300, 200))
    weight, bias = adapters.coral(source)(target)(np.eye(6), np.zeros(6))
    moved = target @ weight.T + bias
    np.testing.assert_allclose(moved.mean(0), source.mean(0), atol=1e-8)
    np.testing.assert_allclose(np.cov(moved.T, bias=True), np.cov(source.T, bias=True), rtol=1e-6, atol=1e-6)


def test_t3a_is_what_its_paper_says(taught: tuple[Fit, Array]) -> None:
    """Iwasawa and Matsuo 2021, algorithm 1, with loops and sorted lists."""
    head = taught[0].head
    new, _ = photos([40, 30, 20, 10], seed=4, light=0.2)
    target = unit(new)
    supports = defaultdict(list)
    for z in target:
        probabilities = softmax(head.linear(z) / head.temperature)
        supports[int(head.linear(z).argmax())].append((-(probabilities * np.log(probabilities + 1e-30)).sum(), list(z)))
    rows = []
    for k, weight in enumerate(head.weight):
        surest = [z for _, z in sorted(supports[k])[: adapters.SUPPORTS]]
        rows.append(np.mean([weight / np.linalg.norm(weight), *surest], axis=0))
    made = adapters.Adapter("t3a", head, target).to(target)
    np.testing.assert_allclose(made.weight, rows, rtol=1e-4, atol=1e-5)
    assert not made.bias.any()
    assert made.rejection is None
    assert 0.3 < made.probabilities(new).max(1).mean() / head.probabilities(new).max(1).mean() < 1.5


def test_a_shift_is_made_good_and_the_head_before_is_as_it_was(taught: tuple[Fit, Array]) -> None:
    fit, _ = taught
    new, _ = photos([25] * CLASSES, seed=5, light=1.0)
    asked, truth = photos([200] * CLASSES, seed=6, light=1.0)
    before = accuracy(fit.head, asked, truth)
    kept = fit.head.weight.copy(), fit.head.bias.copy()
    made = adapt(fit.head, fit, new)
    assert before < 0.7
    assert accuracy(made.head, asked, truth) > before + 0.2
    assert made.report.kind in ("mean", "scale", "coral")
    assert made.report.reason.startswith(f"{made.report.kind}: it makes the new photos more like those taught (+")
    assert [attempt.kind for attempt in made.report.tried] == list(adapters.KINDS)
    assert all((now == then).all() for now, then in zip((fit.head.weight, fit.head.bias), kept))
    np.testing.assert_array_equal(Head.from_bytes(made.head.to_bytes()).logits(asked), made.head.logits(asked))
    said = json.loads(json.dumps(to_json(made.report)))
    assert said["photos"] == said["tried"][0]["likeness"]["n"] == 100


@pytest.mark.parametrize("kind", ["auto", "mean", "scale", "coral"])
@pytest.mark.parametrize("light", [0.0, 1.0])
def test_photos_of_one_class_are_refused_as_negative_transfer(taught: tuple[Fit, Array], kind: str, light: float) -> None:
    fit, x = taught
    new, _ = photos([0, 0, 100, 0], seed=7, light=light)
    asked, truth = photos([0, 0, 100, 0], seed=8)
    harm = adapters.Adapter("mean", fit.head, unit(x)).to(unit(photos([0, 0, 100, 0], seed=7)[0]))
    assert accuracy(harm, asked, truth) < accuracy(fit.head, asked, truth) - 0.2
    made = adapt(fit.head, fit, new, kind=kind)  # type: ignore[arg-type]  # one of the kinds
    assert made.head is fit.head
    assert made.report.kind is None
    assert "negative transfer: the new photos hold other shares of the classes than were taught" in made.report.reason
    assert "n=100" in made.report.reason


def test_a_person_may_vouch_for_the_shares_and_the_photos_must_still_come_to_look_like_those_taught(taught: tuple[Fit, Array]) -> None:
    fit, _ = taught
    new, _ = photos([55, 25, 15, 5], seed=18, light=1.0)
    assert adapt(fit.head, fit, new).report.kind is None
    assert adapt(fit.head, fit, new, same_shares=True).report.kind is not None
    assert adapt(fit.head, fit, photos([55, 25, 15, 5], seed=18)[0], same_shares=True).report.kind is None


def test_without_a_shift_nothing_changes(taught: tuple[Fit, Array]) -> None:
    fit, _ = taught
    made = adapt(fit.head, fit, photos([25] * CLASSES, seed=9)[0])
    assert made.head is fit.head
    assert "hardly more like those taught" in made.report.reason or "less like those taught" in made.report.reason


def test_labels_of_the_new_photos_decide_before_anything_else(taught: tuple[Fit, Array]) -> None:
    fit, _ = taught
    uneven, labels = photos([100, 10, 10, 10], seed=10, light=1.0)
    assert adapt(fit.head, fit, uneven, kind="mean").report.kind is None
    told = adapt(fit.head, fit, uneven, kind="mean", labels=[label if i % 2 else None for i, label in enumerate(labels)])
    better = told.report.tried[0].better
    assert (told.report.kind == "mean") == (better.interval[0] > 0.5)
    assert told.report.labelled == 65
    alike, truth = photos([0, 100, 0, 0], seed=11)
    refused = adapt(fit.head, fit, alike, kind="mean", labels=truth).report
    assert refused.kind is None
    assert refused.tried[0].reason.startswith("negative transfer: of the labelled photos that only one of the two heads gets right")
    assert refused.tried[0].better.interval[1] < 0.5


def test_other_things_are_refused_also_where_the_person_vouches(taught: tuple[Fit, Array]) -> None:
    fit, _ = taught
    head, _, _ = open_set.calibrate(fit)
    assert head.rejection is not None
    random = np.random.default_rng(5)
    others = (-CENTRES[random.integers(0, CLASSES, 80)] + random.normal(0, 0.8, (80, DIM))).astype(np.float32)
    report = adapt(head, fit, others, same_shares=True).report
    assert report.kind is None
    assert "like nothing taught" in report.reason


def test_labels_of_classes_that_were_never_taught_are_said_to_be_so(taught: tuple[Fit, Array]) -> None:
    fit, _ = taught
    new, _ = photos([15] * CLASSES, seed=9, light=1.0)
    report = adapt(fit.head, fit, new, labels=["other"] * len(new)).report
    assert report.kind is None
    assert "none of the 60 labels is of a class that was taught" in report.reason


def test_t3a_needs_labels_that_show_its_worth(taught: tuple[Fit, Array]) -> None:
    fit, _ = taught
    new, labels = photos([25] * CLASSES, seed=12, light=1.0)
    assert "only labelled photos can show that it helps" in adapt(fit.head, fit, new, kind="t3a").report.reason
    told = adapt(fit.head, fit, new, kind="t3a", labels=labels).report
    assert (told.kind == "t3a") == (told.tried[0].better.interval[0] > 0.5)


def test_what_tells_unknown_things_is_adapted_with_the_head_or_off_and_said(taught: tuple[Fit, Array]) -> None:
    fit, _ = taught
    zero = np.zeros(CLASSES, np.float32)
    rejection = Rejection("distance", fit.head.weight, fit.head.bias, zero, np.zeros((CLASSES, CLASSES), np.float32), -1e9, -1e9)
    new, _ = photos([25] * CLASSES, seed=13, light=1.0)
    head = dataclasses.replace(fit.head, rejection=rejection, conformal=Conformal(np.zeros(0, np.float32), (0,) * CLASSES))
    made = adapt(head, fit, new)
    assert made.head.rejection is not None
    assert made.head.conformal is None
    assert "sets of classes at a confidence" in made.report.warnings[1]
    assert made.report.warnings[0].startswith("what tells unknown things was adapted with the head: it now takes 100.0 %")
    assert adapt(fit.head, fit, new).report.warnings == ()


def test_one_photo_per_class_says_too_little() -> None:
    x, labels = photos([1] * CLASSES, seed=14)
    learner = Learner(DIM)
    learner.add(np.arange(len(x)), x, labels)
    fit = learner.fit()
    report = adapt(fit.head, fit, photos([20] * CLASSES, seed=15)[0]).report
    assert report.kind is report.other_mix is None
    assert "too few photos were taught" in report.reason


def test_what_cannot_be_adapted_to_is_said(taught: tuple[Fit, Array]) -> None:
    fit, _ = taught
    new, _ = photos([25] * CLASSES, seed=16)
    for bad, error, words in [
        (new[:1], TrainError, f"1 new photos say too little about the new place; give {LEAST} or more"),
        (np.repeat(new[:1], 50, 0), TrainError, "all 50 new embeddings are the same"),
        (np.zeros_like(new), TrainError, "all 100 new embeddings are the same"),
        (new[:, :-1], HeadError, f"reads embeddings of {DIM} values"),
        (np.where(np.arange(DIM) == 3, np.nan, new), HeadError, "NaN or an infinity"),
    ]:
        with pytest.raises(error, match=words):
            adapt(fit.head, fit, bad)
    with pytest.raises(TrainError, match="99 labels came with 100 new photos"):
        adapt(fit.head, fit, new, labels=["class 0"] * 99)
    with pytest.raises(TrainError, match="adapter 'magic' is unknown; choose one of auto, mean, scale, coral, t3a"):
        adapt(fit.head, fit, new, kind="magic")  # type: ignore[arg-type]  # that is the fault


def test_the_mixture_is_that_of_scipys_normal_distributions() -> None:
    random = np.random.default_rng(17)
    classes = np.repeat(np.arange(3), [40, 30, 20])
    held = random.normal(0, 2, (3, 3))[classes] + random.normal(size=(90, 3)) @ random.normal(size=(3, 3))
    mixture = Mixture.of(held, classes)
    assert mixture is not None
    basis = np.array([[1, -1, 0], [1, 1, -2]]).T / np.sqrt([2, 6])
    rows, new = held @ basis, random.normal(0, 3, (50, 3))
    means = [rows[classes == k].mean(0) for k in range(3)]
    scatter = sum((rows[classes == k] - means[k]).T @ (rows[classes == k] - means[k]) for k in range(3)) / 87
    shrunk = 0.95 * scatter + 0.05 * np.trace(scatter) / 2 * np.eye(2)
    density = sum(share * multivariate_normal(mean, shrunk).pdf(new @ basis) for share, mean in zip((4 / 9, 3 / 9, 2 / 9), means))
    made = mixture.likelihood(new)
    np.testing.assert_allclose(made - made[0], np.log(density) - np.log(density[0]), rtol=1e-6, atol=1e-8)
    moved = held + random.normal(0, 5, 3)
    assert mixture.other_mix(moved) == pytest.approx(mixture.other_mix(held), abs=0.01)
    assert mixture.other_mix(moved[classes == 0]) > 0.1 > mixture.other_mix(moved)
    assert Mixture.of(held[:71], classes[:71]) is None


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), zeros=st.integers(0, 40), huge=st.booleans())
def test_odd_embeddings_give_finite_heads_and_reasons(taught: tuple[Fit, Array], seed: int, zeros: int, huge: bool) -> None:
    fit, x = taught
    random = np.random.default_rng(seed)
    new = (random.normal(0, 1, (50, DIM)) * (1e15 if huge else 1e-15)).astype(np.float32)
    new[:zeros] = 0
    new[:, seed % DIM] = 0
    for kind in adapters.KINDS:
        made = adapters.Adapter(kind, fit.head, unit(x)).to(unit(new))
        assert np.isfinite(made.weight).all()
        assert np.isfinite(made.bias).all()
        assert made.temperature > 0
    assert "nan" not in adapt(fit.head, fit, new).report.reason


FAINT = {"a": (110, 100, 100), "b": (130, 120, 90), "c": (100, 130, 120), "d": (90, 100, 140)}


def faint(label: str, seed: int, warmth: int = 0) -> bytes:
    """A photo of one of four faint colours, in light of so many levels more red and less blue."""
    photo = picture(colour=FAINT[label], seed=seed)
    return encoded(Image.fromarray(np.clip(np.asarray(photo) + np.array([warmth, 0, -warmth]), 0, 255).astype(np.uint8)))


def test_adapting_on_the_device_is_one_head_more_and_rollback_undoes_it(classifier: Classifier) -> None:
    classifier.add_many([(faint(label, seed), label) for label in FAINT for seed in range(20)])
    classifier.train()
    before = classifier.heads()
    asked = [(faint(label, 100 + seed, warmth=30), label) for label in FAINT for seed in range(20)]
    cold = classifier.evaluate(asked).accuracy
    report = classifier.adapt([(faint(label, seed, warmth=30), "not known") for label in FAINT for seed in range(30, 50)])
    assert report.kind is not None, report.reason
    assert classifier.evaluate(asked).accuracy.value > cold.value + 0.2
    assert len(classifier.heads()) == len(before) + 1
    classifier.rollback()
    assert classifier.evaluate(asked).accuracy == cold
    assert classifier.adapt([(faint("a", seed), "not known") for seed in range(50)]).kind is None
    assert len(classifier.heads()) == len(before) + 1
