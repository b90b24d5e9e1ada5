"""Open-set rejection: scores as a refit gives them, and an estimate that holds for classes truly held back."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import encoded, picture
from raising import raises
from safetensors.numpy import save as safetensors
from scipy.stats import t as student
from sklearn.metrics import roc_auc_score

from edgetl import Classifier
from edgetl.bundle.background import pack, unpack
from edgetl.bundle.bundle import Bundle
from edgetl.cli import main
from edgetl.errors import BundleError, ExportError, HeadError, TrainError
from edgetl.heads import Fit, Head, Learner
from edgetl.heads.confidence.acceptance import RejectionReport
from edgetl.heads.confidence.limits import FEW, set_limits_beside
from edgetl.heads.confidence.rejection import POINTS, SCORES, Rejected
from edgetl.heads.leave_class_out import LeaveClassOut
from edgetl.heads.open_set import calibrate
from edgetl.heads.scoring import auroc, make_rejection, prepare, score_photos
from edgetl.heads.text import rejection_details, rejection_text
from edgetl.runtimes import fake
from edgetl.session import deployment
from edgetl.stats import Mean
from edgetl.types import to_json

DIM = 24


def fitted(photos: dict[str, np.ndarray], kind: str = "lda", order: np.ndarray | None = None) -> Fit:
    learner, x = Learner(len(next(iter(photos.values()))[0])), np.concatenate(list(photos.values()))
    labels = [label for label, rows in photos.items() for _ in rows]
    order = np.arange(len(x)) if order is None else order
    learner.add(order, x[order], [labels[i] for i in order])
    return learner.fit(kind, single=True)  # type: ignore[arg-type]  # every kind is tried


def world(seed: int, classes: int, spread: float = 1.0) -> tuple[np.ndarray, np.random.Generator]:
    """Class centres, and where to draw photos from: class directions lie in a part of the space, as they do in embeddings."""
    rng = np.random.default_rng(seed)
    return np.pad(rng.standard_normal((classes, DIM // 2)), ((0, 0), (0, DIM // 2))) * spread, rng


def drawn(centre: np.ndarray, rng: np.random.Generator, n: int) -> np.ndarray:
    return (centre + rng.standard_normal((n, DIM)) * np.linspace(1, 0.3, DIM)).astype(np.float32)


scored = st.lists(st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0]), min_size=1, max_size=30)


@given(scored, scored)
def test_auroc_is_scikit_learns(known: list[float], unknown: list[float]) -> None:
    values = np.maximum(np.array(known + unknown), -1e9)
    expected = roc_auc_score([1] * len(known) + [0] * len(unknown), values)
    assert auroc(np.array(known), np.array(unknown)) == pytest.approx(expected)


@given(st.integers(2, 40), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_the_interval_over_classes_is_students(n: int, seed: int) -> None:
    values = np.random.default_rng(seed).beta(20, 5, n)
    mean = Mean.estimate_shares(values)
    half = student.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n)
    expected = (max(0, values.mean() - half), min(1, values.mean() + half)) if n > 2 else (0, 1)
    np.testing.assert_allclose(mean.interval, expected, atol=0.01 * (half if n > 2 else 1) + 1e-9)


def by_definition(
    new: np.ndarray, photos: np.ndarray, classes: np.ndarray, alpha: float, ground: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Relative Mahalanobis distance, margin and distance of new photos [m, d], by inverting the scatter of the training photos.

    The total scatter, and its mean, is that of the photos and the ground [k, d].
    """
    new, photos = new.astype(np.float64), photos.astype(np.float64)
    present = [photos[classes == k] for k in np.unique(classes)]
    means = np.array([rows.mean(0) for rows in present])
    within = sum((rows - rows.mean(0)).T @ (rows - rows.mean(0)) for rows in present)
    everything = photos if ground is None else np.concatenate([photos, ground])
    centred = everything - everything.mean(0)
    inside, total = (np.linalg.inv(part + alpha * np.eye(photos.shape[1])) for part in (within, centred.T @ centred))
    near = np.sort([np.einsum("md,de,me->m", new - mean, inside, new - mean) for mean in means], 0)
    return {
        "mahalanobis": np.einsum("md,de,me->m", new - everything.mean(0), total, new - everything.mean(0)) - near[0],
        "margin": (near[-1 if len(near) < 2 else 1] - near[0]) / 2,
        "distance": (new @ means.T - np.square(means).sum(1) / 2).max(1),
    }


