"""Verbs about bundles: look into one, choose among several, see the whole job."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from edgetl.bundle import bundle as bundles
from edgetl.cli.group import Ordered
from edgetl.cli.options import BUNDLE, JSON, VERBOSE, progress_bar
from edgetl.cli.output import bundles as texts
from edgetl.cli.output import print_json, show
from edgetl.types import to_json


@click.group(cls=Ordered)
def bundle() -> None:
    """Inspect a bundle, choose among several, or add proofs."""


@bundle.command()
@BUNDLE
@VERBOSE
@JSON
def inspect(bundle: str, verbose: bool, as_json: bool) -> None:
    """Show what a bundle holds, and check every byte of it."""
    opened = bundles.Bundle.open(bundle)
    files = opened.verify()
    if as_json:
        variants = {
            name: {**to_json(v), "size": v.size, "sha256": v.sha256, "fingerprint": opened.fingerprint(v).digest}
            for name, v in opened.variants.items()
        }
        print_json({"backbone": opened.backbone, "input": opened.input, "dim": opened.dim, "levels": opened.levels,
                     "calibration": opened.calibration,
                     "variants": variants, "proofs": opened.proofs, "files_checked": files})  # fmt: skip
    else:
        show([*texts.bundle(opened, verbose=verbose), f"All checksums match ({files} files)."])


@bundle.command()
@click.option(
    "-m",
    "--bundle",
    "bundles",
    multiple=True,
    required=True,
    envvar="EDGETL_BUNDLE",
    type=click.Path(),
    help="A bundle (or EDGETL_BUNDLE); give each with its own -m.",
)
@click.option("--photos", required=True, type=click.Path(), help="A folder ROOT/CLASS/PHOTO of the classes to train.")
@click.option("--per-class", type=click.IntRange(2), help="Use at most this many photos of a class.")
@click.option("--runtime", help="litert, onnxruntime or openvino; a bundle for which it does not work here is skipped, with the reason.")
@click.option("-t", "--threads", type=click.IntRange(1), help="Threads of the runtime; default: every core, at most 4.")
@click.option("--seed", default=0, show_default=True, help="Chooses the photos if --per-class leaves some out.")
@JSON
def choose(bundles: tuple[str, ...], photos: str, as_json: bool, **settings: Any) -> None:
    """Rank bundles on your photos: accuracy, latency and size."""
    from edgetl.choose.choose import choose as choose_bundle
    from edgetl.choose.text import format_choice

    with progress_bar("choosing") as progress:
        choice = choose_bundle(bundles, photos, progress=progress, **settings)
    if as_json:
        print_json(choice)
    else:
        click.echo(format_choice(choice))
    if choice.recommended is None:
        sys.exit(1)


@bundle.command()
@BUNDLE
@click.option("--proofs", required=True, type=click.Path(), help="Another copy of the bundle, with proofs from another machine.")
@JSON
def add(bundle: str, proofs: str, as_json: bool) -> None:
    """Add proofs that a copy of the bundle got on another machine."""
    from edgetl.bundle.writer import copy_proofs

    added = copy_proofs(bundle, proofs)
    if as_json:
        print_json(added)
    else:
        show(texts.added(bundle, added))


@click.command()
@click.option("-o", "--output", default="demo", show_default=True, type=click.Path(), help="A folder for the report and the bundle.")
@click.option("-m", "--bundle", type=click.Path(), help="Use this bundle instead of exporting one.")
@click.option("--quick", is_flag=True, help="Fewer formats and photos.")
@click.option("-v", "--verbose", is_flag=True, help="Print the report's details too.")
def demo(output: str, bundle: str | None, quick: bool, verbose: bool) -> None:
    """See the whole job on real photos, and write a report."""
    from edgetl import demo as demonstration

    demonstration.run(Path(output), quick=quick, bundle=Path(bundle) if bundle else None, verbose=verbose)
