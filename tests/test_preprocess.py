"""Photo -> tensor, against an independent Resize + CenterCrop, and every form of a photo against every other."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import encoded, picture
from PIL import Image, ImageOps
from PIL.JpegImagePlugin import JpegImageFile
from raising import raises

from edgetl.errors import PhotoError
from edgetl.inputs.photo.preprocess import tensor
from edgetl.inputs.photo.source import load
from edgetl.types import ImageSpec, Photo, Pixels

SPEC = ImageSpec(224, 224, 256)
FULL = ImageSpec(224, 224, 256, draft=0)


def made(photo: Photo, spec: ImageSpec = FULL) -> Pixels:
    return tensor(load(photo), spec)


def resized_and_cropped(image: Image.Image, spec: ImageSpec = SPEC) -> Pixels:
    """torchvision's Resize(short side) and CenterCrop as its reference documents them: scale everything, round, then cut."""
    short = min(image.size)
    width, height = (round(side * spec.resize / short) for side in image.size)
    filters = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
    scaled = image.convert("RGB").resize((width, height), filters[spec.filter])
    left, top = round((width - spec.width) / 2), round((height - spec.height) / 2)
    return np.asarray(scaled.crop((left, top, left + spec.width, top + spec.height)))


def levels(ours: Pixels, theirs: Pixels) -> float:
    assert ours.shape == theirs.shape
    return float(np.abs(ours.astype(int) - theirs).mean())


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (256, 256), (300, 301), (1000, 260), (90, 120), (1, 1), (3, 900)])
@pytest.mark.parametrize("filter", ["bicubic", "bilinear"])
def test_one_resample_of_the_centre_is_resize_then_crop(size: tuple[int, int], filter: str) -> None:
    spec = ImageSpec(224, 224, 256, filter, draft=0)  # type: ignore[arg-type]  # a Literal through parametrize
    image = picture(*size, seed=sum(size))
    assert levels(made(image, spec), resized_and_cropped(image, spec)) < 1.0


def test_a_crop_that_is_not_square_keeps_its_shape() -> None:
    spec = ImageSpec(width=320, height=240, resize=320, draft=0)
    image = picture(900, 700, seed=3)
    assert levels(made(image, spec), resized_and_cropped(image, spec)) < 1.0


