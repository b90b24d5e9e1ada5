"""Verbs about stores: merge several into one, show the log, and check, repair, save and copy one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgetl.classifier import Classifier
from edgetl.cli.group import Ordered
from edgetl.cli.options import JSON, STORE, VERBOSE
from edgetl.cli.output import history, print_json, samples, show

if TYPE_CHECKING:
    from edgetl.store.care import Health

NEW = click.option("-o", "--output", required=True, type=click.Path(), help="The store to make.")


@click.group(cls=Ordered)
def store() -> None:
    """Merge, verify, repair or back up stores; show the log."""


@store.command()
@click.option("-s", "--store", "stores", multiple=True, required=True, type=click.Path(), help="A store; give each with its own -s.")
@NEW
@click.option("--rename", multiple=True, metavar="OLD=NEW", help="Give a class another name; may be repeated.")
@VERBOSE
@JSON
def merge(stores: tuple[str, ...], output: str, rename: tuple[str, ...], verbose: bool, as_json: bool) -> None:
    """Merge several stores of the same model into a new one."""
    from edgetl.store.merge import merge as merge_stores

    pairs = [pair.partition("=") for pair in rename]
    if any(not (old and equals and new) for old, equals, new in pairs):
        raise click.UsageError("--rename takes OLD=NEW")
    report = merge_stores(stores, output, rename={old: new for old, _, new in pairs})
    if as_json:
        print_json(report)
    else:
        show(samples.merge(report, output, verbose=verbose), brief=not verbose)


@store.command()
@STORE
@click.option("-n", "--last", type=click.IntRange(1), help="Show only the last N entries.")
@JSON
def log(store: str, last: int | None, as_json: bool) -> None:
    """Show what was done to a store, by whom and why."""
    with Classifier.open_store(store, read_only=True) as classifier:
        events = classifier.events(last)
    if as_json:
        print_json(events)
    else:
        show(history.events(events))


@store.command()
@STORE
@JSON
@click.pass_context
def verify(ctx: click.Context, store: str, as_json: bool) -> None:
    """Read every page and row, and say what is damaged."""
    from edgetl.store import care

    _show_health(ctx, care.verify(store), as_json)


@store.command()
@STORE
@JSON
@click.pass_context
def repair(ctx: click.Context, store: str, as_json: bool) -> None:
    """Build the indexes again from the rows, and verify."""
    from edgetl.store import care

    _show_health(ctx, care.repair(store), as_json)


@store.command()
@STORE
@NEW
@JSON
def salvage(store: str, output: str, as_json: bool) -> None:
    """Save every row of a damaged store that is whole to a new one."""
    from edgetl.store import care

    result = care.salvage(store, output)
    if as_json:
        print_json(result)
    else:
        show(history.salvaged(result))


@store.command()
@STORE
@NEW
@JSON
def backup(store: str, output: str, as_json: bool) -> None:
    """Copy a store, also while it is written to, and verify the copy."""
    from edgetl.store import care

    health = care.back_up(store, output)
    if as_json:
        print_json(health)
    else:
        show(history.backed_up(output, health))


def _show_health(ctx: click.Context, health: Health, as_json: bool) -> None:
    """Prints it; exit code 1 if something is damaged."""
    if as_json:
        print_json(health)
    else:
        show(history.health(health))
    if health.damaged:
        ctx.exit(1)
