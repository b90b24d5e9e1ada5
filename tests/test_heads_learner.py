"""The learner: any order of changes is one batch, every odd set gives a head or an error, and the choice is as good as its parts."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raising import raises
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import NearestCentroid

from edgetl.errors import LabelError, TrainError
from edgetl.heads import Fit, Learner
from edgetl.heads import learner as learner_module
from edgetl.heads.linalg import whitening
from edgetl.heads.linalg.normalisation import power_normalise
from edgetl.heads.samples import choose_judged
from edgetl.heads.text import choice_text, warning_text
from edgetl.heads.warnings import TrainingWarning
from edgetl.stats import Proportion
from edgetl.types import HEAD_KINDS, HeadKind

KINDS: tuple[HeadKind, ...] = ("auto", "ncm", "lda", "ridge")
LABELS = ["ant", "bee", "cat", "dog"]


def data(seed: int, n: int, d: int, c: int = 4) -> tuple[np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % c)
    return (3 * rng.standard_normal((c, d))[y] + 3 * rng.standard_normal((n, d)) + 2).astype(np.float32), [f"class {k}" for k in y]


def trained(x: np.ndarray, labels: list[str]) -> Learner:
    learner = Learner(x.shape[1])
    learner.add(np.arange(len(x)), x, labels)
    return learner


def alike(fit: Fit, batch: Fit, probes: np.ndarray) -> None:
    """Equal in all that a caller sees; logits to 1e-5, and to 1e-5 of their own range."""
    assert (fit.kind, fit.head.labels, fit.head.counts) == (batch.kind, batch.head.labels, batch.head.counts)
    assert dict(zip(fit.ids.tolist(), fit.truth)) == dict(zip(batch.ids.tolist(), batch.truth))
    expected = batch.head.logits(probes)
    np.testing.assert_allclose(fit.head.logits(probes), expected, rtol=0, atol=1e-5 * min(1.0, float(np.abs(expected).max())))
    np.testing.assert_allclose(fit.head.probabilities(probes), batch.head.probabilities(probes), atol=1e-3)
    np.testing.assert_array_equal(fit.head.logits(probes).argmax(1), batch.head.logits(probes).argmax(1))


changes = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 12), st.sampled_from(LABELS)),
        st.tuples(st.just("remove"), st.integers(1, 9), st.integers(0, 10**6)),
        st.tuples(st.just("relabel"), st.integers(0, 10**6), st.sampled_from(LABELS)),
        st.tuples(st.just("fit"), st.just(0), st.just(0)),
    ),
    max_size=25,
)


@pytest.mark.parametrize(
    ("few", "limit", "cheap"),
    [(0, 5, whitening._CHEAP), (0, 5, 0), (99, 512, whitening._CHEAP)],
    ids=["beside a factor, few judged", "the same in float32 coordinates", "new factor, all judged"],
)
@given(changes=changes, kind=st.sampled_from(["lda", "ridge", "ncm", "auto"]), seed=st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_any_order_of_changes_is_one_batch(few: int, limit: int, cheap: int, changes: list[tuple], kind: HeadKind, seed: int) -> None:
    rng = np.random.default_rng(seed)
    learner, rows, number = Learner(24), {}, 0

    def add(n: int, label: str) -> None:
        nonlocal number
        x = (rng.standard_normal((n, 24)) + 3 * (LABELS.index(label) == np.arange(24) % 4)).astype(np.float32)
        learner.add(np.arange(number, number + n), x, [label] * n)
        rows.update({number + i: (x[i], label) for i in range(n)})
        number += n

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whitening, "FEW", few)
        patch.setattr(whitening, "_CHEAP", cheap)
        patch.setattr(learner_module, "LIMIT", limit)
        for label in LABELS[:2]:
            add(12, label)
        learner.fit(kind)
        for what, first, second in changes:
            if what == "add":
                add(first, second)
            elif what == "remove" and len(rows) > 30:
                gone = [int(i) for i in np.random.default_rng(second).choice(list(rows), first, replace=False)]
                learner.remove(gone)
                for sample in gone:
                    del rows[sample]
            elif what == "relabel":
                sample = sorted(rows)[first % len(rows)]
                learner.relabel(sample, second)
                rows[sample] = rows[sample][0], second
            elif len({label for _, label in rows.values()}) > 1:
                learner.fit(kind)
        if len({label for _, label in rows.values()}) < 2:
            return
        order = rng.permutation(sorted(rows))
        batch = Learner(24)
        batch.add(order, np.stack([rows[i][0] for i in order]), [rows[i][1] for i in order])
        alike(learner.fit(kind), batch.fit(kind), rng.standard_normal((50, 24)).astype(np.float32))


def test_adding_and_forgetting_a_class_at_full_width_is_never_having_added_it() -> None:
    x, labels = data(0, 700, 640)
    learner = trained(x[:600], labels[:600])
    before = learner.fit("lda")
    learner.add(np.arange(1000, 1020), x[600:620], ["new"] * 20)
    assert "new" in learner.fit("lda").head.labels
    learner.remove(range(1000, 1020))
    alike(learner.fit("lda"), before, x[600:])
    assert learner.fit("lda").predicted == before.predicted


def test_a_long_life_equals_a_batch() -> None:
    x, labels = data(1, 400, 32)
    learner = trained(x, labels)
    rng = np.random.default_rng(2)
    for turn in range(2000):
        i = int(rng.integers(400))
        learner.remove([i])
        learner.add([i], x[i : i + 1], [labels[i]])
        if turn % 100 == 0:
            learner.fit("lda")
    alike(learner.fit("lda"), trained(x, labels).fit("lda"), x)


def test_scaling_an_embedding_changes_nothing() -> None:
    x, labels = data(3, 60, 20)
    scaled = x * np.logspace(-25, 25, 60, dtype=np.float32)[:, None]
    alike(trained(scaled, labels).fit("lda"), trained(x, labels).fit("lda"), x)


@pytest.mark.parametrize("kind", KINDS)
def test_no_photo_one_photo_and_a_single_class_are_errors(kind: HeadKind) -> None:
    with raises(TrainError, "no-photos"):
        Learner(8).fit(kind)
    with raises(TrainError, "one-class", label="mug", count=3):
        trained(np.ones((3, 8), np.float32), ["mug"] * 3).fit(kind)
    with raises(TrainError, "one-photo", label="mug"):
        trained(np.ones((1, 8), np.float32), ["mug"]).fit(kind, single=True)


def odd_sets() -> dict[str, tuple[np.ndarray, list[str]]]:
    x, labels = data(4, 40, 16)
    many = np.random.default_rng(5).standard_normal((10_001, 16)).astype(np.float32)
    return {
        "one photo per class": (x[:4], ["a", "b", "c", "d"]),
        "one photo in one class": (x[:21], ["a"] * 20 + ["b"]),
        "two photos per class, each twice the same": (np.repeat(x[:3], 2, 0), ["a", "a", "b", "b", "c", "c"]),
        "all embeddings equal": (np.ones((10, 16), np.float32), ["a", "b"] * 5),
        "many embeddings, all equal": (np.ones((600, 16), np.float32), ["a", "b"] * 300),
        "all zero": (np.zeros((10, 16), np.float32), ["a", "b"] * 5),
        "some zero": (x * (np.arange(40) % 5 > 0)[:, None], labels),
        "the same photo in two classes": (np.repeat(x[:5], 2, 0), ["a", "b"] * 5),
        "1 : 10,000": (many, ["common"] * 10_000 + ["rare"]),
        "2 : 10,000": (np.concatenate([many, many[:1] * 2]), ["common"] * 10_000 + ["rare"] * 2),
        "labels that mean nothing": (x, list(np.random.default_rng(6).choice(["a", "b"], 40))),
        "constant within a class": (np.repeat(np.eye(16, dtype=np.float32)[:3], 100, 0), ["a"] * 100 + ["b"] * 100 + ["c"] * 100),
    }


@pytest.mark.parametrize("name", odd_sets())
@pytest.mark.parametrize("kind", KINDS)
def test_odd_sets_give_a_head_without_a_nan(kind: HeadKind, name: str) -> None:
    x, labels = odd_sets()[name]
    with np.errstate(all="raise", under="ignore"):
        fit = trained(x, labels).fit(kind)
        odds = fit.head.probabilities(x)
    assert np.isfinite(odds).all()
    np.testing.assert_allclose(odds.sum(1), 1, atol=1e-5)
    assert fit.head.temperature > 0
    assert len(fit.predicted) == len(fit.truth) == len(x)
    assert choice_text(fit.choice)
    assert all(warning_text(warning) for warning in fit.warnings)
    assert set(fit.candidates) <= set(HEAD_KINDS)


def test_one_photo_per_class_is_warned_of_and_already_tells_the_photos_apart() -> None:
    x, labels = odd_sets()["one photo per class"]
    fit = trained(x, labels).fit()
    assert fit.kind == "ridge"
    assert fit.candidates == {}
    assert fit.choice.code == "nothing-to-compare"
    assert fit.warnings[0] == TrainingWarning("one-photo", ("a", "b", "c", "d"))
    assert not any(predicted == truth for predicted, truth in zip(fit.predicted, fit.truth))
    assert [fit.head.labels[i] for i in fit.head.logits(x).argmax(1)] == labels


def test_equal_and_zero_embeddings_are_warned_of() -> None:
    assert trained(*odd_sets()["all embeddings equal"]).fit().warnings[0] == TrainingWarning("same-embeddings", total=10)
    assert trained(*odd_sets()["some zero"]).fit().warnings[0] == TrainingWarning("zero-embeddings", count=8, total=40)
    assert trained(*data(4, 40, 16)).fit().warnings == ()


def test_a_rare_class_is_still_found() -> None:
    rng = np.random.default_rng(7)
    x = rng.standard_normal((1010, 32)).astype(np.float32)
    x[1000:, 0] += 12
    fit = trained(x, ["common"] * 1000 + ["rare"] * 10).fit()
    assert fit.predicted[1000:] == ("rare",) * 10


def test_an_error_leaves_the_learner_as_it_was() -> None:
    x, labels = data(8, 40, 16)
    learner = trained(x, labels)
    before = learner.fit("lda")
    broken = x[:2].copy()
    broken[1, 3] = np.nan
    with raises(TrainError, "embedding-not-finite", sample=51):
        learner.add([50, 51], broken, ["a", "b"])
    with raises(TrainError, "shape-mismatch", shape=[2, 8], expected=[2, 16]):
        learner.add([50, 51], x[:2, :8], ["a", "b"])
    with raises(TrainError, "id-known"):
        learner.add([50, 3], x[:2], ["a", "b"])
    with pytest.raises(LabelError):
        learner.add([50], x[:1], ["a/b"])
    with pytest.raises(KeyError):
        learner.remove([0, 99])
    with pytest.raises(KeyError):
        learner.relabel(99, "a")
    with raises(TrainError, "unknown-head-kind", kind="forest"):
        learner.fit("forest")  # type: ignore[arg-type]
    assert len(learner) == 40
    alike(learner.fit("lda"), before, x)


def test_auto_takes_what_leave_one_out_shows_to_be_better_and_reports_why() -> None:
    x, labels = data(9, 600, 32)
    fit = trained(x, labels).fit()
    assert set(fit.candidates) == {"ncm", "lda", "ridge"}
    best = fit.candidates[fit.kind]
    choice = fit.choice
    assert choice.code == ("default" if fit.kind == "lda" else "better-score")
    assert (choice.kind, choice.alpha, choice.accuracy) == (fit.kind, fit.alpha, best)
    assert (choice.photos, choice.total, choice.last_stage) == (518, 600, None)
    hits = sum(predicted == truth for predicted, truth in zip(fit.predicted, fit.truth))
    assert best.n == 512
    assert abs(hits / 600 - fit.candidates[fit.kind].value) < 0.1


@pytest.mark.parametrize(("frames", "tried"), [(1, [0.3, 0.03]), (4, [0.3, 0.03, 0.003])], ids=["single photos", "bursts of four"])
def test_little_regularisation_is_tried_where_bursts_are_few(frames: int, tried: list[float]) -> None:
    x, labels = data(3, 160, 256)
    rows = np.arange(160) // frames * frames
    fit = trained(x[rows], [labels[row] for row in rows]).fit("lda")
    assert len(set(fit.bursts)) == 160 // frames
    assert list(fit.views) == tried
    assert fit.view(0.003).alpha == 0.003


@pytest.mark.parametrize("few", [0, 99], ids=["beside a factor", "new factor"])
def test_candidates_are_trained_on_all_photos_and_judged_on_the_sample(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a fifth of the photos asked each candidate's accuracy is that of models of all photos but the one asked."""
    monkeypatch.setattr(whitening, "FEW", few)
    x, labels = data(19, 240, 60, 8)
    x[:, :30] *= 0.2
    everything = trained(x, labels).fit("lda")
    monkeypatch.setattr(learner_module, "LIMIT", 48)
    fit = trained(x, labels).fit("lda")
    assert fit.alpha == everything.alpha
    classes = np.array([fit.head.labels.index(label) for label in labels])
    drawn = choose_judged(fit.ids, classes, fit.bursts, 0, 48, 192)
    assert np.bincount(classes[drawn]).tolist() == [6] * 8
    right = np.array(everything.predicted) == np.array(labels)
    assert fit.candidates["lda"] == Proportion(int(right[drawn].sum()), 48)
    assert fit.candidates["lda"] != everything.candidates["lda"]
    assert fit.predicted == everything.predicted


