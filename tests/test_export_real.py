"""The default backbone with its real weights: three formats, two precisions, real photos."""

import json
import os
import subprocess
import sys
from pathlib import Path

import edgetl_exporters
import numpy as np
import pytest
from edgetl_exporters import report

from edgetl.bundle.bundle import Bundle
from edgetl.types import to_json

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def photos() -> Path:
    """ImageNet photos where EDGETL_DATA names them, else the solar cells that the demo installs."""
    if "EDGETL_DATA" in os.environ:
        return Path(os.environ["EDGETL_DATA"]) / "imagenet-sample"
    import elpv_dataset

    return Path(elpv_dataset.__file__).parent / "data" / "images"


@pytest.fixture(scope="module")
def exported(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, edgetl_exporters.ExportResult]:
    path = tmp_path_factory.mktemp("real") / "lite0.edgetl"
    result = edgetl_exporters.export(output=path, photos=photos, precisions=("fp32", "int8"))
    return Bundle.open(path), result


def test_the_default_export_keeps_its_bounds(exported) -> None:
    bundle, _ = exported
    assert list(bundle.variants) == [f"{name}-{precision}" for name in ("onnx", "tflite", "openvino") for precision in ("fp32", "int8")]
    assert (bundle.calibration["photos"], bundle.calibration["held_back"]) == (200, 50)
    for variant in bundle.variants.values():
        assert variant.parity.cosine_mean >= (0.9999 if variant.precision == "fp32" else 0.98), to_json(variant.parity)
        assert variant.parity.count == 50


def test_a_healthy_export_needs_no_repair_and_the_bundle_states_it(exported) -> None:
    bundle, result = exported
    assert result.diagnosis.healthy
    assert result.adequacy.enough
    assert result.adequacy.moved < 0.02
    assert json.loads(json.dumps(bundle.calibration["diagnosis"])) == to_json(result.diagnosis)
    assert bundle.calibration["adequacy"]["photos"] == 200
    integers = [(exported, bundle.variant(exported.name)) for exported in result.variants if exported.name.endswith("int8")]
    for exported, variant in integers:
        assert (exported.search.met, len(exported.search.steps), exported.search.steps[0].count) == (
            True,
            1,
            bundle.calibration["choosing"],
        )
        assert variant.recipe["search"] == to_json(exported.search)
        assert variant.recipe["settings"]["float_layers"] == 0
    assert len(integers) == 3
    assert len(report.summary(result)) <= 6
    details = "\n".join(report.details(result))
    assert all(f"{exported.name}: {report.search(exported.search)}" in details for exported, _ in integers)
    assert report.adequacy(result.adequacy) in details


def test_integer_models_are_less_than_half_as_large_as_float_ones(exported) -> None:
    bundle, _ = exported
    for name in ("onnx", "tflite", "openvino"):
        float_, integer = (bundle.variant(f"{name}-{precision}") for precision in ("fp32", "int8"))
        assert integer.size < 0.4 * float_.size


def test_full_integer_tflite_takes_a_pixel_by_one_xor(exported) -> None:
    from ai_edge_litert.interpreter import Interpreter

    bundle, _ = exported
    (content,) = bundle.model(bundle.variant("tflite-int8")).values()
    interpreter = Interpreter(model_content=content)
    (image,), (embedding,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert image["dtype"] == embedding["dtype"] == np.int8
    assert image["quantization"] == (1.0, -128)
    interpreter.allocate_tensors()
    kinds = {operation["op_name"] for operation in interpreter._get_ops_details()}
    assert not kinds & {"TRANSPOSE", "PAD", "QUANTIZE", "DEQUANTIZE"}, kinds


def test_int8_top1_is_within_0_7_point_of_float(exported, data: Path) -> None:

    bundle, _ = exported
    printed = subprocess.run(
        [sys.executable, ROOT / "tools" / "imagenet_top1", bundle.path, "--json"], capture_output=True, text=True, check=True
    ).stdout
    top1 = {row["variant"]: row["top1"]["value"] for row in json.loads(printed)["rows"]}
    for name in ("onnx", "tflite", "openvino"):
        assert top1[f"{name}-int8"] >= top1["torch"] - 0.007, top1
        assert abs(top1[f"{name}-fp32"] - top1["torch"]) <= 0.001, top1


def test_the_recipes_for_any_program_keep_their_bound_on_gray_cells(cell_photos: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "cells"
    folder.mkdir()
    for cell in cell_photos[::10]:
        (folder / cell.name).symlink_to(cell)
    recipes = {"onnx_recipe": "onnx-u8u8", "openvino_recipe": "openvino-u8u8"}
    result = edgetl_exporters.export(
        output=tmp_path / "safe.edgetl", photos=folder, formats=("onnx", "openvino"), precisions=("int8",), **recipes
    )
    assert [variant.recipe for variant in result.variants] == list(recipes.values())
    assert all(variant.parity.cosine_mean >= 0.98 for variant in result.variants)
