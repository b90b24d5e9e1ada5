"""Readiness, against learners whose learning curve is known and bad inputs of every kind."""

from __future__ import annotations

import dataclasses
import json
import math
import re

import numpy as np
import pytest
from scipy.stats import norm

from edgetl.diagnostics.forecast import LEAST, Assessment, assess
from edgetl.diagnostics.learning_curve import LAW, AccuracyForecast, Curve, measure
from edgetl.diagnostics.text import describe_action, describe_forecast
from edgetl.heads import Fit, Learner
from edgetl.stats import Proportion
from edgetl.types import to_json

DIM = 48
RANGES = ("now", "twice", "fourfold")


def clouds(random: np.random.Generator, counts: list[int], apart: float, noise: float = 1.0) -> tuple[np.ndarray, list[str]]:
    """Classes around random centres; the more photos, the better their means are known."""
    centres = np.random.default_rng(99).normal(size=(len(counts), DIM)) * apart / math.sqrt(2 * DIM)
    rows = np.concatenate([centre + noise * random.normal(size=(count, DIM)) / math.sqrt(DIM) for centre, count in zip(centres, counts)])
    return rows.astype(np.float32), [f"c{i:03d}" for i, count in enumerate(counts) for _ in range(count)]


def fitted(rows: np.ndarray, labels: list[str], kind: str = "lda", taken: np.ndarray | None = None) -> Fit:
    learner = Learner(rows.shape[1])
    learner.add(np.arange(len(rows)), rows, labels, taken)
    return learner.fit(kind)


def checked(fit: Fit, target: float = 0.95) -> Assessment:
    """An assessment of which every number is checked."""
    report = assess(fit, target)
    json.dumps(to_json(report), allow_nan=False)
    assert list(report.per_class) == list(fit.head.labels)
    for label, row in report.per_class.items():
        own = {(fit.truth[i], int(fit.bursts[i])) for i in range(len(fit.ids)) if fit.truth[i] == label}
        assert (row.photos, row.groups, row.accuracy.n) == (fit.truth.count(label), len(own), len(own))
        wrong = [answer for truth, answer in zip(fit.truth, fit.predicted) if truth == label != answer]
        assert row.taken_for is None or row.taken_for[1] == max(map(wrong.count, wrong)) == wrong.count(row.taken_for[0])
    few = min(row.groups for row in report.per_class.values()) < LEAST
    assert (report.outlook == "too-few") == few
    for name in RANGES:
        share = getattr(report, name)
        assert (share is None) == few
        assert share is None or 0 < share[0] < share[1] < share[2] < 1
    assert report.twice is None or report.now[1] <= report.twice[1] <= report.fourfold[1]
    assert set(report.action.classes) <= set(report.per_class)
    assert len(report.action.classes) <= 3
    assert (report.action.each == 0) == (report.action.code == "none")
    assert describe_forecast(report)
    assert describe_action(report.action)
    return report


def test_errors_that_follow_a_power_law_give_its_exponent():
    sizes = np.array([100.0, 200.0, 400.0])
    odds = 4 * sizes**-0.6
    assert Curve(sizes, odds / (1 + odds), 10**6).exponent == pytest.approx(0.6, abs=1e-3)


def test_a_forecast_of_many_photos_is_the_law_with_the_stated_spread():
    """With a level and an exponent that are certain only the law's own spread is left."""
    certain = dataclasses.replace(LAW, trust=1.0)
    forecast = AccuracyForecast.estimate(Proportion(9 * 10**7, 10**8), 0.5, certain)
    low, middle, high = forecast.predict(4)
    assert middle == pytest.approx(1 / (1 + 4**-0.5 / 9), abs=1e-4)
    spread = math.hypot(LAW.base, LAW.spread * math.log(4))
    logits = [math.log(share / (1 - share)) for share in (low, middle, high)]
    assert np.diff(logits) == pytest.approx([norm.ppf(0.9) * spread] * 2, rel=1e-3)


def test_the_accuracy_that_is_forecast_comes_true():
    """The true accuracy with 2 and 4 times the photos is measured on thousands of fresh ones."""
    held = []
    for seed in range(10):
        random = np.random.default_rng(seed)
        rows, labels = clouds(random, [48] * 6, 0.6)
        fresh, _ = clouds(random, [500] * 6, 0.6)
        truth = []
        for size in (48, 24, 12):
            kept = np.concatenate([np.arange(size) + 48 * i for i in range(6)])
            fit = fitted(rows[kept], [labels[i] for i in kept])
            truth.append(float((fit.head.logits(fresh).argmax(1) == np.arange(6).repeat(500)).mean()))
        report = checked(fit)
        held += [share[0] <= true <= share[2] for true, share in zip(truth, (report.fourfold, report.twice, report.now))]
    assert sum(held) >= 21, "an 80 % interval, 30 times"


