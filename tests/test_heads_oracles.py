"""The four algorithms against scikit-learn, and their held-out logits against refits that really leave each sample out."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.neighbors import NearestCentroid

from edgetl.heads import Learner, open_set, training_set
from edgetl.heads.algorithms import lda, ncm, ridge
from edgetl.heads.confidence.calibration import brier_scores, fit_temperature
from edgetl.heads.linalg.normalisation import power_normalise
from edgetl.heads.linalg.whitening import Scatter, Spectrum, Whitening
from edgetl.heads.training_set import TrainingSet

ALPHAS = (0.3, 0.03, 0.003)


def data(seed: int, n: int, d: int, c: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(c), np.arange(c), rng.integers(0, c, n - 2 * c)])
    return power_normalise((rng.standard_normal((c, d))[y] + 2 * rng.standard_normal((n, d)) + 1).astype(np.float32)), y


def view(x: np.ndarray, y: np.ndarray, space: Whitening, bursts: np.ndarray | None = None) -> TrainingSet:
    counts = np.bincount(y)
    means = np.stack([x[y == k].mean(0, dtype=np.float64) for k in range(len(counts))])
    alone = np.arange(len(y))
    together = alone if bursts is None else bursts
    return TrainingSet(x, y, counts, means, space.project(means), together, alone, space)


def spaces(x: np.ndarray, alpha: float) -> list[Whitening]:
    """The same samples by eigenvectors, by Cholesky's triangle, and with rows that came and went since the triangle was made."""
    third = len(x) // 3
    moved = Scatter(np.concatenate([x[:-third], x[:5] + 0.01])).build(alpha)
    moved.remove(np.arange(len(x) - third + 5) < len(x) - third, x[:5] + np.float32(0.01))
    moved.add(x[-third:])
    return [Spectrum(x).build(alpha), Scatter(x).build(alpha), moved]


def same_for_argmax(logits: np.ndarray, expected: np.ndarray, rtol: float, atol: float = 0) -> None:
    """Equal up to a number per row, which no prediction and no probability depends on."""
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(np.isfinite(logits), finite)
    gap = [row[ok] - row[ok].mean() for row, ok in zip(logits, finite)]
    wanted = [row[ok] - row[ok].mean() for row, ok in zip(expected, finite)]
    scale = max(np.abs(row).max() for row in wanted)
    for row, other in zip(gap, wanted):
        np.testing.assert_allclose(row, other, rtol=0, atol=rtol * scale + atol)


@pytest.mark.parametrize("shape", [(42, 12, 3), (32, 90, 4)], ids=["n above d", "n below d"])
@pytest.mark.parametrize("alpha", ALPHAS)
def test_lda_is_scikit_learns_with_the_same_shrinkage(shape: tuple[int, int, int], alpha: float) -> None:
    (n, d, c), (x, _) = shape, data(1, *shape)
    y = np.arange(n) % c  # balanced, because scikit-learn pools the classes' covariances by their priors
    within = x - np.stack([x[y == k].mean(0, dtype=np.float64) for k in range(c)])[y]
    shrinkage = alpha / (alpha + (within**2).sum() / d)
    oracle = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage).fit(x.astype(np.float64), y)
    for space in spaces(x, alpha):
        w, b = lda.fit(view(x, y, space)).linear()
        same_for_argmax((x @ w.T + b) * n / (1 - shrinkage), oracle.decision_function(x.astype(np.float64)), 1e-7)


@pytest.mark.parametrize("shape", [(40, 12, 3), (30, 90, 4)], ids=["n above d", "n below d"])
@pytest.mark.parametrize("alpha", ALPHAS)
def test_ridge_is_scikit_learns_on_one_hot_targets(shape: tuple[int, int, int], alpha: float) -> None:
    x, y = data(3, *shape)
    oracle = Ridge(alpha=alpha, solver="cholesky").fit(x.astype(np.float64), np.eye(shape[2])[y])
    for space in spaces(x, alpha):
        w, b = ridge.fit(view(x, y, space)).linear()
        np.testing.assert_allclose(w, oracle.coef_, atol=1e-6 * np.abs(oracle.coef_).max())
        np.testing.assert_allclose(b, oracle.intercept_ - 1 / shape[2], atol=1e-6 * np.abs(oracle.coef_).max())


