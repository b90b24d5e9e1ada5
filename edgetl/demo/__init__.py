"""The whole job on real photos: export, train, add classes, forget, roll back, bench; ends in a report."""

from __future__ import annotations

import dataclasses
import importlib
import json
import shlex
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import click

from edgetl import bench, machine
from edgetl.bundle.bundle import Bundle
from edgetl.demo import cells, report, speed, steps
from edgetl.demo.cells import Cell
from edgetl.demo.console import bar, show
from edgetl.demo.record import DemoRecord, Figure, Latency, Plan, Step, merged
from edgetl.errors import ExportError
from edgetl.session.reports import EvalReport
from edgetl.stats import Proportion
from edgetl.types import to_json

_MARK = "made-by-edgetl-demo.txt"
_VARIANT = "tflite-int8"
_FORGOTTEN = "poly defective"
_CALIBRATING = "photos/mono/train"
_BENCHED = "photos/mono/held-out"


FULL = Plan(
    ("onnx", "tflite", "openvino"), None, None, bench.Method("demo", queries=400, seconds=2.0, rounds=2, trainings=2, warm_up_seconds=2.0)
)
QUICK = Plan(
    ("tflite",), 200, 75, bench.Method("quick demo", queries=40, seconds=0.5, rounds=1, trainings=1, window=8, warm_up_seconds=1.0)
)


@dataclasses.dataclass(frozen=True)
class DemoPhotos:
    """The photos in the demo's folder, as pairs of path and label, in random order.

    Attributes:
        mono: monocrystalline cells to train from first.
        poly: polycrystalline cells to train from later.
        held_out_mono: monocrystalline cells that nothing is trained from.
        held_out: these and the polycrystalline ones.
    """

    mono: steps.Pairs
    poly: steps.Pairs
    held_out_mono: steps.Pairs
    held_out: steps.Pairs


def run(
    folder: Path, *, quick: bool = False, bundle: Path | None = None, verbose: bool = False, echo: Callable[[str], None] = click.echo
) -> Path:
    """Runs the demo and returns the path of its report.

    Args:
        folder: where everything goes: photos, bundle, store, `record.json`, `report.html`. An earlier demo there is replaced.
        quick: fewer formats and photos.
        bundle: use this one instead of exporting.
        verbose: show the details too that otherwise only the report has.
        echo: takes the tables.

    Raises:
        PhotoError: the photos' package is not installed.
        ExportError: the exporters or the report's library are not installed, or the folder holds something else.
        EdgetlError: as any step.
    """
    report.check_installed()
    everything = cells.cells()
    _clear(folder)
    started = time.perf_counter()
    plan = QUICK if quick else FULL
    chosen = (["--quick"] if quick else []) + (["--bundle", str(bundle)] if bundle else [])
    command = shlex.join(["edgetl", "demo", "-o", str(folder), *chosen])
    record = _tour(folder, _photos(everything, folder / "photos", plan), plan, bundle, _Screen(echo, verbose))
    record = dataclasses.replace(record, command=command, seconds=time.perf_counter() - started)
    (folder / "record.json").write_text(json.dumps(to_json(record), indent=1, ensure_ascii=False), encoding="utf-8")
    page = folder / "report.html"
    page.write_text(report.render(record), encoding="utf-8")
    echo(f"\nDone in {record.seconds:.0f} s. The report: {page}")
    echo(f"In a browser: edgetl serve -m {bundle or folder / 'lite0.edgetl'} -s {folder / 'cells.db'}")
    return page


class _Screen:
    """Shows each step as it ends, and keeps it."""

    def __init__(self, echo: Callable[[str], None], verbose: bool) -> None:
        self.steps: list[Step] = []
        self._echo, self._verbose = echo, verbose

    def __call__(self, step: Step) -> None:
        self.steps.append(step)
        show(step, len(self.steps), self._echo, verbose=self._verbose)


