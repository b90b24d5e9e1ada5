"""Probabilities as stated: prediction sets that contain the correct class as often as they should, and the calibration error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raising import raises

from edgetl.errors import HeadError
from edgetl.heads import Learner
from edgetl.heads.confidence.calibration import fit_temperature, measure_calibration
from edgetl.heads.confidence.conformal import Conformal, make_conformal
from edgetl.heads.open_set import calibrate

LABELS = ("ant", "bee", "cat")


def answers(rng: np.random.Generator, n: int, c: int = 3, skill: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose softmax is the true chance of each class, and classes drawn by it."""
    logits = rng.standard_normal((n, c)) * skill
    odds = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return logits, (rng.random((n, 1)) > odds.cumsum(1)).sum(1)


def odds_of(logits: np.ndarray) -> np.ndarray:
    odds = np.exp(logits - logits.max(1, keepdims=True))
    return odds / odds.sum(1, keepdims=True)


@pytest.mark.parametrize(("each", "confidence"), [(10, 0.9), (10, 0.8), (40, 0.9), (40, 0.5)])
def test_every_class_is_in_its_own_sets_as_often_as_stated(each: int, confidence: float) -> None:
    rng, inside = np.random.default_rng(0), np.zeros((400, 3))
    for run in range(400):
        logits, classes = answers(rng, 40 * each)
        kept = np.concatenate([np.flatnonzero(classes == k)[:each] for k in range(3)])
        sets = make_conformal(logits[kept], classes[kept], np.arange(len(kept)), 1.0)
        assert sets.sizes == (each,) * 3
        new = np.setdiff1d(np.arange(len(classes)), kept)[:200]
        for k in range(3):
            own = new[classes[new] == k]
            limit = sets.scores[sets.sizes[0] * k : sets.sizes[0] * (k + 1)][int(np.ceil((each + 1) * confidence - 1e-9)) - 1]
            inside[run, k] = (1 - odds_of(logits[own])[:, k] <= limit).mean()
    exact = np.ceil((each + 1) * confidence - 1e-9) / (each + 1)
    np.testing.assert_allclose(inside.mean(0), exact, atol=4 * inside.std(0).max() / np.sqrt(400))


def test_sets_of_a_real_fit_contain_the_correct_class_at_ten_photos_a_class() -> None:
    hits, sizes = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        centres = rng.standard_normal((4, 16)) * 0.6
        classes = np.repeat(np.arange(4), 60)
        x = (centres[classes] + rng.standard_normal((240, 16))).astype(np.float32)
        known = np.concatenate([np.flatnonzero(classes == k)[:10] for k in range(4)])
        learner = Learner(16)
        learner.add(known, x[known], [f"c{k}" for k in classes[known]])
        head = calibrate(learner.fit())[0]
        for i in np.setdiff1d(np.arange(240), known):
            candidates = head.candidates(x[i])
            hits.append(f"c{classes[i]}" in candidates)
            sizes.append(len(candidates))
    assert 0.88 < np.mean(hits) < 0.97
    assert np.mean(sizes) < 3.9


@given(st.integers(0, 10_000), st.lists(st.floats(0.05, 0.95), min_size=2, max_size=2))
@settings(max_examples=60, deadline=None)
def test_more_confidence_never_loses_a_class_and_the_most_probable_is_always_there(seed: int, confidences: list[float]) -> None:
    rng = np.random.default_rng(seed)
    logits, classes = answers(rng, 90)
    sets = make_conformal(logits, np.sort(classes), np.arange(90), 0.7)
    low, high = sorted(confidences)
    try:
        fewer, more = (sets.holds(odds_of(logits[:1])[0].astype(np.float32), LABELS, level) for level in (low, high))
    except HeadError:
        return
    assert fewer[logits[0].argmax()]
    assert (more | ~fewer).all()


def test_near_duplicates_give_one_score_and_a_class_with_nothing_left_the_worst() -> None:
    rng = np.random.default_rng(1)
    logits, classes, bursts = rng.standard_normal((9, 3)), np.array([0, 0, 0, 0, 1, 1, 2, 2, 2]), np.array([0, 0, 0, 1, 2, 3, 4, 4, 5])
    logits[8, 2] = -np.inf
    misfit = 1 - odds_of(logits)[np.arange(9), classes]
    sets = make_conformal(logits, classes, bursts, 1.0)
    assert sets.sizes == (2, 2, 2)
    expected = [*sorted([np.median(misfit[:3]), misfit[3]]), *sorted(misfit[4:6]), misfit[6:8].min(), 1.0]
    np.testing.assert_allclose(sets.scores, expected, rtol=1e-6)