def test_ridges_leave_one_out_error_is_that_of_ridge_cv() -> None:
    x, y = data(4, 40, 12, 3)
    targets = np.eye(3)[y]
    oracle = RidgeCV(ALPHAS, store_cv_results=True, gcv_mode="eigen").fit(x.astype(np.float64), targets)
    for i, alpha in enumerate(ALPHAS):
        held = ridge.fit(view(x, y, Spectrum(x).build(alpha))).held
        values = held + 1 / 3  # the regression's sum to one, like the targets
        np.testing.assert_allclose((targets - values) ** 2, oracle.cv_results_[:, :, i], rtol=1e-4, atol=1e-7)


def test_nearest_class_mean_is_scikit_learns_nearest_centroid() -> None:
    x, y = data(5, 200, 30, 7)
    other, _ = data(6, 500, 30, 7)
    w, b = ncm.fit(view(x, y, Scatter(x).build(0.3))).linear()
    np.testing.assert_array_equal((other @ w.T + b).argmax(1), NearestCentroid().fit(x, y).predict(other))


def refit(kind: str, x: np.ndarray, y: np.ndarray, alpha: float, c: int) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias in plain float64 algebra; a class without a sample gets -inf."""
    x = x.astype(np.float64)
    there = np.flatnonzero(np.bincount(y, minlength=c))
    means = np.stack([x[y == k].mean(0) for k in there])
    weight, bias = np.zeros((c, x.shape[1])), np.full(c, -np.inf)
    if kind == "ridge":
        centred, targets = x - x.mean(0), np.eye(c)[y][:, there]
        solved = np.linalg.solve(centred.T @ centred + alpha * np.eye(x.shape[1]), centred.T @ targets).T
        weight[there], bias[there] = solved, targets.mean(0) - solved @ x.mean(0)
        return weight, bias
    within = x - means[np.searchsorted(there, y)]
    scatter = within.T @ within + alpha * np.eye(x.shape[1])
    weight[there] = means if kind == "ncm" else np.linalg.solve(scatter, means.T).T
    bias[there] = -np.einsum("cd,cd->c", weight[there], means) / 2
    return weight, bias


@pytest.mark.parametrize("shape", [(40, 12, 3), (30, 90, 4)], ids=["n above d", "n below d"])
@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("kind", ["ncm", "lda", "ridge"])
def test_held_out_logits_are_those_of_a_refit_without_the_sample(kind: str, alpha: float, shape: tuple[int, int, int]) -> None:
    x, y = data(8, *shape)
    x, y = x[:-1], np.append(y[:-2], shape[2])  # the last class has one sample
    expected = []
    for i in range(len(x)):
        w, b = refit(kind, np.delete(x, i, 0), np.delete(y, i), alpha, shape[2] + 1)
        expected.append(w @ x[i].astype(np.float64) + b)
    read = {"ncm": ncm.fit, "lda": lda.fit, "ridge": ridge.fit}[kind]
    for space in spaces(x, alpha):
        training_set = read(view(x, y, space))
        same_for_argmax(training_set.held, np.array(expected), 1e-5)
        np.testing.assert_array_equal(training_set.predicted(y[: len(x)]), np.argmax(expected, 1))


@given(
    seed=st.integers(0, 10**6),
    kind=st.sampled_from(["ncm", "lda", "ridge"]),
    alpha=st.sampled_from(ALPHAS),
    n=st.integers(9, 40),
    d=st.sampled_from([6, 60]),
    number=st.integers(1, 20),
    whole_class=st.booleans(),
    few=st.sampled_from([0, training_set.FEW]),
)
@settings(max_examples=150, deadline=None)
def test_held_out_logits_are_those_of_a_refit_without_the_burst(
    seed: int, kind: str, alpha: float, n: int, d: int, number: int, whole_class: bool, few: int
) -> None:
    """Bursts of any size, within a class or across classes, one that is a whole class, one that is everything; large ones refitted."""
    x, y = data(seed, n, d, 3)
    rng = np.random.default_rng(seed)
    bursts = rng.integers(0, number, n)
    if whole_class:
        bursts[y == 1] = bursts[0]
    if rng.random() < 0.5:  # frames of a burst are nearly the same photo
        first = np.array([np.flatnonzero(bursts == burst)[0] for burst in bursts])
        x = power_normalise(x[first] + np.float32(0.01) * rng.standard_normal(x.shape).astype(np.float32))
    expected = np.full((n, 3), -np.inf)
    for burst in np.unique(bursts):
        out = bursts == burst
        if not out.all():
            w, b = refit(kind, x[~out], y[~out], alpha, 3)
            expected[out] = x[out].astype(np.float64) @ w.T + b
    read = {"ncm": ncm.fit, "lda": lda.fit, "ridge": ridge.fit}[kind]
    for space in [Spectrum(x).build(alpha), Scatter(x).build(alpha)]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(training_set, "FEW", few)
            held = read(view(x, y, space, bursts)).held
        if not (bursts == bursts[0]).all():
            # Nearest class mean takes products of float32 embeddings, whose norm is 1, however small their differences are.
            same_for_argmax(held, expected, 1e-5, 1e-6 if kind == "ncm" else 0)
        else:
            assert np.isneginf(held).all()


@pytest.mark.parametrize("kind", ["ncm", "lda", "ridge"])
@pytest.mark.parametrize("size", [64, 65], ids=["taken out", "refitted"])
def test_a_burst_at_the_border_of_being_refitted_has_the_same_logits_either_way(
    kind: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = data(13, 200, 20, 3)
    bursts = np.maximum(np.arange(200) - size + 1, 0)
    read, sample = {"ncm": ncm.fit, "lda": lda.fit, "ridge": ridge.fit}[kind], view(x, y, Scatter(x).build(0.03), bursts)
    held = [read(sample).held]
    for few in (0, 1000):
        monkeypatch.setattr(training_set, "FEW", few)
        held.append(read(dataclasses.replace(sample)).held)
    for other in held[1:]:
        np.testing.assert_allclose(held[0], other, rtol=0, atol=1e-6 if kind == "ncm" else 1e-11)


@pytest.mark.parametrize(("n", "frames", "d"), [(4400, 4000, 64), pytest.param(11_000, 10_000, 1280, marks=pytest.mark.slow)])
def test_thousands_of_frames_of_one_thing_need_no_matrix_of_their_size(
    n: int, frames: int, d: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By blocks of g x g their cube would take half a minute, or some ten minutes."""
    sizes = []
    for name in ("eigh", "inv", "solve", "cholesky"):
        function = getattr(np.linalg, name)
        monkeypatch.setattr(
            np.linalg, name, lambda matrix, *rest, function=function: (sizes.append(matrix.shape[-1]), function(matrix, *rest))[1]
        )
    rng = np.random.default_rng(0)
    y = np.arange(n) % 4
    x = (3 * rng.standard_normal((4, d))[y] + 3 * rng.standard_normal((n, d))).astype(np.float32)
    x[:frames] = x[0] + 0.01 * x[:frames]
    y[:frames] = 0
    learner = Learner(d)
    learner.add(np.arange(n), x, [f"class {k}" for k in y])
    fit = learner.fit("lda")
    report = open_set.calibrate(fit)[1]
    assert max(sizes) < frames / 2
    assert np.bincount(fit.bursts).max() == frames
    assert report.photos > 100
    w, b = refit("lda", fit.photos[frames:], y[frames:], fit.alpha, 4)
    same_for_argmax(fit.held[:frames:100], fit.photos[:frames:100].astype(np.float64) @ w.T + b, 1e-6)