@pytest.mark.parametrize("drop", [None, 0, 1, 2, 3])
def test_scores_without_a_burst_and_without_a_class_are_those_of_a_refit(drop: int | None) -> None:
    centres, rng = world(1, 4)
    photos = {f"c{i}": drawn(centre, rng, 7) for i, centre in enumerate(centres)}
    for rows in photos.values():
        rows[1:3] = rows[0] * rng.uniform(0.9, 1.1, (2, 1)) + rng.standard_normal((2, DIM)) * 0.01
    view = fitted(photos).whole.view
    rows = np.unique(view.bursts, return_index=True)[1]
    assert len(rows) == 4 * 5
    values = score_photos(LeaveClassOut(view, rows).without(drop), 1.0, np.zeros(4, bool), -np.inf)
    for i, row in enumerate(rows):
        left = (view.bursts != view.bursts[row]) & (view.classes != (-1 if drop is None else drop))
        for score, value in by_definition(view.x[[row]], view.x[left], view.classes[left], view.alpha).items():
            assert values[score][i] == pytest.approx(value[0], rel=1e-3, abs=1e-3), (score, i)  # type: ignore[index]  # a str of SCORES


@pytest.mark.parametrize("kind", ["lda", "ridge", "ncm"])
def test_the_head_scores_a_new_photo_by_the_definition(kind: str) -> None:
    centres, rng = world(2, 6, 3.0)
    fit = fitted({f"c{i}": drawn(centre, rng, 25) for i, centre in enumerate(centres)}, kind)
    head, report, _ = calibrate(fit)
    assert head.rejection is not None
    assert report.score == "mahalanobis"
    view, x = prepare(fit), drawn(centres[3], rng, 5)
    unit = normalised(x)
    expected = by_definition(unit, view.x, view.classes, view.whitening.alpha)["mahalanobis"]
    np.testing.assert_allclose([head.rejection.measure(row) for row in unit], expected, rtol=1e-3, atol=1e-3)


def test_the_estimate_holds_for_classes_truly_held_back_and_the_best_score_is_taken() -> None:
    truths, estimates, best, accepted, late = [], [], [], [], []
    for seed in range(12):
        centres, rng = world(seed, 8, 0.8)
        fit = fitted({f"c{i}": drawn(centre, rng, 30) for i, centre in enumerate(centres[:-1])})
        head, report, _ = calibrate(fit)
        known, unknown = (measured(fit, np.concatenate([drawn(c, rng, 60) for c in part])) for part in (centres[:-1], centres[-1:]))
        areas = [auroc(known[score], unknown[score]) for score in SCORES]
        assert report.score is not None
        assert report.false_accept is not None
        truths.append(areas[SCORES.index(report.score)])
        best.append(areas)
        estimates.append(report.auroc[report.score].value)
        if head.rejection is not None and report.reliable:
            accepted.append((known[report.score] >= head.rejection.threshold).mean())
            late.append((unknown[report.score] >= head.rejection.threshold).mean() - report.false_accept.value)
    assert abs(np.mean(truths) - np.mean(estimates)) < 0.05
    assert np.mean(truths) >= np.mean(best, 0).max() - 0.01
    assert len(accepted) > 6
    assert np.mean(accepted) == pytest.approx(0.95, abs=0.02)
    assert -0.15 < np.mean(late) < 0.05  # with a class less to be mistaken for, the estimate is the cautious one


def normalised(x: np.ndarray) -> np.ndarray:
    """Power normalisation, then L2."""
    roots: np.ndarray = np.sign(x) * np.sqrt(np.abs(x))
    return roots / np.linalg.norm(roots, axis=1, keepdims=True)


def measured(fit: Fit, photos: np.ndarray) -> dict[str, np.ndarray]:
    unit, view = normalised(photos), prepare(fit)
    return {"probability": fit.head.probabilities(photos).max(1), **by_definition(unit, view.x, view.classes, view.alpha)}


def only_what_is_far_is_rejected(head: Head, report: RejectionReport, code: str, reason: str) -> None:
    assert (report.code, report.reason) == (code, reason)
    if head.rejection is not None:
        assert (head.rejection.score, head.rejection.threshold) == ("distance", head.rejection.reach)
        assert report.coverage.value >= 0.98
    assert rejection_text(report)
    assert all(rejection_details(report))
    to_json(report)


