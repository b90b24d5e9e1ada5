"""Networks of Keras: against Keras's own preprocessing and prediction, and files that are an error."""

import csv
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edgetl_exporters import pictures
from edgetl_exporters.backbones import keras_import
from edgetl_exporters.sources.keras_source import KerasSource
from edgetl_exporters.sources.options import FileOptions

from edgetl.bundle.bundle import FAMILIES
from edgetl.errors import CalibrationError, ExportError, WeightsMissing
from edgetl.inputs.photo import preprocess
from edgetl.inputs.photo.source import load
from edgetl.runtimes import open_runtime
from edgetl.types import Embeddings, ImageSpec, Pixels

pytestmark = pytest.mark.slow
PHOTOS = 12
CALIBRATING = 24


@pytest.fixture(scope="module")
def keras() -> Any:
    return keras_import.load()[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keras")


@pytest.fixture(scope="module")
def save(keras: Any, folder: Path) -> Callable[..., Path]:
    """Saves a sequential network under a name."""

    def write(name: str, *layers: Any, shape: tuple[int | None, int | None, int] = (32, 40, 3)) -> Path:
        path = folder / f"{name}.keras"
        keras.utils.set_random_seed(1)
        keras.Sequential([keras.Input(shape), *layers]).save(path)
        return path

    return write


@pytest.fixture(scope="module")
def own(keras: Any, save: Callable[..., Path]) -> Path:
    """A classifier as people save one: augmentation, rescaling, a nested network, dropout, softmax."""
    layers = keras.layers
    body = keras.Sequential([keras.Input((32, 40, 3)), layers.Conv2D(8, 3, 2, activation="relu"), layers.Conv2D(16, 3, activation="relu")])
    augment = keras.Sequential([layers.RandomFlip("horizontal")])
    head = (layers.GlobalAveragePooling2D(), layers.Dropout(0.2), layers.Dense(5, name="classes"), layers.Softmax())
    return save("own", augment, layers.Rescaling(1 / 127.5, offset=-1), body, *head)


def scenes(source: KerasSource, count: int = PHOTOS, seed: int = 5) -> Pixels:
    return pictures.scenes(count, source.image.width, source.image.height, seed)


def run(source: KerasSource, format_: str, precision: str, tensors: Pixels) -> Embeddings:
    """The embeddings of a variant on the runtime that a device uses."""
    files = source.files(source.recipe(format_, precision), scenes(source, CALIBRATING, seed=1) if precision == "int8" else None)
    return embedded(FAMILIES[format_], files, tensors)


def embedded(family: str, files: Mapping[str, bytes], tensors: Pixels) -> Embeddings:
    runtime = open_runtime(family, files)
    embeddings = np.concatenate([runtime.embed(tensor[None]) for tensor in tensors])
    runtime.close()
    return embeddings


def cosines(expected: Embeddings, embeddings: Embeddings) -> Any:
    return (expected * embeddings).sum(1) / np.linalg.norm(expected, axis=1) / np.linalg.norm(embeddings, axis=1)


@pytest.fixture(scope="module")
def mobilenet() -> KerasSource:
    return KerasSource("keras/MobileNetV2", random=True)


def test_a_keras_network_embeds_as_keras_own_preprocessing_and_prediction(keras: Any, mobilenet: KerasSource, folder: Path) -> None:
    mobilenet._model.save(folder / "embedder.keras")
    embedder = keras.saving.load_model(folder / "embedder.keras")
    tensors = scenes(mobilenet)
    expected = embedder.predict(keras.applications.mobilenet_v2.preprocess_input(tensors.astype(np.float32)), verbose=0)
    assert expected.std() > 0.1  # the signal has not faded in untrained layers
    np.testing.assert_allclose(mobilenet.embed(tensors), expected, atol=1e-4)
    for format_ in ("tflite", "onnx", "openvino"):
        embeddings = run(mobilenet, format_, "fp32", tensors)
        assert np.abs(embeddings - expected).max() < 1e-3, format_
        assert cosines(expected, embeddings).min() > 0.9999, format_
    assert mobilenet.dim == expected.shape[1] == 1280
    assert mobilenet.image == ImageSpec(224, 224, 256, filter="bilinear")
    assert (mobilenet.mean, mobilenet.std) == ((127.5,) * 3, (127.5,) * 3)


def test_full_integer_keeps_the_embedding_and_takes_a_pixel_by_one_xor(mobilenet: KerasSource) -> None:
    from ai_edge_litert.interpreter import Interpreter

    dull = 60 + scenes(mobilenet, PHOTOS + CALIBRATING) // 2  # no photo is black or white anywhere
    recipe = mobilenet.recipe("tflite", "int8")
    files = mobilenet.files(recipe, dull[PHOTOS:])
    (model,) = files.values()
    interpreter = Interpreter(model_content=model)
    (image,), (embedding,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert image["dtype"] == embedding["dtype"] == np.int8
    assert image["quantization"] == (1.0, -128)
    assert not {operation["op_name"] for operation in interpreter._get_ops_details()} & {"QUANTIZE", "DEQUANTIZE", "TRANSPOSE"}
    weights = [d for d in interpreter.get_tensor_details() if len(d["shape"]) == 4 and d["dtype"] == np.int8]
    assert max(len(d["quantization_parameters"]["scales"]) for d in weights) == 1280  # per channel
    assert cosines(mobilenet.embed(dull[:PHOTOS]), embedded("litert", files, dull[:PHOTOS])).mean() > mobilenet.int8_bound
    assert recipe.name == "keras-full-integer"
    with pytest.raises(CalibrationError) as error:
        mobilenet.files(recipe, None)
    assert error.value.code == "photos-missing"


def test_trained_weights_lose_at_most_a_point_in_full_integer(keras: Any, data: Path, folder: Path) -> None:
    """The weights of Coral's quantised MobileNet v2 as float weights of Keras: the only trained ones in the test data."""
    _coral(keras, data / "coral" / "mobilenet_v2_1.0_224_quant.tflite").save_weights(folder / "coral.weights.h5")
    source = KerasSource("keras/MobileNetV2", file=folder / "coral.weights.h5")
    rows = list(csv.DictReader((data / "imagenet-sample" / "labels.csv").open()))
    photos = np.stack([preprocess.tensor(load(data / "imagenet-sample" / row["file"]), source.image) for row in rows[::4]])
    classes = np.array([int(row["index"]) for row in rows[::4]])
    calibrating = np.stack([preprocess.tensor(load(data / "imagenet-sample" / row["file"]), source.image) for row in rows[1::20]])
    expected = source.embed(photos)
    integer = embedded("litert", source.files(source.recipe("tflite", "int8"), calibrating), photos)
    weights, bias = source.classifier()
    correct, correct_int8 = ((rows @ weights.T + bias).argmax(1) == classes for rows in (expected, integer))
    assert len(photos) == 250
    assert correct.mean() > 0.85
    assert correct_int8.sum() >= correct.sum() - 5  # a point of 1000 photos is 2.5 of these, and as much is chance
    assert cosines(expected, integer).mean() > 0.985


def _coral(keras: Any, path: Path) -> Any:
    """Keras's MobileNetV2 with the convolutions of a quantised file, whose batch normalisations are folded into them."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(os.fspath(path), experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    interpreter.allocate_tensors()
    scales = {d["index"]: d["quantization"] for d in interpreter.get_tensor_details()}

    def real(index: int) -> Any:
        scale, zero = scales[index]
        return (interpreter.get_tensor(index).astype(np.float64) - zero) * scale

    *convolutions, last = [op["inputs"][1:3] for op in interpreter._get_ops_details() if "CONV" in op["op_name"]]
    network = keras.applications.MobileNetV2(weights=None)
    layers = [layer for layer in network.layers if "Conv2D" in type(layer).__name__]
    norms = [layer for layer in network.layers if type(layer).__name__ == "BatchNormalization"]
    for (kernel, bias), layer, norm in zip(convolutions, layers, norms, strict=True):
        layer.set_weights([real(kernel).transpose(1, 2, 3, 0)])
        ones, zeros = np.ones(norm.gamma.shape), np.zeros(norm.gamma.shape)
        norm.set_weights([ones, real(bias), zeros, ones - norm.epsilon])
    network.layers[-1].set_weights([real(last[0])[1:, 0, 0].T, real(last[1])[1:]])  # the first class is the background
    return network


def test_a_cut_classifier_gives_back_its_own_scores(keras: Any, own: Path) -> None:
    source = KerasSource(str(own), options=FileOptions(cut="auto"))
    tensors = scenes(source)
    weights, bias = source.classifier()
    logits = source.embed(tensors) @ weights.T + bias
    expected = keras.saving.load_model(own).predict(tensors.astype(np.float32), verbose=0)
    np.testing.assert_allclose(np.exp(logits) / np.exp(logits).sum(1, keepdims=True), expected, atol=1e-5)
    assert (source.dim, weights.shape, source.notes) == (16, (5, 16), {"cut": "before classes"})
    assert (source.image.width, source.image.height) == (40, 32)
    np.testing.assert_allclose((source.mean, source.std), 127.5, rtol=1e-5)
    np.testing.assert_allclose(run(source, "tflite", "fp32", tensors), source.embed(tensors), atol=1e-5)
    for format_ in ("tflite", "onnx", "openvino"):
        assert cosines(source.embed(tensors), run(source, format_, "int8", tensors)).min() > 0.99, format_
    named = KerasSource(str(own), options=FileOptions(cut="classes"))
    np.testing.assert_allclose(named.embed(tensors), logits, atol=1e-5)
    assert named.classifier() is None


def test_a_nested_classifier_is_cut_too(keras: Any, own: Path, folder: Path) -> None:
    image = keras.Input((32, 40, 3))
    keras.Model(image, keras.saving.load_model(own)(image)).save(folder / "nested.keras")
    direct, nested = (
        KerasSource(str(own), options=FileOptions(cut="auto")),
        KerasSource(str(folder / "nested.keras"), options=FileOptions(cut="auto")),
    )
    np.testing.assert_allclose(nested.embed(scenes(direct)), direct.embed(scenes(direct)), atol=1e-6)
    assert (nested.mean, nested.std) == (direct.mean, direct.std)


def test_the_normalisation_of_the_options_is_used(keras: Any, save: Callable[..., Path]) -> None:
    path = save("plain", keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D(), shape=(None, None, 3))
    for options, code in (
        (FileOptions(mean=(127.5,) * 3, std=(127.5,) * 3), "size-missing"),
        (FileOptions(size=(24, 16)), "normalisation-missing"),
        (FileOptions(size=(24, 16), mean=(0.0,), std=(0.0,)), "normalisation-unusable"),
    ):
        with pytest.raises(ExportError) as error:
            KerasSource(str(path), options=options)
        assert error.value.code == code
    network = keras.saving.load_model(path)
    for order, step in (("rgb", 1), ("bgr", -1)):
        source = KerasSource(str(path), options=FileOptions(size=(24, 16), mean=(10.0, 20.0, 30.0), std=(50.0, 60.0, 70.0), order=order))
        tensors = scenes(source)
        normalised = (tensors.astype(np.float32) - (10, 20, 30)) / (50, 60, 70)
        expected = network.predict(normalised[..., ::step], verbose=0)
        np.testing.assert_allclose(run(source, "tflite", "fp32", tensors), expected, atol=1e-5)
        assert cosines(expected, run(source, "tflite", "int8", tensors)).min() > 0.99
        assert (source.mean, source.image) == ((10.0, 20.0, 30.0), ImageSpec(24, 16, 28, filter="bilinear"))


def test_constants_of_a_normalization_layer_are_not_inputs_in_onnx(keras: Any, save: Callable[..., Path]) -> None:
    layers = keras.layers
    path = save("normal", layers.Normalization(mean=(100.0, 110.0, 120.0), variance=(900.0, 800.0, 700.0)), layers.GlobalAveragePooling2D())
    source = KerasSource(str(path))
    tensors = scenes(source)
    np.testing.assert_allclose(run(source, "onnx", "fp32", tensors), source.embed(tensors), atol=1e-4)


@pytest.mark.parametrize(
    ("name", "module"), [("MobileNetV2", "mobilenet_v2"), ("ResNet50", "resnet"), ("DenseNet121", "densenet"), ("VGG16", "vgg16")]
)
def test_the_normalisation_of_every_family_is_keras_own(keras: Any, name: str, module: str) -> None:
    from edgetl_exporters.backbones import keras_graph

    preprocess = getattr(keras.applications, module).preprocess_input
    pixels = pictures.scenes(2, 8, 8, 0).astype(np.float32)
    np.testing.assert_allclose(keras_graph.affine(preprocess)(pixels), preprocess(pixels.copy()), atol=1e-4)
    assert keras_graph.affine(preprocess).bgr == (name in ("ResNet50", "VGG16"))


def test_local_weights_are_read_with_or_without_the_classifier(keras: Any, mobilenet: KerasSource, folder: Path) -> None:
    keras.utils.set_random_seed(3)
    whole = keras.applications.MobileNetV2(weights=None)
    whole.save_weights(folder / "whole.weights.h5")
    source = KerasSource("keras/MobileNetV2", file=folder / "whole.weights.h5")
    weights, _ = source.classifier()
    np.testing.assert_array_equal(weights.T, whole.layers[-1].get_weights()[0])
    assert (source.weights.source, source.weights.random) == ("local file whole.weights.h5", False)
    assert len(source.weights.sha256) == 64

    topless = keras.applications.MobileNetV2(weights=None, include_top=False, pooling="avg", input_shape=(224, 224, 3))
    topless.set_weights(mobilenet._model.get_weights())
    topless.save_weights(folder / "topless.weights.h5")
    source = KerasSource("keras/MobileNetV2", file=folder / "topless.weights.h5")
    np.testing.assert_allclose(source.embed(scenes(source, 2)), mobilenet.embed(scenes(source, 2)), atol=1e-4)
    assert source.classifier() is None

    topless.layers[1].set_weights([np.full(weight.shape, np.nan) for weight in topless.layers[1].get_weights()])
    topless.save_weights(folder / "broken.weights.h5")
    (folder / "torn.weights.h5").write_bytes((folder / "topless.weights.h5").read_bytes()[:5000])
    for name, code in (("broken", "weights-nan"), ("torn", "weights-misfit"), ("none", "weights-missing")):
        with pytest.raises(ExportError) as error:
            KerasSource("keras/MobileNetV2", file=folder / f"{name}.weights.h5")
        assert error.value.code == code


def test_without_a_network_the_missing_weights_are_named(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("KERAS_HOME", str(folder))
    with pytest.raises(WeightsMissing) as error:
        KerasSource("keras/MobileNetV3Small")
    values = error.value.values
    assert (error.value.code, values["backbone"], values["folder"]) == ("weights-missing", "MobileNetV3Small", str(folder / "models"))
    assert re.fullmatch(r"weights_mobilenet_v3_small\S*_no_top\S*\.h5", values["file"])


def test_a_file_that_cannot_embed_is_an_error_with_its_name(keras: Any, own: Path, save: Callable[..., Path], folder: Path) -> None:
    layers = keras.layers
    (folder / "text.keras").write_text("no zip")
    (folder / "torn.keras").write_bytes(own.read_bytes()[:4000])
    rescale, pool = layers.Rescaling(1 / 255), layers.GlobalAveragePooling2D()
    save("lambda", rescale, layers.Lambda(lambda x: x * 2), pool)
    save("maps", rescale, layers.Conv2D(4, 3))
    save("gray", rescale, pool, shape=(32, 32, 1))
    left, right = keras.Input((32, 32, 3)), keras.Input((32, 32, 3))
    keras.Model([left, right], pool(layers.Add()([left, right]))).save(folder / "two.keras")
    foreign = subprocess.run(
        [sys.executable, "-c", _FOREIGN, folder / "foreign.keras"], env={"PATH": "", "KERAS_BACKEND": "tensorflow"}, capture_output=True
    )
    assert foreign.returncode == 0, foreign.stderr
    for name, cut, code, values in (
        ("missing", "none", "file-unreadable", {}),
        ("text", "none", "file-damaged", {}),
        ("torn", "none", "file-damaged", {}),
        ("lambda", "none", "code-inside", {}),
        ("foreign", "none", "file-damaged", {}),
        ("two", "none", "several-inputs", {"inputs": 2, "outputs": 1}),
        ("maps", "none", "embedding-shape", {"shape": [None, 30, 38, 4]}),
        ("gray", "none", "input-shape", {"shape": [None, 32, 32, 1]}),
        ("own", "none", "output-not-embedding", {"softmax": True}),
        ("own", "nonsense", "tensor-unknown", {"tensor": "nonsense"}),
        ("maps", "auto", "classifier-not-found", {"operator": "Conv2D"}),
    ):
        with pytest.raises(ExportError) as error:
            KerasSource(str(folder / f"{name}.keras"), options=FileOptions(cut=cut))
        assert error.value.code == code, name
        assert error.value.values | values == error.value.values
        assert f"{name}.keras" in str(error.value)
    for options, code in (
        ({"options": FileOptions(cut="auto", size=(64, 64))}, "size-differs"),
        ({"random": True}, "option-not-for-backbone"),
        ({"options": FileOptions(cut="auto", mean=(0.0,) * 3, std=(255.0,) * 3)}, "normalisation-unusable"),
    ):
        with pytest.raises(ExportError) as error:
            KerasSource(str(own), **options)
        assert error.value.code == code


def test_an_operation_that_a_format_lacks_is_named(keras: Any, folder: Path) -> None:
    image = keras.Input((16, 16, 3))
    embedding = keras.ops.erfinv(keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 510)(image)))
    keras.Model(image, embedding).save(folder / "erfinv.keras")
    source = KerasSource(str(folder / "erfinv.keras"))
    with pytest.raises(ExportError) as error:
        source.files(source.recipe("tflite", "fp32"), None)
    assert (error.value.code, error.value.values) == ("not-convertible", {"format": "TFLite", "missing": ["Erfinv"]})
    with pytest.raises(ExportError, match="Erfinv") as error:
        source.files(source.recipe("onnx", "fp32"), None)
    assert (error.value.code, error.value.values["format"]) == ("not-convertible", "ONNX")


_FOREIGN = """
import sys, keras
@keras.saving.register_keras_serializable()
class Foreign(keras.layers.Layer):
    def call(self, image):
        return image
keras.Sequential([keras.Input((32, 32, 3)), Foreign(), keras.layers.GlobalAveragePooling2D()]).save(sys.argv[1])
"""


@pytest.mark.parametrize(
    ("name", "options", "code"),
    [
        ("MobilNetV2", {}, "unknown-backbone"),
        ("MobileNetV2", {"random": True, "file": "some.weights.h5"}, "options-exclusive"),
        ("MobileNetV2", {"random": True, "options": FileOptions(cut="auto")}, "option-not-for-backbone"),
    ],
)
def test_wrong_names_and_options_are_errors(name: str, options: dict[str, Any], code: str) -> None:
    with pytest.raises(ExportError) as error:
        KerasSource(f"keras/{name}", **options)
    assert error.value.code == code
    if code == "unknown-backbone":
        assert error.value.values["near"][0] == "MobileNetV2"


def test_tflite_in_fp16_is_an_error(mobilenet: KerasSource) -> None:
    with pytest.raises(ExportError) as error:
        mobilenet.recipe("tflite", "fp16")
    assert (error.value.code, error.value.values["offered"]) == ("not-offered", ("fp32", "int8"))


@pytest.mark.parametrize("blocked", ["tensorflow", "keras"])
def test_without_tensorflow_the_error_names_the_extra(blocked: str) -> None:
    module = "edgetl_exporters.sources.keras_source"
    code = f"import sys; sys.modules['{blocked}'] = None\nfrom {module} import KerasSource\nKerasSource('keras/Xception')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "ExportError" in done.stderr.splitlines()[-1]
    assert "edgetl[keras]" in done.stderr.splitlines()[-1]
