"""Verbs that write a trained classifier for other programs: one ordinary classifier file, or a file with which a phone learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgetl.cli.group import Ordered
from edgetl.cli.options import BUNDLE, JSON, STORE, progress_bar
from edgetl.cli.output import common, named, print_json, show
from edgetl.session import deployment
from edgetl.tables import render
from edgetl.types import to_json


@click.group(cls=Ordered)
def deploy() -> None:
    """Write a classifier or a trainer for other programs."""


@deploy.command()
@BUNDLE
@STORE
@click.option("--format", "format_", type=click.Choice(("onnx", "tflite", "openvino")), help="The file's format.")
@click.option("--variant", help="The bundle's variant whose backbone to take; the store's own when not given.")
@click.option(
    "--check", type=click.Path(),
    help="A folder of 50 or more photos not used for training: compare the file with edgetl on them; another variant needs it.",
)  # fmt: skip
@click.option("--program", type=click.Choice(deployment.PROGRAMS), help="Write the folder that this program reads.")
@click.option("-o", "--output", required=True, type=click.Path(), help="The file: NAME.onnx, NAME.tflite or NAME.xml; or the folder.")
@JSON
def classifier(bundle: str, store: str, format_: str | None, variant: str | None, check: str | None, program: str | None, output: str,
               as_json: bool) -> None:  # fmt: skip
    """Write backbone and active head as one ordinary classifier file."""
    if not (format_ or variant or program):
        raise click.UsageError("give --format onnx, tflite or openvino")
    if program == "frigate" and format_ not in (None, "tflite"):
        raise click.UsageError(f"Frigate runs TFLite classifiers: leave --format {format_} out")
    with progress_bar("checking", drawn=check is not None) as progress:
        fused = deployment.deploy_classifier(
            bundle, store, output, format=format_, variant=variant, check=check, program=program, progress=progress
        )
    if as_json:
        print_json(fused)
    else:
        _print(fused)


def _print(fused: Any) -> None:
    proof = fused.agreement
    folder = Path(fused.path) if fused.target else Path(fused.path).parent
    for file in fused.files:
        click.echo(f"{folder / file.path}  {file.size / 1e6:.2f} MB  sha256 {file.sha256}")
    click.echo(f"classes    {len(fused.labels)}: {named(fused.labels)}")
    click.echo(f"backbone   {fused.variant}; the head adds {fused.added / 1e3:.1f} kB")
    click.echo(
        f"proved     on {proof.library}: same class as backbone and head apart on {proof.top1} pictures, probabilities within "
        f"{proof.max_abs:.1e} (bound {proof.bound:.0e})"
    )
    if fused.check is not None:
        check = fused.check
        click.echo(
            f"checked    same class as edgetl with {check.variant} on {check.top1} photos not used for training, probabilities within "
            f"{check.max_abs:.2g} (at least {100 * check.bound:.0f} % the same)"
        )
        if check.known:
            click.echo(f"warning: {check.known} photos were not checked: used for training, or given twice", err=True)
        show(common.failures(check.failed, verbose=True))
    for sentence in (*fused.expects, *fused.left_out):
        click.echo(f"note: {sentence}", err=True)


@deploy.command()
@BUNDLE
@click.option("--variant", help="A TFLite variant of the bundle, e.g. tflite-int8; the one of the fewest bits when not given.")
@click.option("--slots", default=64, show_default=True, help="The most classes that the app may have.")
@click.option(
    "-s", "--store", envvar="EDGETL_STORE", type=click.Path(),
    help="The app begins with this store's photos, written beside the output (or EDGETL_STORE); from zero when not given.",
)  # fmt: skip
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False), help="NAME.tflite.")
@JSON
def trainer(bundle: str, variant: str | None, slots: int, store: str | None, output: str, as_json: bool) -> None:
    """Write one .tflite file with which a phone learns."""
    deployed = deployment.deploy_trainer(bundle, output, store=store, variant=variant, slots=slots)
    file = deployed.trainer
    if as_json:
        print_json({**to_json(file), "state": deployed.state, "labels": deployed.labels})
        return
    rows = [(row.signature, row.way, row.name, row.dtype, "x".join(map(str, row.shape)), row.meaning) for row in file.arguments]
    click.echo(render(("signature", "", "name", "dtype", "shape", "meaning"), rows))
    begins = f"{deployed.state} at first, with classes {named(deployed.labels)}" if deployed.state else "all zeros at first"
    image = file.image
    click.echo(
        f"{output}: {file.size / 1e6:.1f} MB with {file.backbone} {file.variant}; builtin operators only: {', '.join(file.operators)}\n"
        f"the app scales a photo's short side to {image.resize} pixels ({image.filter}) and takes the centre {image.width}x{image.height}; "
        f"it keeps {file.state_size / 1e6:.1f} MB of state, {begins}, and the names of up to {file.slots} classes",
        err=True,
    )
