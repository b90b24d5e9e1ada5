"""The bundle: written whole, opened with every byte checked, and an error with a code and values when it is not what it says."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
import shutil
import stat
import zipfile
from collections.abc import Callable
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import encoded, picture
from raising import raises

from edgetl import Bundle, ImageSpec
from edgetl.bundle import writer
from edgetl.bundle.bundle import SELF_TEST
from edgetl.bundle.proofs import UNPROVED, Parity, Proof
from edgetl.decoding import decode
from edgetl.errors import BundleError, BundleMissing
from edgetl.runtimes import fake
from edgetl.stats import Proportion
from edgetl.types import digest, to_json

PHOTO = encoded(picture(seed=9))
FILES = ("fake-fp32/model.json", "self-test/0.jpg", SELF_TEST, "manifest.json")


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    return fake.write_bundle(str(tmp_path / "unpacked"), PHOTO).path


def read_all(path: Path) -> list[object]:
    """Everything a bundle says, so that a change anywhere is seen."""
    opened = Bundle.open(path)
    variant = opened.variant("fake-fp32")
    test = opened.self_test(variant)
    stated = (opened.backbone, opened.input, opened.dim, opened.calibration, opened.created_by, opened.variants, opened.proofs)
    arrays = [array.tobytes() for array in (test.tensors, test.embeddings, *(test.faults[name] for name in sorted(test.faults)))]
    model = opened.model(variant)
    assert opened.verify() == 3
    return [json.dumps(to_json(stated), sort_keys=True), model, test.inputs, arrays]


def parity(cosine: float) -> Parity:
    return Parity(1.0, cosine, 0.1, 1.0, 10, 0.98, "x86_64 avx2")


def proof(target: str, variant: str = "fake-fp32", kind: str = "measured", cosine: float = 0.99) -> Proof:
    if kind in UNPROVED:
        return Proof(target, variant, "", kind, 0, None, None, None, {}, "no such board here: buy one")  # type: ignore[arg-type]  # any kind
    return Proof(target, variant, "fake 1", kind, 20, cosine, 0.98, Proportion(17, 20), {"seconds_per_photo": 0.1})  # type: ignore[arg-type]  # any kind


def variant(name: str, seed: int, cosine: float | None = None) -> writer.NewVariant:
    embeddings = np.ones((1, 8), np.float32)
    return writer.NewVariant(
        name, "fake", "fp32", {"model.json": fake.model(8, seed=seed)}, {"name": "fake"}, parity(cosine) if cosine else None, embeddings
    )


def write(path: Path, *variants: writer.NewVariant) -> Bundle:
    tensors = np.zeros((1, 32, 32, 3), np.uint8)
    spec = ImageSpec(32, 32, 36)
    return writer.write(
        path, backbone={}, input=spec, dim=8, calibration=None, self_test_inputs=[PHOTO], self_test_tensors=tensors, variants=variants
    )


def test_a_folder_and_a_zip_hold_the_same_and_the_zip_is_the_same_each_time(tmp_path: Path, unpacked: Path) -> None:
    zipped = fake.write_bundle(str(tmp_path / "a.edgetl"), PHOTO).path
    assert read_all(zipped) == read_all(unpacked)
    again = fake.write_bundle(str(tmp_path / "b.edgetl"), PHOTO).path
    assert again.read_bytes() == zipped.read_bytes()
    assert {p.relative_to(unpacked).as_posix() for p in unpacked.rglob("*") if p.is_file()} == set(FILES)


def test_the_zip_is_stored_and_unpacks_to_a_bundle_that_people_may_read(tmp_path: Path, bundle: Path) -> None:
    with zipfile.ZipFile(bundle) as archive:
        members = archive.infolist()
        archive.extractall(tmp_path / "out")
    assert {member.compress_type for member in members} == {zipfile.ZIP_STORED}
    assert all(stat.S_IMODE(member.external_attr >> 16) == 0o644 for member in members)
    assert read_all(tmp_path / "out") == read_all(bundle)


def test_only_json_and_safetensors_describe_a_bundle(unpacked: Path) -> None:
    assert {path.suffix for path in unpacked.rglob("*") if path.is_file()} == {".json", ".jpg", ".safetensors"}


def test_a_missing_bundle_is_an_error_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(BundleMissing, match=r"edgetl export -o .*lite0\.edgetl") as caught:
        Bundle.open(tmp_path / "lite0.edgetl")
    assert isinstance(caught.value, FileNotFoundError)
    assert (caught.value.code, caught.value.values) == ("bundle-missing", {"path": str(tmp_path / "lite0.edgetl")})


def test_an_unknown_variant_is_an_error_with_the_names_there_are(bundle: Path) -> None:
    with pytest.raises(BundleMissing) as caught:
        Bundle.open(bundle).variant("tflite-int8")
    assert caught.value.code == "variant-missing"
    assert caught.value.values == {"path": str(bundle), "variant": "tflite-int8", "variants": ["fake-fp32"]}


@pytest.mark.parametrize("name", FILES)
def test_a_changed_byte_in_any_file_is_an_error_with_its_name(unpacked: Path, name: str) -> None:
    content = bytearray((unpacked / name).read_bytes())
    middle = content.index(b'"dim"') + 8 if name == "manifest.json" else len(content) // 2
    content[middle] ^= 1
    (unpacked / name).write_bytes(content)
    with pytest.raises(BundleError) as caught:
        read_all(unpacked)
    assert (caught.value.code, caught.value.values["file"]) == ("checksum-mismatch", name)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_an_error_with_its_name(tmp_path: Path, unpacked: Path, name: str) -> None:
    (unpacked / name).unlink()
    with pytest.raises(BundleMissing) as caught:
        read_all(unpacked)
    assert (caught.value.code, caught.value.values) == ("bundle-file-missing", {"path": str(unpacked), "file": name})
    with zipfile.ZipFile(tmp_path / "less.edgetl", "w") as archive:
        for path in (path for path in unpacked.rglob("*") if path.is_file()):
            archive.write(path, path.relative_to(unpacked))
    with pytest.raises(BundleMissing) as caught:
        read_all(tmp_path / "less.edgetl")
    assert (caught.value.code, caught.value.values["file"]) == ("bundle-file-missing", name)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    opened = fake.write_bundle(str(tmp_path_factory.mktemp("bundle") / "fake.edgetl"), PHOTO, dim=8, size=16)
    return writer.add_proofs(opened.path, [proof("x86_64 avx2"), proof("npu", kind="absent")]).path


@settings(max_examples=500, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_damaged_zip_reads_the_same_as_before_or_is_an_error(original: Path, seed: int) -> None:
    chance = random.Random(seed)
    content = bytearray(original.read_bytes())
    if chance.random() < 0.2:
        del content[chance.randrange(len(content)) :]
    for _ in range(chance.choice([1, 1, 1, 3]) if content else 0):
        # The central directory lies at the end, and one header before each file.
        content[chance.choice([chance.randrange(len(content)), -1 - chance.randrange(min(len(content), 400))])] ^= 1 << chance.randrange(8)
    damaged = original.with_name("damaged.edgetl")
    damaged.write_bytes(content)
    try:
        read = read_all(damaged)
    except BundleError as error:
        read, path = None, error.values["path"]
    assert read == read_all(original) if read is not None else path == str(damaged)


def test_a_compressed_zip_is_rejected_before_it_can_unpack_to_gigabytes(tmp_path: Path, unpacked: Path) -> None:
    with zipfile.ZipFile(tmp_path / "small.edgetl", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in (path for path in unpacked.rglob("*") if path.is_file()):
            archive.write(path, path.relative_to(unpacked))
    with pytest.raises(BundleError) as caught:
        Bundle.open(tmp_path / "small.edgetl")
    assert caught.value.code == "bundle-compressed"


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04", b"\x00" * 5000, PHOTO])
def test_a_file_that_is_not_a_bundle_is_rejected(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "photo.edgetl"
    path.write_bytes(content)
    with pytest.raises(BundleError) as caught:
        Bundle.open(path)
    assert (caught.value.code, caught.value.values["path"]) == ("bundle-damaged", str(path))


def open_error(path: Path) -> BundleError:
    with pytest.raises(BundleError) as caught:
        Bundle.open(path)
    return caught.value


@pytest.mark.parametrize("text", ["", "{", "nonsense", '"\\ud800', "[" * 100_000, "\x00", '{"a": 1} x'])
def test_a_manifest_that_is_not_json_is_rejected(unpacked: Path, text: str) -> None:
    (unpacked / "manifest.json").write_text(text)
    assert open_error(unpacked).code == "manifest-not-json"


@pytest.mark.parametrize("value", [[], 1, None, "bundle", {}, {"format": "zip"}, {"format": ["edgetl-bundle"]}])
def test_json_that_is_not_a_manifest_is_rejected(unpacked: Path, value: object) -> None:
    (unpacked / "manifest.json").write_text(json.dumps(value))
    assert open_error(unpacked).code == "not-a-bundle"


@pytest.mark.parametrize("version", [2, 0, "1", None, [1]])
def test_an_unknown_format_version_is_an_error_with_both_versions(unpacked: Path, version: object) -> None:
    rewrite(unpacked, lambda manifest: manifest.update(version=version))
    error = open_error(unpacked)
    assert (error.code, error.values["version"], error.values["expected"]) == ("bundle-version-unknown", version, 1)


def rewrite(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes a manifest as someone would who also makes its sha256 fit."""
    manifest = json.loads((path / "manifest.json").read_text("utf-8"))
    change(manifest)
    manifest.pop("sha256")
    (path / "manifest.json").write_text(json.dumps({**manifest, "sha256": digest(manifest)}))


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of everything inside a JSON value."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, child in children for place in [(*at, key), *places(child, (*at, key))]]


