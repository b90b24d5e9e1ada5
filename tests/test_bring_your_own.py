"""Your own files become backbones or fail with a code and the file's name; a cut network computes what it did before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
from edgetl_exporters import metadata, parity, pictures
from edgetl_exporters.files import tflite
from edgetl_exporters.quantise import ranges
from edgetl_exporters.sources import file_source
from edgetl_exporters.sources.base import NetworkSource
from edgetl_exporters.sources.file_source import FileSource
from edgetl_exporters.sources.options import FileOptions
from edgetl_exporters.variants.maker import Maker

from edgetl import Classifier
from edgetl.bundle import bundle, writer
from edgetl.errors import CalibrationError, ExportError
from edgetl.inputs.photo import preprocess
from edgetl.inputs.photo.source import load
from edgetl.types import Array, ImageSpec, Pixels, to_json

SIDE, CHANNELS, CLASSES = 12, 6, 4
MEAN, STD = (120.0, 115.0, 100.0), (58.0, 57.0, 56.0)
RNG = np.random.default_rng(3)
KERNEL = RNG.normal(0, 0.3, (CHANNELS, 3, 3, 3)).astype(np.float32)
LAST = RNG.normal(0, 1, (CLASSES, CHANNELS)).astype(np.float32)
BIAS = RNG.normal(0, 1, CLASSES).astype(np.float32)

Edit = Callable[[Any], None]


def onnx_classifier(edit: Edit = lambda model: None, *, end: str = "gemm", size: Any = SIDE, batch: int = 1, opset: int = 17) -> bytes:
    """Conv, Relu, average pooling, then a classifier; NCHW float, batch fixed at 1 as most files have it."""
    from onnx import TensorProto, helper, numpy_helper

    constants = {"kernel": KERNEL, "flat": np.array([batch, CHANNELS]), "last": LAST, "bias": BIAS}
    constants["last 1x1"], constants["last transposed"] = LAST[:, :, None, None], np.ascontiguousarray(LAST.T)
    ends = {
        "gemm": [("Reshape", ["pooled", "flat"], "row", {}), ("Gemm", ["row", "last", "bias"], "logits", {"transB": 1})],
        "matmul": [
            ("Reshape", ["pooled", "flat"], "row", {}),
            ("MatMul", ["row", "last transposed"], "product", {}),
            ("Add", ["product", "bias"], "logits", {}),
        ],
        "conv": [("Conv", ["pooled", "last 1x1", "bias"], "scores", {}), ("Flatten", ["scores"], "logits", {})],
    }
    steps = [("Conv", ["photo", "kernel"], "maps", {}), ("Relu", ["maps"], "relu", {}), ("GlobalAveragePool", ["relu"], "pooled", {})]
    steps += [*ends[end], ("Softmax", ["logits"], "probability", {"axis": 1})]
    nodes = [helper.make_node(kind, inputs, [result], name=result, **options) for kind, inputs, result, options in steps]
    used = {name for _, inputs, _, _ in steps for name in inputs}
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "classifier",
            [helper.make_tensor_value_info("photo", TensorProto.FLOAT, [batch, 3, size, size])],
            [helper.make_tensor_value_info("probability", TensorProto.FLOAT, [batch, CLASSES])],
            [numpy_helper.from_array(values, name) for name, values in constants.items() if name in used],
        ),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=8,
    )
    edit(model)
    return bytes(model.SerializeToString())


def tflite_classifier(dtype: str = "float32", *, channels_first: bool = False, edit: Edit = lambda graph: None) -> bytes:
    """Mean over pixels, then a fully connected classifier; quantised inputs hold (pixel - 100) / 50 in steps of 0.02."""
    model = tflite.new("classifier")
    graph = tflite.TfliteGraph.add(model, "main")
    shape = [1, 3, SIDE, SIDE] if channels_first else [1, SIDE, SIDE, 3]
    scaled: dict[str, Any] = {} if dtype == "float32" else {"scale": 0.02, "zero": {"int8": -28, "uint8": 100}[dtype]}
    photo, real = graph.tensor("photo", shape, dtype, **scaled), graph.tensor("real", shape, "float32")
    if dtype != "float32":
        graph.operator("DEQUANTIZE", [photo], [real], "DequantizeOptions", version=2)
    axes = graph.constant("axes", np.array([2, 3] if channels_first else [1, 2], np.int32))
    row, logits = graph.tensor("row", [1, 3], "float32"), graph.tensor("logits", [1, CLASSES], "float32")
    graph.operator("MEAN", [photo if dtype == "float32" else real, axes], [row], "ReducerOptions", keepDims=False)
    graph.operator(
        "FULLY_CONNECTED", [row, graph.constant("last", LAST[:, :3]), graph.constant("bias", BIAS)], [logits], "FullyConnectedOptions"
    )
    probability = graph.tensor("probability", [1, CLASSES], "float32")
    graph.operator("SOFTMAX", [logits], [probability], "SoftmaxOptions", beta=1.0)
    graph.raw.inputs, graph.raw.outputs = [photo], [probability]
    edit(graph)
    return tflite.pack(model)


def tensors_of(model: bytes, name: str, images: Pixels) -> Array:
    """The oracle: a tensor of the whole file, as ONNX Runtime computes it, one normalised image at a time."""
    import onnx

    whole = onnx.load_from_string(model)
    whole.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    session = ranges.session(whole.SerializeToString())
    normal = ((images.astype(np.float32) - MEAN) / STD).astype(np.float32).transpose(0, 3, 1, 2)
    return np.concatenate([session.run([name], {"photo": image[None]})[0].reshape(1, -1) for image in normal])


def written(tmp_path: Path, name: str, content: bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


def opened(path: Path, **options: Any) -> FileSource:
    return FileSource(path, FileOptions(**{"mean": MEAN, "std": STD, **options}))


def packed_bundle(source: NetworkSource, path: Path) -> Path:
    """A bundle of everything that needs no photos to calibrate."""
    golden = np.stack([preprocess.tensor(load(chart), source.image) for chart in pictures.charts()])
    maker = Maker(source, None, golden, 0)
    plan = [source.recipe(format_, kind) for format_, kinds in source.offered.items() for kind in kinds]  # type: ignore[attr-defined]
    variants = [maker.make(recipe)[0] for recipe in plan if recipe.levels is None]
    writer.write(
        path,
        backbone={"name": source.name, "source": source.package, "weights": to_json(source.weights), **source.notes},
        input=source.image,
        dim=source.dim,
        calibration=None,
        self_test_inputs=pictures.charts(),
        self_test_tensors=golden,
        variants=variants,
    )
    return path


# A cut network computes what it computed before.


@pytest.mark.slow
@pytest.mark.parametrize("end", ["gemm", "matmul", "conv"])
def test_a_classifier_cut_before_its_last_layer_embeds_as_before_and_keeps_it(tmp_path: Path, end: str) -> None:
    images = RNG.integers(0, 256, (5, SIDE, SIDE, 3), dtype=np.uint8)
    content = onnx_classifier(end=end)
    source = opened(written(tmp_path, "net.onnx", content), cut="auto")
    embedded = source.embed(images)
    assert embedded is not None
    np.testing.assert_allclose(embedded, tensors_of(content, "pooled", images), atol=1e-5)
    weights, bias = source.classifier() or pytest.fail("the classifier is kept")
    np.testing.assert_allclose(embedded @ weights.T + bias, tensors_of(content, "logits", images), atol=1e-5)
    assert (source.dim, source.image) == (CHANNELS, ImageSpec(SIDE, SIDE, 14, "bilinear"))
    assert "was cut off" in source.notes["cut"]
    assert "'probability'" in source.notes["cut"]


@pytest.mark.slow
def test_named_tensors_bgr_free_sizes_and_old_opsets_work(tmp_path: Path) -> None:
    images = RNG.integers(0, 256, (3, SIDE, SIDE, 3), dtype=np.uint8)
    content = onnx_classifier(size="side", end="conv", opset=11)
    path = written(tmp_path, "net.onnx", content)
    whole = onnx_classifier(end="conv")
    source = opened(path, cut="logits", size=(SIDE, SIDE), resize=16, filter="bicubic")
    np.testing.assert_allclose(source.embed(images), tensors_of(whole, "logits", images), atol=1e-5)
    assert source.image == ImageSpec(SIDE, SIDE, 16, "bicubic")
    assert source.classifier() is None, "nothing was cut off before its last layer"
    reverse = opened(path, cut="auto", size=(SIDE, SIDE), mean=MEAN[::-1], std=STD[::-1], order="bgr")
    np.testing.assert_allclose(reverse.embed(images[..., ::-1]), tensors_of(whole, "pooled", images), atol=1e-5)


@pytest.mark.slow
def test_an_onnx_file_becomes_every_variant_and_runs_any_batch(tmp_path: Path) -> None:
    source = opened(written(tmp_path, "net.onnx", onnx_classifier()), cut="auto")
    packed = bundle.Bundle.open(packed_bundle(source, tmp_path / "own.edgetl"))
    assert set(packed.variants) == {"onnx-fp32", "tflite-fp32", "openvino-fp32", "openvino-fp16"}
    assert packed.backbone["weights"]["source"] == "local file net.onnx"
    images = RNG.integers(0, 256, (4, SIDE, SIDE, 3), dtype=np.uint8)
    from edgetl.runtimes import open_runtime

    for name, variant in packed.variants.items():
        assert variant.parity is not None
        np.testing.assert_allclose(
            open_runtime(variant.family, packed.model(variant), 1).embed(images),
            source.embed(images),
            atol=5e-3 if "fp16" in name else 1e-4,
        )


@pytest.mark.slow
@pytest.mark.parametrize(("name", "content"), [("net.onnx", onnx_classifier()), ("net.tflite", tflite_classifier())])
def test_a_float_file_is_quantised_in_its_own_formats(tmp_path: Path, name: str, content: bytes) -> None:
    source = opened(written(tmp_path, name, content), cut="auto")
    photos = pictures.scenes(24, SIDE, SIDE, seed=1)
    from edgetl.runtimes import open_runtime

    for format_, kinds in source.offered.items():
        assert "int8" in kinds
        with pytest.raises(CalibrationError) as error:
            source.files(source.recipe(format_, "int8"), None)
        assert error.value.code == "photos-missing"
        files = source.files(source.recipe(format_, "int8"), photos)
        embedded = open_runtime(bundle.FAMILIES[format_], files, 1).embed(photos)
        assert parity.measure(source.embed(photos), embedded, 0.0).cosine_mean > 0.995


@pytest.mark.slow
def test_a_quantised_onnx_file_is_not_changed(tmp_path: Path) -> None:
    from onnxruntime import quantization

    images = RNG.integers(0, 256, (4, SIDE, SIDE, 3), dtype=np.uint8)
    normal = ((images.astype(np.float32) - MEAN) / STD).astype(np.float32).transpose(0, 3, 1, 2)

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]  # onnxruntime is untyped to mypy
        rest = iter([{"photo": image[None]} for image in normal])

        def get_next(self) -> Any:
            return next(self.rest, None)

    quantization.quantize_static(written(tmp_path, "float.onnx", onnx_classifier()), tmp_path / "net.onnx", Reader(), per_channel=True)
    source = opened(tmp_path / "net.onnx", cut="auto")
    assert (source.offered, source.embed(images)) == ({"onnx": ("int8",), "openvino": ("int8",)}, None)
    from edgetl.runtimes import open_runtime

    embedded = open_runtime("onnxruntime", source.files(source.recipe("onnx", "int8"), None), 1).embed(images)
    named = source.notes["cut"].split("'")[1]
    np.testing.assert_array_equal(embedded, tensors_of((tmp_path / "net.onnx").read_bytes(), named, images))
    weights, bias = source.classifier() or pytest.fail("the classifier is kept")
    np.testing.assert_allclose(weights, LAST, atol=np.abs(LAST).max() / 120)
    np.testing.assert_allclose(bias, BIAS, atol=0.01)


@pytest.mark.slow
def test_a_file_that_edgetl_wrote_needs_no_pixel_options(tmp_path: Path) -> None:
    spec = ImageSpec(8, 8, 9, "bicubic")
    info = metadata.Info("tiny", "five numbers", spec)
    images = RNG.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    for name, content in (
        ("tiny.onnx", metadata.onnx(tiny_models.onnx()["model.onnx"], info)),
        ("tiny.tflite", metadata.tflite(tiny_models.tflite("float")["model.tflite"], info)),
    ):
        source = FileSource(written(tmp_path, name, content))
        assert (source.image, source.mean, source.std) == (spec, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        np.testing.assert_allclose(source.embed(images), tiny_models.expected(images), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["net.onnx", "float.tflite", "uint8.tflite", "int8.tflite"])
def test_a_file_from_a_bundle_stays_the_same_over_generations(tmp_path: Path, name: str) -> None:
    stem, _, format_ = name.partition(".")
    content = onnx_classifier() if format_ == "onnx" else tflite_classifier("float32" if stem == "float" else stem)
    normalisation = {"mean": (100.0,), "std": (50.0,)} if format_ == "tflite" else {}
    source = opened(written(tmp_path, name, content), cut="auto", **normalisation)
    images = RNG.integers(0, 256, (4, SIDE, SIDE, 3), dtype=np.uint8)
    from edgetl.runtimes import open_runtime

    embedded = []
    for generation in range(4):
        packed = bundle.Bundle.open(packed_bundle(source, tmp_path / f"{generation}.edgetl"))
        variant = next(variant for variant in packed.variants.values() if variant.format == format_)
        (model,) = packed.model(variant).values()
        embedded.append(open_runtime(variant.family, {"model": model}, 1).embed(images))
        source = FileSource(written(tmp_path, f"{generation}.{format_}", model))
        assert source.image == packed.input
    for again in embedded[1:]:
        np.testing.assert_array_equal(again, embedded[0])


# The real quantised MobileNets of Coral.


def whole_tensor(content: bytes, name: str, images: Pixels) -> Array:
    """The oracle: a tensor of the whole file, as LiteRT computes it."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, experimental_preserve_all_tensors=True, num_threads=2)
    interpreter.allocate_tensors()
    entry_of_tensor = next(entry for entry in interpreter.get_tensor_details() if entry["name"] == name)
    rows = []
    for image in images:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(entry_of_tensor["index"]).reshape(1, -1))
    scale, zero = entry_of_tensor["quantization"]
    return (np.concatenate(rows).astype(np.float32) - zero) * np.float32(scale)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*experimental_preserve_all_tensors")
