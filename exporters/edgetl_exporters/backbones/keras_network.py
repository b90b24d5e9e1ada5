"""Keras networks that embed: a network of keras.applications by its name, or any `.keras` file."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import hashlib
import os
import re
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edgetl.errors import ExportError, WeightsMissing
from edgetl.types import Array
from edgetl_exporters import pictures
from edgetl_exporters.backbones import keras_graph, keras_import
from edgetl_exporters.backbones.backbone import Weights
from edgetl_exporters.backbones.keras_graph import Normalisation
from edgetl_exporters.errors import file_error
from edgetl_exporters.quiet import quiet

_TOPLESS = ("MobileNet", "MobileNetV3Large", "MobileNetV3Small", "VGG16", "VGG19")
"""Networks whose classifier is more than one dense layer behind the pooled last stage; they are built without it."""

_SHAPE = (224, 224, 3)
"""Input shape of those networks, which have none of their own without a classifier."""

_SETTLED_ON = 16
"""Pictures on which untrained batch normalisations are settled."""


@dataclasses.dataclass(frozen=True)
class KerasNetwork:
    """A Keras network that yields an embedding.

    Attributes:
        model: the functional Keras model, image [None, h, w, 3] -> [None, d].
        weights: where its weights come from.
        before: the normalisation of pixels before it; None if unknown, or if it begins with one.
        inside: the normalisation with which it begins, if any.
        last: the classifier that was cut off, weights float32 [c, d] and bias [c], if any.
        cut: where it was cut, for the manifest; empty if it was not.
    """

    model: Any
    weights: Weights
    before: Normalisation | None
    inside: Normalisation | None
    last: tuple[Array, Array] | None = None
    cut: str = ""


def application(name: str, *, file: str | os.PathLike[str] | None = None, random: bool = False, seed: int = 0) -> KerasNetwork:
    """A network of keras.applications, cut before its classifier.

    Args:
        name: e.g. `MobileNetV2`.
        file: local weights (`.weights.h5`, `.h5` or `.keras`), with or without the classifier, instead of the published ones.
        random: untrained weights instead.
        seed: of the random weights.

    Raises:
        ExportError: no such network, or weights that do not fit.
        WeightsMissing: the weights are not here and could not be downloaded.
    """
    if random and file is not None:
        raise ExportError(f"give either --weights {file} or --random-weights", code="options-exclusive")
    build = _builder(name)
    top = name not in _TOPLESS
    if random:
        whole, weights = _untrained(build, top, seed), Weights(f"random, seed {seed}", None, True)
    elif file is not None:
        path = Path(file)
        whole, top = _filled(build, name, path, top)
        weights = Weights(f"local file {path.name}", _sha256(path), False)
    else:
        whole, path = _published(build, name, top)
        weights = Weights(f"keras.applications {path.name}", _sha256(path), False)
    model, last, layer = keras_graph.before_last_dense(whole, name) if top else (whole, None, "")
    before = keras_graph.affine(sys.modules[build.__module__].preprocess_input)
    if random:
        _settle(model, before, seed)
    _check_weights(model, weights.source)
    inside = keras_graph.inside(model)
    return KerasNetwork(model, weights, before if inside is None else None, inside, last, f"before {layer}" if layer else "")


def from_file(path: Path, cut: str) -> KerasNetwork:
    """Reads a `.keras` file without running code of others.

    Args:
        path: of the file.
        cut: `none` where the network yields the embedding, `auto` to cut a classifier before its last dense layer, or the name of the
            layer whose output is the embedding.

    Raises:
        ExportError: `file-damaged`, `code-inside`, `several-inputs`, `weights-nan`, `output-not-embedding`, or nothing to cut.
    """
    model, last, where = _read(path), None, ""
    if cut == "auto":
        model, last, layer = keras_graph.before_last_dense(model, os.fspath(path))
        where = f"before {layer}"
    elif cut != "none":
        model, where = keras_graph.behind(model, cut, os.fspath(path)), f"after {cut}"
    elif keras_graph.ends_in_softmax(model):
        raise file_error(
            path,
            "ends in softmax, and class scores are not an embedding; cut its classifier off with --cut auto",
            code="output-not-embedding", softmax=True,
        )  # fmt: skip
    _check_weights(model, os.fspath(path))
    weights = Weights(f"local file {path.name}", _sha256(path), False)
    return KerasNetwork(model, weights, None, keras_graph.inside(model), last, where)


def _builder(name: str) -> Callable[..., Any]:
    _, keras = keras_import.load()
    known = [word for word in dir(keras.applications) if word[0].isupper()]
    if name not in known:
        lower = {word.lower(): word for word in known}
        near = [lower[word] for word in difflib.get_close_matches(name.lower(), lower, 3)]
        raise ExportError(
            f"keras.applications has no network {name!r}; " + (f"similar: {', '.join(near)}" if near else f"it has {', '.join(known)}"),
            code="unknown-backbone", backbone=name, near=near,
        )  # fmt: skip
    build: Callable[..., Any] = getattr(keras.applications, name)
    return build


def _built(build: Callable[..., Any], top: bool, weights: str | None = None) -> Any:
    with quiet():
        return build(weights=weights) if top else build(weights=weights, include_top=False, pooling="avg", input_shape=_SHAPE)


def _untrained(build: Callable[..., Any], top: bool, seed: int) -> Any:
    _, keras = keras_import.load()
    keras.utils.set_random_seed(seed)
    return _built(build, top)


def _filled(build: Callable[..., Any], name: str, path: Path, top: bool) -> tuple[Any, bool]:
    """The network with the weights of a file, and whether these include the classifier's."""
    if not path.is_file():
        raise WeightsMissing(
            f"{path}: no such file; --weights takes weights of {name} saved by Keras (.weights.h5, .h5 or .keras)", path=os.fspath(path)
        )
    reasons = []
    for with_top in (True, False) if top else (False,):
        model = _built(build, with_top)
        for weight in model.weights:  # a weight that is missing in the file stays NaN
            weight.assign(np.full(weight.shape, np.nan, weight.dtype))
        with quiet():
            try:
                model.load_weights(path)
                return model, with_top
            except Exception as error:  # Keras and h5py have no common exception for a file that does not fit
                reasons.append(_first_line(error))
    raise file_error(path, f"not weights of {name}: {reasons[0]}", code="weights-misfit", backbone=name)


