"""Verbs about the heads there were: heads, rollback."""

from __future__ import annotations

import time

import click

from edgetl.classifier import Classifier
from edgetl.cli.options import JSON, STORE
from edgetl.cli.output import PROPORTION, print_json, proportion
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
@JSON
def rollback(store: str, as_json: bool) -> None:
    """Go back to the head that was active before this one."""
    with Classifier.open(None, store) as shop:
        info = shop.rollback()
    if as_json:
        print_json(info)
    else:
        click.echo(f"head {info.head} is active: {info.kind}, classes {', '.join(info.labels)}")


def _head(info: HeadInfo) -> tuple[object, ...]:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(info.created))
    return "*" if info.active else "", info.head, info.kind, len(info.labels), info.samples, *proportion(info.accuracy), when
