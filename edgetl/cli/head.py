"""Verbs about the heads there were: heads, rollback, activate, head export and import."""

from __future__ import annotations

import time

import click

from edgetl.classifier import Classifier
from edgetl.cli.options import JSON, STORE
from edgetl.cli.output import PROPORTION, named, print_json, proportion
from edgetl.tables import render
from edgetl.types import HeadInfo


@click.command()
@STORE
@JSON
def heads(store: str, as_json: bool) -> None:
    """List every head ever trained."""
    with Classifier.open(None, store, read_only=True) as shop:
        history = shop.heads()
    if as_json:
        print_json(history)
    else:
        click.echo(
            render(("", "head", "algorithm", "classes", "trained from", *PROPORTION, "when (device clock)"), [_head(i) for i in history])
        )


@click.command()
@STORE
@click.option("-n", "--last", type=click.IntRange(1), help="Only so many of the latest.")
@JSON
def log(store: str, last: int | None, as_json: bool) -> None:
    """Show what was done to a store, in which order, by whom and why."""
    with Classifier.open(None, store, read_only=True) as shop:
        events = shop.events(last)
    if as_json:
        print_json(events)
    else:
        rows = [(one.id, one.who, one.what, one.head_id or "", one.why, _when(one.clock)) for one in events]
        click.echo(render(("event", "who", "what", "head", "why", "when (device clock)"), rows))


@click.command()
@STORE
@JSON
def rollback(store: str, as_json: bool) -> None:
    """Go back to the head that was active before this one."""
    with Classifier.open(None, store) as shop:
        info = shop.rollback()
    _say_active(info, as_json)


@click.command()
@click.argument("head", type=click.IntRange(1))
@STORE
@JSON
def activate(head: int, store: str, as_json: bool) -> None:
    """Make HEAD of the history the active one; rollback undoes it."""
    with Classifier.open(None, store) as shop:
        info = shop.activate(head)
    _say_active(info, as_json)


@click.group()
def head() -> None:
    """Copy a head to a file, or take one from a file."""


@head.command("export")
@click.argument("number", required=False, type=click.IntRange(1))
@STORE
@click.option("-o", "--output", required=True, type=click.Path(), help="The safetensors file.")
@JSON
def export_head(number: int | None, store: str, output: str, as_json: bool) -> None:
    """Write head NUMBER, or the active one, to a file: labels, counts and fingerprint are inside."""
    with Classifier.open(None, store, read_only=True) as shop:
        info = shop.export_head(output, number)
    if as_json:
        print_json(info)
    else:
        click.echo(f"{output}: head {info.id}, {info.kind}, classes {named(info.labels)}, {info.size / 1e3:.0f} kB")


@head.command("import")
@click.argument("file", type=click.Path())
@STORE
@JSON
def import_head(file: str, store: str, as_json: bool) -> None:
    """Add a head that another store of the same model exported, and make it active; rollback undoes it."""
    with Classifier.open(None, store) as shop:
        info = shop.import_head(file)
    _say_active(info, as_json)


def _say_active(info: HeadInfo, as_json: bool) -> None:
    if as_json:
        print_json(info)
    else:
        click.echo(f"head {info.id} is active: {info.kind}, classes {named(info.labels)}")


def _head(info: HeadInfo) -> tuple[object, ...]:
    state = "*" if info.active else "kept" if info.not_activated_because else ""
    return state, info.id, info.kind, len(info.labels), info.samples, *proportion(info.accuracy), _when(info.created)


def _when(clock: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(clock))
