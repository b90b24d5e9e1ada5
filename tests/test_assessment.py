"""Is it enough? Against learners whose curve is known, and inputs that are bad in every way."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from edgetl.assessment import Assessment, assess
from edgetl.curve import Curve, draw
from edgetl.heads import Fit, Learner
from edgetl.types import Proportion, to_json

DIM = 48


def clouds(random: np.random.Generator, counts: list[int], apart: float, noise: float = 1.0) -> tuple[np.ndarray, list[str]]:
    """Classes around random centres; the more photos, the better their means are known."""
    centres = np.random.default_rng(99).normal(size=(len(counts), DIM)) * apart / math.sqrt(2 * DIM)
    rows = np.concatenate([centre + noise * random.normal(size=(count, DIM)) / math.sqrt(DIM) for centre, count in zip(centres, counts)])
    return rows.astype(np.float32), [f"c{i:03d}" for i, count in enumerate(counts) for _ in range(count)]


def fitted(rows: np.ndarray, labels: list[str], kind: str = "lda", taken: np.ndarray | None = None) -> Fit:
    learner = Learner(rows.shape[1])
    learner.add(np.arange(len(rows)), rows, labels, taken)
    return learner.fit(kind)


def sound(fit: Fit, target: float = 0.95) -> Assessment:
    """An assessment whose every number and sentence is checked."""
    made = assess(fit, target)
    text = json.dumps(to_json(made), allow_nan=False)
    assert "nan" not in text.lower().replace("banana", "")
    assert list(made.per_class) == list(fit.head.labels)
    for label, one in made.per_class.items():
        own = {(fit.truth[i], int(fit.bursts[i])) for i in range(len(fit.ids)) if fit.truth[i] == label}
        assert (one.photos, one.bursts, one.accuracy.n) == (fit.truth.count(label), len(own), len(own))
        assert (one.state == "unknown") == (one.bursts < 5)
        assert one.more is None or (one.interval is not None and one.interval[0] <= one.more and one.more <= (one.interval[1] or math.inf))
        assert (one.state == "reached") == (one.more == 0)
        assert f"n={one.bursts}" in one.sentence
    assert made.next is None or made.next in made.per_class
    assert made.reason
    return made


def test_the_forecast_of_a_power_law_is_its_own_solution():
    """Errors that follow e / (1 - e) = a n^-b exactly, photo by photo: the forecast must return the n that the law gives."""
    bursts, a, b, classes = 400, 4.0, 0.6, 3
    odds = a * np.array([bursts / 4, bursts / 2, bursts]) ** -b
    share = odds / (1 + odds)
    errors = np.repeat(share[:, None], classes * bursts, 1)
    curve = Curve(np.repeat(np.arange(classes), bursts), np.outer([bursts / 4, bursts / 2, bursts], np.ones(classes)), errors, "")
    hits = round(bursts * (1 - share[-1]))
    draws = draw(curve, [Proportion(hits, bursts)] * classes, 0)
    assert np.median(draws.exponent) == pytest.approx(b, abs=0.05)
    for forecast in draws.forecasts(0.95):
        low, middle, high = forecast.more
        needed = (a * 0.95 / 0.05) ** (1 / b) - bursts
        assert low < needed < high
        assert middle == pytest.approx(needed, rel=0.3)
        assert forecast.twice[0] < 1 / (1 + a * (2 * bursts) ** -b) < forecast.twice[2]
        assert forecast.twice[1] == pytest.approx(1 / (1 + a * (2 * bursts) ** -b), abs=0.02)


def test_what_is_forecast_comes_true_for_nine_classes_of_ten():
    """The classes' true accuracy at every size is measured on thousands of photos."""
    random = np.random.default_rng(0)
    classes, sizes = 8, [12, 24, 48, 96, 192]
    everything = clouds(random, [max(sizes)] * classes, 2.6)
    fresh, truth = clouds(random, [1500] * classes, 2.6)
    names = sorted(set(truth))
    accuracy = []
    for size in sizes:
        kept = np.concatenate([np.arange(size) + max(sizes) * i for i in range(classes)])
        fit = fitted(everything[0][kept], [everything[1][i] for i in kept])
        said = fit.head.logits(fresh).argmax(1).reshape(classes, -1)
        accuracy.append((said == np.arange(classes)[:, None]).mean(1))
        if size == 12:
            early = fit
    right = total = 0
    for target in (0.75, 0.8, 0.85):
        for i, one in enumerate(sound(early, target).per_class.values()):
            reached = [size for size, row in zip(sizes, accuracy) if row[i] >= target]
            low, high = one.interval if one.interval is not None else (9 * 12, None)
            # The truth lies between the size that reaches the target and the one before it.
            latest = reached[0] if reached else math.inf
            earliest = 0 if not reached or reached[0] == sizes[0] else sizes[sizes.index(reached[0]) - 1]
            earliest = sizes[-1] if not reached else earliest
            right += earliest - 12 <= (math.inf if high is None else high) and low <= latest - 12 + 1
            total += 1
    assert names == list(early.head.labels)
    assert right >= 0.8 * total