WRONG = [None, False, -1, 0, 1.5, 10**400, float("inf"), "", "x", "../x", [], {}, [[]], {"a": 1}, ["../x"]]
DELETED = object()


@settings(max_examples=400, deadline=None)
@given(chance=st.randoms(use_true_random=False), wrong=st.sampled_from([*WRONG, DELETED]))
def test_a_malformed_manifest_is_rejected_or_harmless(original: Path, chance: random.Random, wrong: object) -> None:
    folder = original.with_name("malformed")
    if not folder.exists():
        with zipfile.ZipFile(original) as archive:
            archive.extractall(folder)
    kept = (folder / "manifest.json").read_text("utf-8")
    before = json.loads(kept)
    place = chance.choice([place for place in places(before) if place not in [("sha256",)]])

    def spoil(manifest: dict[str, Any]) -> None:
        inside: Any = manifest
        for key in place[:-1]:
            inside = inside[key]
        if wrong is DELETED:
            del inside[place[-1]]
        else:
            inside[place[-1]] = wrong

    try:
        rewrite(folder, spoil)
        try:
            read_all(folder)
        except BundleError as error:
            damaged = error.values["path"]
        else:
            damaged = None
    finally:
        (folder / "manifest.json").write_text(kept)
    # What the program does not compute with may be anything of its type: names, notes, sizes shown to people, the filter's draft.
    shown = ("created_by", "backbone", "calibration", "recipe", "parity", "size", "input", "precision", "proofs")
    assert damaged == str(folder) or (damaged is None and (any(word in place for word in shown) or wrong == reduce(getitem, place, before)))


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "..", "", ".", "./x", "a//b", "a\0b", "golden/", 5, None])
def test_a_path_outside_the_bundle_is_rejected_at_open(unpacked: Path, path: object) -> None:
    def point_elsewhere(manifest: dict[str, Any]) -> None:
        manifest["variants"][0]["files"][0]["path"] = path

    rewrite(unpacked, point_elsewhere)
    assert open_error(unpacked).code == "manifest-malformed"