def test_a_sample_that_is_held_out_cannot_change_its_own_logits() -> None:
    x, y = data(9, 40, 12, 3)
    other = y.copy()
    other[7] = (y[7] + 1) % 3
    for read in (ncm.fit, lda.fit, ridge.fit):
        first, second = (read(view(x, labels, Spectrum(x).build(0.03))).held[7:8] for labels in (y, other))
        same_for_argmax(first, second, 1e-6)


@pytest.mark.parametrize("true_temperature", [0.01, 1.0, 30.0])
def test_the_temperature_is_the_one_the_labels_were_drawn_at(true_temperature: float) -> None:
    rng = np.random.default_rng(10)
    logits = 3 * true_temperature * rng.standard_normal((20_000, 5))
    y = (logits / true_temperature + rng.gumbel(size=logits.shape)).argmax(1)
    assert fit_temperature(logits, y) == pytest.approx(true_temperature, rel=0.05)


def test_temperature_and_brier_scores_of_degenerate_logits_are_numbers() -> None:
    perfect = np.eye(3)[np.arange(30) % 3]
    assert 0 < fit_temperature(perfect, np.arange(30) % 3) < 1
    assert fit_temperature(-perfect, np.arange(30) % 3) > 100
    assert fit_temperature(np.zeros((4, 2)), np.zeros(4, int)) == 1
    assert brier_scores(np.zeros((4, 2)), np.zeros(4, int)).tolist() == pytest.approx([0.5] * 4)
    lone = np.full((2, 2), 0.0) - np.diag([np.inf, np.inf])
    assert np.isnan(fit_temperature(lone, np.arange(2)))
    assert brier_scores(lone, np.arange(2)).tolist() == [1, 1]
