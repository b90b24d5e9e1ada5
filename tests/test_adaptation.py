"""Adapters: folding into the head is exact, the published definitions hold, and harmful adaptations are rejected."""

from __future__ import annotations

import dataclasses
import json
from collections import defaultdict
from typing import get_args

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
from edgetl.adaptation.gate import ACCEPTED, AdaptReport, AdaptWarning, Attempt, AttemptCode, adapt
from edgetl.adaptation.mixture import Mixture
from edgetl.adaptation.text import advise_report, describe_attempt, describe_report, describe_warning
from edgetl.errors import HeadError, TrainError
from edgetl.heads import Fit, Head, Learner, open_set
from edgetl.heads.confidence.calibration import softmax
from edgetl.heads.confidence.conformal import Conformal
from edgetl.heads.confidence.rejection import Rejection
from edgetl.stats import Mean, Proportion
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
def trained() -> tuple[Fit, Array]:
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
def test_an_adapted_head_equals_the_head_on_the_moved_embedding(
    seed: int, dim: int, sizes: tuple[int, int], kind: adapters.AdapterKind
) -> None:
    random = np.random.default_rng(seed)
    source, target = (unit(random.normal(middle, 1, (size, dim))) for middle, size in zip((1, 0), sizes))
    weight, far = random.normal(size=(2, 3, dim)).astype(np.float32)
    bias, zero = random.normal(size=3).astype(np.float32), np.zeros((3, 3), np.float32)
    rejection = Rejection("margin", np.tile(far, (2, 1)), np.tile(bias, 2), zero[0], zero, 0.0, -1e9, (0.0, 0.0, 0.0))
    head = Head("lda", ("a", "b", "c"), weight, bias, 1.0, dim, rejection=rejection)
    adapted = adapters.Adapter(kind, head, source.astype(np.float32)).adapt(target.astype(np.float32))
    matrix, offset = by_definition(kind, source, target)
    x = unit(random.normal(size=(5, dim)))
    moved = x @ matrix.T + offset
    np.testing.assert_allclose(adapted.linear(x), moved @ weight.T + bias, rtol=1e-4, atol=1e-4)
    assert adapted.rejection is not None
    values = np.sort(moved @ far.T + bias, axis=1)
    measured = [adapted.rejection.measure(row) for row in x.astype(np.float32)]
    np.testing.assert_allclose(measured, values[:, -1] - values[:, -2], rtol=1e-4, atol=2e-4)


def test_coral_gives_new_photos_the_mean_and_covariance_of_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapters, "COVARIANCE", 1e-15)
    random = np.random.default_rng(3)
    source, target = (random.normal(size=(n, 6)) @ random.normal(size=(6, 6)) + random.normal(size=6) for n in (300, 200))
    weight, bias = adapters.match_covariance(source)(target)(np.eye(6), np.zeros(6))
    moved = target @ weight.T + bias
    np.testing.assert_allclose(moved.mean(0), source.mean(0), atol=1e-8)
    np.testing.assert_allclose(np.cov(moved.T, bias=True), np.cov(source.T, bias=True), rtol=1e-6, atol=1e-6)


def test_t3a_follows_its_paper(trained: tuple[Fit, Array]) -> None:
    """Iwasawa and Matsuo 2021, algorithm 1, with loops and sorted lists."""
    head = trained[0].head
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
    adapted = adapters.Adapter("t3a", head, target).adapt(target)
    np.testing.assert_allclose(adapted.weight, rows, rtol=1e-4, atol=1e-5)
    assert not adapted.bias.any()
    assert adapted.rejection is None
    assert 0.3 < adapted.probabilities(new).max(1).mean() / head.probabilities(new).max(1).mean() < 1.5