@pytest.mark.parametrize(
    ("classes", "each", "code", "reason", "eligible", "photos"),
    [
        (2, 40, "cannot-measure", "few-classes", 2, 80),
        (3, 40, "unreliable", "few-classes", 3, 120),
        (10, 2, "cannot-measure", "few-photos-per-class", 0, 20),
        (4, 4, "cannot-measure", "few-photos", 4, 16),
        (30, 1, "cannot-measure", "few-photos", 0, 0),
    ],
)
def test_too_few_photos_or_classes_are_reported(classes: int, each: int, code: str, reason: str, eligible: int, photos: int) -> None:
    centres, rng = world(3, classes, 2.0)
    head, report, _ = calibrate(fitted({f"c{i}": drawn(centre, rng, each) for i, centre in enumerate(centres)}))
    only_what_is_far_is_rejected(head, report, code, reason)
    assert (report.trained, report.eligible, report.photos) == (classes, eligible, photos)


def test_classes_that_cannot_be_told_apart_reject_nothing() -> None:
    centres, rng = world(4, 8, 0.0)
    head, report, _ = calibrate(fitted({f"c{i}": drawn(centre, rng, 30) for i, centre in enumerate(centres)}))
    only_what_is_far_is_rejected(head, report, "unreliable", "low-auroc")
    assert report.score is not None
    assert abs(report.auroc[report.score].value - 0.5) < 0.15


@pytest.mark.parametrize("classes", [2, 6])
def test_what_is_far_from_everything_gets_no_label_even_with_two_classes(classes: int) -> None:
    centres, rng = world(8, classes, 1.5)
    head, report, _ = calibrate(fitted({f"c{i}": drawn(centre, rng, 40) for i, centre in enumerate(centres)}))
    assert head.rejection is not None
    assert report.photos >= 60
    for x in drawn(-3 * centres.mean(0) + 4 * (np.arange(DIM) == DIM - 1), rng, 50):
        rejected = head.decide(x)[1]
        assert rejected is not None
        assert (rejected.code, rejected.score, rejected.limit) == ("unknown-object", "distance", head.rejection.reach)
        assert rejected.value is not None
        assert rejected.value < head.rejection.reach
    known = np.concatenate([drawn(centre, rng, 200) for centre in centres])
    assert np.mean([head.decide(x)[1] is not None for x in known]) < 0.08


def test_a_reject_class_is_neither_left_out_nor_known_and_rejects_its_like() -> None:
    centres, rng = world(5, 7, 2.0)
    photos = {("Background" if i == 6 else f"c{i}"): drawn(centre, rng, 30) for i, centre in enumerate(centres)}
    head, report, _ = calibrate(fitted(photos))
    assert report.reliable
    assert (report.classes, report.photos) == (6, 180)
    probabilities, rejected = head.decide(drawn(centres[6], rng, 1)[0])
    assert head.labels[int(probabilities.argmax())] == "Background"
    assert rejected == Rejected("reject-class")
    three = {label: rows for label, rows in photos.items() if label in ("c0", "c1", "Background")}
    only_what_is_far_is_rejected(*calibrate(fitted(three))[:2], "cannot-measure", "few-classes")


def test_the_order_in_which_photos_came_changes_nothing() -> None:
    centres, rng = world(6, 5, 3.0)
    photos = {f"c{i}": drawn(centre, rng, 60) for i, centre in enumerate(centres)}
    first, other = (calibrate(fitted(photos, "lda", order)) for order in (np.arange(300), rng.permutation(300)))
    assert first[1].coverage == other[1].coverage
    assert first[1].auroc["mahalanobis"].value == pytest.approx(other[1].auroc["mahalanobis"].value, abs=1e-9)
    assert first[0].rejection is not None
    assert other[0].rejection is not None
    assert first[0].rejection.threshold == pytest.approx(other[0].rejection.threshold, rel=1e-6)
    np.testing.assert_allclose(first[0].rejection.weight, other[0].rejection.weight, rtol=1e-4, atol=1e-4)


def test_near_duplicates_count_once_and_those_under_two_labels_not_at_all() -> None:
    centres, rng = world(9, 4, 2.0)
    x = np.concatenate([drawn(centre, rng, 12) for centre in centres])
    labels = np.repeat(["a", "b", "c", "d"], 12)
    x[1], x[13], x[24] = x[0], x[12], x[11]  # two frames of one photo of a, of b, and one of a that is also called c
    learner = Learner(DIM)
    learner.add(np.arange(48), x, list(labels))
    fit = learner.fit("lda")
    mixed = {burst for burst in fit.bursts if len(set(np.array(fit.truth)[fit.bursts == burst])) > 1}
    assert mixed
    assert calibrate(fit)[1].photos == len(set(fit.bursts) - mixed)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["lda", "ridge", "ncm"])
