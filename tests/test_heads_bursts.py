"""Bursts are the connected components that brute force finds, whatever came when; and accuracy counts them, not their frames."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components

from edgetl.heads import Learner, bursts
from edgetl.heads.bursts import Bursts, take_roots
from edgetl.stats import Proportion, per_class_accuracy

NEVER = np.nan


def oracle(x: np.ndarray, taken: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Every pair in float64, scipy's components, numbered by their smallest ids."""
    roots = take_roots(x).astype(np.float64)
    gap = np.square(roots[:, None] - roots).sum(2)
    second = np.floor(taken)
    moved = len(np.unique(second[np.isfinite(second)])) > 1
    crowd = np.array([(second == s).sum() > bursts.CROWD or not moved for s in second])
    link = (gap < 2 - 2 * bursts.ROOTED) | ((second[:, None] == second) & ~crowd[:, None])
    parts = connected_components(link, directed=False)[1]
    smallest = np.array([ids[parts == part].min() for part in parts])
    return np.unique(smallest, return_inverse=True)[1]


def photos(rng: np.random.Generator, n: int, d: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Some that are the same, some near the limit, a few that are all zero, and clocks that sometimes agree."""
    things = rng.standard_normal((n // 3 + 1, d))
    x = things[rng.integers(0, len(things), n)] + spread * rng.standard_normal((n, d))
    x[rng.random(n) < 0.05] = 0
    taken = np.where(rng.random(n) < 0.5, NEVER, 1e9 + rng.integers(0, 3 * n, n) + rng.random(n))
    return x.astype(np.float32), taken


@pytest.mark.parametrize("many", [0, bursts._MANY], ids=["by their shadows", "in full"])
@given(seed=st.integers(0, 10**6), n=st.integers(2, 60), spread=st.sampled_from([0.0, 0.1, 0.15, 0.2]), data=st.data())
@settings(max_examples=60, deadline=None)
def test_bursts_are_the_components_of_all_pairs_whatever_came_and_went(
    many: int, seed: int, n: int, spread: float, data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    x, taken = photos(rng, n, 12, spread)
    ids, finder, there = rng.permutation(n), Bursts(), np.empty(0, int)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bursts, "_MANY", many)
        patch.setattr(bursts, "_BLOCK", 7)
        patch.setattr(bursts, "_WIDTH", 3)
        patch.setattr(bursts, "_DENSE", data.draw(st.sampled_from([0.02, 1.0])))
        for part in np.array_split(np.arange(n), data.draw(st.integers(1, 4))):
            finder.add(len(part))
            there = np.concatenate([there, part])
            if data.draw(st.booleans()):
                keep = rng.random(len(there)) < 0.7
                finder.remove(keep)
                there = there[keep]
            if data.draw(st.booleans()) and len(there):
                np.testing.assert_array_equal(finder.find(x[there], taken[there], ids[there]), oracle(x[there], taken[there], ids[there]))
        if len(there):
            np.testing.assert_array_equal(finder.find(x[there], taken[there], ids[there]), oracle(x[there], taken[there], ids[there]))


def test_many_wide_photos_are_compared_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x, _ = photos(rng, 400, 96, 0.16)
    taken, ids, finder = np.full(400, NEVER), np.arange(400), Bursts()
    finder.add(400)
    monkeypatch.setattr(bursts, "_MANY", 0)
    expected = oracle(x, taken, ids)
    assert 1 < np.bincount(expected).max() < 200
    np.testing.assert_array_equal(finder.find(x, taken, ids), expected)


def test_one_second_is_one_burst_unless_the_clock_stands_still() -> None:
    x, learner = np.eye(80, dtype=np.float32), Learner(80)
    moving = np.array([100.0, 100.9, 101.0, NEVER] + [NEVER] * 36)
    learner.add(np.arange(40), x[:40], ["a", "b"] * 20, moving)
    assert learner.fit("ncm").bursts.tolist() == [0, 0, *range(1, 39)]
    learner.add(np.arange(40, 80), x[40:], ["a", "b"] * 20, np.full(40, 946684800.0))
    assert learner.fit("ncm").bursts.tolist() == [0, 0, *range(1, 79)]


def test_frames_of_a_burst_are_left_out_together_and_count_once() -> None:
    """Ten frames each of eight things whose labels mean nothing: frame by frame every answer is right, by bursts none can be known."""
    rng = np.random.default_rng(1)
    things = rng.standard_normal((8, 32))
    x = np.repeat(things, 10, 0) + 0.02 * rng.standard_normal((80, 32))
    labels = [("sound", "cracked")[i % 2] for i in range(8) for _ in range(10)]
    learner = Learner(32)
    learner.add(np.arange(80), x.astype(np.float32), labels)
    fit = learner.fit("lda")
    assert fit.bursts.tolist() == [i for i in range(8) for _ in range(10)]
    assert fit.candidates["lda"].n == 8
    accuracy, per_class = per_class_accuracy(list(zip(fit.truth, fit.predicted)), fit.bursts.tolist())
    assert accuracy == fit.candidates["lda"]
    assert accuracy.value <= 0.75
    assert {label: share.n for label, share in per_class.items()} == {"sound": 4, "cracked": 4}
    probes = np.asarray(things + 0.02 * rng.standard_normal((8, 32)), np.float32)
    assert [fit.head.labels[i] for i in fit.head.logits(probes).argmax(1)] == labels[::10]


def test_repeating_frames_changes_no_choice() -> None:
    rng = np.random.default_rng(2)
    y = np.arange(60) % 3
    x = np.asarray(rng.standard_normal((3, 48))[y] + rng.standard_normal((60, 48)), np.float32)
    once, often = Learner(48), Learner(48)
    once.add(np.arange(60), x, [f"class {k}" for k in y])
    again = np.repeat(np.arange(60), 3)
    often.add(np.arange(180), x[again], [f"class {k}" for k in y[again]])
    single, repeated = once.fit("ncm"), often.fit("ncm")
    assert repeated.candidates == single.candidates
    assert repeated.predicted[::3] == single.predicted
    np.testing.assert_allclose(repeated.held[::3], single.held, atol=1e-6)


def test_accuracy_counts_a_burst_once_per_class_by_its_majority() -> None:
    outcomes = [("a", "a"), ("a", "a"), ("a", "b"), ("b", "b"), ("b", "a"), ("b", "b"), ("c", "a")]
    assert per_class_accuracy(outcomes)[0] == Proportion(4, 7)
    accuracy, per_class = per_class_accuracy(outcomes, [0, 0, 0, 0, 0, 1, 2])
    assert per_class == {"a": Proportion(1, 1), "b": Proportion(1, 2), "c": Proportion(0, 1)}
    assert accuracy == Proportion(2, 4)
    with pytest.raises(ValueError, match="zip"):
        per_class_accuracy(outcomes, [0])


def test_cells_find_nearly_every_burst_in_any_order_and_what_comes_later(monkeypatch):
    rng, n = np.random.default_rng(0), 3000
    things = rng.standard_normal((40, 64))[rng.integers(0, 40, n)] + 0.7 * rng.standard_normal((n, 64))
    x = np.concatenate([things, things[:600] + 0.05 * rng.standard_normal((600, 64))]).astype(np.float32)
    x[:2] = 0
    ids, never = np.arange(len(x)), np.full(len(x), NEVER)

    def number(order: np.ndarray, first: int) -> np.ndarray:
        finder = Bursts()
        finder.add(first)
        finder.find(x[order[:first]], never[:first], ids[order[:first]])
        finder.add(len(order) - first)
        numbers = np.empty(len(order), np.intp)
        numbers[order] = finder.find(x[order], never, ids[order])
        return numbers

    exact = number(ids, len(x))
    monkeypatch.setattr(bursts, "EXACT", 1000)
    cells = number(ids, len(x))
    assert exact.max() < 3100
    pairs = [np.square(np.bincount(groups)).sum() - len(x) for groups in (exact, np.unique(exact * len(x) + cells, return_inverse=True)[1])]
    assert pairs[1] >= 0.99 * pairs[0] > 0
    assert (number(rng.permutation(len(x)), len(x)) == cells).all()
    assert (number(ids, len(x) - 40) == cells).mean() >= 0.99
