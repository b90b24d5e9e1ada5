"""The verb for phones: a bundle becomes one .tflite file that learns in an app."""

from __future__ import annotations

import importlib
from typing import Any

import click

from edgetl.cli.options import BUNDLE, JSON
from edgetl.cli.output import print_json
from edgetl.errors import ExportError
from edgetl.tables import render


@click.command()
@BUNDLE
@click.option("--variant", help="A TFLite variant of the bundle, e.g. tflite-int8; the one of the fewest bits when not given.")
@click.option("--slots", default=64, show_default=True, help="The most classes that the app may teach.")
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False), help="NAME.tflite.")
@JSON
def export_trainer(bundle: str, output: str, as_json: bool, **settings: Any) -> None:
    """Write one .tflite file with which an Android or iOS app learns, without Python."""
    try:
        exporters = importlib.import_module("edgetl_exporters.trainer")
    except ImportError as error:
        raise ExportError(f"this needs the workstation part, which is not installed ({error}); pip install 'edgetl[export]'") from error
    made = exporters.export_trainer(bundle, output, **settings)
    if as_json:
        print_json(made)
        return
    rows = [(one.signature, one.way, one.name, one.dtype, "x".join(map(str, one.shape)), one.meaning) for one in made.arguments]
    click.echo(render(("signature", "", "name", "dtype", "shape", "meaning"), rows))
    click.echo(
        f"{output}: {made.size / 1e6:.1f} MB with {made.backbone} {made.variant}; an app keeps {made.state_size / 1e6:.1f} MB of state, "
        f"all zeros at first, and the names of up to {made.slots} classes; builtin operators only: {', '.join(made.operators)}",
        err=True,
    )