def test_a_shift_is_corrected_and_the_earlier_head_is_unchanged(trained: tuple[Fit, Array]) -> None:
    fit, _ = trained
    new, _ = photos([25] * CLASSES, seed=5, light=1.0)
    asked, truth = photos([200] * CLASSES, seed=6, light=1.0)
    before = accuracy(fit.head, asked, truth)
    kept = fit.head.weight.copy(), fit.head.bias.copy()
    result = adapt(fit.head, fit, new)
    assert before < 0.7
    assert accuracy(result.head, asked, truth) > before + 0.2
    assert result.report.kind in ("mean", "scale", "coral")
    assert result.report.code == "more-similar"
    assert [attempt.kind for attempt in result.report.tried] == list(adapters.KINDS)
    assert all((now == then).all() for now, then in zip((fit.head.weight, fit.head.bias), kept))
    np.testing.assert_array_equal(Head.from_bytes(result.head.to_bytes()).logits(asked), result.head.logits(asked))
    printed = json.loads(json.dumps(to_json(result.report)))
    assert printed["photos"] == printed["tried"][0]["similarity"]["n"] == 100


@pytest.mark.parametrize("kind", ["auto", "mean", "scale", "coral"])
@pytest.mark.parametrize("light", [0.0, 1.0])
def test_photos_of_one_class_are_rejected_by_their_balance(trained: tuple[Fit, Array], kind: str, light: float) -> None:
    fit, x = trained
    new, _ = photos([0, 0, 100, 0], seed=7, light=light)
    asked, truth = photos([0, 0, 100, 0], seed=8)
    harm = adapters.Adapter("mean", fit.head, unit(x)).adapt(unit(photos([0, 0, 100, 0], seed=7)[0]))
    assert accuracy(harm, asked, truth) < accuracy(fit.head, asked, truth) - 0.2
    result = adapt(fit.head, fit, new, kind=kind)  # type: ignore[arg-type]  # one of the kinds
    assert result.head is fit.head
    assert result.report.kind is None
    affine = [attempt for attempt in result.report.tried if attempt.kind != "t3a"]
    assert {result.report.code, *(attempt.code for attempt in affine)} == {"class-balance"}
    assert all(attempt.values["gain"] > attempt.values["limit"] for attempt in affine)
    assert describe_report(result.report) == "not adapted: the class balance differs from training"
    assert advise_report(result.report) == "photograph every class, or pass --same-balance"


def test_with_a_confirmed_balance_the_photos_must_still_become_more_similar(trained: tuple[Fit, Array]) -> None:
    fit, _ = trained
    new, _ = photos([55, 25, 15, 5], seed=18, light=1.0)
    assert adapt(fit.head, fit, new).report.kind is None
    assert adapt(fit.head, fit, new, same_balance=True).report.kind is not None
    assert adapt(fit.head, fit, photos([55, 25, 15, 5], seed=18)[0], same_balance=True).report.kind is None


def test_without_a_shift_nothing_changes(trained: tuple[Fit, Array]) -> None:
    fit, _ = trained
    result = adapt(fit.head, fit, photos([25] * CLASSES, seed=9)[0])
    assert result.head is fit.head
    assert result.report.code in ("no-gain", "less-similar")


def test_labels_of_the_new_photos_decide_first(trained: tuple[Fit, Array]) -> None:
    fit, _ = trained
    uneven, labels = photos([100, 10, 10, 10], seed=10, light=1.0)
    assert adapt(fit.head, fit, uneven, kind="mean").report.kind is None
    labelled = adapt(fit.head, fit, uneven, kind="mean", labels=[label if i % 2 else None for i, label in enumerate(labels)])
    better = labelled.report.tried[0].better
    assert (labelled.report.kind == "mean") == (better.interval[0] > 0.5)
    assert labelled.report.labelled == 65
    alike, truth = photos([0, 100, 0, 0], seed=11)
    rejected = adapt(fit.head, fit, alike, kind="mean", labels=truth).report
    assert (rejected.kind, rejected.code) == (None, "labels-worsen")
    assert rejected.tried[0].better.interval[1] < 0.5


def test_other_objects_are_rejected_even_with_a_confirmed_balance(trained: tuple[Fit, Array]) -> None:
    fit, _ = trained
    head, _, _ = open_set.calibrate(fit)
    assert head.rejection is not None
    random = np.random.default_rng(5)
    others = (-CENTRES[random.integers(0, CLASSES, 80)] + random.normal(0, 0.8, (80, DIM))).astype(np.float32)
    report = adapt(head, fit, others, same_balance=True).report
    assert (report.kind, report.code) == (None, "unfamiliar")
    assert report.tried[0].values["within_reach"].value < report.tried[0].values["needed"]


