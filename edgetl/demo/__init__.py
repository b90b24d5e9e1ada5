"""The whole job on real photos: export, teach, add classes, forget, roll back, bench; ends in a report."""

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
from edgetl.demo.record import Figure, Latency, Plan, Record, Step, merged
from edgetl.errors import ExportError
from edgetl.session.reports import EvalReport
from edgetl.stats import Proportion
from edgetl.types import to_json

_MARK = "made-by-edgetl-demo.txt"
_TAUGHT = "tflite-int8"
_FORGOTTEN = "poly defective"
_CALIBRATING = "photos/mono/train"
_BENCHED = "photos/mono/held-out"


FULL = Plan(
    ("onnx", "tflite", "openvino"), None, None, bench.Method("demo", queries=400, seconds=2.0, rounds=2, lessons=2, warm_up_seconds=2.0)
)
QUICK = Plan(("tflite",), 200, 75, bench.Method("quick demo", queries=40, seconds=0.5, rounds=1, lessons=1, window=8, warm_up_seconds=1.0))


@dataclasses.dataclass(frozen=True)
class Photos:
    """The photos in the demo's folder, as pairs of path and label, in random order.

    Attributes:
        mono: monocrystalline cells to teach first.
        poly: polycrystalline cells to teach later.
        held_out_mono: monocrystalline cells that nothing is learnt from.
        held_out: these and the polycrystalline ones.
    """

    mono: steps.Pairs
    poly: steps.Pairs
    held_out_mono: steps.Pairs
    held_out: steps.Pairs


def run(folder: Path, *, quick: bool = False, bundle: Path | None = None, echo: Callable[[str], None] = click.echo) -> Path:
    """Runs the demo and returns the path of its report.

    Args:
        folder: where everything goes: photos, bundle, store, `record.json`, `report.html`. An earlier demo there is replaced.
        quick: fewer formats and photos.
        bundle: use this one instead of exporting.
        echo: takes the tables.

    Raises:
        PhotoError: the photos' package is not installed.
        ExportError: the exporters or the report's library are not installed, or the folder holds something else.
        EdgetlError: as any step.
    """
    report.check_installed()
    everything = cells.cells()
    _clear(folder)
    chosen = (["--quick"] if quick else []) + (["--bundle", str(bundle)] if bundle else [])
    record = _tour(folder, everything, QUICK if quick else FULL, bundle, shlex.join(["edgetl", "demo", "-o", str(folder), *chosen]), echo)
    (folder / "record.json").write_text(json.dumps(to_json(record), indent=1, ensure_ascii=False), encoding="utf-8")
    page = folder / "report.html"
    page.write_text(report.render(record), encoding="utf-8")
    echo(f"\nThe report, after {record.seconds:.0f} s: {page}")
    return page


def _tour(folder: Path, everything: list[Cell], plan: Plan, bundle: Path | None, command: str, echo: Callable[[str], None]) -> Record:
    """Goes through the steps and shows each as it ends."""
    started = time.perf_counter()
    told: list[Step] = []

    def tell(step: Step) -> None:
        told.append(step)
        show(step, len(told), echo)

    photos = _photos(everything, folder / "photos", plan)
    opened, exporting = _bundle(bundle, folder, plan)
    tell(steps.export(opened, exporting, made=bundle is None))
    with steps.Camera(opened, folder / "cells.db", _TAUGHT if _TAUGHT in opened.variants else None) as camera:
        tell(steps.teach(camera, photos.mono))
        step, before = steps.evaluate(camera, photos.held_out_mono)
        tell(step)
        step, lesson = steps.extend(camera, photos.poly)
        tell(step)
        step, now = steps.compare(camera, photos.held_out, before)
        tell(step)
        step, difference = steps.forget(camera, _FORGOTTEN)
        tell(step)
        tell(steps.rollback(camera, photos.held_out, now))
        strip = steps.examples(camera, photos.held_out)
        variant, library = camera.embedder.variant.name, camera.backbone.library
    measuring = time.perf_counter()
    with bar("measuring latency") as progress:
        measured = bench.run(opened.path, photos=folder / _BENCHED, scenarios=speed.SCENARIOS, method=plan.bench, progress=progress)
    tell(speed.step(measured, opened, time.perf_counter() - measuring))
    latencies = speed.latencies(measured)
    return Record(
        command=command,
        plan=plan,
        backbone=str(opened.backbone["name"]),
        variant=variant,
        library=library,
        figures=_figures(now, lesson, difference, next((one for one in latencies if one.variant == variant), None)),
        steps=tuple(told),
        evaluation=now,
        latencies=latencies,
        examples=tuple(strip),
        machine=machine.describe(),
        seconds=time.perf_counter() - started,
    )


