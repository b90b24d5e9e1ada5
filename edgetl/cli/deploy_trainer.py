"""The verbs for phones: a bundle becomes one .tflite file that learns in an app, and what an app has learnt becomes a head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgetl.bundle import bundle as bundles
from edgetl.cli.options import BUNDLE, JSON, workstation
from edgetl.cli.output import named, print_json
from edgetl.errors import ExportError
from edgetl.tables import render
from edgetl.types import to_json


@click.command("export-trainer")
@BUNDLE
@click.option("--variant", help="A TFLite variant of the bundle, e.g. tflite-int8; the one of the fewest bits when not given.")
@click.option("--slots", default=64, show_default=True, help="The most classes that the app may teach.")
@click.option("-s", "--store", type=click.Path(), help="Let the app begin with what this store was taught; written beside the output.")
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False), help="NAME.tflite.")
@JSON
def export_trainer(bundle: str, variant: str | None, slots: int, store: str | None, output: str, as_json: bool) -> None:
    """Write one .tflite file with which an Android or iOS app learns, without Python."""
    trainer = workstation("edgetl_exporters.trainer")
    start, labels, settings = (None, (), {}) if store is None else _taught(trainer, bundle, variant, slots, store)
    made = trainer.export_trainer(bundle, output, slots=slots, **{"variant": variant, **settings})
    beside = str(Path(output).with_suffix(".safetensors"))
    if start is not None:
        trainer.state.write(beside, start, labels)
    if as_json:
        print_json({**to_json(made), "state": beside if start else None, "labels": labels})
        return
    rows = [(one.signature, one.way, one.name, one.dtype, "x".join(map(str, one.shape)), one.meaning) for one in made.arguments]
    click.echo(render(("signature", "", "name", "dtype", "shape", "meaning"), rows))
    begins = f"{beside} at first, with classes {named(labels)}" if start else "all zeros at first"
    image = made.image
    click.echo(
        f"{output}: {made.size / 1e6:.1f} MB with {made.backbone} {made.variant}; builtin operators only: {', '.join(made.operators)}\n"
        f"the app scales a photo's short side to {image.resize} pixels ({image.filter}) and takes the centre {image.width}x{image.height}; "
        f"it keeps {made.state_size / 1e6:.1f} MB of state, {begins}, and the names of up to {made.slots} classes",
        err=True,
    )


@click.command("import-trainer")
@click.argument("trainer", type=click.Path())
@click.argument("state", type=click.Path())
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False), help="The head file, for edgetl head import.")
@JSON
def import_trainer(trainer: str, state: str, output: str, as_json: bool) -> None:
    """Turn the STATE that an app has learnt with TRAINER into a head file: safetensors with the four arrays and metadata 'labels'."""
    from edgetl.heads import Head

    exporters = workstation("edgetl_exporters.trainer")
    made = exporters.read_trainer(trainer)
    arrays, labels = exporters.state.read(state, made["slots"], made["dim"])
    weight, bias = exporters.state.linear(arrays, made["alpha"])
    counts = tuple(map(int, arrays["counts"]))
    heat = made["temperature"] / sum(counts)
    content = Head("lda", labels, weight, bias, heat, made["rooted"], counts, made["fingerprint"]).to_bytes()
    Head.from_bytes(content, state)  # an app may have chosen names that are not allowed
    try:
        Path(output).write_bytes(content)
    except OSError as error:
        raise ExportError(f"{output} cannot be written: {error.strerror}") from error
    if as_json:
        print_json({"labels": labels, "counts": counts, "temperature": heat, "fingerprint": made["fingerprint"]})
    else:
        click.echo(f"{output}: classes {named(labels)} of {sum(counts)} photos; edgetl head import {output} -s STORE", err=True)


def _taught(trainer: Any, bundle: str, variant: str | None, slots: int, store: str) -> tuple[Any, tuple[str, ...], dict[str, Any]]:
    """The store's photos as a state, its classes, and the settings that leave-one-out chose for them."""
    from edgetl.heads import open_set
    from edgetl.session.workspace import Memory
    from edgetl.store import Store

    with Store.open(store, None, read_only=True) as kept:
        chosen = trainer.choose(bundles.Bundle.open(bundle), variant, kept.fingerprint)
        fit = Memory(kept).learner().fit("lda")
        head, view = open_set.calibrate(fit)[0], fit.whole.view
    if len(head.labels) > slots:
        raise ExportError(f"{store}: {len(head.labels)} classes are more than {slots} slots; use --slots {2 * len(head.labels)}")
    settings = {"variant": chosen.name, "alpha": fit.alpha, "temperature": head.temperature * len(view.classes)}
    return trainer.state.of_photos(view.x, view.classes, slots, fit.alpha), head.labels, settings
