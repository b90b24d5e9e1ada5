"""Exports a backbone to a bundle: each format and precision is made, and proved on its own runtime."""

from __future__ import annotations

import dataclasses
import functools
import os
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from edgetl.bundle import bundle, writer
from edgetl.bundle.proofs import Proof
from edgetl.errors import CalibrationError, ExportError
from edgetl.inputs.photo import preprocess
from edgetl.inputs.photo.folders import Progress
from edgetl.inputs.photo.source import load
from edgetl.types import Array, ImageSpec, Pixels, to_json
from edgetl_exporters import pictures
from edgetl_exporters.quantise import calibration
from edgetl_exporters.quantise.recipes import Recipe
from edgetl_exporters.sources.base import NetworkSource
from edgetl_exporters.sources.opening import open_source
from edgetl_exporters.sources.options import FileOptions
from edgetl_exporters.targets import chosen, matrix
from edgetl_exporters.targets import labelled as labels
from edgetl_exporters.variants.adequacy import Adequacy
from edgetl_exporters.variants.diagnosis import Int8Diagnosis
from edgetl_exporters.variants.maker import Exported, Maker

LEVELS = ("last", "multi")

_DEFAULT = ("fp32", "int8")
"""The default precisions, as far as the backbone offers them."""

_COLLECT, _VARIANT, _MATRIX = 20, 10, 60
"""Steps of the progress bar: for decoding the photos, for each variant, and for the targets."""

_SCENES = 24
"""Drawn scenes on which levels are balanced without photos."""


