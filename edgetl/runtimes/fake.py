"""A runtime without a library: a seeded random projection of a small picture, the same on every machine, for tests and demos.

Its embeddings are real features of the photo (colours and coarse shapes), so heads trained on them learn something.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from time import perf_counter_ns
from typing import Any, Union

import numpy as np

from edgetl.bundle import writer
from edgetl.bundle.bundle import Bundle
from edgetl.inputs.photo import faults
from edgetl.inputs.photo.preprocess import tensor
from edgetl.inputs.photo.source import PhotoSource
from edgetl.runtimes.planted import Planted
from edgetl.types import Embeddings, ImageSpec, Pixels

_GRID = 8
Latencies = Mapping[str, Union[Mapping[str, Any], None]]


def model(dim: int = 64, *, size: int = 32, seed: int = 0, latency: Mapping[str, Any] | None = None) -> bytes:
    """A fake model file: three integers, and how long a query takes if that is planted (see :class:`Planted`)."""
    return json.dumps({"dim": dim, "size": size, "seed": seed, **({"latency": latency} if latency else {})}).encode()


def library() -> None:
    """There is none."""


class Model:
    """A fake model: uint8 [n, size, size, 3] in, float32 [n, d] out (see :class:`edgetl.runtimes.Runtime`)."""

    family = "fake"
    provider = "cpu"
    placement = "all of the model"
    library = "fake 1"

    def __init__(self, files: Mapping[str, bytes], threads: int, provider: str | None = None) -> None:
        content = json.loads(next(iter(files.values())))
        self._size = int(content["size"])
        random = np.random.Generator(np.random.PCG64(int(content["seed"])))
        self._projection = random.standard_normal((_GRID * _GRID * 3, int(content["dim"]))) / np.sqrt(_GRID * _GRID * 3)
        self._planted = Planted(content["latency"]) if "latency" in content else None
        self.threads = threads

    def embed(self, batch: Pixels) -> Embeddings:
        """See :meth:`edgetl.runtimes.Runtime.embed`."""
        start = perf_counter_ns()
        cell = self._size // _GRID
        cells = batch.reshape(len(batch), _GRID, cell, _GRID, cell, 3).mean(axis=(2, 4), dtype=np.float64)
        features = cells.reshape(len(batch), -1) / 127.5 - 1.0
        embeddings: Embeddings = np.maximum(features @ self._projection, 0.0).astype(np.float32)
        if self._planted:
            self._planted.until(start)
        return embeddings

    def close(self) -> None:
        """See :meth:`edgetl.runtimes.Runtime.close`."""


def write_bundle(
    path: str,
    photo: bytes,
    *,
    dim: int = 64,
    size: int = 32,
    seed: int = 0,
    latencies: Latencies | None = None,
    background: Pixels | None = None,
) -> Bundle:
    """Writes a bundle with one variant, `fake-fp32`, or with those that `latencies` names.

    Args:
        path: as :func:`edgetl.bundle.writer.write`.
        photo: an encoded photo.
        dim: the embedding's length.
        size: the input's width and height, a multiple of 8 pixels.
        seed: of the projection.
        background: uint8 [n, size, size, 3], unrelated photos; None leaves the background out.
        latencies: variant -> how long its queries take (see :class:`edgetl.runtimes.planted.Planted`); None plants nothing.
    """
    models = {name: model(dim, size=size, seed=seed, latency=latency) for name, latency in (latencies or {"fake-fp32": None}).items()}
    content = model(dim, size=size, seed=seed)
    image = ImageSpec(width=size, height=size, resize=size * 8 // 7)
    tensors = tensor(PhotoSource("self-test image", photo), image)[None]
    embed = Model({"model.json": content}, 1).embed
    wrong = {fault: embed(pixels) for fault, pixels in faults.corrupt_tensors(tensors).items()}
    others = None if background is None else np.concatenate([embed(pixels[None]) for pixels in background])
    variants = [
        writer.NewVariant(name, "fake", "fp32", {"model.json": file}, {"name": "fake"}, None, embed(tensors), wrong, others)
        for name, file in models.items()
    ]
    backbone = {
        "name": "fake",
        "source": "edgetl",
        "weights": {"source": f"seed {seed}", "sha256": hashlib.sha256(content).hexdigest(), "random": True},
    }
    return writer.write(
        path,
        backbone=backbone,
        input=image,
        dim=dim,
        calibration=None,
        self_test_inputs=[photo],
        self_test_tensors=tensors,
        variants=variants,
    )