def _tour(folder: Path, photos: DemoPhotos, plan: Plan, own: Path | None, tell: _Screen) -> DemoRecord:
    """Goes through the steps; command and seconds are the caller's to fill in."""
    bundle, exporting = _bundle(own, folder, plan)
    tell(steps.export(bundle, exporting, exported=own is None))
    with steps.Camera(bundle, folder / "cells.db", _VARIANT if _VARIANT in bundle.variants else None) as camera:
        tell(steps.train(camera, photos.mono))
        step, before = steps.evaluate(camera, photos.held_out_mono)
        tell(step)
        step, extension = steps.extend(camera, photos.poly)
        tell(step)
        step, now = steps.compare(camera, photos.held_out, before)
        tell(step)
        step, difference = steps.forget(camera, _FORGOTTEN)
        tell(step)
        tell(steps.rollback(camera, photos.held_out, now))
        chosen = steps.examples(camera, photos.held_out)
        variant, library = camera.embedder.variant.name, camera.embedder.runtime.library
    measured, step = _measure(bundle, folder, plan)
    tell(step)
    latencies = speed.latencies(measured)
    return DemoRecord(
        command="",
        plan=plan,
        backbone=str(bundle.backbone["name"]),
        variant=variant,
        library=library,
        figures=_figures(now, extension, difference, next((latency for latency in latencies if latency.variant == variant), None)),
        steps=tuple(tell.steps),
        evaluation=now,
        latencies=latencies,
        examples=tuple(chosen),
        machine=machine.describe(),
        seconds=0.0,
    )


def _measure(bundle: Bundle, folder: Path, plan: Plan) -> tuple[bench.Record, Step]:
    started = time.perf_counter()
    with bar("measuring latency") as progress:
        measured = bench.run(bundle.path, photos=folder / _BENCHED, scenarios=speed.SCENARIOS, method=plan.bench, progress=progress)
    return measured, speed.step(measured, bundle, time.perf_counter() - started)


def _clear(folder: Path) -> None:
    """Makes the folder, or removes what an earlier demo left there; never touches anything else."""
    if folder.exists() and not (folder.is_dir() and ((folder / _MARK).exists() or not any(folder.iterdir()))):
        message = f"{folder}: already exists and is not an earlier demo; choose another folder with -o"
        raise ExportError(message, code="target-exists", path=str(folder))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _MARK).write_text("The next `edgetl demo` into this folder replaces its files.\n")
    except OSError as error:
        message = f"{folder}: cannot be written ({error.strerror}); choose another folder with -o"
        raise ExportError(message, code="not-writable", path=str(folder)) from error
    shutil.rmtree(folder / "photos", ignore_errors=True)
    for name in ("lite0.edgetl", "cells.db", "cells.db-wal", "cells.db-shm", "record.json", "report.html"):
        (folder / name).unlink(missing_ok=True)


def _photos(everything: list[Cell], folder: Path, plan: Plan) -> DemoPhotos:
    certain = [cell for cell in everything if cell.certain]
    train, held_out = cells.split(certain, lambda cell: cell.label)
    trained = cells.copy(cells.first(train, plan.train), folder, "train")
    asked = cells.copy(cells.first(held_out, plan.held_out), folder, "held-out")
    return DemoPhotos(_of_kind("mono", trained), _of_kind("poly", trained), _of_kind("mono", asked), asked)


def _of_kind(kind: str, pairs: steps.Pairs) -> steps.Pairs:
    return [pair for pair in pairs if pair[1].startswith(kind)]


def _bundle(path: Path | None, folder: Path, plan: Plan) -> tuple[Bundle, float]:
    """The bundle to use, with the seconds its export took."""
    if path is not None:
        return Bundle.open(path), 0.0
    started = time.perf_counter()
    try:
        # By name: the device package must not depend on the exporters, and only the demo needs both.
        exporters = importlib.import_module("edgetl_exporters")
    except ImportError as error:
        message = f"the demo exports a backbone, whose libraries are not installed ({error}); pip install 'edgetl[demo]'"
        raise ExportError(message, code="demo-part-missing", package="edgetl_exporters") from error
    with bar("exporting") as progress:
        exporters.export(formats=plan.formats, photos=folder / _CALIBRATING, output=folder / "lite0.edgetl", progress=progress)
    return Bundle.open(folder / "lite0.edgetl"), time.perf_counter() - started


def _figures(now: EvalReport, extension: steps.Extension, difference: float, latency: Latency | None) -> tuple[Figure, ...]:
    figures = [
        _share(merged(now), "functional or defective"),
        _share(now.accuracy, "correct among 4 classes"),
        Figure(str(extension.old_passes), "old photos embedded again", f"when 2 classes joined {extension.old} photos"),
        Figure(f"{1000 * extension.report.seconds:.0f} ms", "to train the head", f"from {extension.photos} stored embeddings"),
        Figure(steps.scientific(difference), "left of a forgotten class", "largest logit difference to a head that never saw it"),
    ]
    if latency is not None:
        figures.append(Figure(speed.milliseconds(latency.p50), "from photo to class", f"median of {latency.n} on {latency.variant}"))
    return tuple(figures)


def _share(part: Proportion, name: str) -> Figure:
    low, high = part.interval
    return Figure(f"{100 * part.value:.1f} %", name, f"95 % interval {100 * low:.1f} to {100 * high:.1f}, n {part.n}")
