"""Verbs about heads: rollback, and head list, activate, export and import."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from edgetl.classifier import Classifier
from edgetl.cli.group import Ordered
from edgetl.cli.options import JSON, STORE
from edgetl.cli.output import history, print_json, show
from edgetl.session import deployment
from edgetl.types import HeadInfo


@click.group(cls=Ordered)
def head() -> None:
    """List, activate, export or import heads."""


@head.command("list")
@STORE
@JSON
def list_heads(store: str, as_json: bool) -> None:
    """List every head ever trained."""
    with Classifier.open_store(store, read_only=True) as classifier:
        infos = classifier.heads()
    if as_json:
        print_json(infos)
    else:
        show(history.heads(infos))


@click.command()
@STORE
@JSON
def rollback(store: str, as_json: bool) -> None:
    """Go back to the head that was active before."""
    with Classifier.open_store(store) as classifier:
        info = classifier.rollback()
    if as_json:
        print_json(info)
    else:
        show(history.rolled_back(info), brief=True)


@head.command()
@click.argument("head_id", metavar="HEAD_ID", type=click.IntRange(1))
@STORE
@JSON
def activate(head_id: int, store: str, as_json: bool) -> None:
    """Make a head of the history the active one."""
    with Classifier.open_store(store) as classifier:
        info = classifier.activate(head_id)
    _show_active(info, as_json)


@head.command("export")
@click.argument("head_id", metavar="[HEAD_ID]", required=False, type=click.IntRange(1))
@STORE
@click.option("-o", "--output", required=True, type=click.Path(), help="The safetensors file.")
@JSON
def export_head(head_id: int | None, store: str, output: str, as_json: bool) -> None:
    """Write a head to a file: the active one, or HEAD_ID."""
    with Classifier.open_store(store, read_only=True) as classifier:
        info = classifier.export_head(output, head_id)
    if as_json:
        print_json(info)
    else:
        show(history.exported(output, info))


@head.command("import")
@click.argument("file", type=click.Path())
@click.option("-s", "--store", envvar="EDGETL_STORE", type=click.Path(), help="The store (or EDGETL_STORE).")
@click.option("--trainer", type=click.Path(), help="FILE is what an app has learned with this file of `edgetl deploy trainer`.")
@click.option("-o", "--output", type=click.Path(dir_okay=False), help="With --trainer: write a head file instead of changing a store.")
@JSON
def import_head(file: str, store: str | None, trainer: str | None, output: str | None, as_json: bool) -> None:
    """Add a head from a file and make it active."""
    if output is not None:
        if trainer is None:
            raise click.UsageError("-o needs --trainer: it writes the head that an app has learned to a file")
        head = deployment.import_trainer(trainer, file, output)
        return print_json(head) if as_json else show(history.converted(output, head))
    if store is None:
        raise click.UsageError("Missing option '-s' / '--store'.")
    with Classifier.open_store(store) as classifier, tempfile.TemporaryDirectory() as folder:
        if trainer is not None:
            converted = str(Path(folder) / "head.safetensors")
            deployment.import_trainer(trainer, file, converted)
        info = classifier.import_head(file if trainer is None else converted)
    _show_active(info, as_json)


def _show_active(info: HeadInfo, as_json: bool) -> None:
    if as_json:
        print_json(info)
    else:
        show(history.active(info), brief=True)
