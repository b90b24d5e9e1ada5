"""What is promised to programs: the names, and that the device never loads what only a workstation has."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from pictures import coloured, encoded, picture

import edgetl
from edgetl import Classifier, StoredClassifier
from edgetl.runtimes import fake

NAMES = [
    *("AddReport", "Added", "AssessReport", "Bundle", "Classifier", "EvalReport", "ForgetReport", "HeadInfo", "ImageSpec", "Prediction"),
    *("Proportion", "StoredClassifier", "TrainReport", "choose_bundle", "deploy_classifier", "deploy_trainer", "errors"),
    *("import_trainer", "merge_stores"),
]
STORED = [
    *("activate", "assess", "close", "counts", "diagnose", "events", "explain_sample", "export_head", "forget", "heads"),
    *("import_head", "relabel", "review", "rollback", "train"),
]
VERBS = [
    *("activate", "adapt", "add", "add_many", "assess", "close", "counts", "diagnose", "evaluate", "events", "explain"),
    *(
        "explain_sample",
        "export_head",
        "forget",
        "heads",
        "import_head",
        "open",
        "open_store",
        "predict",
        "predict_many",
        "relabel",
        "review",
        "rollback",
        "train",
    ),
]

WORKSTATION = ["torch", "torchvision", "tensorflow", "onnx", "scipy", "sklearn", "nncf", "litert_torch", "ai_edge_quantizer", "pandas"]
RUNTIMES = ["ai_edge_litert", "tflite_runtime", "onnxruntime", "openvino"]


def test_the_public_names_are_frozen() -> None:
    assert sorted(edgetl.__all__) == NAMES
    assert all(hasattr(edgetl, name) for name in NAMES)
    assert sorted(name for name in dir(Classifier) if not name.startswith("_")) == VERBS
    assert sorted(name for name in dir(StoredClassifier) if not name.startswith("_")) == STORED


def test_every_public_thing_is_documented() -> None:
    for name in NAMES:
        assert inspect.getdoc(getattr(edgetl, name)), name
    for verb in VERBS:
        assert inspect.getdoc(getattr(Classifier, verb)), verb


def loaded(code: str, *arguments: str, all_names: bool = False) -> set[str]:
    """Runs code in a fresh process; its top-level modules afterwards, or all of them by their full names."""
    report = "\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code + report, *arguments], capture_output=True, text=True, check=True)
    modules = done.stdout.splitlines()[-1].split()
    return set(modules if all_names else (name.partition(".")[0] for name in modules))


def test_importing_the_classifier_loads_seven_modules_and_no_library_but_numpy() -> None:
    modules = loaded("from edgetl import Classifier", all_names=True)
    assert {name for name in modules if name.startswith("edgetl")} == {
        "edgetl",
        "edgetl.errors",
        "edgetl.stats",
        "edgetl.types",
        "edgetl.classifier",
        "edgetl.session",
        "edgetl.session.stored",
    }
    ours = {name.partition(".")[0] for name in modules - loaded("import numpy", all_names=True)}
    assert ours - set(sys.stdlib_module_names) == {"edgetl", "numpy"}
    # Each takes 1 to 10 ms to import, and a program that only imports edgetl uses none of them.
    assert modules.isdisjoint(["sqlite3", "hashlib", "json", "logging", "pathlib", "concurrent.futures", "PIL", "safetensors"])


def test_predicting_loads_nothing_of_training_adding_or_the_doctor(tmp_path: Path, folder: Path) -> None:
    bundle = fake.write_bundle(str(tmp_path / "fake.edgetl"), encoded(picture(seed=9))).path
    with Classifier.open(bundle, tmp_path / "parts.db") as classifier:
        classifier.add_many(folder)
        classifier.train()
    modules = loaded(PREDICT, str(bundle), str(tmp_path / "parts.db"), str(folder / "red" / "0.jpg"), all_names=True)
    edgetl_modules = {name.removeprefix("edgetl.") for name in modules if name.startswith("edgetl.")}
    assert edgetl_modules.isdisjoint(
        [
            "session.adding",
            "session.training",
            "session.reports",
            "inputs.photo.capture",
            "session.evaluation",
            "diagnostics",
            "heads.learner",
        ]
    )
    assert modules.isdisjoint([*WORKSTATION, *RUNTIMES, "concurrent.futures", "click"])


PREDICT = """
import sys
from edgetl import Classifier, StoredClassifier
bundle, store, photo = sys.argv[1:]
with Classifier.open(bundle, store, read_only=True) as classifier:
    assert classifier.predict(photo).top
"""

TRAIN = """
import sys
from edgetl import Classifier, StoredClassifier
bundle, store, folder, photo = sys.argv[1:]
with Classifier.open(bundle, store) as classifier:
    classifier.add_many(folder)
    for kind in ("ncm", "lda", "ridge", "auto"):
        classifier.train(kind)
    classifier.predict(photo), classifier.evaluate(folder), classifier.forget(label="blue"), classifier.rollback(), classifier.heads()
"""


def test_adding_and_training_load_no_workstation_library(tmp_path: Path, folder: Path) -> None:
    bundle = fake.write_bundle(str(tmp_path / "fake.edgetl"), encoded(picture(seed=9))).path
    photo = tmp_path / "new.jpg"
    photo.write_bytes(coloured("red", 9))
    modules = loaded(TRAIN, str(bundle), str(tmp_path / "parts.db"), str(folder), str(photo))
    assert modules.isdisjoint(WORKSTATION + RUNTIMES)


@pytest.mark.parametrize(("family", "library"), [("litert", "ai_edge_litert"), ("onnxruntime", "onnxruntime"), ("openvino", "openvino")])
def test_a_runtime_library_loads_when_a_model_is_opened_and_not_before(family: str, library: str) -> None:
    adapter = f"import edgetl.runtimes.{family}, edgetl.embedding.embedder"
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
