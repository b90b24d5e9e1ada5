"""Files that wait for ever, never end, fill the memory, or bring more than they say: each is an error of that file."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from pictures import coloured, encoded, picture
from PIL import Image
from raising import raises

from edgetl import Bundle, Classifier
from edgetl.bundle.bundle import MANIFEST, manifest_digest
from edgetl.cli import config, main
from edgetl.errors import BundleError, ConfigError, HeadError, PhotoError, StoreError
from edgetl.runtimes import fake
from edgetl.store import care


def pipe(folder: Path) -> Path:
    path = folder / "pipe"
    os.mkfifo(path)
    return path


def endless(folder: Path) -> Path:
    return Path("/dev/zero")


def sparse(folder: Path) -> Path:
    path = folder / "sparse"
    with path.open("wb") as file:
        file.truncate(8 * 2**30)
    return path


@pytest.mark.parametrize("kind", [pipe, endless, sparse], ids=lambda kind: kind.__name__)
def test_a_pipe_a_device_and_an_enormous_file_are_errors(classifier: Classifier, tmp_path: Path, kind: Callable[[Path], Path]) -> None:
    path = kind(tmp_path)
    with raises(PhotoError, "photo-too-large" if kind is sparse else "photo-unreadable"):
        classifier.add(path, "red")
    with raises(HeadError, "head-file-missing"):
        classifier.import_head(path)
    with raises(BundleError, "bundle-damaged"):
        Bundle.open(path)
    with raises(ConfigError, "config-unreadable"):
        config.load(path, main.commands)
    with pytest.raises(StoreError):
        Classifier.open_store(path)
    with pytest.raises(StoreError):
        care.verify(path)


@pytest.fixture
def folder_bundle(tmp_path: Path) -> Path:
    return fake.write_bundle(str(tmp_path / "folder"), encoded(picture(seed=9))).path


def test_a_file_that_the_manifest_does_not_list_is_an_error(bundle: Path, folder_bundle: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(bundle, "a") as archive:
        archive.writestr("fake-fp32/weights.bin", b"external data")
    (folder_bundle / "extra").write_bytes(b"x")
    for path, name in ((bundle, "fake-fp32/weights.bin"), (folder_bundle, "extra")):
        with raises(BundleError, "bundle-members", file=name):
            Bundle.open(path)
    (folder_bundle / "extra").unlink()
    Bundle.open(folder_bundle)
    (folder_bundle / MANIFEST).rename(tmp_path / MANIFEST)
    (folder_bundle / MANIFEST).symlink_to(tmp_path / MANIFEST)
    with raises(BundleError, "bundle-members", file=MANIFEST):
        Bundle.open(folder_bundle)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_occurs_twice_and_bytes_around_the_files_are_errors(bundle: Path) -> None:
    whole = bundle.read_bytes()
    with zipfile.ZipFile(bundle, "a") as archive:
        archive.writestr(MANIFEST, archive.read(MANIFEST))
    with raises(BundleError, "bundle-members", file=MANIFEST):
        Bundle.open(bundle)
    bundle.write_bytes(b"#!/bin/sh\n" + whole)
    with raises(BundleError, "bundle-members"):
        Bundle.open(bundle)
    bundle.write_bytes(whole)
    with zipfile.ZipFile(bundle, "a") as archive:
        archive.comment = b"more"
    with raises(BundleError, "bundle-members"):
        Bundle.open(bundle)
    bundle.write_bytes(whole + b"more")
    with raises(BundleError, "bundle-members"):
        Bundle.open(bundle)
    bundle.write_bytes(whole)
    Bundle.open(bundle)


def test_a_member_larger_than_the_manifest_says_is_not_read(bundle: Path, folder_bundle: Path) -> None:
    opened = Bundle.open(folder_bundle)
    (variant,) = opened.variants.values()
    with (folder_bundle / variant.files[0].path).open("ab") as file:
        file.truncate(8 * 2**30)
    with raises(BundleError, "bundle-damaged"):
        opened.model(variant)
    with zipfile.ZipFile(bundle) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(contents[MANIFEST])
    manifest["variants"][0]["files"][0]["size"] -= 1
    for name in ("sha256", "format", "version"):
        del manifest[name]
    contents[MANIFEST] = json.dumps({"format": "edgetl-bundle", "version": 1, **manifest, "sha256": manifest_digest(manifest)}).encode()
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_STORED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    changed = Bundle.open(bundle)
    with raises(BundleError, "bundle-damaged", reason="size"):
        changed.model(changed.variants["fake-fp32"])


@pytest.mark.parametrize("size", [(1, 40_000), (40_000, 1)])
def test_a_very_long_photo_is_an_error_before_it_is_decoded(classifier: Classifier, size: tuple[int, int]) -> None:
    file = io.BytesIO()
    Image.new("L", size).save(file, "PNG")
    with raises(PhotoError, "photo-too-long"):
        classifier.add(file.getvalue(), "red")


def test_a_link_to_a_photo_is_read(classifier: Classifier, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(coloured("red", 0))
    (tmp_path / "link.jpg").symlink_to(tmp_path / "photo.jpg")
    assert [photo.status for photo in classifier.add(tmp_path / "link.jpg", "red").photos] == ["added"]
