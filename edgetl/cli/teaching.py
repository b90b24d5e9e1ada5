"""Verbs that change what is known: add, train, forget."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from edgetl.classifier import Classifier
from edgetl.cli.options import JSON, MODEL, PHOTOS, STORE, given, opened, progress_bar
from edgetl.cli.output import PROPORTION, print_json, proportion, say_failed, say_warnings
from edgetl.errors import PhotoError
from edgetl.intake import Progress
from edgetl.tables import render
from edgetl.types import HEAD_KINDS, AddReport


@click.command()
@PHOTOS
@MODEL
@click.option("-l", "--label", help="The class of every photo given; without it, folders are ROOT/CLASS/PHOTO.")
@JSON
def add(photos: tuple[str, ...], more: tuple[str, ...], label: str | None, as_json: bool, **model: Any) -> None:
    """Teach photos: embed each once and keep it. Train afterwards."""
    with opened(model) as shop, progress_bar("adding") as progress:
        reports = [_add(shop, Path(path), label, progress) for path in given(photos, more)]
        counts = shop.counts
    added = tuple(photo for report in reports for photo in report.photos)
    failed = tuple(failure for report in reports for failure in report.failed)
    whole = AddReport(added, failed, counts, sum(report.seconds for report in reports))
    if as_json:
        print_json(whole)
    else:
        click.echo(render(("class", "photos"), list(counts.items())))
        statuses = ", ".join(f"{whole.number(status)} {status}" for status in ("added", "known", "relabelled"))
        click.echo(f"{statuses}, {len(failed)} not used, in {whole.seconds:.1f} s", err=True)
        for photo in added:
            if photo.status == "relabelled":
                click.echo(f"relabelled: {photo.source}: {photo.previous} -> {photo.label}", err=True)
        say_failed(failed)
    if failed and not added:
        sys.exit(1)


@click.command()
@STORE
@click.option("--head", "kind", type=click.Choice(HEAD_KINDS), default="auto", show_default=True, help="The algorithm.")
@JSON
def train(store: str, kind: Any, as_json: bool) -> None:
    """Train a head from the kept embeddings; no photo is touched."""
    with Classifier.open(None, store) as shop:
        report = shop.train(kind)
    if as_json:
        return print_json(report)
    rows = [*report.per_class.items(), ("all", report.accuracy)]
    click.echo(render(("class", *PROPORTION), [(label, *proportion(value)) for label, value in rows]))
    click.echo(f"head {report.head}: {report.reason}; {report.seconds * 1000:.0f} ms", err=True)
    say_warnings(report.warnings)


@click.command()
@STORE
@click.option("-l", "--label", help="Every photo of this class.")
@click.option("-i", "--input", "photo", type=click.Path(), help="This photo.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@JSON
def forget(store: str, label: str | None, photo: str | None, yes: bool, as_json: bool) -> None:
    """Remove a class or a photo, exactly; the head is trained again without it."""
    if (label is None) == (photo is None):
        raise click.UsageError("give either --label CLASS or --input PHOTO")
    if not yes and sys.stdin.isatty():
        click.confirm(f"forget {label or photo}? Its embeddings cannot be brought back.", abort=True, err=True)
    with Classifier.open(None, store) as shop:
        report = shop.forget(label=label, photo=photo)
    if as_json:
        return print_json(report)
    click.echo(render(("class", "forgotten", "left"), [(name, n, report.counts.get(name, 0)) for name, n in report.removed.items()]))
    click.echo("no head is active now" if report.head is None else f"head {report.head} is active, trained without them", err=True)


def _add(shop: Classifier, path: Path, label: str | None, progress: Progress) -> AddReport:
    if path.is_dir():
        return shop.add_many(path, label=label, progress=progress)
    if label is None and path.exists():
        raise click.UsageError(f"{path}: give the class of single photos with --label CLASS, or a folder ROOT/CLASS/PHOTO")
    if label is None:
        raise PhotoError(f"{path}: no such file or folder")
    return shop.add_many([(path, label)], progress=progress)
