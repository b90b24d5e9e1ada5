"""Integer recipes on x86 with AVX2 and without VNNI, on any processor: emulated by QEMU, and with oneDNN limited to AVX2.

There products of uint8 by int8 saturate. Every recipe is run twice: by edgetl's adapters, which avoid that, and by the plain runtime, as
another program would run it (docs/evidence/int8-instruction-sets.md).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edgetl_exporters.convert import to_onnx, to_openvino
from safetensors.numpy import load_file, save_file
from test_emulation import built, emulate

from edgetl import Bundle, machine
from edgetl.inputs.photo import preprocess
from edgetl.inputs.photo.source import load
from edgetl.runtimes import open_runtime

pytestmark = pytest.mark.slow

PHOTOS = 3
CORRECT, SATURATED = 0.99, 0.96
"""Mean cosine to float32 above which a recipe is correct, and below which it saturates; EfficientNet-Lite0 has 0.996 and about 0.9."""

SCRIPT = """
import json, sys
from pathlib import Path
import numpy as np
from safetensors.numpy import load_file
from edgetl.runtimes import open_runtime

folder, family = Path(sys.argv[1]), sys.argv[2]
tensors = load_file(folder / "photos.safetensors")["tensors"]

def plain(files):
    if family == "onnxruntime":
        import onnxruntime
        session = onnxruntime.InferenceSession(next(iter(files.values())), providers=["CPUExecutionProvider"])
        return lambda batch: session.run(None, {session.get_inputs()[0].name: batch})[0]
    import openvino
    core = openvino.Core()
    model = core.compile_model(core.read_model(*files.values()), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda batch: model(batch)[0]

results = {}
for recipe in sorted(path for path in folder.iterdir() if path.is_dir() and path.name.startswith(family)):
    files = {path.name: path.read_bytes() for path in sorted(recipe.iterdir(), reverse=True)}  # the graph before its weights
    ways = {"edgetl": open_runtime(family, files, 1).embed}
    if family != "litert":
        ways["plain"] = plain(files)
    for way, embed in ways.items():
        results[recipe.name + " " + way] = np.concatenate([embed(tensor[None]) for tensor in tensors]).tolist()
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def recipes(lite0: Path, cell_photos: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the real backbone in every integer recipe, photos that did not calibrate, and their float embeddings."""
    folder = tmp_path_factory.mktemp("recipes")
    bundle = Bundle.open(lite0)
    (signed,), (tflite,), (float_,) = (bundle.model(bundle.variant(name)).values() for name in ("onnx-int8", "tflite-int8", "onnx-fp32"))
    unsigned = to_onnx.with_unsigned_weights(signed)
    files = {
        "onnxruntime u8s8": {"model.onnx": signed},
        "onnxruntime u8u8": {"model.onnx": unsigned},
        "openvino u8s8": to_openvino.export(signed),
        "openvino u8u8": to_openvino.export(unsigned),
        "litert full-integer": {"model.tflite": tflite},
    }
    for name, contents in files.items():
        (folder / name).mkdir()
        for file, content in contents.items():
            (folder / name / file).write_bytes(content)
    tensors = np.stack([preprocess.tensor(load(photo), bundle.input) for photo in cell_photos[5::500][:PHOTOS]])
    save_file({"tensors": tensors}, folder / "photos.safetensors")
    (folder / "float.onnx").write_bytes(float_)
    return folder


def cosines(folder: Path, results: Mapping[str, Any]) -> dict[str, float]:
    """Recipe and way -> mean cosine to the float network."""
    tensors = load_file(folder / "photos.safetensors")["tensors"]
    expected = open_runtime("onnxruntime", {"model.onnx": (folder / "float.onnx").read_bytes()}, 1).embed(tensors)
    values = {}
    for name, rows in results.items():
        embedded = np.asarray(rows)
        lengths = np.linalg.norm(embedded, axis=1) * np.linalg.norm(expected, axis=1)
        values[name] = float(((embedded * expected).sum(1) / lengths).mean())
    return values


def check(values: Mapping[str, float], family: str) -> None:
    """Every recipe is correct in edgetl; in other programs unsigned weights are correct and signed ones saturate."""
    assert {name: value for name, value in values.items() if name.endswith(" edgetl") and value < CORRECT} == {}
    if family != "litert":
        assert values[f"{family} u8u8 plain"] > CORRECT, values
        assert values[f"{family} u8s8 plain"] < SATURATED, values


@pytest.mark.parametrize("family", ["onnxruntime", "litert"])  # OpenVINO takes a minute there, and is limited to AVX2 below
def test_every_recipe_is_correct_on_an_emulated_x86_without_vnni(recipes: Path, family: str) -> None:
    done = emulate(built("avx2"), "--", "python", "-c", SCRIPT, str(recipes), family)
    assert done.returncode == 0, done.stderr
    check(cosines(recipes, json.loads(done.stdout.splitlines()[-1])), family)


@pytest.mark.skipif(not machine.is_x86(), reason="oneDNN can be limited to an x86 instruction set on x86 only")
def test_every_recipe_is_correct_in_openvino_limited_to_avx2(recipes: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(recipes), "openvino"]
    done = subprocess.run(command, env={**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}, capture_output=True, text=True, check=True)
    check(cosines(recipes, json.loads(done.stdout.splitlines()[-1])), "openvino")


@pytest.mark.parametrize("family", ["onnxruntime", "openvino", "litert"])
def test_every_recipe_is_correct_on_this_processor(recipes: Path, family: str) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(recipes), family], capture_output=True, text=True, check=True)
    values = cosines(recipes, json.loads(done.stdout.splitlines()[-1]))
    assert {name: value for name, value in values.items() if name.endswith(" edgetl") and value < CORRECT} == {}