def test_labels_of_untrained_classes_are_rejected(trained: tuple[Fit, Array]) -> None:
    fit, _ = trained
    new, _ = photos([15] * CLASSES, seed=9, light=1.0)
    report = adapt(fit.head, fit, new, labels=["other"] * len(new)).report
    assert (report.kind, report.code, report.tried[0].values) == (None, "labels-untrained", {"labels": 60})


def test_t3a_needs_labels_that_show_its_gain(trained: tuple[Fit, Array]) -> None:
    fit, _ = trained
    new, labels = photos([25] * CLASSES, seed=12, light=1.0)
    assert adapt(fit.head, fit, new, kind="t3a").report.code == "labels-needed"
    report = adapt(fit.head, fit, new, kind="t3a", labels=labels).report
    assert (report.kind == "t3a") == (report.tried[0].better.interval[0] > 0.5)


def test_the_rejection_is_adapted_and_prediction_sets_are_off(trained: tuple[Fit, Array]) -> None:
    fit, _ = trained
    zero = np.zeros(CLASSES, np.float32)
    rejection = Rejection(
        "distance", fit.head.weight, fit.head.bias, zero, np.zeros((CLASSES, CLASSES), np.float32), -1e9, -1e9, (-1e9,) * 3
    )
    new, _ = photos([25] * CLASSES, seed=13, light=1.0)
    head = dataclasses.replace(fit.head, rejection=rejection, conformal=Conformal(np.zeros(0, np.float32), (0,) * CLASSES))
    result = adapt(head, fit, new)
    assert result.head.rejection is not None
    assert result.head.conformal is None
    assert [warning.code for warning in result.report.warnings] == ["rejection-adapted", "sets-off"]
    assert (result.report.warnings[0].before, result.report.warnings[0].after) == (Proportion(100, 100), Proportion(100, 100))
    assert adapt(fit.head, fit, new).report.warnings == ()


def test_one_photo_per_class_is_too_few_to_adapt() -> None:
    x, labels = photos([1] * CLASSES, seed=14)
    learner = Learner(DIM)
    learner.add(np.arange(len(x)), x, labels)
    fit = learner.fit()
    report = adapt(fit.head, fit, photos([20] * CLASSES, seed=15)[0]).report
    assert report.kind is report.balance_gain is None
    assert report.code == "too-few-trained"


def test_photos_that_cannot_be_used_are_errors(trained: tuple[Fit, Array]) -> None:
    fit, _ = trained
    new, _ = photos([25] * CLASSES, seed=16)
    for bad, error, code in [
        (new[:1], TrainError, "too-few-photos"),
        (np.repeat(new[:1], 50, 0), TrainError, "photos-equal"),
        (np.zeros_like(new), TrainError, "photos-equal"),
        (new[:, :-1], HeadError, "embedding-shape"),
        (np.where(np.arange(DIM) == 3, np.nan, new), HeadError, "embedding-not-finite"),
    ]:
        with pytest.raises(error) as raised:
            adapt(fit.head, fit, bad)
        assert raised.value.code == code
    with pytest.raises(TrainError) as raised:
        adapt(fit.head, fit, new, labels=["class 0"] * 99)
    assert (raised.value.code, raised.value.values) == ("labels-do-not-match", {"labels": 99, "photos": 100})
    with pytest.raises(TrainError) as raised:
        adapt(fit.head, fit, new, kind="magic")  # type: ignore[arg-type]  # that is the fault
    assert (raised.value.code, raised.value.values["adapter"]) == ("adapter-unknown", "magic")


def test_every_decision_has_words() -> None:
    better, similarity = Proportion(9, 10), Mean(0.3, (0.2, 0.4), 50)
    values = {"labels": 3, "within_reach": Proportion(1, 50), "needed": 0.5, "gain": 0.2, "limit": 0.03}
    for code in get_args(AttemptCode):
        attempt = Attempt("mean", code in ACCEPTED, code, values, Proportion(1, 50), similarity, better)
        assert describe_attempt(attempt)
        assert describe_report(AdaptReport("mean" if attempt.accepted else None, code, 50, 0, None, (attempt,), ()))
    assert all(describe_warning(AdaptWarning(code)) for code in ("sets-off", "rejection-off", "rejection-adapted"))


