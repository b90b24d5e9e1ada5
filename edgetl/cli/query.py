"""Verbs that ask and change nothing: predict, eval, explain, doctor."""

from __future__ import annotations

import base64
import io
import sys
from pathlib import Path
from typing import Any

import click

from edgetl.classifier import Classifier
from edgetl.cli.options import JSON, MODEL, PHOTOS, STORE, files, opened, progress_bar
from edgetl.cli.output import print_evaluation, print_json, say_failed, say_findings, say_warnings, write_text
from edgetl.errors import PhotoError
from edgetl.heads.confidence.rejection import POINTS
from edgetl.tables import render
from edgetl.types import to_json

_SIDE = 480
"""Longest side of the photo on the page that explains its answer, pixels."""


@click.command()
@PHOTOS
@MODEL
@click.option("-k", "--top", type=click.IntRange(1), default=3, show_default=True, help="How many classes to print per photo.")
@click.option("-c", "--confidence", type=float, help="Print the set of classes that holds the right one with this chance, e.g. 0.9.")
@click.option("--unknown", type=click.Choice(POINTS), help="For these photos only; what the head was trained for when not given.")
@JSON
def predict(photos: tuple[str, ...], top: int, confidence: float | None, unknown: Any, as_json: bool, **model: Any) -> None:
    """Classify photos."""
    guesses: dict[str, Any] = {}
    failed: list[tuple[str, str]] = []
    with opened(model, read_only=True) as classifier:
        for path in (file for start in photos for file in files(Path(start))):
            try:
                guesses[str(path)] = classifier.predict(path, top=top, confidence=confidence, unknown=unknown)
            except PhotoError as error:
                failed.append((str(path), str(error)))
        active = classifier.store.active()
    if as_json:
        print_json({"guesses": guesses, "failed": failed})
    else:
        single = active is not None and len(active.labels) == 1  # its probability is 1 whatever the photo shows
        for name, guess in guesses.items():
            classes = "  ".join(f"{label} {score:.3f}" for label, score in guess.top)
            click.echo(f"{name}  " + (guess.label or "unknown" if single else classes if guess.label else f"unknown: {classes}"))
            if guess.candidates is not None and not single:
                click.echo(f"{name}  one of: {', '.join(guess.candidates)}")
            if guess.reason:
                click.echo(f"{name}: {guess.reason}", err=True)
        say_failed(failed)
    if failed and not guesses:
        sys.exit(1)


@click.command("eval")
@click.argument("folder", type=click.Path())
@MODEL
@click.option("-v", "--verbose", is_flag=True, help="Print the confusion matrix too.")
@JSON
def evaluate(folder: str, verbose: bool, as_json: bool, **model: Any) -> None:
    """Measure the accuracy on labelled new photos."""
    with opened(model, read_only=True) as classifier, progress_bar("evaluating") as progress:
        report = classifier.evaluate(folder, progress=progress)
    if as_json:
        return print_json(report)
    print_evaluation(report, matrix=verbose)
    say_warnings(report.warnings)
    say_failed(report.failed)


@click.command()
@click.argument("photo", type=click.Path())
@MODEL
@click.option("--neighbours", type=click.IntRange(1), default=5, show_default=True, help="How many stored photos to show.")
@click.option("-o", "--output", type=click.Path(), help="Write a page with the photo and its neighbours' thumbnails.")
@JSON
def explain(photo: str, neighbours: int, output: str | None, as_json: bool, **model: Any) -> None:
    """Show why a photo gets its label."""
    from edgetl.diagnostics import page

    with opened(model, read_only=True) as classifier:
        report = classifier.explain(photo, k=neighbours)
        thumbnails = {one.sample: classifier.store.preview(one.sample) for one in report.neighbours}
    if output:
        write_text(output, page.render(report, _picture(photo), thumbnails))
    if as_json:
        pictures = {str(sample): base64.b64encode(jpeg).decode() for sample, jpeg in thumbnails.items()}
        return print_json({**to_json(report), "verdict": report.verdict, "thumbnails": pictures})
    click.echo(f"{photo}  {report.label or 'unknown'}: " + "  ".join(f"{label} {score:.3f}" for label, score in report.top[:3]))
    for finding in report.findings:
        click.echo(f"{finding.code}: {finding.sentence}" + (f"; {finding.advice}" if finding.advice else ""))
    rows = [(one.sample, one.label, f"{one.cosine:.3f}", one.source) for one in report.neighbours]
    click.echo()
    click.echo(render(("sample", "label", "cosine", "most like it"), rows))


@click.command()
@STORE
@click.option("--suspects", "top", type=click.IntRange(1), default=20, show_default=True, help="How many suspects to print.")
@JSON
def doctor(store: str, top: int, as_json: bool) -> None:
    """Find bad photos and likely wrong labels."""
    with Classifier.open(None, store, read_only=True) as classifier:
        report = classifier.diagnose()
    if as_json:
        return print_json(report)
    click.echo(render(("class", "photos", "views"), [(one.label, one.photos, one.bursts) for one in report.classes]))
    if report.suspects:
        rows = [(place, one.source, one.label, one.looks, f"{one.score:.3f}") for place, one in enumerate(report.suspects[:top], 1)]
        click.echo()
        click.echo(render(("", "suspect photo", "label", "looks like", "score"), rows))
        more = f"{len(report.suspects) - top} more with --suspects; " if len(report.suspects) > top else ""
        click.echo(f"{more}right a label with `edgetl add -l CLASS PHOTO`, drop a photo with `edgetl forget --photo PHOTO`", err=True)
    say_findings(report.findings)
    say_failed(report.failed)
    say_warnings(report.notes)


def _picture(photo: str) -> bytes:
    """A small upright copy, as a JPEG."""
    from PIL import ImageOps

    from edgetl.inputs.photo.source import decoding, load

    source, content = load(photo), io.BytesIO()
    with decoding(photo):
        image = ImageOps.exif_transpose(source.image()).convert("RGB")
        image.thumbnail((_SIDE, _SIDE))
        image.save(content, "JPEG", quality=82)
    return content.getvalue()