@pytest.mark.parametrize(
    ("file", "cut", "tensor", "dim"),
    [
        ("mobilenet_v1_1.0_224_quant_embedding_extractor.tflite", "none", "MobilenetV1/Logits/AvgPool_1a/AvgPool", 1024),
        ("mobilenet_v2_1.0_224_quant.tflite", "auto", "MobilenetV2/Logits/AvgPool", 1280),
    ],
)
def test_coral_mobilenets_become_bundles_and_learn_cat_dog_and_hotdog(
    data: Path, tmp_path: Path, file: str, cut: str, tensor: str, dim: int
) -> None:
    photos = data / "coral" / "imprinting"
    source = FileSource(data / "coral" / file, FileOptions(cut=cut))
    assert (source.dim, source.offered, source.embed(np.zeros((1, 224, 224, 3), np.uint8))) == (dim, {"tflite": ("int8",)}, None)
    images = np.stack([preprocess.tensor(load(path), source.image) for path in sorted(photos.glob("*.png"))])
    from edgetl.runtimes import open_runtime

    path = packed_bundle(source, tmp_path / "coral.edgetl")
    packed = bundle.Bundle.open(path)
    embedded = open_runtime("litert", packed.model(packed.variants["tflite-int8"]), 2).embed(images)
    np.testing.assert_array_equal(embedded, whole_tensor((data / "coral" / file).read_bytes(), tensor, images))
    with Classifier.open(path, tmp_path / "parts.db") as classifier:
        for photo in sorted(photos.glob("*_train_*.png")):
            classifier.add(photo, photo.name.partition("_")[0])
        classifier.train()
        tests = sorted(photos.glob("*_test_*.png"))
        guesses = [classifier.predict(photo) for photo in tests]
    truth = [photo.name.partition("_")[0] for photo in tests]
    assert len(tests) == 3
    assert [guess.top[0][0] for guess in guesses] == truth
    assert [guess.label for guess in guesses] == truth, "nothing is rejected"


