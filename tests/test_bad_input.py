"""What people get wrong, through the public API: each with a clear error, and nothing lost. (Bytes, bundles and devices that are
wrong in themselves are in test_photos.py, test_bundle.py and test_embedder.py.)"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import coloured, encoded, picture
from PIL import Image
from raising import raises

from edgetl import Classifier, errors
from edgetl.errors import EdgetlError, FingerprintMismatch, LabelError, PhotoError, StoreCorrupt, StoreError, TrainError
from edgetl.runtimes import fake
from edgetl.store import NewSample
from edgetl.types import check_label

NOT_ALLOWED = {
    **dict.fromkeys(("", "   ", " mug", "mug\n", "\u00a0mug"), "label-blank"),
    **dict.fromkeys(("a/b", "..\\b", ".", ".."), "label-path"),
    **dict.fromkeys(("x" * 300, "x" * 101), "label-too-long"),
    **dict.fromkeys(("mug\0", "mug\tcup", "two\nlines", "two\u2028lines", "\x1b[31mred", "\ud800"), "label-control-character"),
    **dict.fromkeys(("rose\u200b", "a\u202eb", "\ufeffrose", "\u200d", "\u2066x"), "label-invisible-character"),
}
"""Label -> code of the error."""
ALLOWED = [
    "mug",
    "x" * 100,
    "cracked insulator",
    "绝缘子裂纹",
    "isolateur fêlé",
    "☕",
    "👩\u200d🔧",
    "...",
    "-",
    "a.b",
    "100 %",
    "naïve",
    "עברית",
]


@pytest.mark.parametrize("label", NOT_ALLOWED, ids=ascii)
def test_a_label_that_is_not_allowed_is_an_error_with_the_code_of_its_rule(classifier: Classifier, label: str) -> None:
    with raises(LabelError, NOT_ALLOWED[label], label=label):
        classifier.add(coloured("red", 0), label)
    with raises(LabelError, NOT_ALLOWED[label], label=label):
        classifier.forget(label=label)
    assert classifier.counts == {}


@pytest.mark.parametrize("label", [None, 5, b"mug", ["mug"]])
def test_a_label_is_text(classifier: Classifier, label: object) -> None:
    with raises(LabelError, "label-not-a-string", label=repr(label)):
        classifier.add(coloured("red", 0), label)  # type: ignore[arg-type]  # the fault under test


def test_labels_of_every_script_and_emoji_come_back_as_they_went_in(classifier: Classifier, bundle: Path, tmp_path: Path) -> None:
    for seed, label in enumerate(ALLOWED):
        classifier.add(coloured("red", seed), label)
        classifier.add(coloured("green", seed), label)
    classifier.train("ncm")
    assert {label for label, _ in classifier.predict(coloured("red", 0), top=99).top} == set(ALLOWED)
    classifier.close()
    with Classifier.open(bundle, tmp_path / "parts.db") as reopened:
        assert reopened.counts == dict.fromkeys(ALLOWED, 2)
        assert set(reopened.heads()[0].labels) == set(ALLOWED)


def test_one_name_in_two_unicode_forms_is_one_class(classifier: Classifier) -> None:
    for seed, form in enumerate(("NFC", "NFD")):
        classifier.add(coloured("red", seed), unicodedata.normalize(form, "fêlé"))  # type: ignore[arg-type]  # one of its forms
    assert classifier.counts == {unicodedata.normalize("NFC", "fêlé"): 2}
    assert classifier.forget(label=unicodedata.normalize("NFD", "fêlé")).counts == {}


@given(st.text(max_size=120))
def test_a_label_that_is_allowed_is_a_file_name_and_stays_as_it_is(label: str) -> None:
    try:
        allowed = check_label(label)
    except LabelError:
        return
    assert check_label(allowed) == allowed
    assert Path("root", allowed).parts == ("root", allowed)
    assert allowed.isprintable() or any(unicodedata.category(c) in ("Cf", "Cn", "Co", "Zs") for c in allowed)


BAD_PHOTOS: dict[str, tuple[object, str]] = {
    "corrupt": (b"\xff\xd8\xff\xe0" + bytes(range(256)) * 4, "photo-format-unknown"),
    "truncated": (coloured("red", 0)[:1200], "photo-corrupt"),
    "empty": (b"", "photo-empty"),
    "text": (b"hello", "photo-format-unknown"),
    "animated": (encoded(picture().quantize(8), "GIF", save_all=True, append_images=[picture(seed=1).quantize(8)]), "photo-animated"),
    "bomb": (encoded(Image.new("1", (6000, 6000)), "PNG"), "photo-too-large"),
    "missing": ("nowhere/photo.jpg", "photo-unreadable"),
    "float array": (np.zeros((9, 9, 3)), "array-dtype"),
    "not a photo": (42, "photo-type"),
}
"""Photo -> code of the error."""


@pytest.mark.parametrize("name", BAD_PHOTOS)
def test_a_bad_photo_is_an_error_of_every_verb_and_loses_nothing(classifier: Classifier, name: str) -> None:
    photo, code = BAD_PHOTOS[name]
    good = [(coloured(label, seed), label) for label in ("red", "green") for seed in range(2)]
    report = classifier.add_many([*good[:2], (photo, "red"), *good[2:]])  # type: ignore[list-item]  # the fault under test
    assert [failure.code for failure in report.failed] == [code]
    classifier.train()
    before = classifier.predict(coloured("red", 7))
    for use in (lambda: classifier.add(photo, "red"), lambda: classifier.predict(photo)):  # type: ignore[arg-type]  # the fault under test
        with raises(PhotoError, code) as caught:
            use()
        assert isinstance(caught.value, ValueError)
        assert str(caught.value) == report.failed[0].reason
    evaluated = classifier.evaluate([(photo, "red"), *good])  # type: ignore[list-item]  # the fault under test
    assert (evaluated.accuracy.n, len(evaluated.failed)) == (4, 1)
    assert classifier.counts == {"red": 2, "green": 2}
    assert classifier.predict(coloured("red", 7)) == before


def test_a_folder_with_one_class_is_added_and_cannot_be_trained(classifier: Classifier, folder: Path) -> None:
    for label in ("green", "blue"):
        for path in (folder / label).iterdir():
            path.unlink()
        (folder / label).rmdir()
    assert classifier.add_many(folder).number("added") == 6
    with raises(TrainError, "one-class", label="red", count=6):
        classifier.train()
    assert classifier.counts == {"red": 6}


def test_a_file_name_that_is_not_utf8_is_added_anyway(classifier: Classifier, tmp_path: Path) -> None:
    (tmp_path / "odd").mkdir()
    for seed, name in enumerate((b"caf\xe9.jpg", b"ok.jpg")):
        path = Path(str(tmp_path / "odd"), name.decode("utf-8", "surrogateescape"))
        try:
            path.write_bytes(coloured("red", seed))
        except OSError:
            pytest.skip("this file system only has names that are text")
    assert classifier.add_many(tmp_path / "odd", label="red").number("added") == 2


def test_a_store_of_another_fingerprint_is_an_error_with_what_differs(classifier: Classifier, tmp_path: Path) -> None:
    classifier.add(coloured("red", 0), "red")
    classifier.close()
    before = (tmp_path / "parts.db").read_bytes()
    for name, options in {"seed": {"seed": 1}, "size": {"size": 40}, "dim": {"dim": 32}}.items():
        other = fake.write_bundle(str(tmp_path / f"{name}.edgetl"), encoded(picture(seed=9)), **options)  # type: ignore[arg-type]  # ints
        with pytest.raises(FingerprintMismatch) as caught:
            Classifier.open(other.path, tmp_path / "parts.db")
        values = caught.value.values
        fields = {line.partition(":")[0] for line in values["differences"]}
        assert fields - {"model"} == {"seed": set(), "size": {"input"}, "dim": {"dim"}}[name]
        assert ("dim: 64 != 32" in values["differences"]) == (name == "dim")
        assert values["path"] == str(other.path)
        assert isinstance(caught.value, (StoreError, ValueError))
    assert (tmp_path / "parts.db").read_bytes() == before


def test_a_nan_is_an_error_of_the_store_too(classifier: Classifier) -> None:
    embedding = np.full(64, np.nan, np.float32)
    with raises(StoreError, "embedding-not-finite", photo="a photo"):
        classifier.store.add([NewSample(b"x" * 32, "red", embedding, "a photo")])
    assert classifier.counts == {}


@pytest.mark.parametrize("content", [b"not a database", b"\xff" * 4096])
def test_a_file_that_is_not_a_store_is_an_error_and_left_alone(bundle: Path, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with raises(StoreCorrupt, "not-a-store", path=str(path)):
        Classifier.open(bundle, path)
    assert path.read_bytes() == content


def test_a_store_in_a_missing_folder_is_an_error(bundle: Path, tmp_path: Path) -> None:
    with raises(StoreError, "folder-missing", folder=str(tmp_path / "missing")):
        Classifier.open(bundle, tmp_path / "missing" / "parts.db")
    with pytest.raises(StoreError):
        Classifier.open(bundle, tmp_path)


def test_a_store_that_is_not_there_cannot_be_read_only(open_classifier: Callable[..., Classifier], tmp_path: Path) -> None:
    with raises(StoreError, "store-missing"):
        open_classifier(read_only=True)
    assert not (tmp_path / "parts.db").exists()


def test_every_error_is_one_of_edgetls_and_one_of_pythons() -> None:
    tree = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, EdgetlError)]
    assert len(tree) >= 17
    for kind in tree:
        assert kind.__name__ in (errors.__doc__ or "")
        if kind is not EdgetlError:
            assert any(base.__module__ == "builtins" and base is not Exception for base in kind.__mro__[1:-3]), kind