def test_whole_bursts_are_asked_spread_over_classes_and_long_ones_last() -> None:
    classes = np.repeat([0, 0, 0, 1, 1, 2], [100, 3, 2, 4, 1, 70])
    bursts = np.repeat(np.arange(6), [100, 3, 2, 4, 1, 70])
    ids = np.arange(180)
    drawn = choose_judged(ids, classes, bursts, 0, 5, 90)
    assert {int(burst) for burst in bursts[drawn]} == {1, 2, 3, 4, 5}
    assert all(len(set(drawn[bursts == burst].tolist())) == 1 for burst in range(6))
    order = np.random.default_rng(0).permutation(180)
    np.testing.assert_array_equal(choose_judged(ids[order], classes[order], bursts[order], 0, 5, 90), drawn[order])


def test_the_seed_alone_decides_what_is_drawn() -> None:
    x, labels = np.random.default_rng(10).standard_normal((600, 24)).astype(np.float32), ["a", "b"] * 300
    first, again, other = (trained(x, labels).fit("lda", seed).choice for seed in (0, 0, 1))
    assert first == again
    assert first.accuracy != other.accuracy


@functools.cache
def classes_near_the_width(dim: int) -> tuple[np.ndarray, np.ndarray]:
    """81 centres, and a spectrum like a backbone's, whose directions are not the embedding's values."""
    rng = np.random.default_rng(11)
    turn = np.linalg.qr(rng.standard_normal((dim, dim)))[0]
    return 0.2 * rng.standard_normal((81, dim)), turn * (np.arange(1, dim + 1) ** -0.5)[:, None]


