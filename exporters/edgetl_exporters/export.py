"""The export: one backbone, every format and precision asked for, each proved on its own runtime, in one bundle."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from edgetl.bundle import bundle, writer
from edgetl.bundle.proofs import Proof
from edgetl.errors import CalibrationError, ExportError
from edgetl.inputs.photo import preprocess
from edgetl.inputs.photo.source import load
from edgetl.types import Array, ImageSpec, Pixels, to_json
from edgetl_exporters import pictures
from edgetl_exporters.quantise import calibration
from edgetl_exporters.quantise.recipes import Recipe
from edgetl_exporters.sources.base import Source
from edgetl_exporters.sources.extended import extended
from edgetl_exporters.sources.given import Given
from edgetl_exporters.sources.opening import open_source
from edgetl_exporters.targets import chosen, matrix
from edgetl_exporters.targets import labelled as labels
from edgetl_exporters.variants.adequacy import Adequacy
from edgetl_exporters.variants.diagnosis import Diagnosis
from edgetl_exporters.variants.maker import Exported, Maker

Progress = Callable[[int, int], None]

LEVELS = ("last", "multi")

PRECISIONS = ("fp32", "int8")
"""What is made where nothing was asked for, as far as the backbone offers it."""

_COLLECT, _VARIANT, _MATRIX = 20, 10, 60
"""Steps of the progress bar: for decoding the photos, for each variant, and for the targets."""

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
        diagnosis: what was found in the float network that makes int8 hard; None where it was not or could not be looked at.
        adequacy: whether the calibration photos were enough for int8; None as above.
        proofs: the table target x variant, where it was asked for.
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
    diagnosis: Diagnosis | None
    adequacy: Adequacy | None
    proofs: tuple[Proof, ...]
    seconds: float
    peak_memory: int

    def lines(self) -> list[str]:
        """What is told of int8: what makes it hard, whether the photos were enough, and which recipes were tried."""
        found = [] if self.diagnosis is None else self.diagnosis.lines()
        enough = [] if self.adequacy is None else [str(self.adequacy)]
        return [*found, *enough, *(f"{made.name}: {made.search}" for made in self.variants if made.search is not None)]


def export(
    *,
    output: str | os.PathLike[str],
    backbone: str = "efficientnet_lite0",
    formats: Sequence[str] | None = None,
    precisions: Sequence[str] | None = None,
    levels: str = "last",
    photos: str | os.PathLike[str] | None = None,
    background: str | os.PathLike[str] | bool = True,
    weights: str | os.PathLike[str] | None = None,
    random_weights: bool = False,
    seed: int = 0,
    onnx_recipe: str = "auto",
    openvino_recipe: str = "auto",
    targets: Sequence[str] = (),
    labelled: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    **given: Any,
) -> ExportResult:
    """Exports a backbone to a bundle.

    Args:
        output: a folder, or a name that ends in `.edgetl`; written whole or not at all.
        backbone: one of :data:`edgetl_exporters.BACKBONES`, `timm/NAME`, `keras/NAME`, or an `.onnx`, `.tflite` or `.keras` file.
        formats: some of `onnx`, `tflite`, `openvino`; None is all that the backbone can become.
        precisions: some of `fp32`, `fp16`, `int8`; one that a format does not offer is refused. None is fp32 and int8, as far as offered.
        levels: `last`, the pooled last stage, or `multi`, the pooled outputs of some middle stages before it (:data:`LEVELS`).
        photos: a folder of 120 or more photos like those the camera will see; int8 needs it, the others are proved on it.
        background: a folder of photos of anything but what will be trained, by which a head learns what to reject; True takes the
            calibration photos, if any, and False leaves it out.
        weights: a local state dict instead of the published weights.
        random_weights: untrained weights, marked as such in the manifest.
        seed: chooses the photos (and random weights).
        onnx_recipe: `onnx-u8s8`, which `auto` is, or `onnx-u8u8`.
        openvino_recipe: `openvino-u8s8`, which `auto` is, `openvino-u8u8` or `openvino-nncf`.
        targets: on whose arithmetic every variant is proved, see :func:`edgetl_exporters.targets.known`; `all` is every one.
        labelled: photos whose class the network's own classifier knows (:func:`edgetl_exporters.targets.labelled.read`), on which the
        targets are
            proved; the held-back photos where not given.
        progress: told (steps done, steps in all).
        **given: what a person says of an own file: see :class:`edgetl_exporters.sources.given.Given`.

    Raises:
        WeightsMissing: the weights are not on this machine and could not be downloaded.
        CalibrationError: int8 without photos, or photos that cannot calibrate.
        ParityError: a variant further from the float embedding than its bound, with all numbers.
        ExportError: an unknown backbone, format, precision or recipe, or weights that do not fit.
    """
    start = time.perf_counter()
    if levels not in LEVELS:
        raise ExportError(f"unknown levels {levels!r}; known are {', '.join(LEVELS)}")
    if targets and photos is None and labelled is None:
        raise CalibrationError("targets are proved on photos; give a folder with --calibrate FOLDER, or --labelled TABLE")
    if labelled is not None and not targets:
        raise ExportError("labelled photos are for the targets' top-1; add --matrix, or --target NAME")
    wanted_targets = None if "all" in targets else targets
    chosen(wanted_targets)  # an unknown one is refused before anything is made
    writer.check_target(output)
    source = extended(open_source(backbone, levels=levels, weights=weights, random_weights=random_weights, seed=seed, given=Given(**given)))
    plan = _plan(source, formats, precisions, {"onnx": onnx_recipe, "openvino": openvino_recipe})
    if photos is None and any(recipe.levels for recipe in plan):
        raise CalibrationError(
            "int8 is calibrated with photos; give a folder of 120 or more with --calibrate FOLDER (or --precisions fp32)"
        )
    _check_installed(source, plan)
    steps = _Steps(progress, _COLLECT + _VARIANT * len(plan) + (_MATRIX if targets else 0))
    image = source.image
    judged = None if labelled is None else labels.read(labelled, image)
    found = None if photos is None else calibration.collect(photos, image, seed=seed, progress=steps.within(0, _COLLECT))
    golden = np.stack([preprocess.tensor(load(chart), image) for chart in pictures.charts()])
    source.balance(pictures.scenes(_SCENES, image.width, image.height, seed) if found is None else found.tensors)
    maker = Maker(source, found, golden, seed, _background(background, found, image, seed))
    steps.to(_COLLECT)
    made = []
    for i, recipe in enumerate(plan, 1):
        made.append(maker.make(recipe))
        steps.to(_COLLECT + _VARIANT * i)
    int8 = next((recipe for recipe in plan if recipe.levels), None)
    diagnosed, enough = (None, None) if int8 is None else (maker.diagnose(int8), maker.adequacy(int8))
    stated = None if found is None else {**found.manifest(), "diagnosis": to_json(diagnosed), "adequacy": to_json(enough)}
    written = writer.write(
        output,
        backbone={"name": source.name, "source": source.package, "weights": to_json(source.weights), **source.notes},
        input=image,
        dim=source.dim,
        levels=source.levels,
        calibration=stated,
        self_test_inputs=pictures.charts(),
        self_test_tensors=golden,
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
        diagnosis=diagnosed,
        adequacy=enough,
        proofs=_proofs(written, source, found, wanted_targets, judged, steps) if targets else (),
        seconds=time.perf_counter() - start,
        peak_memory=_peak_memory(),
    )


def _plan(source: Source, formats: Sequence[str] | None, precisions: Sequence[str] | None, wanted: Mapping[str, str]) -> list[Recipe]:
    """The recipes of what was asked for; of what was left open, all that the source offers."""
    cells = [
        (format_, precision)
        for format_ in dict.fromkeys(source.offered if formats is None else formats)
        for precision in dict.fromkeys(_usual(source, format_) if precisions is None else precisions)
    ]
    if not cells:
        raise ExportError("nothing to export: give at least one of --formats and one of --precisions")
    return [source.recipe(format_, precision, wanted.get(format_, "auto")) for format_, precision in cells]


def _background(asked: str | os.PathLike[str] | bool, found: calibration.Calibration | None, image: ImageSpec, seed: int) -> Pixels | None:
    """The photos of the background: those given, or the calibration's."""
    if not isinstance(asked, bool):
        return calibration.others(asked, image, seed=seed)
    if not asked or found is None:
        return None
    return np.concatenate([found.held_back, found.choosing, found.tensors])[: calibration.BACKGROUND]


