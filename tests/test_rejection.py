"""What is like nothing taught: scores as a refit gives them, an estimate that holds for classes truly held back, and plain refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student
from sklearn.metrics import roc_auc_score

from edgetl import Classifier
from edgetl.heads import Fit, Head, Learner
from edgetl.heads.absence import Absence
from edgetl.heads.rejection import SCORES
from edgetl.heads.unknowns import ClassMean, RejectionReport, auroc, calibrate, scores, state
from edgetl.types import to_json

DIM = 24


def taught(photos: dict[str, np.ndarray], kind: str = "lda", order: np.ndarray | None = None) -> Fit:
    learner, x = Learner(len(next(iter(photos.values()))[0])), np.concatenate(list(photos.values()))
    labels = [label for label, rows in photos.items() for _ in rows]
    order = np.arange(len(x)) if order is None else order
    learner.add(order, x[order], [labels[i] for i in order])
    return learner.fit(kind)  # type: ignore[arg-type]  # every kind is tried


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
    made = ClassMean.of(values)
    half = student.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n)
    expected = (max(0, values.mean() - half), min(1, values.mean() + half)) if n > 2 else (0, 1)
    np.testing.assert_allclose(made.interval, expected, atol=0.01 * (half if n > 2 else 1) + 1e-9)


def by_definition(new: np.ndarray, photos: np.ndarray, classes: np.ndarray, alpha: float) -> dict[str, np.ndarray]:
    """Relative Mahalanobis distance, margin and distance of new photos [m, d], by inverting the scatter of those taught."""
    new, photos = new.astype(np.float64), photos.astype(np.float64)
    present = [photos[classes == k] for k in np.unique(classes)]
    means = np.array([rows.mean(0) for rows in present])
    within = sum((rows - rows.mean(0)).T @ (rows - rows.mean(0)) for rows in present)
    centred = photos - photos.mean(0)
    inside, total = (np.linalg.inv(part + alpha * np.eye(photos.shape[1])) for part in (within, centred.T @ centred))
    near = np.sort([np.einsum("md,de,me->m", new - mean, inside, new - mean) for mean in means], 0)
    return {
        "mahalanobis": np.einsum("md,de,me->m", new - photos.mean(0), total, new - photos.mean(0)) - near[0],
        "margin": (near[1] - near[0]) / 2,
        "distance": (new @ means.T - np.square(means).sum(1) / 2).max(1),
    }


@pytest.mark.parametrize("drop", [None, 0, 1, 2, 3])
def test_scores_without_a_burst_and_without_a_class_are_those_of_a_refit(drop: int | None) -> None:
    centres, rng = world(1, 4)
    photos = {f"c{i}": drawn(centre, rng, 7) for i, centre in enumerate(centres)}
    for rows in photos.values():
        rows[1:3] = rows[0] * rng.uniform(0.9, 1.1, (2, 1)) + rng.standard_normal((2, DIM)) * 0.01
    view = taught(photos).whole.view
    rows = np.unique(view.bursts, return_index=True)[1]
    assert len(rows) == 4 * 5
    made = scores(Absence(view, rows).without(drop), 1.0, np.zeros(4, bool), -np.inf)
    for i, row in enumerate(rows):
        left = (view.bursts != view.bursts[row]) & (view.classes != (-1 if drop is None else drop))
        for score, value in by_definition(view.x[[row]], view.x[left], view.classes[left], view.alpha).items():
            assert made[score][i] == pytest.approx(value[0], rel=1e-3, abs=1e-3), (score, i)  # type: ignore[index]  # a str of SCORES


@pytest.mark.parametrize("kind", ["lda", "ridge", "ncm", "logistic"])
def test_the_head_scores_a_new_photo_by_the_definition(kind: str) -> None:
    centres, rng = world(2, 6, 3.0)
    fit = taught({f"c{i}": drawn(centre, rng, 25) for i, centre in enumerate(centres)}, kind)
    head, report, _ = calibrate(fit)
    assert head.rejection is not None
    assert report.score == "mahalanobis"
    view, x = state(fit), drawn(centres[3], rng, 5)
    unit = normalised(x)
    expected = by_definition(unit, view.x, view.classes, view.whitening.alpha)["mahalanobis"]
    np.testing.assert_allclose([head.rejection.measure(row) for row in unit], expected, rtol=1e-3, atol=1e-3)


def test_the_estimate_holds_for_classes_truly_held_back_and_the_best_score_is_taken() -> None:
    truths, estimates, best, accepted, late = [], [], [], [], []
    for seed in range(12):
        centres, rng = world(seed, 8, 0.8)
        fit = taught({f"c{i}": drawn(centre, rng, 30) for i, centre in enumerate(centres[:-1])})
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
    unit, view = normalised(photos), state(fit)
    return {"probability": fit.head.probabilities(photos).max(1), **by_definition(unit, view.x, view.classes, view.alpha)}


def only_what_is_far_is_rejected(head: Head, report: RejectionReport, why: str) -> None:
    assert not report.reliable
    if head.rejection is not None:
        assert (head.rejection.score, head.rejection.threshold) == ("distance", head.rejection.reach)
        assert report.coverage.value >= 0.98
    assert report.reason.startswith("cannot reject reliably here: ")
    assert why in report.reason
    to_json(report)


@pytest.mark.parametrize(
    ("classes", "each", "why"),
    [
        (2, 40, "with 2 classes, leaving one out leaves nothing to compare"),
        (3, 40, "3 classes have enough photos, and at least 4 are needed"),
        (10, 2, "0 of 10 classes have 3 photos or more"),
        (4, 4, "a threshold needs 19 photos, of classes with 2 or more (a burst counts once), not 16"),
        (30, 1, "not 0"),
    ],
)
def test_too_little_to_tell_is_said(classes: int, each: int, why: str) -> None:
    centres, rng = world(3, classes, 2.0)
    head, report, _ = calibrate(taught({f"c{i}": drawn(centre, rng, each) for i, centre in enumerate(centres)}))
    only_what_is_far_is_rejected(head, report, why)


def test_classes_that_cannot_be_told_apart_reject_nothing() -> None:
    centres, rng = world(4, 8, 0.0)
    head, report, _ = calibrate(taught({f"c{i}": drawn(centre, rng, 30) for i, centre in enumerate(centres)}))
    only_what_is_far_is_rejected(head, report, "and the lower end should be 0.7 at least")
    assert report.score is not None
    assert abs(report.auroc[report.score].value - 0.5) < 0.15


@pytest.mark.parametrize("classes", [2, 6])
def test_what_is_far_from_everything_gets_no_label_even_with_two_classes(classes: int) -> None:
    centres, rng = world(8, classes, 1.5)
    head, report, _ = calibrate(taught({f"c{i}": drawn(centre, rng, 40) for i, centre in enumerate(centres)}))
    assert head.rejection is not None
    assert report.photos >= 60
    far = [head.decide(x)[1] for x in drawn(-3 * centres.mean(0) + 4 * (np.arange(DIM) == DIM - 1), rng, 50)]
    assert all("further from every class than 99% of the photos taught" in reason for reason in far)
    known = np.concatenate([drawn(centre, rng, 200) for centre in centres])
    assert np.mean([reason != "" for reason in (head.decide(x)[1] for x in known)]) < 0.08


def test_a_reject_class_is_neither_held_out_nor_known_and_what_looks_like_it_counts_as_rejected() -> None:
    centres, rng = world(5, 7, 2.0)
    photos = {("Background" if i == 6 else f"c{i}"): drawn(centre, rng, 30) for i, centre in enumerate(centres)}
    head, report, _ = calibrate(taught(photos))
    assert report.reliable
    assert (report.classes, report.photos) == (6, 180)
    probabilities, reason = head.decide(drawn(centres[6], rng, 1)[0])
    assert head.labels[int(probabilities.argmax())] == "Background"
    assert "stands for nothing" in reason
    three = {label: rows for label, rows in photos.items() if label in ("c0", "c1", "Background")}
    only_what_is_far_is_rejected(*calibrate(taught(three))[:2], "with 2 classes")


def test_the_order_in_which_photos_came_changes_nothing() -> None:
    centres, rng = world(6, 5, 3.0)
    photos = {f"c{i}": drawn(centre, rng, 60) for i, centre in enumerate(centres)}
    one, other = (calibrate(taught(photos, "lda", order)) for order in (np.arange(300), rng.permutation(300)))
    assert one[1].coverage == other[1].coverage
    assert one[1].auroc["mahalanobis"].value == pytest.approx(other[1].auroc["mahalanobis"].value, abs=1e-9)
    assert one[0].rejection is not None
    assert other[0].rejection is not None
    assert one[0].rejection.threshold == pytest.approx(other[0].rejection.threshold, rel=1e-6)
    np.testing.assert_allclose(one[0].rejection.weight, other[0].rejection.weight, rtol=1e-4, atol=1e-4)


def test_a_burst_counts_once_views_never_and_a_burst_under_two_labels_not_at_all() -> None:
    centres, rng = world(9, 4, 2.0)
    x = np.concatenate([drawn(centre, rng, 12) for centre in centres])
    labels = np.repeat(["a", "b", "c", "d"], 12)
    x[1], x[13], x[24] = x[0], x[12], x[11]  # two frames of one photo of a, of b, and one of a that is also called c
    views = np.repeat(x, 3, 0)
    views[1::3] += rng.standard_normal(x.shape).astype(np.float32)
    learner = Learner(DIM)
    learner.add(np.repeat(np.arange(48), 3), views, list(np.repeat(labels, 3)))
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
    head, report, _ = calibrate(taught(photos, kind))
    for mean in report.auroc.values():
        assert 0 <= mean.interval[0] <= mean.value <= mean.interval[1] <= 1
    assert report.reason
    x = drawn(centres[1], rng, 1)[0]
    assert np.isfinite(Head.from_bytes(head.to_bytes()).decide(x)[0]).all()


@pytest.mark.slow
def test_a_camera_taught_eight_digits_refuses_the_two_it_never_saw_more_often_and_flowers_always(
    lite0: Path, data: Path, tmp_path: Path
) -> None:
    digits = {str(k): sorted((data / "sign-digits" / str(k)).glob("*.*"))[::4] for k in range(10)}
    flowers = sorted((data / "flowers").glob("*/*.jpg"))[::200]
    with Classifier.open(lite0, tmp_path / "shop.db", variant="tflite-int8") as shop:
        shop.add_many([(photo, label) for label, photos in digits.items() if label not in "36" for photo in photos[:30]])
        report = shop.train().rejection
        known = [shop.predict(photo) for label, photos in digits.items() if label not in "36" for photo in photos[30:42]]
        unknown = [shop.predict(photo) for label in "36" for photo in digits[label][:42]]
        assert all(shop.predict(photo).label is None for photo in flowers)
    assert report.reliable
    assert report.score == "mahalanobis"
    assert report.auroc["mahalanobis"].interval[0] > 0.7
    assert np.mean([guess.label is None for guess in known]) < 0.12
    assert np.mean([guess.label is None for guess in unknown]) > 0.25
    assert all("like nothing taught" in guess.reason for guess in unknown if guess.label is None)
