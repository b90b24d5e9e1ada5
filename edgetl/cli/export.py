"""`edgetl export`: makes a bundle of a backbone, on a workstation."""

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
    """Numbers between separators, as a tuple."""

    def __init__(self, name: str, separator: str, kind: type[int] | type[float], counts: tuple[int, ...]) -> None:
        self.name, self._separator, self._kind, self._counts = name, separator, kind, counts

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See click."""
        if isinstance(value, tuple):
            return value
        try:
            values = tuple(self._kind(part) for part in str(value).split(self._separator))
        except ValueError:
            values = ()
        if len(values) not in self._counts:
            self.fail(f"{value!r} is not {self.name}", param, ctx)
        return values


_SIZE = _Numbers("WIDTHxHEIGHT", "x", int, (2,))
_CHANNELS = _Numbers("NUMBER or R,G,B", ",", float, (1, 3))

_OWN = options(
    click.option("--cut", default="none", show_default=True, metavar="none|auto|TENSOR",
                 help="Your own file: the output is the embedding, or cut before the last layer, or at a tensor."),
    click.option("--size", type=_SIZE, help="Your own file: the size of its input, if that is free."),
    click.option("--resize", type=click.IntRange(1), help="Your own file: the short side before the crop; default: size / 0.875."),
    click.option("--filter", type=click.Choice(("bilinear", "bicubic")), help="Your own file: the resampling filter."),
    click.option("--mean", type=_CHANNELS, help="Your own file: the mean of pixel values (0 to 255), if not in its metadata."),
    click.option("--std", type=_CHANNELS, help="Your own file: their standard deviation."),
    click.option("--order", type=click.Choice(("rgb", "bgr")), help="Your own file: the order of its channels; default: rgb."),
)  # fmt: skip
_MATRIX = options(
    click.option("--matrix", is_flag=True, help="Prove every variant on every target that this machine has, emulates or compiles for."),
    click.option("--target", "targets", multiple=True, help="Only this one: native, aarch64, armv7, qnn, ethos, nvidia; may be repeated."),
    click.option("--top1", "labelled", type=click.Path(),
                 help="For top-1 on the targets: a CSV table (file,index) of photos with a class of the network's own classifier."),
)  # fmt: skip


@click.command()
@click.option("--backbone", default="efficientnet_lite0", show_default=True,
              help="A name of the table, timm/NAME, keras/NAME, or your own .onnx, .tflite or .keras file.")  # fmt: skip
@click.option("--format", "formats", help="Comma-separated: onnx, tflite, openvino; default: all that the backbone offers.")
@click.option("--precision", "precisions", help="Comma-separated: fp32, fp16 (OpenVINO), int8; default: fp32 and int8.")
@click.option(
    "--levels", type=click.Choice(("last", "multi")), default="last", show_default=True,
    help="multi: with the pooled outputs of middle stages; more accurate if small details matter.",
)  # fmt: skip
@click.option("--calibrate", type=click.Path(), help="A folder of 120 or more photos like those the camera will see; int8 needs it.")
@click.option(
    "--background",
    type=click.Path(),
    metavar="FOLDER",
    help="60 or more photos of anything but your classes, from which heads learn to reject unknown objects. Default: the photos of "
    "--calibrate.",
)
@click.option("--no-background", is_flag=True, help="Leave the background out of the bundle (about 0.3 MB a variant).")
@click.option("--weights", type=click.Path(), help="A local file of weights instead of the backbone's published ones.")
@click.option("--random-weights", is_flag=True, help="Untrained weights, marked as such in the bundle; only for testing.")
@click.option("--onnx-recipe", default="auto", show_default=True, help="The int8 recipe for ONNX: onnx-u8s8 (auto) or onnx-u8u8.")
@click.option(
    "--openvino-recipe",
    default="auto",
    show_default=True,
    help="The int8 recipe for OpenVINO: openvino-u8s8 (auto) or openvino-u8u8.",
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
            show(texts.bundle(bundles.Bundle.open(output), verbose=True))
            click.echo("\n".join(report.details(result)))
    if failed := [f"{row.target} {row.variant}" for row in result.proofs if row.kind == "failed"]:
        click.echo(f"error: failed on {', '.join(failed)}. The bundle is written; edgetl bundle inspect -m {output} shows why.", err=True)
        sys.exit(1)


def _split(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip())
