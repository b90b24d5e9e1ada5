"""The embedder: which variant it takes and what it says about it, and that it refuses a machine that computes something else."""

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

from edgetl import Bundle, Classifier, ImageSpec
from edgetl.bundle import writer
from edgetl.bundle.proofs import Parity
from edgetl.embedding.embedder import Embedder
from edgetl.errors import BundleError, FingerprintMismatch, PhotoError, RuntimeUnavailable, SelfTestFailed
from edgetl.inputs.photo.preprocess import tensor
from edgetl.inputs.photo.source import Source, load
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
    tensors = tensor(Source("golden", photo), SPEC)[None]
    variants = []
    for name, case in FORMATS.items():
        family, files, _ = tiny_models.ALL[case]
        golden = open_runtime(family, files(), 1).embed(tensors)
        format, precision = name.split("-")
        parity = Parity(1.0, 1.0 if precision == "fp32" else 0.99, 0.0, 1.0, 10, 0.98, "x86_64 avx2")
        variants.append(writer.NewVariant(name, format, precision, files(), {"name": "tiny"}, parity, golden))
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
def _nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGETL_RUNTIME", raising=False)
    monkeypatch.setattr(fastest, "clock", lambda: 0)  # every measurement is a tie: the order of preference decides


def uninstall(monkeypatch: pytest.MonkeyPatch, *families: str) -> None:
    """None in sys.modules is how Python says that a module cannot be imported."""
    for family in families:
        for module in LIBRARIES[family]:
            monkeypatch.setitem(sys.modules, module, None)


def test_int8_on_litert_comes_first_and_the_choice_is_said(tiny: Bundle, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "edgetl"):
        embedder = Embedder.open(tiny, threads=1)
    assert embedder.variant.name == "tflite-int8"
    assert embedder.choice.startswith("tflite-int8 on ai-edge-litert ")
    assert embedder.choice.endswith("1 threads: the first that works here")
    assert embedder.choice in caplog.messages
    embedder.close()


@pytest.mark.parametrize(
    ("missing", "falls", "taken"),
    [
        (["openvino"], [], "tflite-int8"),
        (["litert"], ["tflite-int8", "tflite-fp32"], "onnx-fp32"),
        (["litert", "onnxruntime"], ["tflite-int8", "tflite-fp32", "onnx-fp32"], "openvino-fp32"),
    ],
)
def test_every_fall_is_said_with_its_reason(
    tiny: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, missing: list[str], falls: list[str], taken: str
) -> None:
    uninstall(monkeypatch, *missing)
    assert Embedder.open(tiny).variant.name == taken
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [line.split()[0] for line in warned] == falls
    assert all("passed over: the runtime" in line and "is not installed" in line for line in warned)


