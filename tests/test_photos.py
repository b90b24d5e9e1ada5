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
from raising import raises

from edgetl.errors import PhotoError
from edgetl.inputs.photo.folders import labelled_photos_in, photos_in
from edgetl.inputs.photo.preprocess import tensor
from edgetl.inputs.photo.source import PhotoSource, load
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


def check_rejected(sent: object, code: str, **values: object) -> None:
    with raises(PhotoError, code, **values):
        tensor(load(sent), SPEC)  # type: ignore[arg-type]  # anything may come


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
        shape = tensor(PhotoSource(name, bytes(content)), SPEC).shape
    except PhotoError as error:
        shape, photo = None, error.values["photo"]
    assert shape == (32, 32, 3) or photo == name


def test_a_truncated_jpeg_is_an_error_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "half.jpg"
    path.write_bytes(FILES["JPEG"][: len(FILES["JPEG"]) // 2])
    check_rejected(path, "photo-corrupt", photo=str(path))


def test_an_empty_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "empty.jpg"
    path.touch()
    check_rejected(path, "photo-empty", photo=str(path))


def test_a_text_file_named_jpg_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "notes.jpg"
    path.write_text("not a photo")
    check_rejected(path, "photo-format-unknown", photo=str(path))


@pytest.mark.parametrize("name", ["animated GIF", "TIFF of two pages"])
def test_several_frames_are_an_error_in_a_file_and_as_an_image(name: str) -> None:
    check_rejected(FILES[name], "photo-animated")
    check_rejected(Image.open(io.BytesIO(FILES[name])), "photo-animated")


def bomb(width: int, height: int) -> bytes:
    """A PNG with a huge size in its header; a few bytes long, because its pixels are missing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)) + chunk(b"IDAT", b"")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [5100, 10_000, 50_000])
def test_a_decompression_bomb_is_an_error_before_it_is_decoded(side: int) -> None:
    check_rejected(bomb(side, side), "photo-too-large", most=24 * 2**20)


def test_a_photo_of_just_under_24_mpx_is_taken_and_a_larger_array_is_not() -> None:
    assert tensor(load(encoded(Image.new("L", (6000, 4194)), "PNG")), SPEC).shape == (32, 32, 3)
    check_rejected(np.zeros((4200, 6001), np.uint8), "photo-too-large", pixels=4200 * 6001)
    check_rejected(Image.new("1", (6001, 4200)), "photo-too-large", pixels=4200 * 6001)


@pytest.mark.parametrize(
    ("photo", "code", "values"),
    [
        (np.zeros((5, 5, 2), np.uint8), "array-shape", {"shape": [5, 5, 2]}),
        (np.zeros((5,), np.uint8), "array-shape", {"shape": [5]}),
        (np.zeros((1, 5, 5, 3), np.uint8), "array-shape", {"shape": [1, 5, 5, 3]}),
        (np.zeros((0, 5, 3), np.uint8), "array-shape", {"shape": [0, 5, 3]}),
        (np.zeros((5, 5, 3), np.float32), "array-dtype", {"dtype": "float32", "expected": "uint8"}),
        (np.zeros((5, 5, 3), np.int64), "array-dtype", {"dtype": "int64", "expected": "uint8"}),
        (42, "photo-type", {"type": "int"}),
        (None, "photo-type", {"type": "NoneType"}),
        ([[1, 2], [3, 4]], "photo-type", {"type": "list"}),
        ("no such file.jpg", "photo-unreadable", {"photo": "no such file.jpg", "reason": "No such file or directory"}),
        ("nul\0.jpg", "photo-unreadable", {"photo": "nul\0.jpg"}),
        (".", "photo-is-folder", {"photo": "."}),
    ],
)
def test_what_is_not_a_photo_is_an_error_with_its_values(photo: object, code: str, values: dict[str, object]) -> None:
    check_rejected(photo, code, **values)


def test_a_file_too_big_to_be_a_photo_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.jpg"
    with path.open("wb") as file:
        file.truncate(257 * 2**20)
    check_rejected(path, "photo-too-large", photo=str(path), most=256 * 2**20)


def test_the_colour_order_is_for_arrays_only() -> None:
    with raises(PhotoError, "color-order", color="bgr"):
        load(FILES["JPEG"], color="bgr")
    with raises(PhotoError, "color-order", color="hsv"):
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
    with raises(PhotoError, "photo-corrupt"):
        _ = load(Image.open(io.BytesIO(FILES["JPEG"][:900]))).digest


def test_a_folder_gives_every_photo_sorted_and_names_the_other_files(tmp_path: Path) -> None:
    for name in ("b/2.JPG", "b/deep/1.png", "a/1.jpeg", "a/.hidden.jpg", ".git/x.jpg", "a/notes.txt", "a/README"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "a" / "folder.jpg").mkdir()
    photos, others = photos_in(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in photos] == ["a/1.jpeg", "b/2.JPG", "b/deep/1.png"]
    assert [(Path(name).name, reason) for name, reason in others] == [
        ("README", "not a photo by its name (no suffix)"),
        ("folder.jpg", "an empty folder"),
        ("notes.txt", "not a photo by its name (.txt)"),
    ]
    pairs, _ = labelled_photos_in(tmp_path)
    assert [label for _, label in pairs] == ["a", "b", "b"]


def test_links_pipes_and_other_programs_folders_are_named_once_or_ignored(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "set", tmp_path / "elsewhere"
    for name in ("a/1.jfif", "a/2.jpe", "@eaDir/a/1.jpg", "a/@eaDir/2.jpg", "$RECYCLE.BIN/x.jpg", "__MACOSX/a/1.jpg", "a/3.heic"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    elsewhere.mkdir()
    (elsewhere / "1.jpg").write_bytes(b"x")
    (root / "linked").symlink_to(elsewhere)
    (root / "a" / "gone.jpg").symlink_to(tmp_path / "missing.jpg")
    (root / "a" / "linked.jpg").symlink_to(elsewhere / "1.jpg")
    (root / "empty").mkdir()
    os.mkfifo(root / "a" / "pipe.jpg")
    photos, others = photos_in(root)
    assert [path.name for path in photos] == ["1.jfif", "2.jpe", "linked.jpg"]
    assert [Path(name).name for name, _ in others] == ["3.heic", "gone.jpg", "pipe.jpg", "empty", "linked"]


def test_parts_of_a_data_set_are_not_classes(tmp_path: Path) -> None:
    for name in ("train/a/1.jpg", "train/b/1.jpg", "val/a/2.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    with raises(PhotoError, "folder-of-parts", folder=str(tmp_path), parts=["train", "val"]):
        labelled_photos_in(tmp_path)
    assert [label for _, label in labelled_photos_in(tmp_path / "train")[0]] == ["a", "b"]
    (tmp_path / "val" / "3.jpg").write_bytes(b"x")  # a class may be called so
    assert {label for _, label in labelled_photos_in(tmp_path)[0]} == {"train", "val"}


def test_folders_without_labelled_photos_are_an_error(tmp_path: Path) -> None:
    with raises(PhotoError, "folder-missing", folder=str(tmp_path / "missing")):
        photos_in(tmp_path / "missing")
    (tmp_path / "notes.txt").touch()
    with raises(PhotoError, "not-a-folder", folder=str(tmp_path / "notes.txt")):
        photos_in(tmp_path / "notes.txt")
    with raises(PhotoError, "folder-without-photos", folder=str(tmp_path), count=1):
        photos_in(tmp_path)
    (tmp_path / "loose.jpg").touch()
    with raises(PhotoError, "photo-without-class-folder", photo=str(tmp_path / "loose.jpg")):
        labelled_photos_in(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_may_not_be_read_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "secret.jpg"
    path.write_bytes(FILES["JPEG"])
    path.chmod(0)
    check_rejected(path, "photo-unreadable", photo=str(path), reason="Permission denied")