@pytest.mark.slow
def test_the_classifier_that_was_cut_off_knows_imagenet(data: Path) -> None:
    import csv

    source = FileSource(data / "coral" / "mobilenet_v2_1.0_224_quant.tflite", FileOptions(cut="auto"))
    with (data / "imagenet-sample" / "labels.csv").open() as lines:
        rows = list(csv.DictReader(lines))[::10]
    images = np.stack([preprocess.tensor(load(data / "imagenet-sample" / row["file"]), source.image) for row in rows])
    from edgetl.runtimes import open_runtime

    files = source.files(source.recipe("tflite", "int8"), None)
    embedded = open_runtime("litert", files, 2).embed(images)
    weights, bias = source.classifier() or pytest.fail("the classifier is kept")
    right = (embedded @ weights.T + bias).argmax(1) - 1 == [int(row["index"]) for row in rows]  # class 0 is the background
    assert right.mean() > 0.8, "87.9 % over all 1000 photos"


# The same network behind every kind of TFLite input.


@pytest.mark.slow
@pytest.mark.parametrize(("mean", "std"), [((100.0,), (50.0,)), ((90.0, 100.0, 110.0), (60.0, 50.0, 70.0))])
@pytest.mark.parametrize("bgr", [False, True])
@pytest.mark.parametrize(("dtype", "channels_first"), [("float32", False), ("float32", True), ("uint8", False), ("int8", False)])
def test_every_input_of_a_tflite_file_takes_pixels(
    tmp_path: Path, dtype: str, channels_first: bool, bgr: bool, mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    content = tflite_classifier(dtype, channels_first=channels_first)
    source = FileSource(
        written(tmp_path, "net.tflite", content), FileOptions(cut="auto", mean=mean, std=std, order="bgr" if bgr else "rgb")
    )
    images = RNG.integers(0, 256, (4, SIDE, SIDE, 3), dtype=np.uint8)
    from edgetl.runtimes import open_runtime

    kind = "fp32" if dtype == "float32" else "int8"
    embedded = open_runtime("litert", source.files(source.recipe("tflite", kind), None), 1).embed(images)
    normal = (images - np.broadcast_to(mean, 3)) / np.broadcast_to(std, 3)
    if dtype != "float32":
        normal = np.clip(normal, *((np.array([-128, 127]) + 28) * 0.02))  # what the integers can hold; both types hold the same
    expected = normal.mean((1, 2))
    np.testing.assert_allclose(embedded, expected[:, ::-1] if bgr else expected, atol=1e-4 if dtype == "float32" else 0.011)


# Hostile files: each is an error with a code and the file's name.


def external(model: Any) -> None:
    from onnx import TensorProto

    entry = model.graph.initializer[0]
    entry.data_location = TensorProto.EXTERNAL
    entry.external_data.add(key="location", value="../../etc/passwd")


def nan(model: Any) -> None:
    from onnx import numpy_helper

    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.full((CHANNELS, 3, 3, 3), np.nan, np.float32), "kernel"))