def test_self_test_arrays_of_another_shape_are_rejected(unpacked: Path) -> None:
    rewrite(unpacked, lambda manifest: manifest.update(dim=63))
    opened = Bundle.open(unpacked)
    with pytest.raises(BundleError) as caught:
        opened.self_test(opened.variant("fake-fp32"))
    assert caught.value.code == "self-test-malformed"


def test_the_embeddings_of_the_input_faults_are_kept_and_must_fit_too(tmp_path: Path) -> None:
    embeddings = np.arange(8, dtype=np.float32)[None]
    opened = write(tmp_path / "a", dataclasses.replace(variant("a", 0), faults={"bgr": embeddings}), variant("b", 1))
    np.testing.assert_array_equal(opened.self_test(opened.variant("a")).faults["bgr"], embeddings)
    assert opened.self_test(opened.variant("b")).faults == {}
    opened = write(tmp_path / "a", dataclasses.replace(variant("a", 0), faults={"bgr": embeddings[:, 1:]}))
    with pytest.raises(BundleError) as caught:
        opened.self_test(opened.variant("a"))
    assert caught.value.code == "self-test-malformed"


def test_self_test_arrays_that_cannot_be_read_are_rejected(unpacked: Path) -> None:
    for content in (b"", b"no arrays", safetensors.numpy.save({"tensors": np.zeros((1, 32, 32, 3), np.uint8)})):
        (unpacked / SELF_TEST).write_bytes(content)

        def fit(manifest: dict[str, Any], sha256: str = hashlib.sha256(content).hexdigest()) -> None:
            manifest["self_test"][-1]["sha256"] = sha256

        rewrite(unpacked, fit)
        opened = Bundle.open(unpacked)
        with pytest.raises(BundleError) as caught:
            opened.self_test(opened.variant("fake-fp32"))
        assert (caught.value.code, caught.value.values["file"]) == ("self-test-malformed", SELF_TEST)


