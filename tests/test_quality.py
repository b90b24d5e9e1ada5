"""What is measured on a photo when it is added."""

from __future__ import annotations

import io

import numpy as np
import pytest
from pictures import encoded, picture
from PIL import Image, ImageFilter
from raising import raises
from scipy import ndimage

from edgetl.errors import PhotoError
from edgetl.inputs.photo.capture import measure, sharpness, warmth
from edgetl.inputs.photo.preprocess import tensor
from edgetl.inputs.photo.source import PhotoSource, load
from edgetl.types import ImageSpec

SPEC = ImageSpec(224, 224, 256)


def dated(when: str, fraction: str | None = None) -> PhotoSource:
    exif = Image.Exif()
    exif.get_ifd(0x8769).update({0x9003: when, **({0x9291: fraction} if fraction else {})})
    return load(encoded(picture(320, 240), exif=exif))


def textured(seed: int = 0) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (112, 112), np.uint8)
    return np.asarray(Image.fromarray(small).resize((224, 224), Image.Resampling.BICUBIC))


def test_a_photo_is_measured_on_the_models_input_and_sized_as_it_came() -> None:
    source = load(encoded(picture(640, 480, seed=1)))
    pixels = tensor(source, SPEC)
    capture = measure(pixels, source)
    luma = pixels @ np.array([0.299, 0.587, 0.114])
    assert (capture.width, capture.height, capture.taken) == (640, 480, None)
    assert capture.brightness == pytest.approx(luma.mean(), abs=0.6)  # Pillow rounds each pixel
    assert capture.contrast == pytest.approx(luma.std(), abs=0.6)
    assert Image.open(io.BytesIO(capture.thumbnail)).size == (112, 112)
    assert len(capture.thumbnail) <= 3000
    assert measure(pixels, source, thumbnail=False).thumbnail == b""


def test_pixels_have_a_size_and_no_date() -> None:
    pixels = np.full((10, 30, 3), 7, np.uint8)
    capture = measure(np.full((8, 4, 3), 7, np.uint8), load(pixels))
    assert (capture.width, capture.height, capture.taken, capture.brightness, capture.contrast, capture.sharpness) == (
        30,
        10,
        None,
        7.0,
        0.0,
        0.0,
    )
    assert Image.open(io.BytesIO(capture.thumbnail)).size == (4, 8)


def test_sharpness_is_crete_and_others_measure() -> None:
    luma = textured().astype(float)
    lost = []
    for axis in (0, 1):
        blurred = ndimage.uniform_filter1d(luma, 9, axis=axis)
        inside = np.s_[4:-4, :] if axis == 0 else np.s_[:, 4:-4]
        sharp, dull = (np.abs(np.diff(values[inside], axis=axis)) for values in (luma, blurred))
        lost.append(np.maximum(sharp - dull, 0).sum() / sharp.sum())
    assert sharpness(luma.astype(np.uint8)) == pytest.approx(min(lost), rel=1e-6)


def test_a_blurred_and_a_moved_photo_are_less_sharp_and_a_darker_one_is_not() -> None:
    luma = textured()
    moved = ndimage.uniform_filter1d(luma, 9, axis=1)
    blurred = np.asarray(Image.fromarray(luma).filter(ImageFilter.GaussianBlur(2)))
    assert max(sharpness(moved), sharpness(blurred)) < 0.75 * sharpness(luma)
    assert sharpness((luma * 0.5).astype(np.uint8)) == pytest.approx(sharpness(luma), abs=0.02)


def coloured(red: float = 1.0, blue: float = 1.0) -> np.ndarray:
    gains = np.array([red, 1.0, blue])
    channels = np.stack([textured(), textured(1), textured(2)], 2)
    return (0.6 * channels * gains).round().astype(np.uint8)


def test_warmth_is_the_gray_edge_of_every_third_pixel() -> None:
    pixels = coloured(1.3, 0.6)
    few = pixels[::3, ::3].astype(float)
    squares = sum((np.diff(few, axis=axis) ** 2).sum((0, 1)) for axis in (0, 1))
    assert warmth(pixels) == pytest.approx(0.5 * np.log(squares[0] / squares[2]), abs=1e-3)


def test_a_gain_of_red_over_blue_adds_its_log_to_the_warmth_and_less_light_nothing() -> None:
    plain = warmth(coloured())
    assert warmth(coloured(1.5, 0.45)) == pytest.approx(plain + np.log(1.5 / 0.45), abs=0.01)
    assert warmth(coloured(0.45, 1.5)) == pytest.approx(plain - np.log(1.5 / 0.45), abs=0.01)
    assert warmth((coloured() * 0.3).astype(np.uint8)) == pytest.approx(plain, abs=0.01)


@pytest.mark.parametrize("size", [(224, 224), (5, 7), (1, 1)])
def test_gray_black_and_flat_photos_have_no_warmth(size: tuple[int, int]) -> None:
    gray = np.random.default_rng(0).integers(0, 256, (*size, 1), np.uint8).repeat(3, 2)
    red = np.zeros((*size, 3), np.uint8) + np.array([200, 0, 0], np.uint8)
    assert [warmth(pixels) for pixels in (gray, np.zeros_like(gray), red)] == [0.0, 0.0, 0.0]


def test_single_gray_levels_of_noise_in_the_dark_are_not_a_colour() -> None:
    red = np.zeros((224, 224, 3), np.uint8)
    red[..., 0] = np.random.default_rng(0).random((224, 224)) < 0.01
    assert 0 < warmth(red) < 0.1


@pytest.mark.parametrize(
    ("when", "fraction", "seconds"),
    [
        ("2024:02:29 12:00:01", None, 1709208001.0),
        ("2024:02:29 12:00:01", "25", 1709208001.25),
        ("2024:02:29 12:00:01", "?", 1709208001.0),
        ("2023:02:29 12:00:01", None, None),
        ("0000:00:00 00:00:00", None, None),
        ("1980:01:01 00:00:00", None, None),
        ("yesterday", None, None),
    ],
)
def test_the_date_is_the_cameras_and_an_impossible_date_is_none(when: str, fraction: str | None, seconds: float | None) -> None:
    source = dated(when, fraction)
    assert measure(tensor(source, SPEC), source).taken == seconds


def test_what_is_not_a_photo_is_an_error() -> None:
    with raises(PhotoError, "photo-format-unknown"):
        measure(np.zeros((8, 8, 3), np.uint8), PhotoSource("notes.txt", b"hello"))
