"""The formulas that prove a forget, beside scikit-learn and beside the learner."""

from __future__ import annotations

import numpy as np
import pytest
from raising import raises
from sklearn.linear_model import Ridge

from edgetl.errors import TrainError
from edgetl.heads import Learner
from edgetl.heads.algorithms import textbook
from edgetl.heads.linalg.normalisation import power_normalise
from edgetl.types import Array

LABELS = [f"class {i % 4}" for i in range(90)]
NAMES = sorted(set(LABELS))
X: Array = power_normalise(np.random.default_rng(0).random((90, 30), np.float32) + np.eye(4, 30, dtype=np.float32)[np.arange(90) % 4])


def blocks() -> list[tuple[Array, list[str]]]:
    return [(X[start : start + 32], LABELS[start : start + 32]) for start in range(0, 90, 32)]


def test_ridge_is_scikit_learns_up_to_what_all_logits_share() -> None:
    weight, bias = textbook.fit("ridge", 0.03, NAMES, blocks())
    targets = np.eye(4)[np.arange(90) % 4]
    oracle = Ridge(alpha=0.03).fit(X.astype(np.float64), targets).predict(X.astype(np.float64))
    np.testing.assert_allclose(X @ weight.T + bias, oracle - oracle.mean(1, keepdims=True), atol=1e-9)


@pytest.mark.parametrize("kind", textbook.KINDS)
def test_a_fit_of_the_learner_is_the_textbooks(kind) -> None:
    learner = Learner(30)
    learner.add(np.arange(90), X, LABELS)
    fit = learner.fit(kind)
    x = power_normalise(X)
    weight, bias = textbook.fit(kind, fit.alpha, fit.head.labels, [(x, LABELS)])
    scale = np.abs(x @ weight.T + bias).max()
    np.testing.assert_allclose(fit.head.logits(X), x @ weight.T + bias, atol=1e-5 * scale)


def test_a_class_without_samples_and_a_kind_without_a_formula_are_named() -> None:
    with raises(TrainError, "class-empty", label="mug"):
        textbook.fit("lda", 0.1, [*NAMES, "mug"], blocks())
    with raises(TrainError, "no-formula", kind="auto"):
        textbook.fit("auto", 0.1, NAMES, blocks())
