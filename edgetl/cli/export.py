"""The verb of the workstation: a frozen backbone becomes a bundle."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from edgetl.bundle import bundle as bundles
from edgetl.cli.options import JSON, options, progress_bar
from edgetl.cli.output import bundles as texts
from edgetl.cli.output import print_json, show
from edgetl.session.deployment import workstation


class _Numbers(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases of click only
    """Numbers with one separator between them, as a tuple."""

    def __init__(self, name: str, separator: str, kind: type[int] | type[float], counts: tuple[int, ...]) -> None:
        self.name, self._separator, self._kind, self._counts = name, separator, kind, counts

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See click."""
        if isinstance(value, tuple):
            return value
        try:
            made = tuple(self._kind(part) for part in str(value).split(self._separator))
        except ValueError:
            made = ()
        if len(made) not in self._counts:
            self.fail(f"{value!r} is no {self.name}", param, ctx)
        return made


_SIZE = _Numbers("WIDTHxHEIGHT", "x", int, (2,))
_CHANNELS = _Numbers("NUMBER or R,G,B", ",", float, (1, 3))

_OWN = options(
    click.option("--cut", default="none", show_default=True, metavar="none|auto|TENSOR",
                 help="Your own file: its output is the embedding, cut it before its last layer, or at this tensor."),
    click.option("--size", type=_SIZE, help="Your own file: its input, where it leaves that free."),
    click.option("--resize", type=click.IntRange(1), help="Your own file: the short side before the crop; size / 0.875 when not given."),
    click.option("--filter", type=click.Choice(("bilinear", "bicubic")), help="Your own file: how photos are resized."),
    click.option("--mean", type=_CHANNELS, help="Your own file: what is subtracted from its pixels (0 to 255), where it does not say."),
    click.option("--std", type=_CHANNELS, help="Your own file: what they are divided by."),
    click.option("--order", type=click.Choice(("rgb", "bgr")), help="Your own file: the order of its channels; rgb when not given."),
)  # fmt: skip
_MATRIX = options(
    click.option("--matrix", is_flag=True, help="Prove every variant on every target that this machine has, emulates or compiles for."),
    click.option("--target", "targets", multiple=True, help="Only this one: native, aarch64, armv7, qnn, ethos, nvidia; may be repeated."),
    click.option("--labelled", type=click.Path(),
                 help="For the targets' top-1: a CSV table (file,index) of photos whose class the network's own classifier knows."),
)  # fmt: skip


@click.command()
@click.option("--backbone", default="efficientnet_lite0", show_default=True,
              help="A name of the table, timm/NAME, keras/NAME, or your own .onnx, .tflite or .keras file.")  # fmt: skip
@click.option("--formats", help="Comma-separated: onnx, tflite, openvino; all that the backbone can become when not given.")
@click.option("--precisions", help="Comma-separated: fp32, fp16 (OpenVINO), int8; fp32 and int8 when not given.")
@click.option(
    "--levels", type=click.Choice(("last", "multi")), default="last", show_default=True,
    help="multi: the pooled outputs of middle stages beside the last one: more accurate where small details count.",
)  # fmt: skip
@click.option("--calibrate", type=click.Path(), help="A folder of 120 or more photos like those the camera will see; int8 needs it.")
@click.option(
    "--background",
    type=click.Path(),
    metavar="FOLDER",
    help="60 or more photos of anything but what you will train: a head learns from them what to reject. Taken from --calibrate "
    "when not given.",
)
@click.option("--no-background", is_flag=True, help="Leave the background out of the bundle (about 0.3 MB a variant).")
@click.option("--weights", type=click.Path(), help="A local file of weights instead of the backbone's published ones.")
@click.option("--random-weights", is_flag=True, help="Untrained weights, marked so in the bundle: for testing the plumbing only.")
@click.option("--onnx-recipe", default="auto", show_default=True, help="The int8 recipe for ONNX: onnx-u8s8 (auto) or onnx-u8u8.")
@click.option(
    "--openvino-recipe",
    default="auto",
    show_default=True,
    help="The same for OpenVINO: openvino-u8s8 (auto), openvino-u8u8 or openvino-nncf.",
)
@click.option("--seed", default=0, show_default=True, help="Chooses the calibration photos.")
@_OWN
@_MATRIX
@click.option("-o", "--output", required=True, type=click.Path(), help="NAME.edgetl for one file, or a folder.")
@click.option("-v", "--verbose", is_flag=True, help="Print the table of variants, the int8 diagnosis and the recipes that were tried.")
@JSON
def export(formats: str | None, precisions: str | None, calibrate: str | None, output: str, verbose: bool, as_json: bool, matrix: bool,
           targets: tuple[str, ...], background: str | None, no_background: bool, **settings: Any) -> None:  # fmt: skip
    """Make a bundle of a backbone (on a workstation)."""
    if background is not None and no_background:
        raise click.UsageError("give either --background FOLDER or --no-background")
    exporters = workstation("edgetl_exporters")
    with progress_bar("exporting") as progress:
        result = exporters.export(
            formats=_split(formats), precisions=_split(precisions), photos=calibrate, output=Path(output), progress=progress,
            targets=("all",) if matrix and not targets else targets,
            background=not no_background if background is None else background, **settings,
        )  # fmt: skip
    if as_json:
        print_json(result)
    else:
        report = workstation("edgetl_exporters.report")
        click.echo("\n".join(report.summary(result)))
        if verbose:
            click.echo("")
            show(texts.bundle(bundles.Bundle.open(output)))
            click.echo("\n".join(report.details(result)))
    if failed := [f"{row.target} {row.variant}" for row in result.proofs if row.kind == "failed"]:
        click.echo(f"error: failed on {', '.join(failed)}. The bundle is written; edgetl bundle inspect -m {output} shows why.", err=True)
        sys.exit(1)


def _split(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip())