def typed(kind: str) -> Edit:
    def edit(model: Any) -> None:
        from onnx import TensorProto, helper

        cast = helper.make_node("Cast", ["photo"], ["photo float"], to=TensorProto.FLOAT)
        model.graph.node[0].input[0] = "photo float"
        model.graph.node.insert(0, cast)
        model.graph.input[0].type.tensor_type.elem_type = getattr(TensorProto, kind)

    return edit


def second_input(model: Any) -> None:
    from onnx import TensorProto, helper

    model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1]))


def second_output(model: Any) -> None:
    from onnx import TensorProto, helper

    model.graph.output.append(helper.make_tensor_value_info("row", TensorProto.FLOAT, [1, CHANNELS]))


def unknown_operator(model: Any) -> None:
    from onnx import helper

    model.graph.node[1].op_type, model.graph.node[1].domain = "Bend", "acme"
    model.opset_import.append(helper.make_opsetid("acme", 1))


def tflite_nan(graph: tflite.TfliteGraph) -> None:
    graph.constant("broken", np.array([1, np.nan], np.float32))


def tflite_input(**fields: Any) -> Edit:
    def edit(graph: tflite.TfliteGraph) -> None:
        for name, value in fields.items():
            setattr(graph.raw.tensors[graph.raw.inputs[0]], name, value)

    return edit