def _published(build: Callable[..., Any], name: str, top: bool) -> tuple[Any, Path]:
    """The network with the published weights, downloaded and checked by Keras, and their file."""
    try:
        with quiet(), _fetched() as files:
            model = _built(build, top, "imagenet")
        return model, files[0]
    except Exception as error:  # what keras.utils.get_file raises
        address = re.search(r"https?://\S+?(?=:?\s|$)", str(error))
        if address is None:
            raise
        folder = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "models"
        file = address.group().rpartition("/")[2]
        raise WeightsMissing(
            f"{name}: its weights {file} are not on this machine and could not be downloaded ({_first_line(error)}). "
            f"Put that file into {folder}, or give it with --weights FILE", backbone=name, file=file, folder=os.fspath(folder),
        ) from error  # fmt: skip


@contextlib.contextmanager
def _fetched() -> Iterator[list[Path]]:
    """Collects the files that Keras fetches: keras.applications does not return which file it read."""
    from keras.src.utils import file_utils

    original, files = file_utils.get_file, []

    def fetch(*args: Any, **options: Any) -> Any:
        files.append(Path(original(*args, **options)))
        return os.fspath(files[-1])

    file_utils.get_file = fetch
    try:
        yield files
    finally:
        file_utils.get_file = original


def _settle(model: Any, before: Normalisation, seed: int) -> None:
    """Settles untrained batch normalisations on pictures; without that the signal fades, and int8 becomes all zeros."""
    tensorflow, keras = keras_import.load()
    _, height, width, _ = model.inputs[0].shape
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    kept = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0  # these pictures alone
    seen = before(pictures.scenes(_SETTLED_ON, width, height, seed).astype(np.float32))
    tensorflow.function(lambda images: model(images, training=True))(seen)
    for norm, momentum in zip(norms, kept):
        norm.momentum = momentum


def _read(path: Path) -> Any:
    """The functional model of a `.keras` file."""
    _, keras = keras_import.load()
    if not path.is_file():
        raise file_error(path, "no such file", code="file-unreadable")
    if not zipfile.is_zipfile(path):
        raise file_error(path, "not a .keras file, or truncated; save it with model.save('NAME.keras')", code="file-damaged")
    try:
        with quiet():
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras has no common exception for what it does not read
        code, reason = _reason(error)
        raise file_error(path, f"Keras does not read it: {reason}", code=code) from error
    inputs, outputs = getattr(model, "inputs", None), getattr(model, "outputs", None)
    if not inputs or not outputs:
        raise file_error(
            path,
            f"a {type(model).__name__} without a graph; expected a functional or sequential model with an input shape", code="no-graph",
        )  # fmt: skip
    if len(inputs) != 1 or len(outputs) != 1:
        raise file_error(
            path,
            f"{len(inputs)} inputs and {len(outputs)} outputs, expected one image and one embedding",
            code="several-inputs" if len(inputs) != 1 else "several-outputs", inputs=len(inputs), outputs=len(outputs),
        )  # fmt: skip
    return keras_graph.functional(model)


def _check_weights(model: Any, name: str) -> None:
    for weight in model.weights:
        if not np.isfinite(weight.numpy().astype(np.float32)).all():
            raise file_error(name, f"{weight.path} contains NaN or infinity: damaged", code="weights-nan", tensor=weight.path)


def _reason(error: BaseException) -> tuple[str, str]:
    """A code, and the first line of the innermost error, in which Keras states what it did not read."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__  # type: ignore[assignment]  # one of them is there
    if "Lambda" in str(error):
        return "code-inside", "it contains a Lambda layer, whose Python code is not run here; replace it with layers of Keras"
    return "file-damaged", _first_line(error)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
