"""The export: one backbone, every format and precision asked for, each proved on its own runtime, in one bundle."""

from __future__ import annotations

import dataclasses
import itertools
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from edgetl import bundle, preprocess
from edgetl.errors import CalibrationError, ExportError
from edgetl.photos import load
from edgetl.types import to_json
from edgetl_exporters import calibration, pictures, recipes
from edgetl_exporters.sources import open_source
from edgetl_exporters.variants import Exported, Maker

Progress = Callable[[int, int], None]

LEVELS = ("last", "multi")

_COLLECT, _VARIANT = 20, 10
"""Steps of the progress bar: for decoding the photos, and for each variant."""

_SCENES = 24
"""Drawn scenes on which levels are balanced where no photos were given."""


@dataclasses.dataclass(frozen=True)
class ExportResult:
    """What an export gave.

    Attributes:
        path: the bundle.
        backbone: its name.
        weights: where they came from.
        levels: the lengths of the pooled stages that the embedding is made of; empty for the last stage alone.
        calibration: the calibration photos' hash and counts; None where no photos were given.
        variants: one per format and precision, in that order.
        skipped: (file, reason) per photo that was chosen but could not be used.
        seconds: wall time, s.
        peak_memory: the process's largest resident size, bytes.
    """

    path: str
    backbone: str
    weights: str
    levels: tuple[int, ...]
    calibration: Mapping[str, Any] | None
    variants: tuple[Exported, ...]
    skipped: tuple[tuple[str, str], ...]
    seconds: float
    peak_memory: int


def export(
    *,
    output: str | os.PathLike[str],
    backbone: str = "efficientnet_lite0",
    formats: Sequence[str] = recipes.FORMATS,
    precisions: Sequence[str] = ("fp32", "int8"),
    levels: str = "last",
    photos: str | os.PathLike[str] | None = None,
    weights: str | os.PathLike[str] | None = None,
    random_weights: bool = False,
    seed: int = 0,
    onnx_recipe: str = "auto",
    openvino_recipe: str = "auto",
    progress: Progress | None = None,
) -> ExportResult:
    """Exports a backbone to a bundle.

    Args:
        output: a folder, or a name that ends in `.edgetl`; written whole or not at all.
        backbone: one of :data:`edgetl_exporters.BACKBONES`.
        formats: some of `onnx`, `tflite`, `openvino`.
        precisions: some of `fp32`, `fp16` (OpenVINO only), `int8`; a precision that a format does not offer is refused.
        levels: `last`, the pooled last stage, or `multi`, the pooled outputs of some middle stages before it (:data:`LEVELS`).
        photos: a folder of 120 or more photos like those the camera will see; int8 needs it, the others are proved on it.
        weights: a local state dict instead of the published weights.
        random_weights: untrained weights, marked as such in the manifest.
        seed: chooses the photos (and random weights).
        onnx_recipe: `auto` (suits this machine), `onnx-u8s8` or `onnx-u8s7`.
        openvino_recipe: `auto` (suits this machine), `openvino-u8s8` or `openvino-u8s7`.
        progress: told (steps done, steps in all).

    Raises:
        WeightsMissing: the weights are not on this machine and could not be downloaded.
        CalibrationError: int8 without photos, or photos that cannot calibrate.
        ParityError: a variant further from the float embedding than its bound, with all numbers.
        ExportError: an unknown backbone, format, precision or recipe, or weights that do not fit.
    """
    start = time.perf_counter()
    if levels not in LEVELS:
        raise ExportError(f"unknown levels {levels!r}; known are {', '.join(LEVELS)}")
    if not formats or not precisions:
        raise ExportError("nothing to export: give at least one of --formats and one of --precisions")
    wanted = {"onnx": onnx_recipe, "openvino": openvino_recipe}
    cells = list(itertools.product(dict.fromkeys(formats), dict.fromkeys(precisions)))
    steps = _Steps(progress, _COLLECT + _VARIANT * len(cells))
    source = open_source(backbone, levels=levels, weights=weights, random_weights=random_weights, seed=seed)
    plan = [source.recipe(format_, precision, wanted.get(format_, "auto")) for format_, precision in cells]
    if photos is None and any(recipe.levels for recipe in plan):
        raise CalibrationError(
            "int8 is calibrated with photos; give a folder of 120 or more with --calibrate FOLDER (or --precisions fp32)"
        )
    image = source.image
    found = None if photos is None else calibration.collect(photos, image, seed=seed, progress=steps.within(_COLLECT))
    golden = np.stack([preprocess.tensor(load(chart), image) for chart in pictures.charts()])
    source.balance(pictures.scenes(_SCENES, image.width, image.height, seed) if found is None else found.tensors)
    maker = Maker(source, found, golden, seed)
    steps.to(_COLLECT)
    made = []
    for i, recipe in enumerate(plan, 1):
        made.append(maker.make(recipe))
        steps.to(_COLLECT + _VARIANT * i)
    stated = None if found is None else found.manifest()
    bundle.write(
        output,
        backbone={"name": source.name, "source": source.package, "weights": to_json(source.weights), **source.notes},
        image=image,
        dim=source.dim,
        levels=source.levels,
        calibration=stated,
        golden_photos=pictures.charts(),
        golden_tensors=golden,
        variants=[variant for variant, _ in made],
    )
    return ExportResult(
        path=os.fspath(output),
        backbone=source.name,
        weights=source.weights.source,
        levels=source.levels,
        calibration=stated,
        variants=tuple(exported for _, exported in made),
        skipped=() if found is None else found.skipped,
        seconds=time.perf_counter() - start,
        peak_memory=_peak_memory(),
    )


class _Steps:
    """Counts steps towards the end of the bar."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total = progress, total

    def to(self, done: int) -> None:
        if self._progress:
            self._progress(done, self._total)

    def within(self, share: int) -> Progress:
        """Progress of a part that ends at `share` steps."""
        return lambda done, total: self.to(share * done // total)


def _peak_memory() -> int:
    """The process's largest resident size so far, bytes (Linux counts it in KiB, macOS in bytes)."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
