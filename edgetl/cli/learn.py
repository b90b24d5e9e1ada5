"""Verbs that change a store: add, train, forget, adapt."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from edgetl.adaptation.adapters import KINDS
from edgetl.classifier import Classifier
from edgetl.cli.options import JSON, MODEL, PHOTOS, STORE, VERBOSE, opened, progress_bar
from edgetl.cli.output import print_json, samples, show, training
from edgetl.errors import PhotoError
from edgetl.heads.confidence.rejection import POINTS
from edgetl.session.reports import AddReport
from edgetl.types import ALLOWED_LOSS, HEAD_KINDS, check_label, to_json

_QUICK = 2000
"""Photos up to which a measurement of the accuracy takes less than half a second (tools/bench_scale)."""


@click.command()
@PHOTOS
@MODEL
@click.option("-l", "--label", help="The class of every photo; without it, folders are ROOT/CLASS/PHOTO.")
@click.option("--strict", is_flag=True, help="Leave out photos with possible problems: dark, blurred, repeated, ...")
@click.option("--relabel", is_flag=True, help="Move photos of ROOT/CLASS that the store has under another class.")
@VERBOSE
@JSON
def add(photos: tuple[str, ...], label: str | None, strict: bool, relabel: bool, verbose: bool, as_json: bool, **model: Any) -> None:
    """Add labelled photos to the store."""
    missing = [path for path in photos if not Path(path).exists()]
    if missing:  # before a store is made for them
        raise PhotoError(f"{missing[0]}: no such file or folder", code="photo-missing", path=missing[0])
    if label is not None:
        check_label(label)
    with opened(model) as classifier, progress_bar("adding") as progress:
        options = {"strict": strict, "relabel": relabel, "progress": progress}
        reports = [_add(classifier, Path(path), label, options) for path in photos]
        report = _whole(reports, classifier.counts)
        changed = len(report.photos) - report.number("known") - report.number("kept")
        assessment = classifier.assess() if len(report.counts) > 1 and _is_assessed(changed, sum(report.counts.values())) else None
    if as_json:
        print_json({**to_json(report), "readiness": assessment})
    elif verbose:
        show(samples.add_in_full(report, assessment, model["store"]))
    else:
        show(samples.add_brief(report, assessment, model["store"]), brief=True)
    if report.failed and not report.photos:
        sys.exit(1)


@click.command()
@STORE
@click.option("--head", "kind", type=click.Choice(HEAD_KINDS), default="auto", show_default=True, help="The algorithm.")
@click.option(
    "--allow-loss", type=click.FloatRange(0, 1), default=ALLOWED_LOSS, show_default=True,
    help="The accuracy that an earlier class may lose; a head that takes more is saved but not activated.",
)  # fmt: skip
@click.option(
    "--unknown", type=click.Choice(POINTS),
    help="strict: few unknown objects get a label. lenient: few known ones are rejected. Default: as before, at first balanced.",
)  # fmt: skip
@VERBOSE
@JSON
def train(store: str, kind: Any, allow_loss: float, unknown: Any, verbose: bool, as_json: bool) -> None:
    """Train a head from the stored photos."""
    with Classifier.open_store(store) as classifier:
        report = classifier.train(kind, allow_loss=allow_loss, unknown=unknown)
    if as_json:
        print_json(report)
    elif verbose:
        show(training.train_in_full(report))
    else:
        show(training.train_brief(report), brief=True)
    if not report.active:
        sys.exit(1)


@click.command()
@STORE
@click.option("-l", "--label", help="Every photo of this class.")
@click.option("--photo", type=click.Path(), help="This photo.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--vacuum", is_flag=True, help="Give the freed room back to the disk.")
@VERBOSE
@JSON
def forget(store: str, label: str | None, photo: str | None, yes: bool, vacuum: bool, verbose: bool, as_json: bool) -> None:
    """Remove a class or a photo, and retrain without it."""
    if (label is None) == (photo is None):
        raise click.UsageError("give either --label CLASS or --photo PHOTO")
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("not a terminal: pass --yes. Nothing was changed")
    if not yes:
        click.confirm(f"forget {label or photo}? Its embeddings cannot be brought back.", abort=True, err=True)
    with Classifier.open_store(store) as classifier:
        report = classifier.forget(label=label, photo=photo, vacuum=vacuum)
    if as_json:
        print_json(report)
    else:
        show(samples.forget(report, vacuum=vacuum, verbose=verbose), brief=not verbose)


@click.command()
@click.argument("folder", required=False, type=click.Path())
@MODEL
@click.option("--kind", type=click.Choice(("auto", *KINDS)), default="auto", show_default=True, help="The adapter to try; auto tries all.")
@click.option("--labelled", type=click.Path(), help="A folder ROOT/CLASS/PHOTO instead: its labels only check the adapted head.")
@click.option("--same-balance", is_flag=True, help="You confirm that these photos have the classes in the same balance as the training.")
@VERBOSE
@JSON
def adapt(folder: str | None, kind: Any, labelled: str | None, same_balance: bool, verbose: bool, as_json: bool, **model: Any) -> None:
    """Adapt to unlabelled photos of a new place or camera."""
    photos = labelled or folder
    if photos is None or (labelled and folder):
        raise click.UsageError("give either a FOLDER of photos or --labelled FOLDER")
    with opened(model) as classifier, progress_bar("embedding") as progress:
        report = classifier.adapt(photos, kind, labelled=labelled is not None, same_balance=same_balance, progress=progress)
    if as_json:
        print_json(report)
    else:
        show(training.adapt(report, verbose=verbose), brief=not verbose)
    if report.kind is None and report.code != "no-gain":  # nothing needs adapting: not an error
        sys.exit(1)


def _add(classifier: Classifier, path: Path, label: str | None, options: dict[str, Any]) -> AddReport:
    if path.is_dir():
        return classifier.add_many(path, label=label, **options)
    if label is None:
        raise click.UsageError(f"{path}: give the class of single photos with --label CLASS, or a folder ROOT/CLASS/PHOTO")
    return classifier.add_many([(path, label)], **options)


def _whole(reports: list[AddReport], counts: dict[str, int]) -> AddReport:
    """One report of several folders and photos."""
    photos = tuple(photo for report in reports for photo in report.photos)
    failed = tuple(failure for report in reports for failure in report.failed)
    return AddReport(photos, failed, counts, sum(report.seconds for report in reports))


def _is_assessed(changed: int, photos: int) -> bool:
    """Whether the accuracy is measured after `changed` of `photos` photos were added or moved: it takes as long as a training."""
    return changed > 0 and (photos <= _QUICK or changed >= photos / 10)
