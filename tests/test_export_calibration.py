"""Calibration photos and parity: which photos are used, and the errors of those that cannot be."""

import io
from pathlib import Path

import numpy as np
import pytest
from edgetl_exporters import parity
from edgetl_exporters.pictures import charts, scenes
from edgetl_exporters.quantise import calibration
from pictures import encoded, picture
from PIL import Image
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.neighbors import NearestNeighbors

from edgetl.errors import CalibrationError, ParityError, PhotoError
from edgetl.types import ImageSpec, to_json

SPEC = ImageSpec(32, 32, 36)


def fill(folder: Path, count: int, start: int = 0) -> Path:
    folder.mkdir(exist_ok=True)
    for seed in range(start, start + count):
        (folder / f"{seed:04}.jpg").write_bytes(encoded(picture(64, 48, seed=seed)))
    return folder


def noise(size: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8))


def test_only_the_seed_chooses_and_held_back_photos_do_not_calibrate(tmp_path: Path) -> None:
    folder = fill(tmp_path / "photos", 160)
    first, again, other = (calibration.collect(folder, SPEC, seed=seed, count=100) for seed in (1, 1, 2))
    parts = (first.tensors, first.choosing, first.held_back)
    assert [part.shape for part in parts] == [(111, 32, 32, 3), (22, 32, 32, 3), (27, 32, 32, 3)]
    np.testing.assert_array_equal(first.tensors, again.tensors)
    assert first.manifest() == again.manifest()
    assert first.manifest()["sha256"] != other.manifest()["sha256"]
    assert len({image.tobytes() for part in parts for image in part}) == 160


def test_the_hash_is_of_the_contents_and_not_of_their_names(tmp_path: Path) -> None:
    folder = fill(tmp_path / "photos", 120)
    digests = calibration.collect(folder, SPEC).digests
    assert set(digests) < {calibration.source.load(path).digest.hex() for path in folder.iterdir()}
    assert list(digests) == sorted(digests)


def test_photos_that_cannot_calibrate_are_skipped_with_their_reason_and_replaced(tmp_path: Path) -> None:
    folder = fill(tmp_path / "photos", 125)
    (folder / "broken.jpg").write_bytes(encoded(picture())[:200])
    (folder / "flat.png").write_bytes(encoded(Image.new("RGB", (64, 64), (200, 10, 10)), "PNG"))
    (folder / "noise.png").write_bytes(encoded(noise(64), "PNG"))
    (folder / "twin.jpg").write_bytes((folder / "0000.jpg").read_bytes())
    used = calibration.collect(folder, SPEC)
    reasons = {Path(name).name: reason for name, reason in used.skipped}
    assert len(used.tensors) + len(used.choosing) + len(used.held_back) == 125
    assert reasons.keys() >= {"flat.png", "noise.png", "broken.jpg"}
    assert len(reasons) == 4  # and one of the two with the same bytes
    assert len(reasons.keys() & {"twin.jpg", "0000.jpg"}) == 1


def test_too_few_photos_are_an_error_with_the_numbers(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError) as error:
        calibration.collect(fill(tmp_path / "photos", 119), SPEC)
    values = {"path": str(tmp_path / "photos"), "usable": 119, "count": 119, "minimum": 120, "skipped": []}
    assert (error.value.code, error.value.values) == ("too-few-photos", values)
    with pytest.raises(CalibrationError) as error:
        calibration.collect(tmp_path / "absent", SPEC)
    assert (error.value.code, error.value.values) == ("folder-unusable", {"path": str(tmp_path / "absent")})


def test_a_folder_of_noise_or_flat_photos_is_an_error_with_reasons(tmp_path: Path) -> None:
    for i in range(130):
        image = noise(64, i) if i % 2 else Image.new("RGB", (64, 64), (i, 2 * i % 256, 7))
        (tmp_path / f"{i}.png").write_bytes(encoded(image, "PNG"))
    with pytest.raises(CalibrationError) as error:
        calibration.collect(tmp_path, SPEC)
    assert (error.value.code, error.value.values["usable"], error.value.values["count"]) == ("too-few-photos", 0, 130)
    assert len(error.value.values["skipped"]) == 130
    assert error.value.values["skipped"][0][1] in str(error.value)


@pytest.mark.parametrize("size", [224, 256, 500])
def test_noise_is_detected_at_every_size_and_pictures_pass(size: int) -> None:
    spec = ImageSpec(224, 224, 256)
    photo = calibration.source.load(encoded(noise(size), quality=95))
    with pytest.raises(PhotoError) as error:
        calibration.check(calibration.preprocess.tensor(photo, spec))
    assert error.value.code == "noise"
    assert error.value.values["correlation"] < error.value.values["minimum"] == calibration.NOISE
    for scene in scenes(20, 224, 224, seed=size):
        calibration.check(scene)


def test_a_photo_of_one_colour_cannot_calibrate() -> None:
    with pytest.raises(PhotoError) as error:
        calibration.check(np.full((8, 8, 3), 90, np.uint8))
    assert (error.value.code, error.value.values) == ("one-colour", {"deviation": 0.0, "minimum": calibration.FLAT})


def test_parity_equals_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    expected = rng.normal(size=(40, 16)).astype(np.float32)
    embeddings = expected + rng.normal(0, 0.4, expected.shape).astype(np.float32)
    cosine = np.diag(cosine_similarity(expected, embeddings))
    near = [NearestNeighbors(n_neighbors=2, metric="cosine").fit(rows).kneighbors(rows)[1][:, 1] for rows in (expected, embeddings)]
    measured = parity.measure(expected, embeddings, 0.9)
    assert measured.cosine_mean == pytest.approx(cosine.mean(), abs=1e-6)
    assert measured.cosine_min == pytest.approx(cosine.min(), abs=1e-6)
    assert measured.max_abs == pytest.approx(np.abs(expected - embeddings).max())
    assert measured.neighbour_agreement == (near[0] == near[1]).mean()
    assert (measured.count, measured.bound) == (40, 0.9)


@pytest.mark.parametrize("fault", [np.zeros_like, lambda rows: rows[::-1], lambda rows: np.full_like(rows, np.nan)])
def test_a_variant_outside_its_bound_is_an_error_with_all_numbers(fault) -> None:
    expected = np.random.default_rng(1).normal(size=(30, 8)).astype(np.float32)
    measured = parity.measure(expected, fault(expected), 0.98)
    with pytest.raises(ParityError) as error:
        parity.check("tflite-int8", measured, "try it")
    assert error.value.code == "parity-below-bound"
    assert repr(error.value.values) == repr({"variant": "tflite-int8", "hint": "try it", **to_json(measured)})  # NaN is not equal to itself


def test_the_self_test_images_have_unequal_sides_contrast_and_colours() -> None:
    """That they detect every fault is tested in test_input_contract."""
    opened = [Image.open(io.BytesIO(chart)).convert("RGB") for chart in charts()]
    assert [image.width > image.height for image in opened] == [True, False]
    assert charts() == charts()
    pixels = [np.asarray(image).reshape(-1, 3).astype(float) for image in opened]
    assert all(chart.std(0).min() > 50 for chart in pixels)
    assert np.abs(pixels[0][:, 0] - pixels[0][:, 2]).mean() > 50
