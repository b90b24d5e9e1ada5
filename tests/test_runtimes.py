"""One list of checks; every runtime, on a real model of its own format, passes all of them."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny_models
from hypothesis import given, settings
from hypothesis import strategies as st
from raising import raises

from edgetl import Bundle, ImageSpec
from edgetl.bundle import bundle as bundles
from edgetl.embedding.embedder import Embedder
from edgetl.errors import RuntimeUnavailable
from edgetl.machine import facts
from edgetl.runtimes import FAMILIES, Runtime, fake, litert, open_runtime, openvino, providers
from edgetl.types import Array, Pixels

BATCH = np.random.default_rng(1).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
BATCH[0], BATCH[1] = 0, 255


def fake_expected(batch: Pixels) -> Array:
    """The fake's definition: at 8 pixels a side its cells are the pixels themselves."""
    random = np.random.Generator(np.random.PCG64(0))
    projection = random.standard_normal((192, 5)) / np.sqrt(192)
    return np.maximum((batch.reshape(len(batch), -1) / 127.5 - 1) @ projection, 0)


@dataclasses.dataclass(frozen=True)
class Case:
    """A runtime family with a model of its format, the model's definition, and how far a value may be from it."""

    family: str
    files: dict[str, bytes]
    expected: Callable[[Pixels], Array]
    tolerance: float

    def open(self, threads: int | None = 1) -> Runtime:
        return open_runtime(self.family, self.files, threads)


CASES = {
    **{name: Case(family, files(), tiny_models.expected, far) for name, (family, files, far) in tiny_models.ALL.items()},
    "fake": Case("fake", {"model.json": fake.model(5, size=8)}, fake_expected, 1e-5),
}


def says_what_it_is(case: Case) -> None:
    runtime = case.open(threads=2)
    assert runtime.family == case.family
    assert runtime.threads == 2
    library, version = runtime.library.rsplit(" ", 1)
    assert library
    assert version[0].isdigit()


def says_what_computes_it(case: Case) -> None:
    runtime = case.open()
    assert runtime.provider in providers.PROVIDERS[case.family]
    if runtime.placement != providers.ALL:
        word, share, unit = runtime.placement.split()
        taken, operators = map(int, share.split("/"))
        assert (word, unit, 0 < taken < operators) == ("mixed", "operators", True)


def gives_float32_rows(case: Case) -> None:
    for n in (1, 3):
        embeddings = case.open().embed(BATCH[:n])
        assert (embeddings.shape, embeddings.dtype) == ((n, 5), np.float32)
        assert embeddings.flags.c_contiguous


def computes_the_model(case: Case) -> None:
    np.testing.assert_allclose(case.open().embed(BATCH), case.expected(BATCH), atol=case.tolerance)


def is_deterministic(case: Case) -> None:
    runtime = case.open()
    first = runtime.embed(BATCH)
    for again in (runtime.embed(BATCH), runtime.embed(BATCH), case.open().embed(BATCH)):
        np.testing.assert_array_equal(again, first)


def embeds_a_batch_as_its_photos_one_by_one(case: Case) -> None:
    runtime = case.open()
    singles = np.concatenate([runtime.embed(image[None]) for image in BATCH])
    np.testing.assert_allclose(runtime.embed(BATCH), singles, rtol=1e-5, atol=1e-6)


def takes_batches_of_changing_size(case: Case) -> None:
    runtime = case.open()
    for n in (4, 1, 6, 2, 1):
        np.testing.assert_allclose(runtime.embed(BATCH[:n]), case.expected(BATCH[:n]), atol=case.tolerance)


def gives_the_callers_own_copy(case: Case) -> None:
    runtime = case.open()
    first = runtime.embed(BATCH[2:3])
    kept = first.copy()
    second = runtime.embed(BATCH[3:4])
    np.testing.assert_array_equal(first, kept)
    second[:] = -1.0
    np.testing.assert_array_equal(runtime.embed(BATCH[3:4]) == -1.0, False)


def leaves_the_input_as_it_was_and_may_be_read_only(case: Case) -> None:
    batch = BATCH.copy()
    batch.flags.writeable = False
    np.testing.assert_allclose(case.open().embed(batch), case.expected(BATCH), atol=case.tolerance)
    np.testing.assert_array_equal(batch, BATCH)


