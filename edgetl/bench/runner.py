"""The run: every variant that works here, through every scenario."""

from __future__ import annotations

import dataclasses
import math
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from edgetl import machine
from edgetl.bench import charts, cold
from edgetl.bench.record import FORMAT, VERSION, Record, Row, Skipped, Subject
from edgetl.bench.scenarios import QUICK, SCENARIOS, Settings, Stand
from edgetl.bundle import Bundle, Variant
from edgetl.classifier import Classifier
from edgetl.errors import GoldenMismatch, RuntimeUnavailable
from edgetl.intake import Progress
from edgetl.photos import load, photos_in
from edgetl.preprocess import tensor
from edgetl.store.encoding import row_size
from edgetl.types import ImageSpec, Pixels

_ROTATED = 32
_LESSONS = 20
_FRAME = ImageSpec(width=480, height=480, resize=480)


def run(
    bundle: str | os.PathLike[str],
    *,
    photos: str | os.PathLike[str] | None = None,
    variants: Sequence[str] | None = None,
    threads: int | None = None,
    quick: bool = False,
    progress: Progress | None = None,
) -> Record:
    """Measures a bundle on this machine; takes seconds to minutes per variant.

    Args:
        bundle: the bundle's path.
        photos: a folder; its photos are what `embed` and `predict-*` rotate over. None makes synthetic ones.
        variants: only these; None is every variant. One that does not work here is listed with its reason.
        threads: of the runtime; None is every core, at most 4.
        quick: fewer repetitions.
        progress: called with (scenarios done, scenarios in all).

    Raises:
        BundleError: the bundle is damaged, or has no such variant.
        PhotoError: the folder is missing or holds no photo, or one that cannot be decoded.
    """
    opened = Bundle.open(bundle)
    chosen = [opened.variant(name) for name in variants] if variants is not None else list(opened.variants.values())
    settings = QUICK if quick else Settings()
    created, here = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), machine.describe()
    named = {
        "path": str(opened.path), "name": opened.path.name, "backbone": opened.backbone, "created_by": opened.created_by,
        "dim": opened.dim, "levels": opened.levels, "sample_bytes": row_size(opened.dim, "int8"),
    }  # fmt: skip
    rows: list[Row] = []
    skipped: list[Skipped] = []
    steps, advance = len(SCENARIOS) + 1, progress or (lambda done, total: None)
    with tempfile.TemporaryDirectory(prefix="edgetl-bench-") as scratch:
        camera = _camera(photos, settings, Path(scratch))
        for i, variant in enumerate(chosen):
            try:
                for done, made in enumerate(_variant(opened, variant, camera, threads, settings), 1):
                    rows += made
                    advance(i * steps + done, len(chosen) * steps)
            except (RuntimeUnavailable, GoldenMismatch) as error:
                skipped.append(Skipped(variant.name, str(error)))
                advance((i + 1) * steps, len(chosen) * steps)
        told = {**dataclasses.asdict(settings), "quick": quick, "threads": threads, **camera.told()}
    return Record(FORMAT, VERSION, created, here, named, told, tuple(rows), tuple(skipped))


@dataclasses.dataclass(frozen=True)
class _Camera:
    """Where photos come from: the person's folder or charts, and charts for learning, because those have classes.

    Attributes:
        given: the person's folder, or None.
        photos: files to rotate over.
        frames: the same, decoded.
        classes: files of charts, one list per class; the last is the new class.
        folder: for stores.
    """

    given: str | None
    photos: list[Path]
    frames: list[Pixels]
    classes: list[list[Path]]
    folder: Path

    def told(self) -> dict[str, Any]:
        """What the record says of it."""
        charts_size = f"{charts.WIDTH}x{charts.HEIGHT}"
        return {
            "photos": f"{len(self.photos)} " + (f"of {self.given}" if self.given else f"synthetic, {charts_size} pixels"),
            "frames": f"{len(self.frames)}, the photos at {_FRAME.width}x{_FRAME.height} pixels",
            "lessons": f"synthetic, {charts_size} pixels",
            "folder": str(self.folder),
            "file_system": _file_system(self.folder),
        }


def _camera(given: str | os.PathLike[str] | None, settings: Settings, folder: Path) -> _Camera:
    classes = [charts.write(folder, kind, _LESSONS + 1) for kind in range(settings.taught + 1)]
    photos = [path for kind in classes for path in kind] if given is None else photos_in(given)[0]
    photos = photos[:: math.ceil(len(photos) / _ROTATED)]
    frames = [tensor(load(path), _FRAME) for path in photos]
    return _Camera(None if given is None else os.fspath(given), photos, frames, classes, folder)


def _variant(bundle: Bundle, variant: Variant, camera: _Camera, threads: int | None, settings: Settings) -> Iterator[list[Row]]:
    """Rows of one variant, scenario by scenario."""
    with tempfile.TemporaryDirectory(dir=camera.folder) as scratch:
        store = Path(scratch) / "bench.db"
        with Classifier.open(bundle.path, store, runtime=variant.family, variant=variant.name, threads=threads) as shop:
            subject = _subject(shop, variant)
            yield _cold(bundle, variant, subject, settings)
            for kind in range(settings.taught):
                shop.add_many([(path, f"class {kind}") for path in camera.classes[kind][: settings.photos_per_class]])
            shop.train()
            stand = Stand(shop, camera.photos, camera.frames, camera.classes[-1], settings, Path(scratch))
            for name, scenario in SCENARIOS.items():
                made = scenario(stand)
                yield [
                    Row.measured(subject, name, stage, samples, made.note if stage is None else "")
                    for stage, samples in made.samples.items()
                ]


def _subject(shop: Classifier, variant: Variant) -> Subject:
    assert shop.embedder is not None, "it was opened with a bundle"
    runtime, digest = shop.embedder.runtime, shop.embedder.fingerprint.digest
    return Subject(variant.name, variant.precision, variant.family, runtime.library, runtime.threads, variant.sha256, digest)


def _cold(bundle: Bundle, variant: Variant, subject: Subject, settings: Settings) -> list[Row]:
    taken = [cold.measure(bundle.path, variant, subject.threads) for _ in range(settings.cold)]
    whole = [sum(once[stage] for stage in cold.LOADING) for once in taken]
    stages = [Row.measured(subject, "cold-load", stage, [once[stage] for once in taken]) for stage in cold.LOADING]
    first = Row.measured(subject, "first-inference", None, [once["first"] for once in taken])
    return [Row.measured(subject, "cold-load", None, whole), *stages, first]


def _file_system(folder: Path) -> str | None:
    """The kind of file system a folder lies on; on `tmpfs` a durable write costs nothing. None where Linux does not say."""
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return None
    holding = [(len(point), kind) for point, kind in mounts if folder.resolve().is_relative_to(point)]
    return max(holding)[1] if holding else None