@pytest.mark.parametrize("how", ["argument", "environment", "variant"])
def test_a_choice_is_hard(tiny: Bundle, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    if how == "environment":
        monkeypatch.setenv("EDGETL_RUNTIME", "openvino")
    asked = {"argument": {"runtime": "openvino"}, "environment": {}, "variant": {"variant": "openvino-fp32"}}[how]
    embedder = Embedder.open(tiny, **asked)  # type: ignore[arg-type]  # one of two string options
    assert embedder.variant.name == "openvino-fp32"
    assert embedder.choice.endswith("asked for")
    uninstall(monkeypatch, "openvino")
    with pytest.raises(RuntimeUnavailable, match=r"openvino is not installed .*pip install 'edgetl\[openvino\]'"):
        Embedder.open(tiny, **asked)  # type: ignore[arg-type]  # as above


def test_an_argument_counts_more_than_the_environment(tiny: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGETL_RUNTIME", "openvino")
    assert Embedder.open(tiny, runtime="onnxruntime").variant.name == "onnx-fp32"
    assert Embedder.open(tiny, variant="tflite-fp32").variant.name == "tflite-fp32"


def test_choices_that_cannot_be_are_said(tiny: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeUnavailable, match="tflite-int8 is computed by litert, not by openvino"):
        Embedder.open(tiny, variant="tflite-int8", runtime="openvino")
    with pytest.raises(RuntimeUnavailable, match="no variant for the runtime 'tensorrt'; it has some for litert, onnxruntime, openvino"):
        Embedder.open(tiny, runtime="tensorrt")
    uninstall(monkeypatch, *LIBRARIES)
    with pytest.raises(RuntimeUnavailable, match="no variant can run here") as caught:
        Embedder.open(tiny)
    assert all(f"{name} passed over: the runtime" in str(caught.value) for name in FORMATS)


def test_a_store_is_opened_with_the_variant_that_made_it(tiny: Bundle) -> None:
    store = tiny.fingerprint(tiny.variant("tflite-fp32"))
    embedder = Embedder.open(tiny, store=store)
    assert embedder.fingerprint == store
    assert embedder.choice.endswith("the store was made with it")


def test_a_store_may_be_read_by_a_variant_that_parity_proved_equal_and_by_no_other(tiny: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tiny.fingerprint(tiny.variant("onnx-fp32"))
    uninstall(monkeypatch, "onnxruntime")
    assert Embedder.open(tiny, store=store).variant.name == "tflite-fp32"
    with pytest.raises(FingerprintMismatch, match=r"(?s)model: .* != .*family: onnxruntime != litert.*precision: fp32 != int8"):
        Embedder.open(tiny, variant="tflite-int8", store=store)


class Wrong(fake.Model):
    """The fake runtime with a fault like those of real devices; those with a name are in test_input_contract.py."""


class ZeroOnce(Wrong):
    """A delegate that gives up after the first photo of a batch."""

    def embed(self, batch: Pixels) -> Embeddings:
        made = super().embed(batch)
        made[-1] = 0
        return made


class NotANumber(Wrong):
    def embed(self, batch: Pixels) -> Embeddings:
        made = super().embed(batch)
        made[:, 3] = np.nan
        return made


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
    ("model", "words"),
    [
        (Flipped, "embeds to something else than at export"),
        (ZeroOnce, "the runtime or its delegate returns all zeros for the golden photo"),
        (NotANumber, "not finite: the runtime or its delegate is broken"),
        (OtherDim, r"shape \[1, 63\], expected \[1, 64\]"),
        (Raising, r"cannot embed the golden photo \(Got: 32 Expected: 224\)"),
    ],
)
def test_a_device_that_computes_something_else_is_refused_before_anything_is_written(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: type, words: str
) -> None:
    closed: list[object] = []
    monkeypatch.setattr(model, "close", lambda self: closed.append(self), raising=False)
    monkeypatch.setattr(fake, "Model", model)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(SelfTestFailed, match=words) as caught:
        Classifier.open(bundle, tmp_path / "shop.db")
    assert "fake.edgetl: fake-fp32 on fake 1" in str(caught.value)
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
    for photo, source, made in many:
        assert source is not None
        np.testing.assert_array_equal(made, embedder.embed(load(photo)))


def test_skipped_photos_cost_nothing_and_refused_ones_stop_nothing(embedder: Embedder) -> None:
    photos = [coloured("red", 0), b"", coloured("red", 1), "no such file.jpg", coloured("red", 2)]
    digests = {load(coloured("red", 1)).digest}
    made = [m for _, _, m in embedder.embed_many(photos, load, skip=lambda source: source.digest in digests)]
    assert [type(m).__name__ for m in made] == ["ndarray", "PhotoError", "NoneType", "PhotoError", "ndarray"]


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
    """A fault that the golden photo does not show."""

    def embed(self, batch: Pixels) -> Embeddings:
        made = super().embed(batch)
        made[batch[:, :, :, 0].mean(axis=(1, 2)) > 180] = np.nan
        return made


def test_a_nan_is_the_fault_of_one_photo(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake, "Model", NotANumberForRed)
    with Classifier.open(bundle, tmp_path / "shop.db") as shop:
        photos = [(coloured(label, seed), label) for seed in range(3) for label in ("green", "red", "blue")]
        report = shop.add_many(photos)
        assert shop.counts == {"green": 3, "blue": 3}
        assert len(report.failed) == 3
        assert all("its embedding by fake-fp32 on fake 1 holds NaN or infinity" in failure.reason for failure in report.failed)
        shop.train()
        for use in (lambda photo: shop.add(photo, "red"), shop.predict):
            with pytest.raises(PhotoError, match=r"bytes: its embedding .* holds NaN"):
                use(coloured("red", 7))


def test_a_closed_embedder_says_so_and_closing_twice_is_closing_once(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[object] = []
    monkeypatch.setattr(fake.Model, "close", lambda self: closed.append(self))
    embedder = Embedder.open(Bundle.open(bundle))
    embedder.close()
    embedder.close()
    assert len(closed) == 1
    with pytest.raises(RuntimeUnavailable, match="fake-fp32 was closed; open it again"):
        embedder.embed(load(coloured("red", 0)))


@pytest.mark.parametrize("variant", FORMATS)
def test_closing_waits_for_who_is_using_it(tiny: Bundle, variant: str) -> None:
    embedder = Embedder.open(tiny, variant=variant)
    pixels = tensor(load(coloured("red", 0)), SPEC)
    said: list[BaseException] = []

    def use() -> None:
        try:
            while True:
                embedder.infer(pixels)
        except RuntimeUnavailable as error:
            said.append(error)

    users = [threading.Thread(target=use) for _ in range(3)]
    for user in users:
        user.start()
    embedder.close()
    for user in users:
        user.join(10)
    assert len(said) == 3