def test_real_photos_agree_with_resize_then_crop(data: Path) -> None:
    photos = sorted((data / "imagenet-sample").glob("*.jpg"))[:20] + sorted((data / "magnetic-tiles").rglob("*.jpg"))[:8]
    assert len(photos) == 28
    for path in photos:
        image = ImageOps.exif_transpose(Image.open(path))
        # 5:4 scales to 320 x 256, whose crop begins at a whole pixel; elsewhere the reference rounds by up to half a pixel.
        k = min(image.width // 5, image.height // 4)
        image = image.crop((0, 0, 5 * k, 4 * k))
        assert levels(made(image), resized_and_cropped(image)) < 1.0, path


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_every_exif_orientation_is_applied(orientation: int, format: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = encoded(picture(500, 400, seed=1), format, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(photo)))
    assert levels(made(photo), made(upright)) < 1.0
    assert levels(made(photo), resized_and_cropped(upright)) < 1.5
    assert levels(made(Image.open(io.BytesIO(photo))), made(photo)) == 0


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_to_a_photo_of_the_exact_size_too(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    spec = ImageSpec(width=48, height=32, resize=48)
    size = (32, 48) if orientation >= 5 else (48, 32)
    photo = encoded(picture(*size, seed=2), "PNG", exif=exif)
    np.testing.assert_array_equal(made(photo, spec), np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(photo)))))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize(
    "exif", [b"", b"Exif\0\0", b"Exif\0\0nonsense", b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01", b"Exif\0\0MM\0*\0\0\0"]
)
def test_a_broken_exif_block_does_not_spoil_the_picture(exif: bytes) -> None:
    image = picture(300, 280, seed=4)
    np.testing.assert_array_equal(made(encoded(image, exif=exif)), made(encoded(image)))


def test_an_unknown_orientation_is_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 77
    image = picture(300, 280, seed=4)
    np.testing.assert_array_equal(made(encoded(image, exif=exif)), made(encoded(image)))


def test_draft_decoding_reads_a_sixteenth_of_the_pixels_and_stays_close(monkeypatch: pytest.MonkeyPatch) -> None:
    photo, decoded = encoded(picture(4000, 3000, seed=5), quality=90), []
    load_pixels = JpegImageFile.load

    def load_and_count(image: JpegImageFile) -> Any:
        decoded.append(image.size)
        return load_pixels(image)

    monkeypatch.setattr(JpegImageFile, "load", load_and_count)
    assert levels(made(photo, SPEC), made(photo, FULL)) < 0.5
    assert list(dict.fromkeys(decoded)) == [(1000, 750), (4000, 3000)]


def test_draft_decoding_of_real_photos_stays_within_the_stated_levels(data: Path) -> None:
    photos = [path for path in sorted((data / "flowers").rglob("*.jpg"))[::400] if path.is_file()]
    enlarged = [encoded(Image.open(path).convert("RGB").resize((2400, 1800), Image.Resampling.LANCZOS), quality=92) for path in photos]
    differences = [levels(made(photo, SPEC), made(photo, FULL)) for photo in enlarged]
    assert len(differences) >= 5
    assert max(differences) < 0.5


def test_a_pil_image_of_the_caller_does_not_shrink() -> None:
    image = Image.open(io.BytesIO(encoded(picture(2400, 1800))))
    made(image, SPEC)
    assert image.size == (2400, 1800)


def gray(image: Image.Image) -> Pixels:
    return np.asarray(image.convert("L"))


def alpha(image: Image.Image) -> Image.Image:
    faded = image.copy()
    faded.putalpha(Image.linear_gradient("L").resize(image.size))
    return faded


MODES: dict[str, tuple[bytes, Pixels]] = {}


def mode(name: str, photo: bytes, expected: Pixels) -> None:
    MODES[name] = (photo, expected)


_PICTURE = picture(300, 280, seed=6)
_PALETTE = _PICTURE.quantize(64)
mode("gray", encoded(_PICTURE.convert("L"), "PNG"), resized_and_cropped(_PICTURE.convert("L")))
mode("gray and alpha", encoded(alpha(_PICTURE.convert("L")), "PNG"), resized_and_cropped(_PICTURE.convert("L")))
mode("RGBA", encoded(alpha(_PICTURE), "PNG"), resized_and_cropped(_PICTURE))
mode("palette", encoded(_PALETTE, "PNG"), resized_and_cropped(_PALETTE))
mode("palette with transparency", encoded(_PALETTE, "PNG", transparency=3), resized_and_cropped(_PALETTE))
mode("GIF", encoded(_PALETTE, "GIF"), resized_and_cropped(_PALETTE))
mode("CMYK JPEG", encoded(_PICTURE.convert("CMYK"), quality=95), resized_and_cropped(_PICTURE))
mode("gray JPEG", encoded(_PICTURE.convert("L"), quality=95), resized_and_cropped(_PICTURE.convert("L")))
mode("progressive JPEG", encoded(_PICTURE, quality=95, progressive=True), resized_and_cropped(_PICTURE))
mode("16-bit gray", encoded(Image.fromarray(gray(_PICTURE).astype(np.uint16) * 257), "PNG"), resized_and_cropped(_PICTURE.convert("L")))
mode(
    "1-bit",
    encoded(_PICTURE.convert("1", dither=Image.Dither.NONE), "PNG"),
    resized_and_cropped(_PICTURE.convert("1", dither=Image.Dither.NONE)),
)
mode("BMP", encoded(_PICTURE, "BMP"), resized_and_cropped(_PICTURE))
mode("TIFF", encoded(_PICTURE, "TIFF", compression="tiff_lzw"), resized_and_cropped(_PICTURE))
mode("WebP", encoded(_PICTURE, "WEBP", lossless=True), resized_and_cropped(_PICTURE))
mode("PPM", encoded(_PICTURE, "PPM"), resized_and_cropped(_PICTURE))
mode("MPO, whose second view is another picture", encoded(_PICTURE, "MPO", save_all=True, append_images=[picture(300, 280, seed=7)],
     quality=95), resized_and_cropped(_PICTURE))  # fmt: skip


@pytest.mark.parametrize("name", MODES)
def test_every_colour_mode_and_format_becomes_rgb(name: str) -> None:
    photo, expected = MODES[name]
    ours = made(photo)
    assert (ours.shape, ours.dtype) == ((224, 224, 3), np.uint8)
    assert ours.flags.c_contiguous
    assert levels(ours, expected) < 2.5


def test_sixteen_bits_of_gray_lose_only_their_lower_eight() -> None:
    eight = np.arange(256, dtype=np.uint8).repeat(4).reshape(32, 32)
    sixteen = encoded(Image.fromarray(eight.astype(np.uint16) * 257), "PNG")
    np.testing.assert_array_equal(made(sixteen, ImageSpec(32, 32, 36))[:, :, 0], eight)


def test_float_pixels_are_an_error_in_a_file_as_in_an_array() -> None:
    with raises(PhotoError, "photo-float-pixels"):
        made(encoded(Image.fromarray(np.ones((300, 300), np.float32)), "TIFF"))
    with raises(PhotoError, "array-dtype", dtype="float64"):
        made(np.ones((300, 300, 3)))  # type: ignore[arg-type]  # the fault under test


sides = st.integers(1, 70)


@settings(max_examples=60, deadline=None)
@given(sides, sides, st.sampled_from([None, 1, 3, 4]), st.integers(0, 99))
def test_an_array_is_the_same_photo_as_its_png(height: int, width: int, channels: int | None, seed: int) -> None:
    shape = (height, width) if channels is None else (height, width, channels)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    png = encoded(Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels), "PNG")
    spec = ImageSpec(32, 32, 36)
    expected = made(png, spec)
    kept = pixels.copy()
    np.testing.assert_array_equal(made(pixels, spec), expected)
    np.testing.assert_array_equal(made(np.asfortranarray(pixels), spec), expected)
    np.testing.assert_array_equal(pixels, kept)
    if channels in (3, 4):
        order = [2, 1, 0, 3][:channels]
        np.testing.assert_array_equal(tensor(load(pixels[:, :, order], color="bgr"), spec), expected)


