"""Photos as they arrive: forms, digests, folders."""

from __future__ import annotations

import io
import os
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import encoded, picture
from PIL import Image

from edgetl.errors import PhotoError
from edgetl.inputs.photo.folders import labelled_photos_in, photos_in
from edgetl.inputs.photo.preprocess import tensor
from edgetl.inputs.photo.source import Source, load
from edgetl.types import ImageSpec

SPEC = ImageSpec(32, 32, 36)
_SMALL = picture(96, 80, seed=1)
_OTHER = picture(96, 80, seed=2)
_EXIF = Image.Exif()
_EXIF[0x0112] = 6

FILES = {
    "JPEG": encoded(_SMALL, exif=_EXIF),
    "progressive JPEG": encoded(_SMALL, progressive=True),
    "MPO": encoded(_SMALL, "MPO", save_all=True, append_images=[_OTHER.copy()]),
    "PNG": encoded(_SMALL, "PNG", exif=_EXIF),
    "16-bit PNG": encoded(Image.fromarray(np.asarray(_SMALL.convert("L")).astype(np.uint16) * 257), "PNG"),
    "GIF": encoded(_SMALL.quantize(32), "GIF"),
    "animated GIF": encoded(_SMALL.quantize(32), "GIF", save_all=True, append_images=[_OTHER.quantize(32)]),
    "TIFF": encoded(_SMALL, "TIFF"),
    "TIFF of two pages": encoded(_SMALL, "TIFF", save_all=True, append_images=[_OTHER.copy()]),
    "WebP": encoded(_SMALL, "WEBP", exif=_EXIF),
    "BMP": encoded(_SMALL, "BMP"),
    "PPM": encoded(_SMALL, "PPM"),
}


def refusal(photo: object) -> str:
    with pytest.raises(PhotoError) as caught:
        tensor(load(photo), SPEC)  # type: ignore[arg-type]  # anything may come
    return str(caught.value)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=600, deadline=None)
@given(st.sampled_from(sorted(FILES)), st.integers(0, 2**32))
def test_damaged_bytes_of_any_format_are_a_photo_or_a_photo_error(name: str, seed: int) -> None:
    chance = random.Random(seed)
    content = bytearray(FILES[name])
    if chance.random() < 0.3:
        del content[chance.randrange(len(content)) :]
    for _ in range(chance.choice([0, 1, 1, 2, 8]) if content else 0):
        # Half of the blows fall on the headers, where decoders are weakest.
        content[chance.randrange(len(content) if chance.random() < 0.5 else min(len(content), 400))] = chance.randrange(256)
    try:
        shape = tensor(Source(name, bytes(content)), SPEC).shape
    except PhotoError as error:
        shape, said = None, str(error)
    assert shape == (32, 32, 3) or name in said


