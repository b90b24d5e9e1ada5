"""A forked process: it ends, it says where to open the model and the store, and it keeps nobody out of the store."""

from __future__ import annotations

import os
import subprocess
import sys
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import pytest
from pictures import coloured
from raising import raises

from edgetl import Classifier
from edgetl.errors import RuntimeUnavailable, StoreError

CHILD = """
import os, sys
from edgetl import Classifier
from edgetl.errors import EdgetlError

bundle, store, runtime, photo, way = sys.argv[1:]
classifier = Classifier.open(bundle, store, runtime=runtime)
classifier.add(photo, "red")
child = os.fork()
if child:
    _, status = os.waitpid(child, 0)
    classifier.add(photo, "green")  # the parent goes on
    classifier.close()
    sys.exit(os.waitstatus_to_exitcode(status))
for change in (lambda: classifier.add(photo, "blue"), classifier.train, lambda: classifier.counts):
    try:
        change()
        sys.exit(1)
    except EdgetlError as error:
        assert error.code == "open-in-each-process", error
if way == "close":
    classifier.close()
print("the child's own lines arrive", flush=True)
again = Classifier.open(bundle, store, runtime=runtime, read_only=True)  # in this process
assert again.counts == {"red": 1}
again.close()
sys.exit(7)
"""


def fork(bundle: Path, tmp_path: Path, runtime: str, way: str, photo: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", CHILD, str(bundle), str(tmp_path / "forked.db"), runtime, str(photo), way]
    return subprocess.run(words, capture_output=True, text=True, timeout=120)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(coloured("red", 0))
    return path


@pytest.mark.parametrize("way", ["exit", "close"])
def test_a_child_ends_and_the_parent_goes_on(bundle: Path, tmp_path: Path, photo: Path, way: str) -> None:
    done = fork(bundle, tmp_path, "fake", way, photo)
    assert (done.returncode, done.stdout) == (7, "the child's own lines arrive\n"), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("way", ["exit", "close"])
@pytest.mark.parametrize("runtime", ["litert", "onnxruntime", "openvino"])
def test_a_child_of_each_runtime_ends(lite0: Path, tmp_path: Path, photo: Path, runtime: str, way: str) -> None:
    done = fork(lite0, tmp_path, runtime, way, photo)
    assert done.returncode == 7, done.stderr


def test_a_child_keeps_nobody_out_of_the_store(classifier: Classifier, bundle: Path, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    lives, alive = os.pipe()
    child = os.fork()
    if not child:
        os.close(writer)
        os.write(alive, b"x")
        os.read(reader, 1)  # it lives on after the store is closed
        os._exit(0)
    os.close(reader)
    os.read(lives, 1)
    try:
        classifier.close()
        with Classifier.open(bundle, tmp_path / "parts.db") as again:
            again.add(coloured("red", 0), "red")
    finally:
        for end in (writer, lives, alive):
            os.close(end)
        os.waitpid(child, 0)


def test_an_open_classifier_is_not_sent_to_another_process(classifier: Classifier) -> None:
    with raises(StoreError, "open-in-each-process"):
        ForkingPickler.dumps(classifier)
    with raises(RuntimeUnavailable, "open-in-each-process"):
        ForkingPickler.dumps(classifier.embedder)
