"""Verbs about stores: merge several into one, and show the log of one."""

from __future__ import annotations

import click

from edgetl.classifier import Classifier
from edgetl.cli.group import Ordered
from edgetl.cli.options import JSON, STORE
from edgetl.cli.output import print_json, when
from edgetl.tables import render


@click.group(cls=Ordered)
def store() -> None:
    """Merge stores, or show the log of one."""


@store.command()
@click.option("-s", "--store", "stores", multiple=True, required=True, type=click.Path(), help="A store; give each with its own -s.")
@click.option("-o", "--output", required=True, type=click.Path(), help="The store to make.")
@click.option("--rename", multiple=True, metavar="OLD=NEW", help="Give a class another name; may be repeated.")
@JSON
def merge(stores: tuple[str, ...], output: str, rename: tuple[str, ...], as_json: bool) -> None:
    """Merge several stores of the same model into a new one."""
    from edgetl.store.merge import merge as merged

    pairs = [pair.partition("=") for pair in rename]
    if any(not (old and equals and new) for old, equals, new in pairs):
        raise click.UsageError("--rename takes OLD=NEW")
    report = merged(stores, output, rename={old: new for old, _, new in pairs})
    if as_json:
        return print_json(report)
    click.echo(render(("store", "photos", "new in it"), [(one.store, one.photos, one.added) for one in report.stores]))
    click.echo()
    click.echo(render(("class", "photos"), list(report.counts.items())))
    click.echo(f"{report.target}: {sum(report.counts.values())} photos; {report.duplicates} were in several stores", err=True)
    for old, new in report.renamed.items():
        click.echo(f"renamed: {old!r} -> {new!r}", err=True)
    for conflict in report.conflicts:
        kept, dropped = conflict.kept, conflict.dropped
        click.echo(f"conflict: {kept.source} is {kept.label!r} in {kept.store} (kept), {dropped.label!r} in {dropped.store}", err=True)


@store.command()
@STORE
@click.option("-n", "--last", type=click.IntRange(1), help="Show only the last N entries.")
@JSON
def log(store: str, last: int | None, as_json: bool) -> None:
    """Show what was done to a store, by whom and why."""
    with Classifier.open(None, store, read_only=True) as classifier:
        events = classifier.events(last)
    if as_json:
        print_json(events)
    else:
        rows = [(event.id, event.who, event.what, event.head_id or "", event.why, when(event.clock)) for event in events]
        click.echo(render(("event", "who", "what", "head", "why", "when (device clock)"), rows))
