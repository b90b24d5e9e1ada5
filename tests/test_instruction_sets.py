"""Integer recipes on x86 with AVX2 and without VNNI, whatever processor runs the tests: QEMU emulates it, and oneDNN is held to it.

Under that arithmetic products of uint8 by int8 saturate. Every recipe is run twice: through edgetl's adapters, which avoid it, and by the
plain runtime, as another program would run it (docs/evidence/int8-instruction-sets.md).
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
RIGHT, WRONG = 0.99, 0.96
"""Above the first a recipe is right (mean cosine to float32), below the second it saturates; EfficientNet-Lite0 has 0.996 and about 0.9."""

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

made = {}
for recipe in sorted(path for path in folder.iterdir() if path.is_dir() and path.name.startswith(family)):
    files = {path.name: path.read_bytes() for path in sorted(recipe.iterdir(), reverse=True)}  # the graph before its weights
    ways = {"edgetl": open_runtime(family, files, 1).embed}
    if family != "litert":
        ways["plain"] = plain(files)
    for way, embed in ways.items():
        made[recipe.name + " " + way] = np.concatenate([embed(tensor[None]) for tensor in tensors]).tolist()
print(json.dumps(made))
"""


@pytest.fixture(scope="module")
def recipes(lite0: Path, cell_photos: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the real backbone in every integer recipe, photos that calibrated nothing, and their float embeddings."""
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


def cosines(folder: Path, made: Mapping[str, Any]) -> dict[str, float]:
    """Recipe and way -> mean cosine to the float network."""
    tensors = load_file(folder / "photos.safetensors")["tensors"]
    expected = open_runtime("onnxruntime", {"model.onnx": (folder / "float.onnx").read_bytes()}, 1).embed(tensors)
    found = {}
    for name, rows in made.items():
        embedded = np.asarray(rows)
        lengths = np.linalg.norm(embedded, axis=1) * np.linalg.norm(expected, axis=1)
        found[name] = float(((embedded * expected).sum(1) / lengths).mean())
    return found


def check(found: Mapping[str, float], family: str) -> None:
    """Right through edgetl with every recipe; in other programs right with unsigned weights and saturating with signed ones."""
    assert {name: value for name, value in found.items() if name.endswith(" edgetl") and value < RIGHT} == {}
    if family != "litert":
        assert found[f"{family} u8u8 plain"] > RIGHT, found
        assert found[f"{family} u8s8 plain"] < WRONG, found


@pytest.mark.parametrize("family", ["onnxruntime", "litert"])  # OpenVINO takes a minute there, and is held to AVX2 below
def test_every_recipe_is_right_on_an_emulated_x86_without_vnni(recipes: Path, family: str) -> None:
    done = emulate(built("avx2"), "--", "python", "-c", SCRIPT, str(recipes), family)
    assert done.returncode == 0, done.stderr
    check(cosines(recipes, json.loads(done.stdout.splitlines()[-1])), family)


@pytest.mark.skipif(not machine.is_x86(), reason="oneDNN can be held to an x86 instruction set on x86 only")
def test_openvino_held_to_avx2_is_right_with_every_recipe(recipes: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(recipes), "openvino"]
    done = subprocess.run(command, env={**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}, capture_output=True, text=True, check=True)
    check(cosines(recipes, json.loads(done.stdout.splitlines()[-1])), "openvino")


@pytest.mark.parametrize("family", ["onnxruntime", "openvino", "litert"])
def test_every_recipe_is_right_on_this_processor(recipes: Path, family: str) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(recipes), family], capture_output=True, text=True, check=True)
    found = cosines(recipes, json.loads(done.stdout.splitlines()[-1]))
    assert {name: value for name, value in found.items() if name.endswith(" edgetl") and value < RIGHT} == {}
