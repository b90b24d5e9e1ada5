"""The verb of the workstation: a frozen backbone becomes a bundle."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import click

from edgetl import bundle as bundles
from edgetl.cli.bundles import print_bundle
from edgetl.cli.options import JSON, progress_bar
from edgetl.cli.output import print_json
from edgetl.errors import ExportError


@click.command()
@click.option("--backbone", default="efficientnet_lite0", show_default=True, help="Which network.")
@click.option("--formats", default="onnx,tflite,openvino", show_default=True, help="Comma-separated.")
@click.option("--precisions", default="fp32,int8", show_default=True, help="Comma-separated: fp32, fp16 (OpenVINO), int8.")
@click.option(
    "--levels", type=click.Choice(("last", "multi")), default="last", show_default=True,
    help="multi: the pooled outputs of middle stages beside the last one: more accurate where small details count.",
)  # fmt: skip
@click.option("--calibrate", type=click.Path(), help="A folder of 120 or more photos like those the camera will see; int8 needs it.")
@click.option("--weights", type=click.Path(), help="A local state dict instead of the backbone's published weights.")
@click.option("--random-weights", is_flag=True, help="Untrained weights, marked so in the bundle: for testing the plumbing only.")
@click.option(
    "--onnx-recipe", default="auto", show_default=True, help="The int8 recipe for ONNX; auto suits this machine's instruction set."
)
@click.option("--openvino-recipe", default="auto", show_default=True, help="The same for OpenVINO.")
@click.option("--seed", default=0, show_default=True, help="Chooses the calibration photos.")
@click.option("-o", "--output", required=True, type=click.Path(), help="NAME.edgetl for one file, or a folder.")
@JSON
def export(formats: str, precisions: str, calibrate: str | None, output: str, as_json: bool, **settings: Any) -> None:
    """Export and quantise a frozen backbone to a bundle (on a workstation)."""
    exporters = _optional("edgetl_exporters", "export")
    with progress_bar("exporting") as progress:
        result = exporters.export(
            formats=_split(formats), precisions=_split(precisions), photos=calibrate, output=Path(output), progress=progress, **settings
        )
    if as_json:
        print_json(result)
    else:
        print_bundle(bundles.Bundle.open(output))


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _optional(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ExportError(f"this needs the workstation part, which is not installed ({error}); pip install 'edgetl[{extra}]'") from error