def takes_arrays_of_any_memory_order(case: Case) -> None:
    runtime = case.open()
    bgr = np.ascontiguousarray(BATCH[:, :, :, ::-1])
    wide = np.zeros((6, 8, 16, 3), np.uint8)
    wide[:, :, ::2] = BATCH
    for batch in (bgr[:, :, :, ::-1], np.asfortranarray(BATCH), wide[:, :, ::2], BATCH.transpose(0, 2, 1, 3).copy().transpose(0, 2, 1, 3)):
        np.testing.assert_allclose(runtime.embed(batch), case.expected(BATCH), atol=case.tolerance)


def computes_the_same_with_any_number_of_threads(case: Case) -> None:
    single = case.open(threads=1).embed(BATCH)
    for threads in (2, 4, None):
        np.testing.assert_allclose(case.open(threads=threads).embed(BATCH), single, rtol=1e-5, atol=1e-6)


def two_models_stand_side_by_side(case: Case) -> None:
    first, second = case.open(), case.open()
    embeddings = first.embed(BATCH)
    second.embed(BATCH[::-1])
    second.close()
    np.testing.assert_array_equal(first.embed(BATCH), embeddings)


def can_be_closed(case: Case) -> None:
    runtime = case.open()
    embeddings = runtime.embed(BATCH)
    runtime.close()
    np.testing.assert_allclose(embeddings, case.expected(BATCH), atol=case.tolerance)


def is_safe_from_many_threads_behind_an_embedder(case: Case) -> None:
    runtime = case.open(threads=2)
    embedder = Embedder(_bundle(), _bundle().variants["fake-fp32"], runtime)
    order = np.random.default_rng(2).integers(0, len(BATCH), 200)
    alone = runtime.embed(BATCH)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        embeddings = list(pool.map(lambda i: embedder.infer(BATCH[i]), order))
    np.testing.assert_allclose(np.stack(embeddings), alone[order], rtol=1e-5, atol=1e-6)


def rejects_what_is_not_a_model_of_its_format(case: Case) -> None:
    for content in (b"", b"no model", b"\x00" * 1000):
        with raises(RuntimeUnavailable, "runtime-failed", runtime=case.family):
            open_runtime(case.family, {"model": content}, 1)


CHECKS = (
    says_what_it_is,
    says_what_computes_it,
    gives_float32_rows,
    computes_the_model,
    is_deterministic,
    embeds_a_batch_as_its_photos_one_by_one,
    takes_batches_of_changing_size,
    gives_the_callers_own_copy,
    leaves_the_input_as_it_was_and_may_be_read_only,
    takes_arrays_of_any_memory_order,
    computes_the_same_with_any_number_of_threads,
    two_models_stand_side_by_side,
    can_be_closed,
    is_safe_from_many_threads_behind_an_embedder,
    rejects_what_is_not_a_model_of_its_format,
)
CELLS = [(case, check) for case in CASES for check in CHECKS]


def _bundle() -> Bundle:
    """The smallest bundle that an embedder can hold."""
    variant = bundles.Variant("fake-fp32", "fake", "fp32", (bundles.File("m", 0, ""),), {}, None, None)
    test = (bundles.File(bundles.SELF_TEST, 0, ""),)
    return Bundle(Path("memory"), bundles.Manifest("a test", {}, ImageSpec(8, 8, 8), 5, (), None, test, (variant,), ()))


@pytest.mark.parametrize(("case", "check"), CELLS, ids=[f"{case} {check.__name__}" for case, check in CELLS])
def test_every_runtime(case: str, check: Callable[[Case], None]) -> None:
    check(CASES[case])


def test_every_family_goes_through_every_check() -> None:
    assert {case.family for case in CASES.values()} == set(FAMILIES) == set(bundles.FAMILIES.values())
    assert len(CELLS) == 6 * 15


def test_a_real_quantised_mobilenet_tells_cats_from_dogs(data: Path) -> None:
    """Coral's embedding extractor, uint8 in and out: its embedding is a point on the unit sphere, and like photos are near."""
    from edgetl.inputs.photo.preprocess import tensor
    from edgetl.inputs.photo.source import load

    model = (data / "coral" / "mobilenet_v1_1.0_224_quant_embedding_extractor.tflite").read_bytes()
    runtime = open_runtime("litert", {"model.tflite": model})
    photos = {path.stem: path for path in (data / "coral" / "imprinting").glob("*.png")}
    batch = np.stack([tensor(load(photo), ImageSpec(224, 224, 256)) for photo in photos.values()])
    embeddings = dict(zip(photos, runtime.embed(batch)))
    assert {row.shape for row in embeddings.values()} == {(1024,)}

    def near(a: str, b: str) -> float:
        return float(embeddings[a] @ embeddings[b] / np.linalg.norm(embeddings[a]) / np.linalg.norm(embeddings[b]))

    for test, right, wrong in (("cat_test_0", "cat_train_0", "dog_train_0"), ("dog_test_0", "dog_train_0", "cat_train_0")):
        assert near(test, right) > near(test, wrong)
    runtime.close()