@pytest.mark.parametrize(
    "case", ["all equal", "all zero", "one constant class", "classes of one photo", "1:100", "more than are looked at"]
)
def test_odd_photos_give_a_report_without_nan(case: str, kind: str) -> None:
    centres, rng = world(7, 5, 3.0)
    photos = {f"c{i}": drawn(centre, rng, 8) for i, centre in enumerate(centres)}
    if case.startswith("all"):
        photos = {label: np.full_like(rows, case == "all equal") for label, rows in photos.items()}
    elif case == "one constant class":
        photos["c0"][:] = photos["c0"][0]
    elif case == "classes of one photo":
        photos = {label: rows[: 1 if label < "c3" else 8] for label, rows in photos.items()}
    elif case == "1:100":
        photos["c0"] = drawn(centres[0], rng, 800)
    else:
        photos = {label: drawn(centre, rng, 120) for label, centre in zip(photos, centres)}
    head, report, _ = calibrate(fitted(photos, kind))
    for mean in report.auroc.values():
        assert 0 <= mean.interval[0] <= mean.value <= mean.interval[1] <= 1
    assert rejection_text(report)
    x = drawn(centres[1], rng, 1)[0]
    assert np.isfinite(Head.from_bytes(head.to_bytes()).decide(x)[0]).all()


@pytest.mark.parametrize("each", [3, 30, 150], ids=["span of few", "span of all", "factored"])
@pytest.mark.parametrize("classes", [1, 2, 4])
def test_with_a_background_scores_are_those_of_a_refit_for_one_class_too(classes: int, each: int) -> None:
    centres, rng = world(11, classes, 2.0)
    fit = fitted({f"c{i}": drawn(centre, rng, each) for i, centre in enumerate(centres)})
    view = prepare(fit)
    ground, others = normalised(rng.standard_normal((9, DIM)).astype(np.float32)), normalised(drawn(centres[0] + 1, rng, 5))
    space, rows = view.whitening, np.unique(view.bursts, return_index=True)[1][:20]
    model = LeaveClassOut(view, rows, space.locate_outside(ground), space.locate_outside(others))
    for drop in (None, 0) if classes > 1 else (None,):
        values = score_photos(model.without(drop), 1.0, np.zeros(classes, bool), -np.inf)["mahalanobis"]
        there = view.classes != (-1 if drop is None else drop)
        for score, row in zip(values, rows):
            left = there & (view.bursts != view.bursts[row])
            expected = by_definition(view.x[[row]], view.x[left], view.classes[left], view.alpha, ground)["mahalanobis"][0]
            assert score == pytest.approx(expected, rel=2e-3, abs=2e-3)
        expected = by_definition(others, view.x[there], view.classes[there], view.alpha, ground)["mahalanobis"]
        np.testing.assert_allclose(values[len(rows) :], expected, rtol=2e-3, atol=2e-3)
    rejection = make_rejection(view, "mahalanobis", 1.0, 0.0, -np.inf, (0.0,) * 3, model)
    expected = by_definition(others, view.x, view.classes, view.alpha, ground)["mahalanobis"]
    np.testing.assert_allclose([rejection.measure(x) for x in others], expected, rtol=2e-3, atol=2e-3)
    assert rejection.classes == classes


def far_away(rng: np.random.Generator, n: int = 200) -> np.ndarray:
    """Photos of many different things."""
    return (2 * rng.standard_normal((n, DIM))).astype(np.float32)