def tflite_two(graph: tflite.TfliteGraph) -> None:
    graph.raw.inputs = [graph.raw.inputs[0], graph.tensor("mask", [1], "float32")]


HOSTILE: dict[str, tuple[str, Callable[[], bytes], dict[str, Any], str, dict[str, Any]]] = {
    "a truncated .tflite": ("net.tflite", lambda: tflite_classifier()[:-200], {}, "file-damaged", {}),
    "half a .tflite": ("net.tflite", lambda: tflite_classifier()[:400], {}, "file-damaged", {"size": 400}),
    "four bytes": ("net.tflite", lambda: b"abcd", {}, "file-damaged", {}),
    "text as .tflite": ("net.tflite", lambda: b"version https://git-lfs.github.com/spec/v1\n" * 9, {}, "file-damaged", {}),
    "text as .onnx": ("net.onnx", lambda: b"version https://git-lfs.github.com/spec/v1\n" * 9, {}, "file-damaged", {}),
    "a truncated .onnx": ("net.onnx", lambda: onnx_classifier()[:-300], {}, "file-damaged", {}),
    "an empty .onnx": ("net.onnx", lambda: b"", {}, "file-damaged", {}),
    "external data": ("net.onnx", lambda: onnx_classifier(external), {}, "weights-elsewhere", {"tensor": "kernel"}),
    "an int32 photo": ("net.onnx", lambda: onnx_classifier(typed("INT32")), {}, "input-type", {"dtype": "int32"}),
    "a float64 photo": ("net.onnx", lambda: onnx_classifier(typed("DOUBLE")), {}, "input-type", {"dtype": "double"}),
    "an int32 photo in .tflite": (
        "net.tflite",
        lambda: tflite_classifier(edit=tflite_input(type=2)),
        {},
        "input-type",
        {"dtype": "int32"},
    ),
    "NaN weights": ("net.onnx", lambda: onnx_classifier(nan), {}, "weights-nan", {"tensor": "kernel"}),
    "NaN weights in .tflite": ("net.tflite", lambda: tflite_classifier(edit=tflite_nan), {}, "weights-nan", {"tensor": "broken"}),
    "two inputs": ("net.onnx", lambda: onnx_classifier(second_input), {}, "several-inputs", {"inputs": ["photo", "mask"]}),
    "two inputs in .tflite": (
        "net.tflite",
        lambda: tflite_classifier(edit=tflite_two),
        {},
        "several-inputs",
        {"inputs": ["photo", "mask"]},
    ),
    "two outputs": ("net.onnx", lambda: onnx_classifier(second_output), {}, "several-outputs", {"outputs": ["probability", "row"]}),
    "a free size": ("net.onnx", lambda: onnx_classifier(size="side"), {"cut": "auto"}, "size-missing", {}),
    "a free size in .tflite": (
        "net.tflite",
        lambda: tflite_classifier(edit=tflite_input(shapeSignature=[1, -1, -1, 3])),
        {"cut": "auto"},
        "size-missing",
        {},
    ),
    "another size": (
        "net.onnx",
        onnx_classifier,
        {"cut": "auto", "size": (224, 224)},
        "size-differs",
        {"size": (224, 224), "expected": (12, 12)},
    ),
    "a huge photo": (
        "net.onnx",
        lambda: onnx_classifier(size="side"),
        {"cut": "auto", "size": (20000, 20000)},
        "size-too-large",
        {"maximum": 2048},
    ),
    "a huge photo in .tflite": (
        "net.tflite",
        lambda: tflite_classifier(edit=tflite_input(shape=[1, 9999, 9, 3])),
        {"cut": "auto"},
        "size-too-large",
        {},
    ),
    "a huge photo to crop from": ("net.onnx", onnx_classifier, {"cut": "auto", "resize": 99999}, "size-too-large", {"resize": 99999}),
    "a gray photo": (
        "net.tflite",
        lambda: tflite_classifier(edit=tflite_input(shape=[1, 12, 12, 1])),
        {},
        "input-shape",
        {"shape": (1, 12, 12, 1)},
    ),
    "a softmax": ("net.onnx", onnx_classifier, {}, "output-not-embedding", {"softmax": True}),
    "a softmax in .tflite": ("net.tflite", tflite_classifier, {}, "output-not-embedding", {"softmax": True}),
    "no such tensor": (
        "net.onnx",
        onnx_classifier,
        {"cut": "pool"},
        "tensor-unknown",
        {"tensor": "pool", "near": ["pooled", "probability"]},
    ),
    "no such tensor in .tflite": ("net.tflite", tflite_classifier, {"cut": "rows"}, "tensor-unknown", {"near": ["row", "logits"]}),
    "a constant as the embedding": ("net.tflite", tflite_classifier, {"cut": "bias"}, "tensor-not-computed", {"tensor": "bias"}),
    "no classifier": ("net.onnx", lambda: tiny_models.onnx()["model.onnx"], {"cut": "auto"}, "classifier-not-found", {"operator": "Relu"}),
    "no normalisation": ("net.onnx", onnx_classifier, {"cut": "auto", "mean": None}, "normalisation-missing", {"option": "--mean"}),
    "a std of 0": ("net.onnx", onnx_classifier, {"cut": "auto", "std": (0.0,)}, "normalisation-unusable", {"option": "--std"}),
    "an embedding of rank 4 in .tflite": (
        "net.tflite",
        lambda: tflite_classifier("uint8"),
        {"cut": "real"},
        "embedding-shape",
        {"shape": [1, 12, 12, 3]},
    ),
    "another format": ("net.pb", lambda: b"", {}, "unknown-format", {}),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_an_error_with_its_name_and_a_code(tmp_path: Path, case: str) -> None:
    name, content, options, code, values = HOSTILE[case]
    path = written(tmp_path, name, content())
    with pytest.raises(ExportError) as error:
        opened(path, **options)
    assert error.value.code == code
    assert error.value.values | values == error.value.values
    assert Path(error.value.values["path"]).name == name
    assert name in str(error.value)


def test_infinity_alone_is_a_limit_and_among_weights_it_is_damage() -> None:
    def with_limit(values: list[float]) -> list[tuple[str, bytes]]:
        def of_onnx(model: Any) -> None:
            from onnx import helper, numpy_helper

            model.graph.initializer.append(
                numpy_helper.from_array(np.array(values[0] if len(values) == 1 else values, np.float32), "limit")
            )
            model.graph.node.insert(1, helper.make_node("Min", ["maps", "limit"], ["less"], name="less"))
            model.graph.node[2].input[0] = "less"

        edited = tflite_classifier(edit=lambda graph: graph.constant("limit", np.array(values, np.float32)))
        return [("net.onnx", onnx_classifier(of_onnx)), ("net.tflite", edited)]

    for name, content in with_limit([np.inf]):
        file_source.opened(name, content)
    for values in ([np.nan], [0.0] * 9 + [-np.inf]):
        for name, content in with_limit(values):
            with pytest.raises(ExportError) as error:
                file_source.opened(name, content)
            assert (error.value.code, error.value.values) == ("weights-nan", {"path": name, "tensor": "limit"})


def test_a_missing_file_is_an_error_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(ExportError) as error:
        FileSource(tmp_path / "gone.onnx")
    assert (error.value.code, error.value.values) == ("file-unreadable", {"path": str(tmp_path / "gone.onnx")})


@pytest.mark.slow
def test_an_operator_unknown_to_onnxruntime_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="Bend") as error:
        opened(written(tmp_path, "net.onnx", onnx_classifier(unknown_operator)), cut="pooled")
    assert (error.value.code, error.value.values["path"]) == ("not-runnable", "net.onnx")