@given(scale=st.floats(0.05, 3), zero=st.integers(-128, 127))
@settings(max_examples=50, deadline=None)
def test_pixels_are_quantised_as_in_the_tflite_specification(scale: float, zero: int) -> None:
    pixels = np.arange(256, dtype=np.uint8)
    stored = litert._encoder(np.int8, scale, zero)(pixels)
    assert stored.dtype == np.int8
    real = scale * (stored.astype(np.float64) - zero)
    low, high = scale * (-128 - zero), scale * (127 - zero)
    np.testing.assert_allclose(real, np.clip(pixels, low, high), atol=scale / 2 + 1e-9)


def test_a_float_input_gets_the_pixels_as_they_are() -> None:
    np.testing.assert_array_equal(litert._encoder(np.float32, 0.0, 0)(BATCH), BATCH.astype(np.float32))


@pytest.mark.parametrize(
    ("family", "modules"),
    [
        ("litert", ["ai_edge_litert", "ai_edge_litert.interpreter", "tflite_runtime", "tensorflow", "tensorflow.lite"]),
        ("onnxruntime", ["onnxruntime"]),
        ("openvino", ["openvino"]),
    ],
)
def test_a_runtime_that_is_not_installed_is_an_error_with_the_pip_line(family: str, modules: list[str]) -> None:
    """In a fresh process, whose import system fails as if the library were missing."""
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({modules!r}))\n"
        "from edgetl.runtimes import open_runtime\n"
        "from edgetl.errors import RuntimeUnavailable\n"
        f"try: open_runtime({family!r}, {{'model': b'x'}})\n"
        "except RuntimeUnavailable as error: print(error.code, error.values['runtime'], 'pip install' in str(error))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"runtime-not-installed {family} True\n"


def test_an_unknown_family_is_an_error_with_the_known_ones() -> None:
    with raises(RuntimeUnavailable, "runtime-unknown", runtime="tensorrt", families=["litert", "onnxruntime", "openvino", "fake"]):
        open_runtime("tensorrt", {"model": b""})


def test_a_library_that_imports_and_cannot_build_gives_way_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """tflite-runtime 2.14 beside numpy 2: the import works, and building an interpreter raises what numpy raises."""
    broken = types.ModuleType("ai_edge_litert.interpreter")

    def interpreter(**_: object) -> None:
        raise ImportError("numpy.core.multiarray failed to import")

    broken.Interpreter = interpreter  # type: ignore[attr-defined]  # a module embeddings by hand
    real = litert._interpreter(tiny_models.tflite("float")["model.tflite"], 1)
    working = types.ModuleType("tflite_runtime.interpreter")
    working.Interpreter = type(real[1])  # type: ignore[attr-defined]  # a module embeddings by hand
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", broken)
    monkeypatch.setitem(sys.modules, "tflite_runtime", types.ModuleType("tflite_runtime"))
    monkeypatch.setitem(sys.modules, "tflite_runtime.interpreter", working)
    runtime = open_runtime("litert", tiny_models.tflite("float"), 1)
    assert runtime.library.startswith("tflite-runtime ")
    np.testing.assert_allclose(runtime.embed(BATCH), tiny_models.expected(BATCH), atol=1e-4)


@pytest.mark.parametrize(
    ("architecture", "flags", "limit", "integers"),
    [
        ("x86_64", {"avx2", "avx512_vnni"}, "", True),
        ("x86_64", {"avx2", "avx_vnni"}, "AVX2_VNNI", True),
        ("x86_64", {"avx2", "avx512_vnni"}, "avx2", False),
        ("x86_64", {"avx2", "avx512_vnni"}, "AVX512_CORE", False),
        ("x86_64", {"avx2"}, "", False),
        ("aarch64", {"asimd", "asimddp"}, "", False),
    ],
)
def test_openvino_uses_integer_kernels_if_they_cannot_saturate(
    architecture: str, flags: set[str], limit: str, integers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts.platform, "machine", lambda: architecture)
    monkeypatch.setattr(facts, "features", lambda *_: frozenset(flags))
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert ("LP_TRANSFORMS_MODE" not in openvino._settings("CPU", 1)) is integers