def test_with_enough_photos_no_more_are_needed():
    rows, labels = clouds(np.random.default_rng(2), [200, 200, 200], 4)
    report = checked(fitted(rows, labels))
    assert (report.outlook, report.action.code, report.action.classes) == ("reached", "none", ())
    rows, labels = clouds(np.random.default_rng(2), [9, 9, 9], 4)
    report = checked(fitted(rows, labels))
    assert (report.outlook, report.action.code, report.action.each) == ("likely", "more", 10)
    assert describe_forecast(report) == "Likely above 95 %, but only 9 photos of a class: add about 10 to be sure."


def test_of_one_class_under_two_names_the_labels_are_to_be_checked():
    random = np.random.default_rng(1)
    rows, labels = clouds(random, [60, 60, 120], 4)
    labels = labels[:120] + [f"c00{random.integers(2, 4)}" for _ in range(120)]
    report = checked(fitted(rows, labels))
    assert (report.action.code, report.action.classes) == ("alike", ("c002", "c003"))
    assert report.per_class["c002"].taken_for[0] == "c003"


@pytest.mark.parametrize(("number", "code"), [(5, "more"), (13, "confused")])
def test_confused_classes_are_listed_and_with_many_classes_photographed_alone(number: int, code: str):
    random = np.random.default_rng(5)
    centres = np.eye(DIM)[:number] * 8
    centres[4] = centres[3] + np.eye(DIM)[20] * 2.5
    rows = np.concatenate([centre + random.normal(size=(20, DIM)) for centre in centres]).astype(np.float32)
    report = checked(fitted(rows, [f"c{i:02d}" for i in range(number) for _ in range(20)]))
    assert (report.action.code, set(report.action.confused), report.action.each) == (code, {"c03", "c04"}, 10)
    assert report.action.classes == (report.action.confused if code == "confused" else ())


@pytest.mark.parametrize(("count", "each"), [(3, 17), (9, 11)])
def test_a_class_with_few_photos_is_photographed_first(count: int, each: int):
    rows, labels = clouds(np.random.default_rng(2), [40, count, 40, 40], 2.5)
    report = checked(fitted(rows, labels))
    assert (report.action.code, report.action.classes, report.action.each) == ("few", ("c001",), each)


def test_frames_of_one_second_count_as_one_photo():
    rows, labels = clouds(np.random.default_rng(3), [40, 40], 3)
    taken = np.arange(80.0)
    taken[:40] = np.arange(40) // 10
    report = checked(fitted(rows, labels, taken=taken))
    assert (report.per_class["c000"].groups, report.per_class["c001"].groups) == (4, 40)
    assert report.action.classes == ("c000",)


def test_the_curve_is_measured_on_every_photo():
    rows, labels = clouds(np.random.default_rng(4), [20, 20, 20], 3)
    fit = fitted(rows, labels, "lda")
    assert {row.photos for row in checked(fit).per_class.values()} == {20}
    assert measure(fit, np.arange(3).repeat(20)).photos == 60


@pytest.mark.parametrize("kind", ["ncm", "lda", "ridge"])
def test_every_algorithm_has_its_own_curve(kind):
    rows, labels = clouds(np.random.default_rng(5), [30] * 4, 2.5)
    checked(fitted(rows, labels, kind))


@pytest.mark.parametrize(
    ("counts", "apart"),
    [([1, 1], 3.0), ([1, 30], 3.0), ([2, 2, 2], 3.0), ([8, 3000], 3.0), ([8] * 150, 3.0), ([20, 20], 0.0)],
    ids=["one photo each", "one photo of a class", "two photos each", "1 : 375", "150 classes", "no difference"],
)
def test_few_photos_imbalance_and_many_classes_are_assessed(counts, apart):
    rows, labels = clouds(np.random.default_rng(6), counts, apart)
    checked(fitted(rows, labels))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_equal_and_zero_embeddings_are_assessed(value):
    checked(fitted(np.full((40, DIM), value, np.float32), ["a", "b"] * 20))


def test_forty_percent_of_wrong_labels_are_never_enough():
    random = np.random.default_rng(7)
    rows, labels = clouds(random, [60] * 4, 4)
    wrong = random.random(240) < 0.4
    labels = [f"c{random.integers(4):03d}" if bad else label for label, bad in zip(labels, wrong)]
    assert checked(fitted(rows, labels)).outlook == "far"


@pytest.mark.parametrize("target", [0.0, 1.0, -1.0, math.nan])
def test_a_target_that_is_not_an_accuracy_is_an_error(target):
    rows, labels = clouds(np.random.default_rng(8), [5, 5], 3)
    with pytest.raises(ValueError, match=re.escape(str(target))):
        assess(fitted(rows, labels), target)


def test_the_same_photos_in_another_order_give_the_same_forecast():
    rows, labels = clouds(np.random.default_rng(9), [30, 20, 25], 2.5)
    order = np.random.default_rng(0).permutation(len(rows))
    learner = Learner(DIM)
    learner.add(order, rows[order], [labels[i] for i in order])
    assert dataclasses.asdict(assess(fitted(rows, labels))) == dataclasses.asdict(assess(learner.fit("lda")))