@pytest.mark.parametrize("names", ["", "aa"])
def test_write_needs_at_least_one_variant_each_with_its_own_name(tmp_path: Path, names: str) -> None:
    with pytest.raises(BundleError) as caught:
        write(tmp_path / "x.edgetl", *[variant(name, seed) for seed, name in enumerate(names)])
    assert (caught.value.code, caught.value.values["variants"]) == ("variants-not-distinct", list(names))
    assert list(tmp_path.iterdir()) == []


def test_write_leaves_what_is_not_a_bundle_alone(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "mine.jpg").write_bytes(PHOTO)
    (tmp_path / "photo.edgetl").write_bytes(PHOTO)
    page, archive = tmp_path / "page", tmp_path / "page.edgetl"
    page.mkdir()
    (page / "manifest.json").write_text('{"name": "a web page"}')
    with zipfile.ZipFile(archive, "w") as written:
        written.write(page / "manifest.json", "manifest.json")
    kept = archive.read_bytes()
    for target in (photos, tmp_path / "photo.edgetl", photos / "mine.jpg", page, archive):
        with pytest.raises(BundleError) as caught:
            write(target, variant("a", 0))
        assert (caught.value.code, caught.value.values) == ("target-exists", {"path": str(target)})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page", "page.edgetl", "photo.edgetl", "photos"]
    assert archive.read_bytes() == kept
    assert (page / "manifest.json").exists()
    assert (photos / "mine.jpg").read_bytes() == (tmp_path / "photo.edgetl").read_bytes() == PHOTO


