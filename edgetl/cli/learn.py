"""Verbs that change a store: add, train, forget, adapt."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from edgetl.adaptation.adapters import KINDS
from edgetl.classifier import Classifier
from edgetl.cli.options import JSON, MODEL, PHOTOS, STORE, opened, progress_bar
from edgetl.cli.output import print_assessment, print_change, print_json, proportion, say_failed, say_findings, say_warnings
from edgetl.errors import PhotoError
from edgetl.heads.confidence.rejection import POINTS
from edgetl.session.reports import AddReport
from edgetl.tables import render
from edgetl.types import ALLOWED_LOSS, HEAD_KINDS, to_json

_QUICK = 2000
"""Photos up to which a measurement of the accuracy takes less than half a second (tools/bench_scale)."""
_SHORT = 20


@click.command()
@PHOTOS
@MODEL
@click.option("-l", "--label", help="The class of every photo given; without it, folders are ROOT/CLASS/PHOTO.")
@click.option("--strict", is_flag=True, help="Leave out photos on which the doctor sees something.")
@click.option("--views", type=click.IntRange(1), default=1, show_default=True, help="Embeddings per photo; each costs a backbone pass.")
@JSON
def add(photos: tuple[str, ...], label: str | None, strict: bool, views: int, as_json: bool, **model: Any) -> None:
    """Add labelled photos to the store."""
    missing = [path for path in photos if not Path(path).exists()]
    if missing:  # asked before a store is made for them
        raise PhotoError(f"{missing[0]}: no such file or folder")
    with opened(model) as classifier, progress_bar("adding") as progress:
        options = {"views": views, "strict": strict, "progress": progress}
        reports = [_add(classifier, Path(path), label, options) for path in photos]
        counts = classifier.counts
        changed = sum(photo.status != "known" for report in reports for photo in report.photos)
        judged = len(counts) > 1 and _worth_judging(changed, sum(counts.values()))
        standing = classifier.assess() if judged else None
    added = tuple(photo for report in reports for photo in report.photos)
    failed = tuple(failure for report in reports for failure in report.failed)
    whole = AddReport(added, failed, counts, sum(report.seconds for report in reports))
    if as_json:
        print_json({**to_json(whole), "standing": standing})
    else:
        if standing is None:
            touched = {photo.label for photo in added}
            click.echo(render(("class", "photos"), [(name, n) for name, n in counts.items() if len(counts) < _SHORT or name in touched]))
        else:
            print_assessment(standing.accuracy, standing.assessment)
        statuses = ", ".join(f"{whole.number(status)} {status}" for status in ("added", "known", "relabelled"))
        click.echo(f"{statuses}, {len(failed)} not used, in {whole.seconds:.1f} s", err=True)
        for photo in added:
            if photo.status == "relabelled":
                click.echo(f"relabelled: {photo.source}: {photo.previous} -> {photo.label}", err=True)
        if changed and len(counts) > 1 and standing is None:
            click.echo(f"the accuracy was not measured again: edgetl train -s {model['store']} does", err=True)
        say_findings([*whole.findings, *(standing.findings if standing else ())])
        say_failed(failed)
    if failed and not added:
        sys.exit(1)


@click.command()
@STORE
@click.option("--head", "kind", type=click.Choice(HEAD_KINDS), default="auto", show_default=True, help="The algorithm.")
@click.option(
    "--allow-loss", type=click.FloatRange(0, 1), default=ALLOWED_LOSS, show_default=True,
    help="The accuracy that a class known before may lose; a head that takes more is kept, not active.",
)  # fmt: skip
@click.option(
    "--unknown", type=click.Choice(POINTS),
    help="strict: few unknown objects get a label. lenient: few known ones are refused. As before when not given, at first balanced.",
)  # fmt: skip
@JSON
def train(store: str, kind: Any, allow_loss: float, unknown: Any, as_json: bool) -> None:
    """Train a head from the stored photos."""
    with Classifier.open(None, store) as classifier:
        report = classifier.train(kind, allow_loss=allow_loss, unknown=unknown)
    if as_json:
        print_json(report)
    else:
        if len(report.per_class) > 1:
            print_assessment(report.accuracy, report.assessment, advise=report.active)
        if report.code == "unchanged":
            click.echo(f"unchanged: head {report.head_id} was trained from the same photos and settings", err=True)
        click.echo(f"head {report.head_id}: {report.reason}; {report.seconds * 1000:.0f} ms", err=True)
        if len(report.per_class) > 1:
            print_change(report)
        click.echo(f"unknown objects ({report.rejection.point}): {report.rejection.reason}", err=True)
        if report.rejection.coverage.n:
            click.echo(f"known photos that get a label: {report.rejection.coverage}", err=True)
        if report.calibration is not None:
            click.echo(f"calibration error of the probabilities: {report.calibration}", err=True)
        say_findings(report.findings)
        say_warnings(report.warnings)
    if not report.active:
        click.echo(f"not activated: {report.not_activated_because}", err=True)
        sys.exit(1)


@click.command()
@STORE
@click.option("-l", "--label", help="Every photo of this class.")
@click.option("--photo", type=click.Path(), help="This photo.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--vacuum", is_flag=True, help="Give the freed room back to the disk.")
@JSON
def forget(store: str, label: str | None, photo: str | None, yes: bool, vacuum: bool, as_json: bool) -> None:
    """Remove a class or a photo, and retrain without it."""
    if (label is None) == (photo is None):
        raise click.UsageError("give either --label CLASS or --photo PHOTO")
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("nothing was changed: pass --yes to forget without a terminal to ask on")
    if not yes:
        click.confirm(f"forget {label or photo}? Its embeddings cannot be brought back.", abort=True, err=True)
    with Classifier.open(None, store) as classifier:
        report = classifier.forget(label=label, photo=photo, vacuum=vacuum)
    if as_json:
        return print_json(report)
    click.echo(render(("class", "forgotten", "left"), [(name, n, report.counts.get(name, 0)) for name, n in report.removed.items()]))
    gone = (
        "nothing of them is left in the file"
        if not report.traces
        else f"{report.traces} pieces of them are left while another program reads it; any change after that erases them"
    )
    click.echo(gone + (f", which shrank by {report.freed / 1e3:.0f} kB" if vacuum else ""), err=True)
    if report.head_id is None:
        click.echo("no head is active now", err=True)
    else:
        click.echo(
            f"head {report.head_id} is active, trained without them; it differs from one fitted afresh by {report.difference:.1e} at most",
            err=True,
        )


@click.command()
@click.argument("folder", required=False, type=click.Path())
@MODEL
@click.option("--kind", type=click.Choice(("auto", *KINDS)), default="auto", show_default=True, help="Which adapter.")
@click.option("--labelled", type=click.Path(), help="A folder ROOT/CLASS/PHOTO instead: its labels only check the adapted head.")
@click.option("--same-balance", is_flag=True, help="You confirm that these photos have the classes in the same balance as the training.")
@JSON
def adapt(folder: str | None, kind: Any, labelled: str | None, same_balance: bool, as_json: bool, **model: Any) -> None:
    """Adapt to unlabelled photos of a new place or camera."""
    photos = labelled or folder
    if photos is None or (labelled and folder):
        raise click.UsageError("give either a FOLDER of photos or --labelled FOLDER")
    with opened(model) as classifier, progress_bar("embedding") as progress:
        report = classifier.adapt(photos, kind, labelled=labelled is not None, same_balance=same_balance, progress=progress)
    if as_json:
        print_json(report)
    else:
        rows = [(one.kind, "accepted" if one.accepted else "refused", *proportion(one.changed), one.reason) for one in report.tried]
        click.echo(render(("adapter", "", "answers changed", "of", "%", "95 % interval", "why"), rows))
        say_warnings(report.warnings)
    if report.kind is None:
        click.echo(f"error: {report.reason}", err=True)
        sys.exit(1)
    click.echo("the adapted head is active; the next training begins without it, and `edgetl rollback` undoes it", err=True)


def _worth_judging(changed: int, photos: int) -> bool:
    """Whether the accuracy is measured after `changed` of `photos` photos were added or moved: it takes as long as a training."""
    return changed > 0 and (photos <= _QUICK or changed >= photos / 10)


def _add(classifier: Classifier, path: Path, label: str | None, options: dict[str, Any]) -> AddReport:
    if path.is_dir():
        return classifier.add_many(path, label=label, **options)
    if label is None:
        raise click.UsageError(f"{path}: give the class of single photos with --label CLASS, or a folder ROOT/CLASS/PHOTO")
    return classifier.add_many([(path, label)], **options)
