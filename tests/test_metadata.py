"""Metadata: readable by their ecosystems' own readers, the same bytes every time, without a change of embeddings."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import tiny_models
from edgetl_exporters import metadata
from edgetl_exporters.files import tflite

from edgetl.bundle.bundle import FAMILIES
from edgetl.runtimes import open_runtime
from edgetl.types import ImageSpec

LABELS = ("a cat", "dog", "Fahrrad", "猫", "hötdog")
INFO = metadata.Info("tiny", "five numbers of eight by eight pixels", ImageSpec(8, 8, 9), LABELS, version="3", license="Apache-2.0")
PIXELS = np.random.default_rng(1).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)


def written(family: str, files: Mapping[str, bytes]) -> Mapping[str, bytes]:
    format_ = next(format_ for format_, executed in FAMILIES.items() if executed == family)
    return metadata.write(format_, files, INFO)


def stated(family: str, files: Mapping[str, bytes]) -> metadata.Stated:
    content = next(iter(files.values()))
    if family == "litert":
        return metadata.of_tflite(tflite.read(content, "tiny"), content)
    import onnx

    return metadata.of_onnx(onnx.load_from_string(content))


@pytest.mark.parametrize("kind", tiny_models.ALL)
def test_metadata_are_read_back_and_do_not_change_embeddings(kind: str) -> None:
    family, make, _ = tiny_models.ALL[kind]
    files = make()
    described = written(family, files)
    assert written(family, files) == described == written(family, described), "the same bytes every time"
    if family != "openvino":  # see test_openvino_reads_its_model_info
        read = stated(family, described)
        assert (read.name, read.labels, read.image, read.size) == ("tiny", LABELS, INFO.image, (8, 8))
        assert (read.mean, read.std, read.order) == ((0.0,), (1.0,), "rgb"), "the normalisation is inside the graph"
    before, after = (open_runtime(family, content, 1).embed(PIXELS) for content in (files, described))
    np.testing.assert_array_equal(before, after)


def test_onnx_metadata_are_what_onnx_and_ultralytics_readers_expect(tmp_path: Path) -> None:
    import ast

    import onnx
    import onnxruntime

    path = tmp_path / "tiny.onnx"
    path.write_bytes(metadata.onnx(tiny_models.onnx()["model.onnx"], INFO))
    props = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).get_modelmeta().custom_metadata_map
    assert ast.literal_eval(props["names"]) == dict(enumerate(LABELS))
    assert (ast.literal_eval(props["imgsz"]), props["task"], props["license"]) == ([8, 8], "classify", "Apache-2.0")
    assert (props["Image.BitmapPixelFormat"], props["Image.NominalPixelRange"]) == ("Rgb8", "NominalRange_0_255")
    assert json.loads(props["edgetl"])["image"]["resize"] == 9
    assert onnx.load(path).graph.input[0].type.denotation == "IMAGE"


def test_openvino_reads_its_model_info(tmp_path: Path) -> None:
    import openvino

    for name, content in metadata.openvino(tiny_models.openvino(), INFO).items():
        (tmp_path / name).write_bytes(content)
    model = openvino.Core().read_model(tmp_path / "model.xml")
    info = {key: model.get_rt_info(["model_info", key]).astype(str) for key in ("model_type", "labels", "mean_values", "scale_values")}
    assert json.loads(model.get_rt_info(["model_info", "edgetl"]).astype(str))["image"]["resize"] == 9
    assert info == {
        "model_type": "Classification",
        "labels": "a_cat dog Fahrrad 猫 hötdog",
        "mean_values": "0 0 0",
        "scale_values": "1 1 1",
    }


def test_a_format_without_metadata_does_not_change() -> None:
    assert metadata.write("fake", {"model.fake": b"1"}, INFO) == {"model.fake": b"1"}


def test_tflite_labels_are_a_zip_behind_the_model() -> None:
    content = metadata.tflite(tiny_models.tflite("uint8")["model.tflite"], INFO)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert archive.read("labels.txt").decode() == "".join(f"{label}\n" for label in LABELS)
    plain = metadata.tflite(content, metadata.Info("tiny", "an embedding", INFO.image))
    assert not zipfile.is_zipfile(io.BytesIO(plain)), "labels that are no longer stated are removed"


def test_the_metadata_of_a_published_tflite_model_are_understood(data: Path) -> None:
    """Written by TFLite Support's own tool, as those of every model of TensorFlow Hub and of Coral."""
    content = (data / "coral" / "mobilenet_v2_1.0_224_quant.tflite").read_bytes()
    read_back = metadata.of_tflite(tflite.read(content, "v2"), content)
    assert (read_back.mean, read_back.std, read_back.order, read_back.name) == ((127.5,), (127.5,), "rgb", "ImageClassifier")
    lines = (data / "coral" / "imagenet_labels.txt").read_text("utf-8").splitlines()
    assert len(read_back.labels) == 1001 == len(lines)
    assert read_back.labels[:2] == ("background", "tench, Tinca tinca")


@pytest.mark.parametrize(
    ("props", "expected"),
    [
        ({"Image.NominalPixelRange": "Normalized_1_1", "Image.BitmapPixelFormat": "BGR8"}, ((127.5,), (127.5,), "bgr")),
        ({"Image.NominalPixelRange": "Normalized_0_1"}, ((0.0,), (255.0,), None)),
        ({"model_info mean_values": "123.675 116.28 103.53", "model_info scale_values": "[58.4, 57.1, 57.4]"}, None),
        ({"model_info reverse_input_channels": "YES"}, (None, None, "rgb")),
        ({"edgetl": "[" * 100000, "names": "{" * 10000, "imgsz": "__import__('os')", "model_info mean_values": "a b"}, (None, None, None)),
    ],
)
def test_metadata_of_other_programs_in_onnx_files_are_read_or_ignored(props: dict[str, str], expected: tuple[object, ...] | None) -> None:
    import onnx

    model = onnx.load_from_string(tiny_models.onnx()["model.onnx"])
    onnx.helper.set_model_props(model, props)
    read_back = metadata.of_onnx(model)
    values = (read_back.mean, read_back.std, read_back.order)
    assert values == (expected or ((123.675, 116.28, 103.53), (58.4, 57.1, 57.4), None))


def test_damaged_labels_of_a_tflite_file_are_ignored_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """Every byte of the zip behind the model, and every length to which it may be truncated."""
    plain = metadata.tflite(tiny_models.tflite("uint8")["model.tflite"], INFO)
    model, packed = tflite.read(plain, "tiny"), io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("labels.txt", "".join(f"{label}\n" for label in LABELS))
    content = packed.getvalue()
    assert metadata.of_tflite(model, content).labels == LABELS
    read = 0
    for place in range(len(content)):
        for damaged in (content[:place], content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :]):
            caplog.clear()
            read_back = metadata.of_tflite(model, damaged)
            read += bool(read_back.labels)
            assert bool(read_back.labels) != ("labels.txt" in caplog.text)
    assert read < len(content) / 2


def test_damaged_tflite_metadata_state_nothing_and_raise_nothing() -> None:
    content = metadata.tflite(tiny_models.tflite("uint8")["model.tflite"], INFO)
    rng = np.random.default_rng(0)
    for _ in range(200):
        model = tflite.read(content, "tiny")
        for entry in model.metadata:
            data = model.buffers[entry.buffer].data.copy()
            data[rng.integers(0, len(data), 4)] = rng.integers(0, 256, 4)
            model.buffers[entry.buffer].data = data
        assert isinstance(metadata.of_tflite(model, content), metadata.Stated)