@pytest.mark.parametrize("name", ["x.edgetl", "x"])
def test_write_replaces_a_bundle_of_either_kind_and_leaves_nothing_beside_it(tmp_path: Path, name: str) -> None:
    target = tmp_path / name
    for other in (tmp_path / "other", tmp_path / "other.edgetl"):
        write(other, variant("old", 0))
        if target.is_dir():
            shutil.rmtree(target)
        target.unlink(missing_ok=True)
        other.rename(target)
        assert list(write(target, variant("new", 1)).variants) == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_write_that_fails_keeps_the_bundle_there_was(tmp_path: Path) -> None:
    kept = write(tmp_path / "kept.edgetl", variant("a", 0)).path.read_bytes()
    unwritable = dataclasses.replace(variant("b", 0), recipe={"not JSON": object()})
    with pytest.raises(TypeError):
        write(tmp_path / "kept.edgetl", unwritable)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.edgetl"]
    assert (tmp_path / "kept.edgetl").read_bytes() == kept


def test_the_fingerprint_holds_what_changes_the_numbers_and_nothing_else(tmp_path: Path) -> None:
    opened = write(tmp_path / "a", variant("a", 0), variant("b", 1), variant("c", 0))
    a, b, c = (opened.fingerprint(opened.variant(name)) for name in "abc")
    assert a == c
    assert [line.split(":")[0] for line in a.differences(b)] == ["model"]
    assert a.digest != b.digest
    assert decode(type(a), json.loads(json.dumps(to_json(a)))) == a
    for change in ({"precision": "int8"}, {"dim": 9}, {"family": "litert"}, {"input": ImageSpec(32, 32, 36, draft=0)}):
        assert dataclasses.replace(a, **change).digest != a.digest


def test_variants_share_a_store_only_if_parity_measured_them_as_equal(tmp_path: Path) -> None:
    opened = write(tmp_path / "a", variant("a", 0, 0.99995), variant("b", 1, 0.9999), variant("c", 2, 0.9998), variant("d", 3))
    a, b, c, d = (opened.fingerprint(opened.variant(name)) for name in "abcd")
    assert opened.equivalent(a, b)
    assert opened.equivalent(d, d)
    assert not opened.equivalent(a, c)
    assert not opened.equivalent(c, a)
    assert not opened.equivalent(a, d)
    elsewhere = dataclasses.replace(a, dim=9)
    assert opened.equivalent(elsewhere, elsewhere)
    assert not opened.equivalent(a, elsewhere)


@pytest.mark.parametrize(
    "spec",
    [
        {"width": 0, "height": 32, "resize": 36},
        {"width": 32, "height": -1, "resize": 36},
        {"width": 32, "height": 32, "resize": 31},
        {"width": "32", "height": 32, "resize": 36},
        {"width": 32, "height": 32, "resize": 36.0},
        {"width": 32, "height": 32, "resize": 36, "filter": "nearest"},
        {"width": 32, "height": 32, "resize": 36, "draft": -1},
        {"width": 32, "height": 32, "resize": 36, "kind": "text"},
    ],
)
def test_an_image_spec_that_no_photo_can_follow_is_rejected(spec: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        ImageSpec(**spec)


def test_proofs_of_a_copy_are_added_for_the_same_models_only(tmp_path: Path) -> None:
    bundle, copy = (write(tmp_path / name, variant("a", 0), variant("b", 1)).path for name in ("bundle.edgetl", "copy.edgetl"))
    other = write(tmp_path / "other.edgetl", variant("a", 0), variant("b", 7)).path
    with raises(BundleError, "nothing-to-copy", path=str(bundle), source=str(copy)):
        writer.copy_proofs(bundle, copy)
    writer.add_proofs(copy, [proof("x86", "a"), proof("arm", "b")])
    assert writer.copy_proofs(bundle, copy) == (proof("x86", "a"), proof("arm", "b"))
    assert Bundle.open(bundle).proofs == Bundle.open(copy).proofs
    assert writer.copy_proofs(other, copy) == (proof("x86", "a"),)


@pytest.mark.parametrize("name", ["x.edgetl", "x"])
def test_proofs_are_added_and_replaced_and_nothing_else_changes(tmp_path: Path, name: str) -> None:
    before = write(tmp_path / name, variant("a", 0), variant("b", 1))
    assert before.proofs == ()
    kept = {name: content for name, content in contents(before.path).items() if name != "manifest.json"}
    first = writer.add_proofs(before.path, [proof("x86", "a"), proof("npu", "b", "estimated")])
    assert first.proofs == (proof("x86", "a"), proof("npu", "b", "estimated"))
    assert writer.add_proofs(before.path, [proof("x86", "a", cosine=0.9), proof("arm", "a")]).proofs == (
        proof("x86", "a", cosine=0.9),
        proof("npu", "b", "estimated"),
        proof("arm", "a"),
    )
    after = Bundle.open(before.path)
    assert {name: content for name, content in contents(after.path).items() if name != "manifest.json"} == kept
    assert list(contents(after.path)) == list(contents(write(tmp_path / f"fresh-{name}", variant("a", 0), variant("b", 1)).path))
    assert [after.fingerprint(v).digest for v in after.variants.values()] == [
        before.fingerprint(v).digest for v in before.variants.values()
    ]
    assert after.verify() == before.verify()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"fresh-{name}", name]


