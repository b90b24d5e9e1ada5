"""Choosing a bundle: LogME against brute force, the median's interval against scipy, whole choices on the fake and a real backbone."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import coloured, encoded, picture
from PIL import Image
from scipy import optimize, stats

from edgetl.choose.choose import _select, choose, labelled_photos_in, rank, recommend
from edgetl.choose.logme import logme
from edgetl.choose.measure import QUERIES, WARM_UP, EmbedLatency, MeasuredBundle
from edgetl.choose.text import describe_choice, format_choice
from edgetl.demo.cells import cells
from edgetl.errors import PhotoError, TrainError
from edgetl.runtimes import fake
from edgetl.stats import Proportion
from edgetl.types import Array, to_json


def clustered(n: int, d: int, noise: float, seed: int = 0) -> tuple[Array, list[str]]:
    """Embeddings of three classes, the last of one photo."""
    random = np.random.default_rng(seed)
    y = np.array([0] * (n // 2) + [1] * (n - n // 2 - 1) + [2])
    return random.standard_normal((3, d))[y] + noise * random.standard_normal((n, d)), [f"class {i}" for i in y]


@pytest.mark.parametrize(("n", "d", "noise"), [(30, 5, 0.5), (12, 60, 1.0), (20, 4, 30.0)])
def test_logme_is_the_highest_evidence_that_brute_force_finds(n: int, d: int, noise: float) -> None:
    x, labels = clustered(n, d, noise)

    def brute(target: Array) -> float:
        def negative(exponents: Array) -> float:
            covariance = x @ x.T * math.exp(exponents[0]) + np.eye(n) * math.exp(exponents[1])
            return -float(stats.multivariate_normal(np.zeros(n), covariance, allow_singular=True).logpdf(target))

        starts = [(a, b) for a in (-8, -2) for b in (-6, -2)]
        return -min(optimize.minimize(negative, start, method="Nelder-Mead", options={"maxiter": 200}).fun for start in starts)

    expected = np.mean([brute(np.array([float(label == name) for label in labels])) for name in sorted(set(labels))]) / n
    assert logme(x, labels) == pytest.approx(expected, abs=2e-3)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 99), st.sampled_from([0.0, 1e-30, 1e-3, 1.0, 1e6, 1e30]), st.integers(2, 30), st.integers(1, 40))
def test_logme_is_finite_and_independent_of_unit_and_order(seed: int, unit: float, n: int, d: int) -> None:
    x, labels = clustered(n, d, 1.0, seed)
    value = logme(x * unit, labels)
    assert math.isfinite(value)
    order = np.random.default_rng(seed).permutation(n)
    assert logme(x[order] * unit, [labels[i] for i in order]) == pytest.approx(value, abs=1e-6)
    if unit:
        assert value == pytest.approx(logme(x, labels), abs=1e-6)


@pytest.mark.parametrize("x", [np.zeros((6, 4)), np.ones((6, 4)), np.repeat(np.eye(4)[:2], 3, axis=0)], ids=["zero", "equal", "copies"])
def test_logme_of_constant_and_of_perfect_embeddings_is_finite(x: Array) -> None:
    assert math.isfinite(logme(x, ["a", "a", "a", "b", "b", "b"]))
    assert math.isfinite(logme(x, ["a", "b", "c", "d", "e", "f"]))


def test_logme_prefers_the_embeddings_that_tell_the_classes_apart() -> None:
    ordered = [logme(*clustered(60, 20, noise)) for noise in (0.2, 1.0, 5.0)]
    assert ordered == sorted(ordered, reverse=True)


@given(st.lists(st.integers(1, 10**9), min_size=6, max_size=200))
def test_the_interval_of_a_median_is_the_sign_tests(samples: list[int]) -> None:
    latency = EmbedLatency.summarise(samples, 0)
    k = int(stats.binom.ppf(0.025, len(samples), 0.5))
    k = k if stats.binom.cdf(k, len(samples), 0.5) > 0.025 else k + 1
    ordered = sorted(samples)
    assert latency.interval == (ordered[k - 1], ordered[-k])
    assert latency.interval[0] <= latency.p50 <= latency.interval[1]


def candidate(hits: int, ms: int, size: int) -> MeasuredBundle:
    latency = EmbedLatency((ms,) * 6, 0, ms * 10**6, (ms * 10**6 - 500_000, ms * 10**6 + 500_000))
    accuracy = Proportion(hits, 100)
    return MeasuredBundle(f"{hits}-{ms}-{size}", "fake", 64, (), "fake-fp32", "fake 1", 1, accuracy, "lda", 0.0, 100, latency, size, 68)


@settings(max_examples=200)
@given(st.lists(st.builds(candidate, st.integers(0, 100), st.integers(1, 9), st.integers(1, 99)), min_size=1, max_size=7))
def test_the_front_is_never_empty_and_the_recommended_bundle_as_accurate_as_the_best(candidates: list[MeasuredBundle]) -> None:
    ranked = rank(candidates)
    assert any(candidate.front for candidate in ranked)
    code, name = recommend(ranked)
    chosen = next(candidate for candidate in ranked if candidate.bundle == name)
    assert chosen.accuracy.interval[1] >= ranked[0].accuracy.interval[0]
    assert code == ("as-accurate" if chosen is not ranked[0] else "most-accurate" if len(ranked) > 1 else "only")


@pytest.mark.parametrize(
    ("candidates", "front", "chosen", "code"),
    [
        ([candidate(90, 5, 10), candidate(50, 5, 10)], "90-5-10", "90-5-10", "most-accurate"),
        ([candidate(90, 5, 10), candidate(88, 2, 10)], "88-2-10", "88-2-10", "as-accurate"),
        ([candidate(90, 5, 50), candidate(88, 5, 10)], "88-5-10", "88-5-10", "as-accurate"),
        ([candidate(90, 5, 105), candidate(88, 5, 100)], "90-5-105 88-5-100", "90-5-105", "most-accurate"),
        ([candidate(90, 5, 10), candidate(50, 2, 10)], "90-5-10 50-2-10", "90-5-10", "most-accurate"),
    ],
    ids=["less accurate", "as accurate and faster", "as accurate and smaller", "no difference at all", "faster and less accurate"],
)
def test_the_front_and_the_recommendation(candidates: list[MeasuredBundle], front: str, chosen: str, code: str) -> None:
    ranked = rank(candidates)
    assert " ".join(candidate.bundle for candidate in ranked if candidate.front) == front
    assert recommend(ranked) == (code, chosen)


@pytest.fixture
def bundles(tmp_path: Path) -> list[Path]:
    """Two that work, of different kinds; one whose model is damaged; and one that is not there."""
    golden = encoded(picture(seed=9))
    small = fake.write_bundle(str(tmp_path / "small.edgetl"), golden, dim=16, size=16).path
    large = fake.write_bundle(str(tmp_path / "large.edgetl"), golden, dim=96, size=64, seed=1).path
    damaged = fake.write_bundle(str(tmp_path / "damaged"), golden).path
    model = next(damaged.rglob("model.json"))
    model.write_bytes(model.read_bytes().replace(b"64", b"65"))
    return [small, damaged, large, tmp_path / "missing.edgetl"]


def test_bundles_are_measured_on_the_same_photos_and_others_are_skipped(bundles: list[Path], folder: Path) -> None:
    (folder / "red" / "broken.jpg").write_bytes(coloured("red", 7)[:300])
    seen: list[tuple[int, int]] = []
    choice = choose(bundles, folder, progress=lambda done, total: seen.append((done, total)))
    assert {Path(c.bundle).name: (c.sample, c.levels, c.photos) for c in choice.candidates} == {
        "small.edgetl": (20, (), 18),
        "large.edgetl": (100, (), 18),
    }
    assert [(Path(skip.path).name, skip.code) for skip in choice.skipped] == [
        ("damaged", "checksum-mismatch"),
        ("missing.edgetl", "bundle-missing"),
    ]
    assert [(Path(skip.path).name, skip.code) for skip in choice.failed] == [("broken.jpg", "photo-corrupt")]
    assert seen[-1] == (4 * 19, 4 * 19)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    for candidate in choice.candidates:
        latency = candidate.latency
        assert candidate.accuracy.value > 0.8
        assert (len(latency.samples), latency.warm_up) == (QUERIES, WARM_UP)
        assert latency.interval[0] <= latency.p50 <= latency.interval[1]
        assert candidate.bundle.endswith(".edgetl")
    assert choice.recommended in [c.bundle for c in choice.candidates if c.front]
    printed = json.loads(json.dumps(to_json(choice), allow_nan=False))
    assert printed["candidates"][0]["accuracy"]["n"] == choice.candidates[0].accuracy.n
    shown = format_choice(choice)
    assert all(word in shown for word in ("small.edgetl", "large.edgetl", "damaged: ", "broken.jpg: ", describe_choice(choice)))


def test_which_photos_of_a_class_are_used_depends_on_that_class_alone(bundles: list[Path], folder: Path) -> None:
    def select() -> dict[str, list[str]]:
        pairs = _select(labelled_photos_in(folder)[0], 4, seed=1)
        return {label: [path.name for path, other in pairs if other == label] for _, label in pairs}

    before = select()
    assert [len(names) for names in before.values()] == [4, 4, 4]
    for extra in range(6, 30):
        (folder / "green" / f"{extra}.jpg").write_bytes(coloured("green", extra))
    after = select()
    assert (after["red"], after["blue"]) == (before["red"], before["blue"])
    assert len(after["green"]) == 4
    choice = choose(bundles[:1], folder, per_class=4, seed=1)
    assert (choice.classes, choice.candidates[0].photos) == ({"blue": 4, "green": 4, "red": 4}, 12)


def test_photos_of_one_second_count_once(bundles: list[Path], folder: Path) -> None:
    (before,) = choose(bundles[:1], folder).candidates
    exif = Image.Exif()
    for second, label in enumerate(("red", "green", "blue")):
        exif.get_ifd(0x8769)[0x9003] = f"2026:05:01 10:00:0{second}"
        for photo in (folder / label).iterdir():
            Image.open(photo).save(photo, exif=exif, quality="keep")
    (after,) = choose(bundles[:1], folder).candidates
    assert (before.photos, after.photos) == (18, 18)
    assert before.accuracy.n > after.accuracy.n == 3


def test_without_a_working_bundle_every_bundle_is_skipped(bundles: list[Path], folder: Path) -> None:
    choice = choose([bundles[1], bundles[3]], folder)
    assert (choice.code, choice.candidates, choice.recommended, len(choice.skipped)) == ("none-works", (), None, 2)
    assert format_choice(choice).endswith(describe_choice(choice))


def test_photos_that_cannot_be_compared_are_errors(bundles: list[Path], folder: Path, tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match="no such folder"):
        choose(bundles, tmp_path / "nowhere")
    for label in ("green", "blue"):
        for photo in (folder / label).iterdir():
            photo.unlink()
    with pytest.raises(TrainError, match="one class, 'red'"):
        choose(bundles, folder)


def test_if_no_photo_can_be_read_every_bundle_is_skipped(bundles: list[Path], folder: Path) -> None:
    for photo in folder.rglob("*.jpg"):
        photo.write_bytes(b"not a photo")
    choice = choose(bundles[:1], folder)
    assert choice.skipped[0].code == "no-photos"
    assert len(choice.failed) == 18


@pytest.mark.slow
def test_a_real_backbone_is_chosen_over_random_projections(lite0: Path, bundles: list[Path], tmp_path: Path) -> None:
    for cell in cells()[::12]:
        (tmp_path / "cells" / cell.state).mkdir(parents=True, exist_ok=True)
        (tmp_path / "cells" / cell.state / cell.path.name).symlink_to(cell.path)
    choice = choose([bundles[0], lite0], tmp_path / "cells")
    assert choice.recommended == str(lite0)
    real, random = choice.candidates
    assert real.logme > random.logme
    assert real.latency.p50 > random.latency.p50
    assert real.front
