"""The loss of int8, for networks without weights in this project only if the weights are on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import edgetl_exporters
import pytest
from edgetl_exporters.backbones import table, weights

from edgetl import machine

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
LOSSES = {"mobilenet_v2": 1.0, "mobilenet_v3_small": 1.5, "efficientnet_b0": 1.5}
"""Backbone -> points of ImageNet top-1 that int8 may lose against the same network's float32, on 1000 photos."""


@pytest.mark.parametrize("name", LOSSES)
def test_int8_of_a_torchvision_network_loses_little(name: str, data: Path, tmp_path: Path) -> None:
    row = table.backbone(name)
    if weights.local(row) is None:
        pytest.skip(f"{row.file_name()} is neither in torchvision's cache nor in the folder that EDGETL_WEIGHTS names")
    for row in measured(name, ("onnx", "tflite", "openvino"), data, tmp_path):
        assert row["loss"] <= LOSSES[name], (machine.instruction_set(), row)


def test_int8_of_the_largest_efficientnet_lite_stays_near(data: Path, tmp_path: Path) -> None:
    """In one format and by cosine, for time; tools/imagenet_top1 measures top-1 of all of them."""
    path = tmp_path / "lite2.edgetl"
    result = edgetl_exporters.export(
        output=path, backbone="efficientnet_lite2", formats=("onnx",), precisions=("int8",), photos=data / "imagenet-sample"
    )
    (row,) = result.variants
    assert row.parity is not None
    assert row.parity.cosine_mean >= 0.985, (machine.instruction_set(), row)


def measured(name: str, formats: Sequence[str], data: Path, folder: Path) -> list[Mapping[str, Any]]:
    """Exports int8 and compares it with the network itself: one row per format."""
    path = folder / f"{name}.edgetl"
    edgetl_exporters.export(output=path, backbone=name, formats=formats, precisions=("int8",), photos=data / "imagenet-sample")
    done = subprocess.run([sys.executable, ROOT / "tools" / "imagenet_top1", path, "--json"], capture_output=True, text=True, check=True)
    float_, *rows = json.loads(done.stdout)["rows"]
    assert float_["variant"] == "torch"
    assert [row["variant"] for row in rows] == [f"{format_}-int8" for format_ in formats]
    assert {row["n"] for row in rows} == {1000}
    return rows
