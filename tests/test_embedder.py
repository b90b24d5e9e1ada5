"""The embedder: which variant it takes and why, and that opening fails on a machine that computes something else."""

from __future__ import annotations

import logging
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny_models
from pictures import coloured, encoded, picture
from raising import raises

from edgetl import Bundle, Classifier, ImageSpec
from edgetl.bundle import writer
from edgetl.bundle.proofs import Parity
from edgetl.embedding.choice import VariantChoice
from edgetl.embedding.embedder import Embedder
from edgetl.errors import BundleError, FingerprintMismatch, PhotoError, RuntimeUnavailable, SelfTestFailed
from edgetl.inputs.photo.preprocess import tensor
from edgetl.inputs.photo.source import PhotoSource, load
from edgetl.runtimes import fake, fastest, open_runtime
from edgetl.types import Embeddings, Pixels

SPEC = ImageSpec(8, 8, 9)
FORMATS = {"openvino-fp32": "openvino", "onnx-fp32": "onnxruntime", "tflite-fp32": "litert float", "tflite-int8": "litert int8"}
LIBRARIES = {
    "litert": ["ai_edge_litert", "ai_edge_litert.interpreter", "tflite_runtime", "tensorflow", "tensorflow.lite"],
    "onnxruntime": ["onnxruntime"],
    "openvino": ["openvino"],
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle of four real variants; the fp32 ones are proved equal, the int8 one is not."""
    photo = encoded(picture(seed=9))
    tensors = tensor(PhotoSource("self-test image", photo), SPEC)[None]
    variants = []
    for name, case in FORMATS.items():
        family, files, _ = tiny_models.ALL[case]
        embeddings = open_runtime(family, files(), 1).embed(tensors)
        format, precision = name.split("-")
        parity = Parity(1.0, 1.0 if precision == "fp32" else 0.99, 0.0, 1.0, 10, 0.98, "x86_64 avx2")
        variants.append(writer.NewVariant(name, format, precision, files(), {"name": "tiny"}, parity, embeddings))
    return writer.write(
        tmp_path_factory.mktemp("tiny") / "tiny.edgetl",
        backbone={"name": "tiny"},
        input=SPEC,
        dim=tiny_models.DIM,
        calibration=None,
        self_test_inputs=[photo],
        self_test_tensors=tensors,
        variants=variants,
    )


@pytest.fixture(autouse=True)
def _no_preference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGETL_RUNTIME", raising=False)
    monkeypatch.setattr(fastest, "clock", lambda: 0)  # every measurement is a tie: the order of preference decides


def uninstall(monkeypatch: pytest.MonkeyPatch, *families: str) -> None:
    """None in sys.modules makes an import fail."""
    for family in families:
        for module in LIBRARIES[family]:
            monkeypatch.setitem(sys.modules, module, None)


def test_int8_on_litert_comes_first_and_the_choice_is_logged(tiny: Bundle, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "edgetl"):
        embedder = Embedder.open(tiny, threads=1)
    assert embedder.variant.name == "tflite-int8"
    assert embedder.choice == VariantChoice("tflite-int8", "first-working")
    assert caplog.records[-1].args == ("tflite-int8", embedder.runtime.library, 1, embedder.choice.reason)
    embedder.close()


@pytest.mark.parametrize(
    ("missing", "skipped", "taken"),
    [
        (["openvino"], [], "tflite-int8"),
        (["litert"], ["tflite-int8", "tflite-fp32"], "onnx-fp32"),
        (["litert", "onnxruntime"], ["tflite-int8", "tflite-fp32", "onnx-fp32"], "openvino-fp32"),
    ],
)
def test_every_skipped_variant_is_logged_with_its_error(
    tiny: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, missing: list[str], skipped: list[str], taken: str
) -> None:
    uninstall(monkeypatch, *missing)
    assert Embedder.open(tiny).variant.name == taken
    warned = [record.args[0] for record in caplog.records if record.levelno == logging.WARNING and record.args]  # type: ignore[index]  # a tuple
    assert [each.variant for each in warned] == skipped
    assert {each.error.code for each in warned} <= {"runtime-not-installed"}


@pytest.mark.parametrize("how", ["argument", "environment", "variant"])
def test_a_choice_is_hard(tiny: Bundle, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    if how == "environment":
        monkeypatch.setenv("EDGETL_RUNTIME", "openvino")
    asked = {"argument": {"runtime": "openvino"}, "environment": {}, "variant": {"variant": "openvino-fp32"}}[how]
    embedder = Embedder.open(tiny, **asked)  # type: ignore[arg-type]  # one of two string options
    assert embedder.variant.name == "openvino-fp32"
    assert embedder.choice.code == "requested"
    uninstall(monkeypatch, "openvino")
    with raises(RuntimeUnavailable, "runtime-not-installed", runtime="openvino"):
        Embedder.open(tiny, **asked)  # type: ignore[arg-type]  # as above


def test_an_argument_counts_more_than_the_environment(tiny: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGETL_RUNTIME", "openvino")
    assert Embedder.open(tiny, runtime="onnxruntime").variant.name == "onnx-fp32"
    assert Embedder.open(tiny, variant="tflite-fp32").variant.name == "tflite-fp32"


def test_impossible_choices_are_errors(tiny: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    with raises(RuntimeUnavailable, "variant-of-another-runtime", variant="tflite-int8", family="litert", runtime="openvino"):
        Embedder.open(tiny, variant="tflite-int8", runtime="openvino")
    with raises(RuntimeUnavailable, "runtime-without-variant", runtime="tensorrt", families=["litert", "onnxruntime", "openvino"]):
        Embedder.open(tiny, runtime="tensorrt")
    uninstall(monkeypatch, *LIBRARIES)
    with raises(RuntimeUnavailable, "no-variant-works", skipped=dict.fromkeys(FORMATS, "runtime-not-installed")) as caught:
        Embedder.open(tiny)
    assert all(name in str(caught.value) for name in FORMATS)


def test_a_store_is_opened_with_the_variant_that_made_it(tiny: Bundle) -> None:
    store = tiny.fingerprint(tiny.variant("tflite-fp32"))
    embedder = Embedder.open(tiny, store=store)
    assert embedder.fingerprint == store
    assert embedder.choice.code == "store"


def test_a_store_may_be_read_by_a_variant_of_equal_parity_and_by_no_other(tiny: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tiny.fingerprint(tiny.variant("onnx-fp32"))
    uninstall(monkeypatch, "onnxruntime")
    assert Embedder.open(tiny, store=store).variant.name == "tflite-fp32"
    with raises(FingerprintMismatch, variant="tflite-int8") as caught:
        Embedder.open(tiny, variant="tflite-int8", store=store)
    assert [line.split(":")[0] for line in caught.value.values["differences"]] == ["model", "family", "precision"]


class Wrong(fake.Model):
    """The fake runtime with a fault like those of real devices; those with a name are in test_input_contract.py."""


class ZeroOnce(Wrong):
    """A delegate that gives up after the first photo of a batch."""

    def embed(self, batch: Pixels) -> Embeddings:
        embeddings = super().embed(batch)
        embeddings[-1] = 0
        return embeddings


class NotANumber(Wrong):
    def embed(self, batch: Pixels) -> Embeddings:
        embeddings = super().embed(batch)
        embeddings[:, 3] = np.nan
        return embeddings


class OtherDim(Wrong):
    def embed(self, batch: Pixels) -> Embeddings:
        return super().embed(batch)[:, 1:]


class Flipped(Wrong):
    def embed(self, batch: Pixels) -> Embeddings:
        return super().embed(batch[:, :, ::-1])


class Raising(Wrong):
    def embed(self, batch: Pixels) -> Embeddings:
        raise RuntimeError("Got: 32 Expected: 224")


@pytest.mark.parametrize(
    ("model", "code", "values"),
    [
        (Flipped, "self-test-embedding-differs", {"bound": 0.999}),
        (ZeroOnce, "self-test-all-zero", {}),
        (NotANumber, "self-test-not-finite", {}),
        (OtherDim, "self-test-shape", {"shape": [1, 63], "expected": [1, 64]}),
        (Raising, "self-test-inference-failed", {"reason": "Got: 32 Expected: 224"}),
    ],
)
def test_a_device_that_computes_something_else_fails_before_anything_is_written(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: type, code: str, values: dict[str, object]
) -> None:
    closed: list[object] = []
    monkeypatch.setattr(model, "close", lambda self: closed.append(self), raising=False)
    monkeypatch.setattr(fake, "Model", model)
    before = sorted(tmp_path.iterdir())
    with raises(SelfTestFailed, code, path=str(bundle), variant="fake-fp32", library="fake 1", **values) as caught:
        Classifier.open(bundle, tmp_path / "parts.db")
    assert isinstance(caught.value, BundleError)
    assert sorted(tmp_path.iterdir()) == before
    assert len(closed) == 1


@pytest.fixture
def embedder(bundle: Path) -> Iterator[Embedder]:
    opened = Embedder.open(Bundle.open(bundle))
    yield opened
    opened.close()


def test_many_photos_come_in_order_and_are_those_that_come_alone(embedder: Embedder) -> None:
    photos = [coloured(label, seed) for seed in range(20) for label in ("red", "green", "blue")]
    many = list(embedder.embed_many(photos, load))
    assert [item for item, _, _ in many] == photos
    for photo, source, embeddings in many:
        assert source is not None
        np.testing.assert_array_equal(embeddings, embedder.embed(load(photo)))


def test_skipped_photos_cost_nothing_and_rejected_ones_stop_nothing(embedder: Embedder) -> None:
    photos = [coloured("red", 0), b"", coloured("red", 1), "no such file.jpg", coloured("red", 2)]
    digests = {load(coloured("red", 1)).digest}
    embeddings = [m for _, _, m in embedder.embed_many(photos, load, skip=lambda source: source.digest in digests)]
    assert [type(m).__name__ for m in embeddings] == ["ndarray", "PhotoError", "NoneType", "PhotoError", "ndarray"]


def test_reading_runs_only_a_bounded_number_of_photos_ahead(embedder: Embedder) -> None:
    read = 0

    def counted() -> Iterator[bytes]:
        nonlocal read
        photo = coloured("red", 0)
        for _ in range(500):
            read += 1
            yield photo

    stream = embedder.embed_many(counted(), load)
    next(stream)
    assert read < 100
    tracemalloc.start()
    assert sum(1 for _ in stream) == 499
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 * 2**20


def test_a_consumer_that_stops_early_leaves_no_thread_behind(embedder: Embedder) -> None:
    stream = embedder.embed_many([coloured("red", seed) for seed in range(50)], load)
    next(stream)
    stream.close()  # type: ignore[attr-defined]  # it is a generator
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("edgetl-decode")]


class NotANumberForRed(fake.Model):
    """A fault that the self-test image does not show."""

    def embed(self, batch: Pixels) -> Embeddings:
        embeddings = super().embed(batch)
        embeddings[batch[:, :, :, 0].mean(axis=(1, 2)) > 180] = np.nan
        return embeddings


def test_a_nan_is_the_fault_of_one_photo(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake, "Model", NotANumberForRed)
    with Classifier.open(bundle, tmp_path / "parts.db") as classifier:
        photos = [(coloured(label, seed), label) for seed in range(3) for label in ("green", "red", "blue")]
        report = classifier.add_many(photos)
        assert classifier.counts == {"green": 3, "blue": 3}
        assert len(report.failed) == 3
        assert [failure.code for failure in report.failed] == ["embedding-not-finite"] * 3
        classifier.train()
        for use in (lambda photo: classifier.add(photo, "red"), classifier.predict):
            with raises(PhotoError, "embedding-not-finite", photo="bytes", variant="fake-fp32", library="fake 1"):
                use(coloured("red", 7))


def test_closing_twice_is_closing_once_and_a_closed_embedder_is_an_error(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[object] = []
    monkeypatch.setattr(fake.Model, "close", lambda self: closed.append(self))
    embedder = Embedder.open(Bundle.open(bundle))
    embedder.close()
    embedder.close()
    assert len(closed) == 1
    with raises(RuntimeUnavailable, "embedder-closed", variant="fake-fp32"):
        embedder.embed(load(coloured("red", 0)))


@pytest.mark.parametrize("variant", FORMATS)
def test_closing_waits_until_nobody_is_using_it(tiny: Bundle, variant: str) -> None:
    embedder = Embedder.open(tiny, variant=variant)
    pixels = tensor(load(coloured("red", 0)), SPEC)
    errors: list[RuntimeUnavailable] = []

    def use() -> None:
        try:
            while True:
                embedder.infer(pixels)
        except RuntimeUnavailable as error:
            errors.append(error)

    users = [threading.Thread(target=use) for _ in range(3)]
    for user in users:
        user.start()
    embedder.close()
    for user in users:
        user.join(10)
    assert [error.code for error in errors] == ["embedder-closed"] * 3