def test_a_photo_of_the_input_size_is_taken_as_it_is_in_every_form(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    spec = ImageSpec(width=48, height=32, resize=60)
    image = Image.fromarray(pixels)
    path = tmp_path / "exact.png"
    image.save(path)
    forms: list[Photo] = [
        pixels,
        np.asfortranarray(pixels),
        image,
        path,
        str(path),
        path.read_bytes(),
        np.dstack([pixels, pixels[:, :, 0]]),
    ]
    for form in forms:
        np.testing.assert_array_equal(made(form, spec), pixels)
    np.testing.assert_array_equal(tensor(load(pixels[:, :, ::-1], color="bgr"), spec), pixels)
    exact_jpeg = encoded(image, quality=95)
    np.testing.assert_array_equal(made(exact_jpeg, spec), np.asarray(Image.open(io.BytesIO(exact_jpeg))))


FORMS: dict[str, Photo] = {
    "JPEG": encoded(picture(500, 400, seed=10)),
    "JPEG that is drafted": encoded(picture(1500, 1200, seed=10)),
    "PNG with a palette": encoded(picture(300, 280, seed=10).quantize(64), "PNG"),
    "image": picture(300, 280, seed=10),
    "gray array": gray(picture(300, 280, seed=10)),
    "array of the input size": np.asarray(picture(224, 224, seed=10)),
    "one pixel": picture(1, 1, seed=10),
    "a strip": picture(3, 900, seed=10),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_photo_gives_the_same_tensor_every_time(form: str) -> None:
    pixels = tensor(load(FORMS[form]), SPEC)
    assert (pixels.shape, pixels.dtype) == ((224, 224, 3), np.uint8)
    np.testing.assert_array_equal(pixels, tensor(load(FORMS[form]), SPEC))


def test_a_photo_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    decoders: list[str] = []
    real = Image._getdecoder

    def counted(mode: str, name: str, *rest: object) -> object:
        decoders.append(name)
        return real(mode, name, *rest)  # type: ignore[arg-type]  # passed on as they come

    monkeypatch.setattr(Image, "_getdecoder", counted)
    tensor(load(FORMS["JPEG"]), SPEC)
    assert decoders == ["jpeg"]