def _clear(folder: Path) -> None:
    """Makes the folder, or removes what an earlier demo left there; never touches anything else."""
    if folder.exists() and not (folder.is_dir() and ((folder / _MARK).exists() or not any(folder.iterdir()))):
        raise ExportError(f"{folder}: is there already and no earlier demo; choose another folder with -o")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _MARK).write_text("The next `edgetl demo` into this folder replaces its files.\n")
    shutil.rmtree(folder / "photos", ignore_errors=True)
    for name in ("lite0.edgetl", "cells.db", "cells.db-wal", "cells.db-shm", "record.json", "report.html"):
        (folder / name).unlink(missing_ok=True)


def _photos(everything: list[Cell], folder: Path, plan: Plan) -> Photos:
    certain = [cell for cell in everything if cell.certain]
    train, held_out = cells.split(certain, lambda cell: cell.label)
    taught = cells.copy(cells.first(train, plan.train), folder, "train")
    asked = cells.copy(cells.first(held_out, plan.held_out), folder, "held-out")
    return Photos(_of(taught, "mono"), _of(taught, "poly"), _of(asked, "mono"), asked)


def _of(pairs: steps.Pairs, kind: str) -> steps.Pairs:
    return [pair for pair in pairs if pair[1].startswith(kind)]


def _bundle(given: Path | None, folder: Path, plan: Plan) -> tuple[Bundle, float]:
    """The bundle to use, with the seconds its export took."""
    if given is not None:
        return Bundle.open(given), 0.0
    started = time.perf_counter()
    try:
        # By name: the device package must not depend on the exporters, and only the demo needs both.
        exporters = importlib.import_module("edgetl_exporters")
    except ImportError as error:
        raise ExportError(f"the demo exports a backbone, whose libraries are not here ({error}); pip install 'edgetl[demo]'") from error
    with bar("exporting") as progress:
        exporters.export(formats=plan.formats, photos=folder / _CALIBRATING, output=folder / "lite0.edgetl", progress=progress)
    return Bundle.open(folder / "lite0.edgetl"), time.perf_counter() - started


def _figures(now: EvalReport, lesson: steps.Lesson, difference: float, latency: Latency | None) -> tuple[Figure, ...]:
    figures = [
        _share(merged(now), "functional or defective"),
        _share(now.accuracy, "the right one of 4 classes"),
        Figure(str(lesson.old_passes), "old photos embedded again", f"when 2 classes joined {lesson.old} photos"),
        Figure(f"{1000 * lesson.report.seconds:.0f} ms", "to train the head", f"from {lesson.photos} cached embeddings"),
        Figure(steps.scientific(difference), "left of a forgotten class", "largest logit difference to a head that never saw it"),
    ]
    if latency is not None:
        figures.append(Figure(speed.milliseconds(latency.p50), "from photo to class", f"median of {latency.n} on {latency.variant}"))
    return tuple(figures)


def _share(part: Proportion, name: str) -> Figure:
    low, high = part.interval
    return Figure(f"{100 * part.value:.1f} %", name, f"95 % interval {100 * low:.1f} to {100 * high:.1f}, n {part.n}")
