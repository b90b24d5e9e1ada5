"""Verbs that write a trained classifier for other programs: one ordinary classifier file, or a file with which a phone learns."""

from __future__ import annotations

import click

from edgetl.cli.group import Ordered
from edgetl.cli.options import BUNDLE, JSON, STORE, VERBOSE, progress_bar
from edgetl.cli.output import deployed, print_json, show
from edgetl.session import deployment
from edgetl.types import to_json


@click.group(cls=Ordered)
def deploy() -> None:
    """Write a classifier or a trainer for other programs."""


@deploy.command()
@BUNDLE
@STORE
@click.option("--format", "format_", type=click.Choice(("onnx", "tflite", "openvino")), help="The file's format.")
@click.option("--variant", help="The bundle's variant whose backbone to take; default: the store's own.")
@click.option(
    "--check", type=click.Path(),
    help="A folder of 50 or more photos not used for training: compare the file with edgetl on them; another variant needs it.",
)  # fmt: skip
@click.option("--program", type=click.Choice(deployment.PROGRAMS), help="Write the folder that this program reads.")
@click.option("-o", "--output", required=True, type=click.Path(), help="The file: NAME.onnx, NAME.tflite or NAME.xml; or the folder.")
@VERBOSE
@JSON
def classifier(bundle: str, store: str, format_: str | None, variant: str | None, check: str | None, program: str | None, output: str,
               verbose: bool, as_json: bool) -> None:  # fmt: skip
    """Write backbone and active head as one classifier file."""
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
        show(deployed.classifier(fused, verbose=verbose), brief=not verbose)


@deploy.command()
@BUNDLE
@click.option("--variant", help="A TFLite variant of the bundle, e.g. tflite-int8; default: the smallest.")
@click.option("--slots", default=64, show_default=True, help="The most classes that the app may have.")
@click.option(
    "-s", "--store", envvar="EDGETL_STORE", type=click.Path(),
    help="The app begins with this store's photos, written beside the output (or EDGETL_STORE); default: from zero.",
)  # fmt: skip
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False), help="NAME.tflite.")
@VERBOSE
@JSON
def trainer(bundle: str, variant: str | None, slots: int, store: str | None, output: str, verbose: bool, as_json: bool) -> None:
    """Write one .tflite file with which a phone learns."""
    file = deployment.deploy_trainer(bundle, output, store=store, variant=variant, slots=slots)
    if as_json:
        print_json({**to_json(file.trainer), "state": file.state, "labels": file.labels})
    else:
        show(deployed.trainer(file, output, verbose=verbose), brief=not verbose)