def contents(path: Path) -> dict[str, bytes]:
    """Every member, in the order in which a zip holds them."""
    if path.is_dir():
        return {file.relative_to(path).as_posix(): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}
    with zipfile.ZipFile(path) as archive:
        assert all(member.compress_type == zipfile.ZIP_STORED for member in archive.infolist())
        return {member.filename: archive.read(member) for member in archive.infolist()}


def test_a_proved_row_is_not_replaced_by_an_absent_or_failed_one(bundle: Path) -> None:
    writer.add_proofs(bundle, [proof("npu", kind="absent"), proof("x86")])
    for kind in ("absent", "failed"):
        writer.add_proofs(bundle, [proof("npu", kind=kind), proof("x86", kind=kind)])
        assert Bundle.open(bundle).proofs == (proof("npu", kind=kind), proof("x86"))
    assert writer.add_proofs(bundle, [proof("npu")]).proofs == (proof("npu"), proof("x86"))


def test_a_proof_of_a_missing_variant_is_an_error_and_changes_nothing(unpacked: Path) -> None:
    before = contents(unpacked)
    with pytest.raises(BundleMissing) as caught:
        writer.add_proofs(unpacked, [proof("x86"), proof("x86", "onnx-int8")])
    assert (caught.value.code, caught.value.values["variant"]) == ("variant-missing", "onnx-int8")
    with pytest.raises(BundleMissing) as caught:
        writer.add_proofs(unpacked / "nowhere", [])
    assert caught.value.code == "bundle-missing"
    assert contents(unpacked) == before


def test_a_number_that_no_float_can_hold_is_rejected_at_open(unpacked: Path) -> None:
    rewrite(unpacked, lambda manifest: manifest["input"].update(draft=10**400))
    assert open_error(unpacked).code == "manifest-not-json"


@pytest.mark.parametrize(
    "wrong",
    [
        {"variant": "tflite-int8"},
        {"variant": 3},
        {"target": ""},
        {"kind": "certain"},
        {"kind": ["measured"]},
        {"kind": "absent"},
        {"kind": "failed"},
        {"count": 0},
        {"count": -1},
        {"count": 1.5},
        {"cosine_mean": 1.5},
        {"cosine_mean": float("nan")},
        {"cosine_mean": "0.99"},
        {"cosine_min": None},
        {"top1": {"hits": 21, "n": 20}},
        {"top1": {"hits": 1.5, "n": 20}},
        {"top1": {"n": 20}},
        {"top1": 0.9},
        {"details": []},
        {"reason": None},
        {"rank": 1},
    ],
)
def test_an_impossible_proof_is_rejected_at_open(unpacked: Path, wrong: dict[str, Any]) -> None:
    writer.add_proofs(unpacked, [proof("x86")])
    rewrite(unpacked, lambda manifest: manifest["proofs"][0].update(wrong))
    assert open_error(unpacked).code == "manifest-malformed"