def test_a_truncated_jpeg_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "half.jpg"
    path.write_bytes(FILES["JPEG"][: len(FILES["JPEG"]) // 2])
    assert "half.jpg: corrupt or truncated" in refusal(path)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.jpg"
    path.touch()
    assert "empty.jpg: an empty file (0 bytes)" in refusal(path)


def test_a_text_file_named_jpg_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.jpg"
    path.write_text("not a photo")
    assert "notes.jpg: not a photo of a known format (JPEG" in refusal(path)


@pytest.mark.parametrize("name", ["animated GIF", "TIFF of two pages"])
def test_many_frames_are_refused_in_a_file_and_as_an_image(name: str) -> None:
    assert "animated, or of many pages" in refusal(FILES[name])
    assert "animated, or of many pages" in refusal(Image.open(io.BytesIO(FILES[name])))


def bomb(width: int, height: int) -> bytes:
    """A PNG that says it is huge; a few bytes long, because its pixels are missing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)) + chunk(b"IDAT", b"")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [5100, 10_000, 50_000])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(side: int) -> None:
    assert "more than 24 Mpx" in refusal(bomb(side, side))


def test_a_photo_of_just_under_24_mpx_is_taken_and_a_larger_array_is_not() -> None:
    assert tensor(load(encoded(Image.new("L", (6000, 4194)), "PNG")), SPEC).shape == (32, 32, 3)
    assert "6001x4200 is more than 24 Mpx" in refusal(np.zeros((4200, 6001), np.uint8))
    assert "6001x4200 is more than 24 Mpx" in refusal(Image.new("1", (6001, 4200)))


@pytest.mark.parametrize(
    ("photo", "words"),
    [
        (np.zeros((5, 5, 2), np.uint8), "shape [5, 5, 2], expected [h, w]"),
        (np.zeros((5,), np.uint8), "shape [5], expected"),
        (np.zeros((1, 5, 5, 3), np.uint8), "shape [1, 5, 5, 3], expected"),
        (np.zeros((0, 5, 3), np.uint8), "shape [0, 5, 3], expected"),
        (np.zeros((5, 5, 3), np.float32), "dtype float32, expected uint8"),
        (np.zeros((5, 5, 3), np.int64), "dtype int64, expected uint8"),
        (42, "not int"),
        (None, "not NoneType"),
        ([[1, 2], [3, 4]], "not list"),
        ("no such file.jpg", "no such file.jpg: No such file"),
        ("nul\0.jpg", "null byte"),
        (".", "Is a directory"),
    ],
)
def test_what_is_no_photo_is_refused_with_what_was_given_and_expected(photo: object, words: str) -> None:
    assert words in refusal(photo)


def test_a_file_too_big_to_be_a_photo_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.jpg"
    with path.open("wb") as file:
        file.truncate(257 * 2**20)
    assert "huge.jpg: more than 256 MiB" in refusal(path)


def test_the_colour_order_is_for_arrays_only() -> None:
    with pytest.raises(PhotoError, match="for uint8 arrays"):
        load(FILES["JPEG"], color="bgr")
    with pytest.raises(PhotoError, match="expected 'rgb' or 'bgr'"):
        load(np.zeros((5, 5, 3), np.uint8), color="hsv")  # type: ignore[arg-type]  # the fault under test


def test_the_digest_is_the_same_for_the_same_bytes_however_they_come(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(FILES["PNG"])
    assert load(path).digest == load(str(path)).digest == load(FILES["PNG"]).digest == load(bytes(FILES["PNG"])).digest
    pixels = np.asarray(_SMALL)
    assert load(pixels).digest == load(pixels[:, :, ::-1], color="bgr").digest == load(np.asfortranarray(pixels)).digest


def test_pictures_that_differ_have_digests_that_differ() -> None:
    palette = _SMALL.quantize(16)
    recoloured = palette.copy()
    recoloured.putpalette([255 - value for value in palette.getpalette() or []])
    turned = Image.open(io.BytesIO(FILES["PNG"]))
    pixels = np.asarray(_SMALL.convert("L"))
    pictures = [_SMALL, _OTHER, palette, recoloured, turned, _SMALL.convert("L"), _SMALL.rotate(90, expand=True)]
    arrays = [pixels, pixels.T, pixels.reshape(96, 80), pixels[:79], np.asarray(_OTHER)]
    assert len({load(photo).digest for photo in [*pictures, *arrays, *FILES.values()]}) == len(pictures) + len(arrays) + len(FILES)


def test_the_digest_of_a_truncated_pil_image_is_a_photo_error() -> None:
    with pytest.raises(PhotoError, match="corrupt or truncated"):
        _ = load(Image.open(io.BytesIO(FILES["JPEG"][:900]))).digest


def test_a_folder_gives_every_photo_sorted_and_names_what_is_none(tmp_path: Path) -> None:
    for name in ("b/2.JPG", "b/deep/1.png", "a/1.jpeg", "a/.hidden.jpg", ".git/x.jpg", "a/notes.txt", "a/README"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "a" / "folder.jpg").mkdir()
    photos, others = photos_in(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in photos] == ["a/1.jpeg", "b/2.JPG", "b/deep/1.png"]
    assert [(Path(name).name, reason) for name, reason in others] == [
        ("README", "not a photo by its name (no suffix)"),
        ("notes.txt", "not a photo by its name (.txt)"),
    ]
    pairs, _ = labelled_photos_in(tmp_path)
    assert [label for _, label in pairs] == ["a", "b", "b"]


def test_folders_that_cannot_be_taught_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match="no such folder"):
        photos_in(tmp_path / "missing")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(PhotoError, match="not a folder"):
        photos_in(tmp_path / "notes.txt")
    with pytest.raises(PhotoError, match=r"holds no photo \(1 other files\)"):
        photos_in(tmp_path)
    (tmp_path / "loose.jpg").touch()
    with pytest.raises(PhotoError, match=r"loose.jpg: lies in .* itself; expected .*<class>"):
        labelled_photos_in(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret.jpg"
    path.write_bytes(FILES["JPEG"])
    path.chmod(0)
    assert "secret.jpg: Permission denied" in refusal(path)