@dataclasses.dataclass(frozen=True)
class ExportResult:
    """The result of an export; :mod:`edgetl_exporters.report` turns it into text.

    Attributes:
        path: the bundle.
        backbone: its name.
        weights: where they came from.
        levels: lengths of the pooled stages in the embedding; empty for the last stage alone.
        calibration: hash and counts of the calibration photos; None without photos.
        variants: one per format and precision, in that order.
        skipped: (file, reason) per photo that could not be used.
        diagnosis: what makes int8 hard for the float network; None without int8, photos or a float network in ONNX.
        adequacy: whether there are enough calibration photos for int8; None as above.
        proofs: one row per target and variant; empty if no target was named.
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
    diagnosis: Int8Diagnosis | None
    adequacy: Adequacy | None
    proofs: tuple[Proof, ...]
    seconds: float
    peak_memory: int


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
    **options: Any,
) -> ExportResult:
    """Exports a backbone to a bundle.

    Args:
        output: a folder, or a name that ends in `.edgetl`; written as a whole or not at all.
        backbone: one of :data:`edgetl_exporters.BACKBONES`, `timm/NAME`, `keras/NAME`, or an `.onnx`, `.tflite` or `.keras` file.
        formats: some of `onnx`, `tflite`, `openvino`; None is all that the backbone offers.
        precisions: some of `fp32`, `fp16`, `int8`, each of which every format must offer; None is fp32 and int8, as far as offered.
        levels: `last`, the pooled last stage, or `multi`, with the pooled outputs of some middle stages before it (:data:`LEVELS`).
        photos: a folder of 120 or more photos like those the camera will see; int8 needs it, other precisions are proved on it.
        background: a folder of photos of anything but the classes to train, from which heads learn to reject unknown objects; True takes
            the calibration photos, if any; False leaves it out.
        weights: a local state dict instead of the published weights.
        random_weights: untrained weights, marked as such in the manifest.
        seed: chooses the photos (and random weights).
        onnx_recipe: `onnx-u8s8` (`auto`) or `onnx-u8u8`.
        openvino_recipe: `openvino-u8s8` (`auto`) or `openvino-u8u8`.
        targets: the targets on whose arithmetic each variant is proved (:func:`edgetl_exporters.targets.known`); `all` is every one.
        labelled: photos with a class of the network's own classifier (:func:`edgetl_exporters.targets.labelled.read`), on which the targets
            are proved; None is the held-back photos.
        progress: called with (steps done, all steps).
        **options: for your own file, see :class:`edgetl_exporters.sources.options.FileOptions`.

    Raises:
        WeightsMissing: the weights are not on this machine and could not be downloaded.
        CalibrationError: int8 without photos, or photos that cannot calibrate.
        ParityError: a variant further from the float embedding than its bound, with all numbers.
        ExportError: an unknown backbone, format, precision or recipe, or weights that do not fit.
    """
    start = time.perf_counter()
    _check_options(levels, targets, photos, labelled)
    writer.check_target(output)
    opening = FileOptions(**options)
    source = open_source(backbone, levels=levels, weights=weights, random_weights=random_weights, seed=seed, options=opening)
    plan = _plan(source, formats, precisions, {"onnx": onnx_recipe, "openvino": openvino_recipe}, photos)
    steps = _Steps(progress, _COLLECT + _VARIANT * len(plan) + (_MATRIX if targets else 0))
    tested = None if labelled is None else labels.read(labelled, source.image)
    photographed = None if photos is None else calibration.collect(photos, source.image, seed=seed, progress=steps.within(0, _COLLECT))
    work = _Work(source, plan, photographed, seed, _background(background, photographed, source.image, seed))
    written, variants = work.write(output, steps)
    proofs = _proofs(written, source, photographed, targets, tested, steps) if targets else ()
    return work.result(os.fspath(output), variants, proofs, time.perf_counter() - start)


class _Work:
    """One export: its source, recipes and photos, from which variants and the bundle are made."""

    def __init__(
        self, source: NetworkSource, plan: Sequence[Recipe], photos: calibration.Calibration | None, seed: int, background: Pixels | None
    ) -> None:
        self._source, self._plan, self._photos, image = source, plan, photos, source.image
        self._self_test = np.stack([preprocess.tensor(load(chart), image) for chart in pictures.charts()])
        source.balance(pictures.scenes(_SCENES, image.width, image.height, seed) if photos is None else photos.tensors)
        self._maker = Maker(source, photos, self._self_test, seed, background)

    def write(self, output: str | os.PathLike[str], steps: _Steps) -> tuple[bundle.Bundle, tuple[Exported, ...]]:
        """Makes every variant and writes the bundle."""
        steps.to(_COLLECT)
        pairs = []
        for number, recipe in enumerate(self._plan, 1):
            pairs.append(self._maker.make(recipe))
            steps.to(_COLLECT + _VARIANT * number)
        source = self._source
        written = writer.write(
            output,
            backbone={"name": source.name, "source": source.package, "weights": to_json(source.weights), **source.notes},
            input=source.image,
            dim=source.dim,
            levels=source.levels,
            calibration=self._calibration,
            self_test_inputs=pictures.charts(),
            self_test_tensors=self._self_test,
            variants=[variant for variant, _ in pairs],
        )
        return written, tuple(exported for _, exported in pairs)

    def result(self, path: str, variants: tuple[Exported, ...], proofs: tuple[Proof, ...], seconds: float) -> ExportResult:
        """The result of the export."""
        return ExportResult(
            path=path,
            backbone=self._source.name,
            weights=self._source.weights.source,
            levels=self._source.levels,
            calibration=self._calibration,
            variants=variants,
            skipped=() if self._photos is None else self._photos.skipped,
            diagnosis=self._judged[0],
            adequacy=self._judged[1],
            proofs=proofs,
            seconds=seconds,
            peak_memory=_peak_memory(),
        )

    @functools.cached_property
    def _judged(self) -> tuple[Int8Diagnosis | None, Adequacy | None]:
        """What makes int8 hard, and whether there are enough photos; None each without int8."""
        recipe = next((recipe for recipe in self._plan if recipe.levels), None)
        return (None, None) if recipe is None else (self._maker.diagnose(recipe), self._maker.adequacy(recipe))

    @property
    def _calibration(self) -> Mapping[str, Any] | None:
        if self._photos is None:
            return None
        diagnosis, adequacy = self._judged
        return {**self._photos.manifest(), "diagnosis": to_json(diagnosis), "adequacy": to_json(adequacy)}


def _check_options(
    levels: str, targets: Sequence[str], photos: str | os.PathLike[str] | None, labelled: str | os.PathLike[str] | None
) -> None:
    if levels not in LEVELS:
        raise ExportError(f"unknown levels {levels!r}; expected {' or '.join(LEVELS)}", code="unknown-levels", levels=levels)
    if targets and photos is None and labelled is None:
        raise CalibrationError(
            "targets are proved on photos; give a folder with --calibrate FOLDER, or --top1 TABLE", code="photos-missing"
        )
    if labelled is not None and not targets:
        raise ExportError("--top1 is for the targets' top-1; add --matrix, or --target NAME", code="targets-missing")
    chosen(_names(targets))  # an unknown target fails before anything is made


def _names(targets: Sequence[str]) -> Sequence[str] | None:
    """The names of targets; None is all."""
    return None if "all" in targets else targets


def _plan(
    source: NetworkSource,
    formats: Sequence[str] | None,
    precisions: Sequence[str] | None,
    recipes: Mapping[str, str],
    photos: str | os.PathLike[str] | None,
) -> list[Recipe]:
    """The recipes to export; by default all that the source offers."""
    cells = [
        (format_, precision)
        for format_ in dict.fromkeys(source.offered if formats is None else formats)
        for precision in dict.fromkeys(_usual(source, format_) if precisions is None else precisions)
    ]
    if not cells:
        raise ExportError("nothing to export: give at least one of --format and one of --precision", code="nothing-to-export")
    plan = [source.recipe(format_, precision, recipes.get(format_, "auto")) for format_, precision in cells]
    if photos is None and any(recipe.levels for recipe in plan):
        raise calibration.missing()
    _check_installed(source, plan)
    return plan


def _background(
    wanted: str | os.PathLike[str] | bool, photos: calibration.Calibration | None, image: ImageSpec, seed: int
) -> Pixels | None:
    """The photos of the background: those of a folder, or the calibration's."""
    if not isinstance(wanted, bool):
        return calibration.others(wanted, image, seed=seed)
    if not wanted or photos is None:
        return None
    return np.concatenate([photos.held_back, photos.choosing, photos.tensors])[: calibration.BACKGROUND]


def _check_installed(source: NetworkSource, plan: Sequence[Recipe]) -> None:
    """Checks, before minutes of work, that every library is installed."""
    for library in dict.fromkeys(library for recipe in plan for library in source.libraries(recipe.format)):
        try:
            metadata.version(library)
        except metadata.PackageNotFoundError as error:
            raise ExportError(
                f"{library} is not installed, and this export needs it; pip install 'edgetl[export]'",
                code="library-missing", library=library,
            ) from error  # fmt: skip


def _usual(source: NetworkSource, format_: str) -> Sequence[str]:
    offered = source.offered.get(format_, _DEFAULT)
    return [precision for precision in offered if precision in _DEFAULT] or offered


def _proofs(
    written: bundle.Bundle,
    source: NetworkSource,
    photos: calibration.Calibration | None,
    targets: Sequence[str],
    labelled: tuple[list[Path], Pixels, Array] | None,
    steps: _Steps,
) -> tuple[Proof, ...]:
    if labelled is not None:
        _, tensors, truth = labelled
    else:
        assert photos is not None  # see _check_options
        tensors, truth = photos.held_back, None
    return matrix.prove(
        written,
        tensors,
        source.embed(tensors),
        targets=_names(targets),
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