def near_the_width(dim: int, shots: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    centres, turn = classes_near_the_width(dim)
    y = np.repeat(np.arange(81), shots)
    roots = (centres[y] + np.random.default_rng(seed).standard_normal((len(y), dim))) @ turn
    return (np.sign(roots) * roots**2).astype(np.float32), y


@pytest.mark.parametrize("dim", [768, pytest.param(1280, marks=pytest.mark.slow)])
def test_nothing_collapses_where_samples_are_about_as_many_as_values(dim: int) -> None:
    """10 shots of 81 classes: published streaming LDA with a fixed shrinkage halves its accuracy between 5 and 10 shots there."""
    tests, truth = near_the_width(dim, 10, 0)
    accuracy = []
    for shots in (5, 10, 20):
        x, y = near_the_width(dim, shots, shots)
        head = trained(x, [f"{k:02d}" for k in y]).fit().head
        accuracy.append(float((head.logits(tests).argmax(1) == truth).mean()))
    assert accuracy[1] > accuracy[0] + 0.05, accuracy
    assert accuracy[2] > accuracy[1] + 0.05, accuracy


@pytest.mark.slow
@pytest.mark.parametrize("dim", [768, 1280])
def test_auto_is_no_worse_than_scikit_learn_at_as_many_samples_as_values(dim: int) -> None:
    tests, truth = near_the_width(dim, 10, 0)
    x, y = near_the_width(dim, 10, 10)
    head = trained(x, [f"{k:02d}" for k in y]).fit().head
    ours = float((head.logits(tests).argmax(1) == truth).mean())
    unit = power_normalise(x).astype(np.float64)
    others = LinearDiscriminantAnalysis(solver="eigen", shrinkage="auto"), NearestCentroid()
    theirs = [float((model.fit(unit, y).predict(power_normalise(tests)) == truth).mean()) for model in others]
    assert ours > max(theirs) - 0.005, (ours, theirs)


@pytest.mark.parametrize("noise", [0.1, 0.2, 0.4])
def test_wrong_labels_cost_little(noise: float) -> None:
    rng = np.random.default_rng(13)
    x, labels = data(14, 600, 48)
    wrong = rng.random(600) < noise
    noisy = [f"class {rng.integers(4)}" if bad else label for label, bad in zip(labels, wrong)]
    head = trained(x[:400], noisy[:400]).fit().head
    right = [head.labels[i] == label for i, label in zip(head.logits(x[400:]).argmax(1), labels[400:])]
    assert np.mean(right) > 0.9


def test_possible_problems_of_a_training_set_are_warned_of() -> None:
    rng = np.random.default_rng(15)
    things = rng.standard_normal((3, 24))
    x, labels = np.asarray(np.repeat(things, 6, 0) + 0.01 * rng.standard_normal((18, 24)), np.float32), ["a"] * 6 + ["b"] * 12
    fit = trained(x, labels).fit()
    assert fit.warnings == (TrainingWarning("one-group-per-class", ("a",)),)
    assert "b" in fit.predicted[:6]
    assert "a" not in fit.predicted[:6]
    whole = trained(x[:6], ["a", "b"] * 3).fit()
    assert whole.warnings[0] == TrainingWarning("one-group", total=6)
    assert (whole.kind, whole.choice.code) == ("ridge", "nothing-to-compare")
    assert not any(predicted == truth for predicted, truth in zip(whole.predicted, whole.truth))
    mixed = trained(*odd_sets()["labels that mean nothing"]).fit()
    assert mixed.warnings[0] == TrainingWarning("as-good-as-guessing", accuracy=mixed.candidates[mixed.kind])
    assert TrainingWarning("uneven-classes", ("rare", "common"), 2, 10_000) in trained(*odd_sets()["2 : 10,000"]).fit("ncm").warnings


def test_all_levels_are_compared_with_the_last_one_alone() -> None:
    """What tells the classes apart is in the first level; the last one alone knows nothing."""
    rng = np.random.default_rng(16)
    y = np.arange(120) % 3
    x = rng.standard_normal((120, 40))
    x[:, :16] += 2 * rng.standard_normal((3, 16))[y]
    labels = [f"class {k}" for k in y]
    learner = Learner(40, levels=(16, 24))
    learner.add(np.arange(120), x.astype(np.float32), labels)
    fit, alone = learner.fit("lda"), trained(x[:, 16:].astype(np.float32), labels).fit("lda")
    assert fit.choice.last_stage == alone.candidates["lda"]
    assert fit.choice.accuracy.value > alone.candidates["lda"].value + 0.3
    with raises(TrainError, "levels-mismatch", levels=[16, 16], expected=40):
        Learner(40, levels=(16, 16))


def test_an_id_is_added_once() -> None:
    x, labels = data(17, 60, 24)
    learner = trained(x, labels)
    for ids in ([90, 91, 90], [90, 90, 91], [3, 90, 91]):
        with raises(TrainError, "id-known"):
            learner.add(ids, x[:3], ["a"] * 3)
    assert len(learner) == 60
    learner.remove(range(30))
    learner.add([3, 90, 91], x[:3], ["a"] * 3)
    assert len(learner) == len(learner.fit("lda").ids) == 33