def _check_installed(source: Source, plan: Sequence[Recipe]) -> None:
    """Before minutes of work: everything that takes part is there."""
    for library in dict.fromkeys(library for recipe in plan for library in source.libraries(recipe.format)):
        try:
            metadata.version(library)
        except metadata.PackageNotFoundError as error:
            raise ExportError(f"{library} is not installed, and this export needs it; pip install 'edgetl[export]'") from error


def _usual(source: Source, format_: str) -> Sequence[str]:
    offered = source.offered.get(format_, PRECISIONS)
    return [precision for precision in offered if precision in PRECISIONS] or offered


def _proofs(
    written: bundle.Bundle,
    source: Source,
    found: calibration.Calibration | None,
    targets: Sequence[str] | None,
    judged: tuple[list[Path], Pixels, Array] | None,
    steps: _Steps,
) -> tuple[Proof, ...]:
    if judged is not None:
        _, tensors, truth = judged
    else:
        assert found is not None  # refused above
        tensors, truth = found.held_back, None
    return matrix.prove(
        written,
        tensors,
        source.embed(tensors),
        targets=targets,
        classifier=source.classifier(),
        truth=None if truth is None else truth.tolist(),
        progress=steps.within(steps.total - _MATRIX, steps.total),
    )


class _Steps:
    """Counts steps towards the end of the bar."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self.total = progress, total

    def to(self, done: int) -> None:
        if self._progress:
            self._progress(done, self.total)

    def within(self, start: int, end: int) -> Progress:
        """Progress of a part from one step to another."""
        return lambda done, total: self.to(start + (end - start) * done // total)


def _peak_memory() -> int:
    """The process's largest resident size so far, bytes (Linux counts it in KiB, macOS in bytes)."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