def test_a_map_becomes_an_embedding_by_its_mean_as_the_manifest_states(tmp_path: Path) -> None:
    path = written(tmp_path, "net.onnx", onnx_classifier())
    by_map, by_pool = (opened(path, cut=cut) for cut in ("relu", "pooled"))
    photos = pictures.scenes(3, SIDE, SIDE, seed=1)
    np.testing.assert_allclose(by_map.embed(photos), by_pool.embed(photos), rtol=1e-6)
    assert "10x10" in by_map.notes["cut"]


@pytest.mark.parametrize("kind", ["tflite", "onnx"])
def test_a_file_that_was_changed_anywhere_is_read_or_an_error(kind: str) -> None:
    content = tflite_classifier() if kind == "tflite" else onnx_classifier()
    rng = np.random.default_rng(0)
    errors = 0
    for _ in range(300):
        changed = bytearray(content)
        for where in rng.integers(8, len(content), 3):
            changed[where] = rng.integers(256)
        try:
            file_source.opened(f"net.{kind}", bytes(changed))
        except ExportError:
            errors += 1
    assert errors > 50


@pytest.mark.slow
def test_a_file_that_crashes_its_runtime_does_not_crash_the_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgetl_exporters.sources.file_source._TRIAL", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    with pytest.raises(ExportError) as error:
        opened(written(tmp_path, "net.tflite", tflite_classifier()), cut="auto")
    assert (error.value.code, error.value.values) == ("runtime-crashed", {"path": "net.tflite", "runtime": "litert", "signal": 11})


@pytest.mark.parametrize(("format_", "precision"), [("onnx", "fp32"), ("tflite", "fp32")])
@pytest.mark.slow
def test_an_impossible_format_is_an_error_with_the_possible_ones(tmp_path: Path, format_: str, precision: str) -> None:
    source = FileSource(written(tmp_path, "net.tflite", tflite_classifier("uint8")), FileOptions(cut="auto"))
    assert (source.mean, source.std) == ((100.0,) * 3, (pytest.approx(50.0),) * 3), "from the input's quantisation"
    with pytest.raises(ExportError) as error:
        source.recipe(format_, precision)
    offered = {"path": "net.tflite", "format": format_, "precision": precision, "offered": {"tflite": ("int8",)}}
    assert (error.value.code, error.value.values) == ("not-offered", offered)