@pytest.mark.parametrize("classes", [1, 2, 3, 6])
def test_with_a_background_six_photos_of_one_class_reject_unrelated_objects(classes: int) -> None:
    centres, rng = world(12, classes, 3.0)
    photos = {f"c{i}": drawn(centre, rng, max(3, 6 // classes)) for i, centre in enumerate(centres)}
    head, report, _ = calibrate(fitted(photos), far_away(rng))
    assert head.rejection is not None
    known, unrelated = np.concatenate([drawn(centre, rng, 100) for centre in centres]), far_away(rng, 300)
    shares = [[np.mean([not head.decide(x, point)[1] for x in part]) for point in POINTS] for part in (known, unrelated)]
    assert shares[0][1] > 0.8
    assert shares[1][1] < 0.1
    assert all(np.diff(share).min() >= 0 for share in shares)
    assert head.rejection.limits == tuple(sorted(head.rejection.limits, reverse=True))
    assert report.unrelated_accept.n == 136
    assert report.unrelated_accept.interval[0] - 0.02 <= shares[1][1] <= report.unrelated_accept.interval[1] + 0.02
    assert (report.false_accept is None) == (classes == 1)
    assert report.code == ("unrelated-only" if classes < 4 else "reliable")
    again = Head.from_bytes(head.to_bytes())
    assert again.decide(known[0], "strict")[1] == head.decide(known[0], "strict")[1]
    strict = calibrate(fitted(photos), far_away(np.random.default_rng(1)), "strict")[0]
    assert strict.rejection is not None
    assert strict.rejection.threshold == strict.rejection.limit("strict")


@pytest.mark.parametrize(
    ("n", "normal"), [(2, (0.85, 0.95, 0.99)), (3, (0.85, 0.95, 0.99)), (12, (0.85, 0.95, 0.99)), (30, (None, 0.95, 0.99))]
)
def test_thresholds_are_students_tail_or_the_place_among_enough_scores(n: int, normal: tuple[float | None, ...]) -> None:
    rng = np.random.default_rng(n)
    known, far = rng.standard_normal(n), 0.5 * rng.standard_normal(136) - 20
    spread = np.sqrt((((known - known.mean()) ** 2).sum() + 8 * (0.5 * far.std()) ** 2) / (n - 1 + 8) * (1 + 1 / n))
    expected = [np.sort(known)[3] if p is None else known.mean() - student.ppf(p, n - 1 + 8) * spread for p in normal]
    np.testing.assert_allclose(set_limits_beside(far, known, n < FEW), expected, rtol=1e-6)


def test_thresholds_rise_where_the_background_would_get_a_label() -> None:
    known, far = np.array([-1.0, 0.0, 1.0]), np.linspace(-3, 1.5, 136)
    limits = set_limits_beside(far, known, few=True)
    apart = set_limits_beside(far - 100, known, few=True)
    assert limits[0] == known.mean()  # half of the known photos are kept
    assert limits[0] > limits[1] > limits[2]
    assert all(limit > other for limit, other in zip(limits, apart))
    assert set_limits_beside(far, known[:0], few=True)[1] > np.quantile(far, 0.94)
    assert set(set_limits_beside(np.full(50, -1.0), np.zeros(3), few=True)) == {0.0}


def test_three_photos_of_one_class_do_not_reject_most_others_and_the_points_differ() -> None:
    shares = []
    for seed in range(20):
        centres, rng = world(seed, 1, 3.0)
        head, report, calibration = calibrate(fitted({"part": drawn(centres[0], rng, 3)}, "auto"), far_away(rng))
        assert (report.code, report.false_accept, calibration) == ("unrelated-only", None, None)
        assert head.rejection is not None
        strict, balanced, lenient = head.rejection.limits
        assert strict > balanced > lenient
        known = head.normalise(drawn(centres[0], rng, 100))
        shares.append([np.mean([head.rejection.measure(x) >= head.rejection.limit(point) for x in known]) for point in POINTS])
    assert np.min(shares, 0)[1] > 0.5
    assert np.mean(shares, 0)[1] > 0.85


def test_photos_like_a_reject_class_count_in_the_thresholds_beside_a_background() -> None:
    known = np.array([-np.inf, -np.inf, *range(38)], np.float64)
    strict, balanced, lenient = set_limits_beside(np.full(50, -100.0), known, few=False)
    assert strict == np.sort(known)[5]
    assert balanced == np.nextafter(-100, 0)  # the second lowest is one of those, so it is the background that sets it
    assert lenient == balanced
    centres, rng = world(5, 3, 2.0)
    photos = {label: drawn(centre, rng, 10) for label, centre in zip(("a", "b", "none"), centres)}
    head, report, _ = calibrate(fitted(photos), far_away(rng))
    assert head.rejection is not None
    assert np.isfinite(head.rejection.limits).all()
    assert report.photos == 20
    assert report.unrelated_accept.value < 0.1


def test_one_class_has_no_choice_of_algorithms_and_no_warning_of_guessing() -> None:
    centres, rng = world(12, 1, 3.0)
    fit = fitted({"part": drawn(centres[0], rng, 12)}, "auto")
    assert (fit.kind, fit.candidates, fit.warnings) == ("lda", {}, ())


@pytest.mark.parametrize("hard", [False, True], ids=["photos alike", "some photos harder"])
def test_the_background_leaves_the_score_if_rejection_is_better_without_it(hard: bool) -> None:
    """Where some photos are far from everything, the scatter of the classes alone says so, and a wide background hides it."""
    centres, rng = world(0, 8, 0.8)
    photos = {}
    for i, centre in enumerate(centres + 0.7 * hard):
        scale = np.exp(0.7 * hard * rng.standard_normal((60, 1)))
        photos[f"c{i}"] = (centre + scale * rng.standard_normal((60, DIM)) * np.linspace(1, 0.3, DIM)).astype(np.float32)
    fit = fitted(photos)
    head, report, _ = calibrate(fit, far_away(rng))
    assert head.rejection is not None
    assert (len(head.rejection.offset) > 8) == (not hard)
    if hard:
        assert report.points["balanced"].background.value <= 0.05
        assert report.auroc["mahalanobis"].value == pytest.approx(calibrate(fit)[1].auroc["mahalanobis"].value, abs=1e-6)


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_a_background_that_shows_what_is_trained_does_not_reject_it(share: float) -> None:
    centres, rng = world(13, 2, 3.0)
    photos = {f"c{i}": drawn(centre, rng, 15) for i, centre in enumerate(centres)}
    mixed = far_away(rng)
    mixed[: int(share * len(mixed))] = np.concatenate([drawn(centres[k % 2], rng, 1) for k in range(int(share * len(mixed)))])
    head, report, _ = calibrate(fitted(photos), mixed[rng.permutation(len(mixed))])
    assert report.near > 0.9 * share * len(mixed)
    assert (report.background, report.code) == (0, "cannot-measure") if share == 1 else report.background > 80
    known = np.concatenate([drawn(centre, rng, 100) for centre in centres])
    assert np.mean([not head.decide(x)[1] for x in known]) > 0.9


def test_an_operating_point_is_one_of_three() -> None:
    centres, rng = world(14, 5, 3.0)
    fit = fitted({f"c{i}": drawn(centre, rng, 30) for i, centre in enumerate(centres)})
    head, report, _ = calibrate(fit)
    assert head.rejection is not None
    assert list(report.points) == list(POINTS)
    assert np.diff([rates.coverage.value for rates in report.points.values()]).min() >= 0
    with raises(TrainError, "unknown-operating-point", point="loose"):
        calibrate(fit, None, "loose")  # type: ignore[arg-type]
    with raises(HeadError, "unknown-operating-point", point="loose"):
        head.rejection.limit("loose")  # type: ignore[arg-type]
    assert head.rejection.limit() == head.rejection.threshold


@pytest.fixture
def brought(tmp_path: Path) -> Path:
    """A fake bundle with a background of noise, of another colour each."""
    rng = np.random.default_rng(3)
    noise = (rng.integers(0, 256, (150, 1, 1, 3)) * rng.uniform(0, 1, (150, 32, 32, 1))).astype(np.uint8)
    return fake.write_bundle(str(tmp_path / "brought.edgetl"), encoded(picture(seed=9)), background=noise).path


def test_the_store_keeps_the_bundles_background_and_one_class_is_enough_to_train(brought: Path, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "parts.db"
    with Classifier.open(brought, path) as classifier:
        classifier.add_many(folder / "red", label="red")
        kept = classifier.store.background()
        variant = Bundle.open(brought).variants["fake-fp32"]
        assert classifier.store.background_digest() == variant.background.sha256  # type: ignore[union-attr]
        np.testing.assert_allclose(kept, Bundle.open(brought).background(variant), rtol=1e-5, atol=1e-5)
    with Classifier.open_store(path) as classifier:  # training needs no bundle
        report = classifier.train(unknown="lenient")
        assert report.active
        assert (report.rejection.code, report.rejection.point, report.rejection.background) == ("unrelated-only", "lenient", 150)
        assert report.accuracy == report.rejection.coverage
        assert (report.calibration, report.candidates, report.warnings) == (None, {}, ())
    photos = [str(folder / colour / "0.jpg") for colour in ("red", "blue")]
    shown = CliRunner().invoke(main, ["predict", "-m", str(brought), "-s", str(path), *photos])
    assert shown.stdout.splitlines() == [f"{photos[0]}  red", f"{photos[1]}  unknown"]
    with Classifier.open(brought, path) as classifier:
        assert classifier.predict(folder / "red" / "0.jpg").label == "red"
        assert classifier.predict(folder / "blue" / "0.jpg").label is None
        assert classifier.train().rejection.point == "lenient"  # remembered
        classifier.add_many(folder / "blue", label="blue")
        assert classifier.train(unknown="strict").active
        gone = classifier.forget(label="blue")
        assert gone.head_id is not None
        assert (gone.difference, gone.traces) == (pytest.approx(0, abs=1e-5), 0)
        assert classifier.store.head_report(gone.head_id)["unknown"] == "strict"


def test_one_class_needs_a_background_and_cannot_become_a_classifier_file(
    brought: Path, bundle: Path, folder: Path, tmp_path: Path
) -> None:
    with Classifier.open(bundle, tmp_path / "without.db") as classifier:
        classifier.add_many(folder / "red", label="red")
        assert classifier.store.background_digest() is None
        with raises(TrainError, "one-class", label="red"):
            classifier.train()
    with Classifier.open(brought, tmp_path / "with.db") as classifier:
        classifier.add_many(folder / "red", label="red")
        classifier.train()
        with pytest.raises(ExportError, match=r"one class, 'red'"):
            deployment.active_head(classifier.store)
        classifier.store.set_background("ef" * 32, classifier.store.samples().embeddings[np.arange(80) % 6])
        with raises(TrainError, "background-too-similar", label="red", near=80, background=80):
            classifier.train()


def test_a_changed_background_is_detected_and_a_malformed_one_is_an_error(brought: Path, tmp_path: Path) -> None:
    opened = Bundle.open(brought)
    variant = opened.variants["fake-fp32"]
    assert variant.background is not None
    with zipfile.ZipFile(brought) as file:
        file.extractall(tmp_path / "open")
    place = tmp_path / "open" / variant.background.path
    place.write_bytes(place.read_bytes()[:-1] + b"!")
    for read in (lambda b: b.background(variant), Bundle.verify):
        with pytest.raises(BundleError, match=r"background/fake-fp32\.safetensors has changed"):
            read(Bundle.open(tmp_path / "open"))
    rows = np.random.default_rng(0).standard_normal((5, 7)).astype(np.float32)
    np.testing.assert_allclose(unpack(pack(rows), 7), rows, atol=np.abs(rows).max() / 254 * 1.001)
    for content, dim, why in ((b"no", 7, "header"), (pack(rows), 8, "expected int8"), (safetensors({"values": rows}), 7, "scales")):
        with pytest.raises(ValueError, match=why):
            unpack(content, dim)


@pytest.mark.slow
def test_of_eight_digits_two_others_are_rejected_more_often_and_flowers_always(lite0: Path, data: Path, tmp_path: Path) -> None:
    digits = {str(k): sorted((data / "sign-digits" / str(k)).glob("*.*"))[::4] for k in range(10)}
    flowers = sorted((data / "flowers").glob("*/*.jpg"))[::200]
    with Classifier.open(lite0, tmp_path / "parts.db", variant="tflite-int8") as classifier:
        classifier.add_many([(photo, label) for label, photos in digits.items() if label not in "36" for photo in photos[:30]])
        report = classifier.train().rejection
        known = [classifier.predict(photo) for label, photos in digits.items() if label not in "36" for photo in photos[30:42]]
        unknown = [classifier.predict(photo) for label in "36" for photo in digits[label][:42]]
        assert all(classifier.predict(photo).label is None for photo in flowers)
    assert report.code == "unreliable"  # two of three digits that were left out get a label, and so do the two that were never trained
    assert report.score == "mahalanobis"
    assert report.auroc["mahalanobis"].interval[0] > 0.7
    assert report.false_accept is not None
    assert report.false_accept.interval[0] < np.mean([guess.label is not None for guess in unknown]) < report.false_accept.interval[1]
    assert np.mean([guess.label is None for guess in known]) < 0.12
    assert np.mean([guess.label is None for guess in unknown]) > 0.25
    for answer in unknown:
        if answer.label is None:
            assert answer.code == "unknown-object"
            assert answer.score is not None
            assert answer.limit is not None
            assert answer.score < answer.limit