def test_enough_is_said_to_be_enough_and_two_names_for_one_thing_never_get_better():
    random = np.random.default_rng(1)
    rows, labels = clouds(random, [60, 60, 120], 4)
    labels = labels[:120] + [f"c00{random.integers(2, 4)}" for _ in range(120)]
    made = sound(fitted(rows, labels))
    assert [made.per_class[label].state for label in ("c000", "c001")] == ["reached", "reached"]
    for label, other in (("c002", "c003"), ("c003", "c002")):
        one = made.per_class[label]
        assert one.state == "flat"
        assert one.taken_for is not None
        assert one.taken_for[0] == other
        assert "more photos of the same kind, of every class, will hardly help" in one.sentence
        assert f"taken for {other!r}" in one.sentence
    assert made.next in ("c002", "c003")


def test_the_class_with_the_fewest_photos_is_next_unless_it_has_surely_reached_the_target():
    rows, labels = clouds(np.random.default_rng(2), [40, 9, 40, 40], 2.5)
    made = sound(fitted(rows, labels))
    assert made.next == "c001"
    assert "fewest photos (n=9)" in made.reason
    rows, labels = clouds(np.random.default_rng(2), [200, 200, 200], 4)
    done = sound(fitted(rows, labels))
    assert done.next is None
    assert done.reason == "every class has reached 95 %"


def test_frames_of_one_second_count_as_one_photo():
    rows, labels = clouds(np.random.default_rng(3), [40, 40], 3)
    taken = np.arange(80.0)
    taken[:40] = np.arange(40) // 10
    made = sound(fitted(rows, labels, taken=taken))
    assert (made.per_class["c000"].bursts, made.per_class["c001"].bursts) == (4, 40)
    assert made.per_class["c000"].state == "unknown"
    assert "(40 in all)" in made.per_class["c000"].sentence


def test_views_of_a_photo_are_no_photos():
    rows, labels = clouds(np.random.default_rng(4), [20, 20, 20], 3)
    learner = Learner(DIM)
    learner.add(
        np.arange(60).repeat(2), (rows.repeat(2, 0) + np.tile([[0], [0.02]], (60, 1))).astype(np.float32), list(np.repeat(labels, 2))
    )
    made = sound(learner.fit("lda"))
    assert {one.photos for one in made.per_class.values()} == {20}
    assert "of 60 photos" in made.method


@pytest.mark.parametrize("kind", ["ncm", "lda", "ridge", "logistic"])
def test_every_algorithm_has_its_own_curve(kind):
    rows, labels = clouds(np.random.default_rng(5), [30] * 4, 2.5)
    sound(fitted(rows, labels, kind))


@pytest.mark.parametrize(
    ("counts", "apart"),
    [([1, 1], 3.0), ([1, 30], 3.0), ([2, 2, 2], 3.0), ([6, 3000], 3.0), ([3] * 150, 3.0), ([20, 20], 0.0)],
    ids=["one photo each", "one photo of a class", "two photos each", "1 : 500", "150 classes", "no difference"],
)
def test_few_photos_imbalance_and_many_classes_give_plain_sentences(counts, apart):
    rows, labels = clouds(np.random.default_rng(6), counts, apart)
    sound(fitted(rows, labels))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_equal_and_zero_embeddings_give_plain_sentences(value):
    sound(fitted(np.full((40, DIM), value, np.float32), ["a", "b"] * 20))


def test_forty_percent_of_wrong_labels_are_never_called_enough():
    random = np.random.default_rng(7)
    rows, labels = clouds(random, [60] * 4, 4)
    wrong = random.random(240) < 0.4
    labels = [f"c{random.integers(4):03d}" if bad else label for label, bad in zip(labels, wrong)]
    made = sound(fitted(rows, labels))
    assert {one.state for one in made.per_class.values()} <= {"flat", "far"}


@pytest.mark.parametrize("target", [0.0, 1.0, -1.0, math.nan])
def test_a_target_that_is_no_accuracy_is_refused(target):
    rows, labels = clouds(np.random.default_rng(8), [5, 5], 3)
    with pytest.raises(ValueError, match="between 0 and 1"):
        assess(fitted(rows, labels), target)


def test_the_same_photos_in_another_order_give_the_same_forecast():
    rows, labels = clouds(np.random.default_rng(9), [30, 20, 25], 2.5)
    order = np.random.default_rng(0).permutation(len(rows))
    learner = Learner(DIM)
    learner.add(order, rows[order], [labels[i] for i in order])
    one, other = assess(fitted(rows, labels)), assess(learner.fit("lda"))
    assert dataclasses.asdict(one) == dataclasses.asdict(other)
