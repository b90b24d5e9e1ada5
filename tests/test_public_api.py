"""What is promised to programs: the names, and that the device never loads what only a workstation has."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest
from pictures import coloured, encoded, picture

import edgetl
from edgetl import Classifier
from edgetl.runtimes import fake

NAMES = [
    "AddReport",
    "Added",
    "AssessReport",
    "Bundle",
    "Classifier",
    "EvalReport",
    "ForgetReport",
    "Guess",
    "HeadInfo",
    "ImageSpec",
    "Proportion",
    "TrainReport",
    "errors",
]
VERBS = [
    *("activate", "adapt", "add", "add_many", "assess", "close", "counts", "doctor", "eval", "events", "explain", "export_head", "forget"),
    *("heads", "import_head", "open", "predict", "rollback", "train"),
]

WORKSTATION = ["torch", "torchvision", "tensorflow", "onnx", "scipy", "sklearn", "nncf", "litert_torch", "ai_edge_quantizer", "pandas"]
RUNTIMES = ["ai_edge_litert", "tflite_runtime", "onnxruntime", "openvino"]


def test_the_public_names_are_frozen() -> None:
    assert sorted(edgetl.__all__) == NAMES
    assert all(hasattr(edgetl, name) for name in NAMES)
    assert sorted(name for name in vars(Classifier) if not name.startswith("_")) == VERBS


def test_every_public_thing_is_documented() -> None:
    for name in NAMES:
        assert inspect.getdoc(getattr(edgetl, name)), name
    for verb in VERBS:
        assert inspect.getdoc(getattr(Classifier, verb)), verb


def loaded(code: str, *arguments: str) -> set[str]:
    """Runs code in a fresh process; its top-level modules afterwards."""
    report = "\nimport json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", code + report, *arguments], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_loads_numpy_pillow_and_safetensors_and_nothing_heavy() -> None:
    modules = loaded("import edgetl")
    assert modules.isdisjoint(WORKSTATION + RUNTIMES)
    ours = modules - loaded("import numpy, PIL.Image, safetensors.numpy")
    assert {name for name in ours if name not in sys.stdlib_module_names} == {"edgetl"}


TEACH = """
import sys
from edgetl import Classifier
bundle, store, folder, photo = sys.argv[1:]
with Classifier.open(bundle, store) as shop:
    shop.add_many(folder)
    for kind in ("ncm", "lda", "ridge", "logistic", "auto"):
        shop.train(kind)
    shop.predict(photo), shop.eval(folder), shop.forget(label="blue"), shop.rollback(), shop.heads()
"""


def test_teaching_on_a_device_loads_no_workstation_library(tmp_path: Path, folder: Path) -> None:
    bundle = fake.write_bundle(str(tmp_path / "fake.edgetl"), encoded(picture(seed=9))).path
    photo = tmp_path / "new.jpg"
    photo.write_bytes(coloured("red", 9))
    modules = loaded(TEACH, str(bundle), str(tmp_path / "shop.db"), str(folder), str(photo))
    assert modules.isdisjoint(WORKSTATION + RUNTIMES)


@pytest.mark.parametrize(("family", "library"), [("litert", "ai_edge_litert"), ("onnxruntime", "onnxruntime"), ("openvino", "openvino")])
def test_a_runtime_library_loads_when_a_model_is_opened_and_not_before(family: str, library: str) -> None:
    adapter = f"import edgetl.runtimes.{family}, edgetl.embedder"
    assert loaded(adapter).isdisjoint(WORKSTATION + RUNTIMES)
    opening = f"""
from edgetl.runtimes import open_runtime
try:
    open_runtime({family!r}, {{"model": b"none"}})
except ImportError:
    pass"""
    modules = loaded(opening)
    assert library in modules
    assert modules.isdisjoint(name for name in RUNTIMES if name != library)
    assert modules.isdisjoint(WORKSTATION)