def test_the_mixture_is_that_of_scipys_normal_distributions() -> None:
    random = np.random.default_rng(17)
    classes = np.repeat(np.arange(3), [40, 30, 20])
    held = random.normal(0, 2, (3, 3))[classes] + random.normal(size=(90, 3)) @ random.normal(size=(3, 3))
    mixture = Mixture.fit(held, classes)
    assert mixture is not None
    basis = np.array([[1, -1, 0], [1, 1, -2]]).T / np.sqrt([2, 6])
    rows, new = held @ basis, random.normal(0, 3, (50, 3))
    means = [rows[classes == k].mean(0) for k in range(3)]
    scatter = sum((rows[classes == k] - means[k]).T @ (rows[classes == k] - means[k]) for k in range(3)) / 87
    shrunk = 0.95 * scatter + 0.05 * np.trace(scatter) / 2 * np.eye(2)
    density = sum(share * multivariate_normal(mean, shrunk).pdf(new @ basis) for share, mean in zip((4 / 9, 3 / 9, 2 / 9), means))
    likelihood = mixture.likelihood(new)
    np.testing.assert_allclose(likelihood - likelihood[0], np.log(density) - np.log(density[0]), rtol=1e-6, atol=1e-8)
    moved = held + random.normal(0, 5, 3)
    assert mixture.balance_gain(moved) == pytest.approx(mixture.balance_gain(held), abs=0.01)
    assert mixture.balance_gain(moved[classes == 0]) > 0.1 > mixture.balance_gain(moved)
    assert Mixture.fit(held[:71], classes[:71]) is None


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), zeros=st.integers(0, 40), huge=st.booleans())
def test_odd_embeddings_give_finite_heads_and_numbers(trained: tuple[Fit, Array], seed: int, zeros: int, huge: bool) -> None:
    fit, x = trained
    random = np.random.default_rng(seed)
    new = (random.normal(0, 1, (50, DIM)) * (1e15 if huge else 1e-15)).astype(np.float32)
    new[:zeros] = 0
    new[:, seed % DIM] = 0
    for kind in adapters.KINDS:
        adapted = adapters.Adapter(kind, fit.head, unit(x)).adapt(unit(new))
        assert np.isfinite(adapted.weight).all()
        assert np.isfinite(adapted.bias).all()
        assert adapted.temperature > 0
    json.dumps(to_json(adapt(fit.head, fit, new).report), allow_nan=False)


FAINT = {"a": (110, 100, 100), "b": (130, 120, 90), "c": (100, 130, 120), "d": (90, 100, 140)}


def faint(label: str, seed: int, warmth: int = 0) -> bytes:
    """A photo of one of four faint colours, in light of so many levels more red and less blue."""
    photo = picture(colour=FAINT[label], seed=seed)
    return encoded(Image.fromarray(np.clip(np.asarray(photo) + np.array([warmth, 0, -warmth]), 0, 255).astype(np.uint8)))


def test_adapting_adds_a_head_and_rollback_undoes_it(classifier: Classifier) -> None:
    classifier.add_many([(faint(label, seed), label) for label in FAINT for seed in range(20)])
    classifier.train()
    before = classifier.heads()
    asked = [(faint(label, 100 + seed, warmth=30), label) for label in FAINT for seed in range(20)]
    cold = classifier.evaluate(asked).accuracy
    report = classifier.adapt([(faint(label, seed, warmth=30), "not known") for label in FAINT for seed in range(30, 50)])
    assert report.kind is not None, report.code
    assert classifier.evaluate(asked).accuracy.value > cold.value + 0.2
    assert len(classifier.heads()) == len(before) + 1
    classifier.rollback()
    assert classifier.evaluate(asked).accuracy == cold
    assert classifier.adapt([(faint("a", seed), "not known") for seed in range(50)]).kind is None
    assert len(classifier.heads()) == len(before) + 1