def test_too_few_photos_for_a_confidence_are_an_error_with_their_numbers() -> None:
    sets = Conformal(np.linspace(0, 1, 21, dtype=np.float32)[[*range(9), *range(8), *range(4)]], (9, 8, 4))
    odds = np.array([0.5, 0.3, 0.2], np.float32)
    with raises(HeadError, "too-few-photos-for-confidence", confidence=0.9, needed=9, counts={"bee": 8, "cat": 4}):
        sets.holds(odds, LABELS, 0.9)
    assert sets.holds(odds, LABELS, 0.8)[0]
    for bad in (0.0, 1.0, -1.0, float("nan")):
        with raises(HeadError, "confidence-out-of-range"):
            sets.holds(odds, LABELS, bad)


def test_the_calibration_error_is_the_textbooks() -> None:
    logits, classes = answers(np.random.default_rng(2), 300)
    logits = logits * 3 + np.array([1.5, 0, 0])
    error = measure_calibration(logits, classes, np.arange(300), seed=5)
    assert error is not None
    place = np.random.default_rng(5).permutation(300)
    stated, correct = np.empty(300), np.empty(300, bool)
    for side in (0, 1):
        judged = place % 2 == side
        odds = odds_of(logits[judged] / fit_temperature(logits[~judged], classes[~judged]))
        stated[judged], correct[judged] = odds.max(1), odds.argmax(1) == classes[judged]
    bins = np.array_split(np.argsort(stated), 15)
    assert error.value == pytest.approx(sum(len(b) / 300 * abs(stated[b].mean() - correct[b].mean()) for b in bins))
    assert error.n == 300
    assert 0 <= error.interval[0] <= error.interval[1]


def test_honest_probabilities_show_what_chance_shows_and_dishonest_ones_more() -> None:
    def shown(odd: bool, seed: int) -> tuple[float, float, float, float]:
        logits, classes = answers(np.random.default_rng(seed), 1000)
        # What no temperature mends: one half far too sure, the other not sure enough.
        error = measure_calibration(logits * np.where(odd & (np.arange(1000) % 2 == 0), 5, 1)[:, None], classes, np.arange(1000), seed)
        assert error is not None
        return error.value, error.chance, *error.interval

    honest = np.array([shown(False, seed) for seed in range(10)])
    assert abs((honest[:, 0] - honest[:, 1]).mean()) < 0.01
    assert np.median(honest[:, 2]) < 0.01
    dishonest = np.array([shown(True, seed) for seed in range(10)])
    assert (dishonest[:, 2] > dishonest[:, 1]).all()


@pytest.mark.parametrize(("kind", "each", "mended"), [("lda", 4, True), ("lda", 30, False), ("ridge", 4, False)])
def test_ldas_temperature_is_corrected_for_few_photos(kind: str, each: int, mended: bool) -> None:
    gains = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        centres, classes = rng.standard_normal((5, 400)) * 0.2, np.repeat(np.arange(5), 60)
        x = (centres[classes] + rng.standard_normal((300, 400)) * np.linspace(1, 0.2, 400)).astype(np.float32)
        known = np.concatenate([np.flatnonzero(classes == k)[:each] for k in range(5)])
        new = np.setdiff1d(np.arange(300), known)
        learner = Learner(400)
        learner.add(known, x[known], [f"c{k}" for k in classes[known]])
        fit = learner.fit(kind)  # type: ignore[arg-type]  # a str of HEAD_KINDS
        after = calibrate(fit)[0]
        assert (after.logits(x[new]) == fit.head.logits(x[new])).all()
        likelihoods = [np.log(head.probabilities(x[new])[np.arange(len(new)), classes[new]] + 1e-30).mean() for head in (fit.head, after)]
        gains.append(likelihoods[1] - likelihoods[0])
    assert (np.mean(gains) > 3 * np.std(gains) / np.sqrt(20)) if mended else not np.any(gains)


def test_photos_of_one_burst_make_the_interval_wider() -> None:
    logits, classes = answers(np.random.default_rng(3), 100)
    single = measure_calibration(logits, classes, np.arange(100))
    ten = measure_calibration(np.repeat(logits, 10, 0), np.repeat(classes, 10), np.repeat(np.arange(100), 10))
    assert single is not None
    assert ten is not None
    assert ten.n == 1000
    assert ten.interval[1] - ten.interval[0] > 0.05
    assert measure_calibration(logits[:1], classes[:1], np.zeros(1, int)) is None
    assert measure_calibration(np.where(np.eye(3)[classes] == 1, -np.inf, logits), classes, np.arange(100)) is None
