"""Verbs that change nothing: predict, eval, explain, doctor."""

from __future__ import annotations

import base64
import io
import sys
from pathlib import Path
from typing import Any

import click

from edgetl.classifier import Classifier
from edgetl.cli.options import JSON, MODEL, PHOTOS, STORE, VERBOSE, files, opened, progress_bar
from edgetl.cli.output import answers, print_json, samples, show, write_text
from edgetl.errors import PhotoError
from edgetl.heads.confidence.rejection import POINTS
from edgetl.heads.text import no_label_text
from edgetl.types import TOP, NamedPhoto, to_json

_SIDE = 480
"""Longest side of the photo on the page that explains its label, pixels."""


@click.command()
@PHOTOS
@MODEL
@click.option(
    "-k", "--top", type=click.IntRange(1), help=f"Print this many classes per photo; default: the best one, and {TOP} with --json."
)
@click.option("-c", "--confidence", type=float, help="Print the set of classes that contains the correct one with this chance, e.g. 0.9.")
@click.option("--unknown", type=click.Choice(POINTS), help="For these photos only; default: what the head was trained for.")
@VERBOSE
@JSON
def predict(
    photos: tuple[str, ...], top: int | None, confidence: float | None, unknown: Any, verbose: bool, as_json: bool, **model: Any
) -> None:
    """Classify photos; - reads one from standard input."""
    results: dict[str, Any] = {}
    with opened(model, read_only=True) as classifier:
        single = len(classifier.session.trained().labels) == 1
        paths = [file for start in photos for file in ([start] if start == "-" else files(Path(start)))]
        contents = (NamedPhoto("-", sys.stdin.buffer.read()) if path == "-" else path for path in paths)
        predictions = classifier.predict_many(contents, top=top or TOP, confidence=confidence, unknown=unknown)
        for path, prediction in zip(map(str, paths), predictions):
            results[path] = prediction
            if as_json:
                continue
            if isinstance(prediction, PhotoError):
                show([f"{'warning' if len(paths) > 1 else 'error'}: {prediction}"])
                continue
            show([answers.predict(path, prediction, single=single, top=verbose or top is not None)])
            if verbose and prediction.label is None:
                show([f"  {no_label_text(prediction)}"])
    failed = {path: error.to_json() for path, error in results.items() if isinstance(error, PhotoError)}
    if as_json:
        print_json({"predictions": {path: result for path, result in results.items() if path not in failed}, "failed": failed})
    if failed and (len(failed) == len(results) or not failed.keys().isdisjoint(photos)):
        if len(paths) > 1 and len(failed) == len(results) and not as_json:
            show(["error: no photo could be used."])
        sys.exit(1)


@click.command("eval")
@click.argument("folder", type=click.Path())
@MODEL
@VERBOSE
@JSON
def evaluate(folder: str, verbose: bool, as_json: bool, **model: Any) -> None:
    """Measure the accuracy on labelled new photos."""
    with opened(model, read_only=True) as classifier, progress_bar("evaluating") as progress:
        report = classifier.evaluate(folder, progress=progress)
    if as_json:
        print_json(report)
    else:
        show(answers.evaluate(report, verbose=verbose), brief=not verbose)


@click.command()
@click.argument("photo", type=click.Path())
@MODEL
@click.option("--neighbours", type=click.IntRange(1), default=5, show_default=True, help="How many stored photos to show.")
@click.option("-o", "--output", type=click.Path(), help="Write a page with the photo and its neighbours' thumbnails.")
@VERBOSE
@JSON
def explain(photo: str, neighbours: int, output: str | None, verbose: bool, as_json: bool, **model: Any) -> None:
    """Show why a photo gets its label."""
    from edgetl.diagnostics import page

    with opened(model, read_only=True) as classifier:
        report = classifier.explain(photo, k=neighbours)
        thumbnails = {neighbour.sample: classifier.store.preview(neighbour.sample) for neighbour in report.neighbours}
    if output:
        write_text(output, page.render(report, _picture(photo), thumbnails))
    if as_json:
        pictures = {str(sample): base64.b64encode(jpeg).decode() for sample, jpeg in thumbnails.items()}
        print_json({**to_json(report), "verdict": report.verdict, "thumbnails": pictures})
    else:
        show(answers.explain(photo, report, verbose=verbose))


@click.command()
@STORE
@click.option("--label-errors", type=click.IntRange(1), default=20, show_default=True, help="With -v: how many label errors to print.")
@VERBOSE
@JSON
def doctor(store: str, label_errors: int, verbose: bool, as_json: bool) -> None:
    """Find bad photos and likely wrong labels."""
    with Classifier.open_store(store, read_only=True) as classifier:
        report = classifier.diagnose()
    if as_json:
        print_json(report)
    else:
        show(samples.doctor(report, label_errors=label_errors, verbose=verbose), brief=not verbose)


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
