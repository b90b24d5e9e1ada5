"""Verbs about bundles: make one, look into one, measure one."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import click

from edgetl import bundle as bundles
from edgetl.cli.options import JSON, progress_bar, required
from edgetl.cli.output import print_json
from edgetl.errors import ExportError
from edgetl.tables import render
from edgetl.types import to_json


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
        _print_bundle(bundles.Bundle.open(output))


@click.command()
@click.argument("bundle", required=False, type=click.Path())
@click.option("-m", "--bundle", "named", envvar="EDGETL_BUNDLE", type=click.Path(), help="The bundle (or EDGETL_BUNDLE).")
@JSON
def inspect(bundle: str | None, named: str | None, as_json: bool) -> None:
    """Show what a bundle holds, and check every byte of it."""
    opened = bundles.Bundle.open(required(bundle or named, "BUNDLE"))
    files = opened.verify()
    if as_json:
        variants = {
            name: {**to_json(v), "size": v.size, "sha256": v.sha256, "fingerprint": opened.fingerprint(v).digest}
            for name, v in opened.variants.items()
        }
        print_json({"backbone": opened.backbone, "image": opened.image, "dim": opened.dim, "levels": opened.levels,
                     "calibration": opened.calibration,
                     "variants": variants, "files_checked": files})  # fmt: skip
    else:
        _print_bundle(opened)
        click.echo(f"{files} files, every sha256 is right", err=True)


@click.command()
@click.argument("bundle", required=False, type=click.Path())
@click.option("-m", "--bundle", "named", envvar="EDGETL_BUNDLE", type=click.Path(), help="The bundle (or EDGETL_BUNDLE).")
@click.option("-i", "--input", "photos", type=click.Path(), help="A folder of photos to rotate over; synthetic ones when not given.")
@click.option("--variant", "variants", multiple=True, help="Only these; may be repeated.")
@click.option("-t", "--threads", type=click.IntRange(1), help="Threads of the runtime; every core, at most 4, when not given.")
@click.option("--quick", is_flag=True, help="Fewer repetitions.")
@click.option("-o", "--output", type=click.Path(), help="Write the record, raw samples included, to this JSON file.")
@JSON
def bench(bundle: str | None, named: str | None, photos: str | None, variants: tuple[str, ...], threads: int | None, quick: bool,
          output: str | None, as_json: bool) -> None:  # fmt: skip
    """Measure latency on this machine, variant by variant."""
    from edgetl import bench as benchmark

    with progress_bar("measuring") as progress:
        record = benchmark.run(
            Path(required(bundle or named, "BUNDLE")), photos=Path(photos) if photos else None, variants=variants or None,
            threads=threads, quick=quick, progress=progress,
        )  # fmt: skip
    if output:
        benchmark.write(record, Path(output))
    if as_json:
        print_json(record)
    else:
        click.echo(benchmark.table(record))


@click.command()
@click.argument("bundles", nargs=-1, required=True, type=click.Path())
@click.option("-i", "--photos", required=True, type=click.Path(), help="A folder ROOT/CLASS/PHOTO of what will be taught.")
@click.option("--per-class", type=click.IntRange(2), help="Use at most this many photos of a class.")
@click.option("--runtime", help="litert, onnxruntime or openvino; a bundle for which it does not work here is left out, with the reason.")
@click.option("-t", "--threads", type=click.IntRange(1), help="Threads of the runtime; every core, at most 4, when not given.")
@click.option("--seed", default=0, show_default=True, help="Picks the photos where there are more.")
@JSON
def choose(bundles: tuple[str, ...], photos: str, as_json: bool, **settings: Any) -> None:
    """Rank backbones for these photos: accuracy, latency and size, measured here."""
    from edgetl import choose as chooser

    with progress_bar("choosing") as progress:
        choice = chooser.choose(bundles, photos, progress=progress, **settings)
    if as_json:
        print_json(choice)
    else:
        click.echo(chooser.table(choice))
    if choice.recommended is None:
        sys.exit(1)


@click.command()
@click.option("-o", "--output", default="demo", show_default=True, type=click.Path(), help="A folder for the report and the bundle.")
@click.option("--bundle", type=click.Path(), help="Use this bundle instead of exporting one.")
@click.option("--quick", is_flag=True, help="Fewer formats and photos.")
def demo(output: str, bundle: str | None, quick: bool) -> None:
    """The whole job on real photos: export, teach, add a class, forget, roll back, bench, report."""
    from edgetl import demo as demonstration

    demonstration.run(Path(output), quick=quick, bundle=Path(bundle) if bundle else None)


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _optional(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ExportError(f"this needs the workstation part, which is not installed ({error}); pip install 'edgetl[{extra}]'") from error


def _print_bundle(opened: bundles.Bundle) -> None:
    image, weights = opened.image, opened.backbone.get("weights", {})
    levels = f" ({' + '.join(map(str, opened.levels))})" if opened.levels else ""
    click.echo(f"backbone   {opened.backbone['name']}, {opened.dim} values{levels}, weights {weights.get('source', '?')}")
    click.echo(f"image      {image.width}x{image.height} from short side {image.resize}, {image.filter}, JPEG draft {image.draft}")
    if opened.calibration:
        click.echo(
            "calibrated " + ", ".join(f"{key} {value}" for key, value in opened.calibration.items() if not isinstance(value, (dict, list)))
        )
    headers = ("variant", "recipe", "MB", "cosine", "worst", "max abs", "same nearest", "n", "bound", "proved on", "fingerprint")
    click.echo(render(headers, [_variant_row(opened, variant) for variant in opened.variants.values()]))


def _variant_row(opened: bundles.Bundle, variant: bundles.Variant) -> tuple[object, ...]:
    parity, size = variant.parity, f"{variant.size / 1e6:.1f}"
    print_, recipe = opened.fingerprint(variant).digest[:12], variant.recipe.get("name", "")
    if parity is None:
        return variant.name, recipe, size, "-", "-", "-", "-", 0, "-", "not proved", print_
    return (
        variant.name, recipe, size, f"{parity.cosine_mean:.5f}", f"{parity.cosine_min:.5f}", f"{parity.max_abs:.3f}",
        f"{100 * parity.neighbour_agreement:.1f} %", parity.count, parity.bound, parity.machine, print_,
    )  # fmt: skip
