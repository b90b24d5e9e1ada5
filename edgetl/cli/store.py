"""Verbs about stores: merge several into one, and show the log of one."""

from __future__ import annotations

import click

from edgetl.classifier import Classifier
from edgetl.cli.group import Ordered
from edgetl.cli.options import JSON, STORE, VERBOSE
from edgetl.cli.output import history, print_json, samples, show


@click.group(cls=Ordered)
def store() -> None:
    """Merge stores, or show the log of one."""


@store.command()
@click.option("-s", "--store", "stores", multiple=True, required=True, type=click.Path(), help="A store; give each with its own -s.")
@click.option("-o", "--output", required=True, type=click.Path(), help="The store to make.")
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
