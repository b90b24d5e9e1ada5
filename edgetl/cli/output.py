"""How results are printed: results on stdout, talk on stderr."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from edgetl.types import Proportion, to_json

PROPORTION = ("right", "of", "%", "95 % interval")


def proportion(value: Proportion) -> tuple[object, ...]:
    """The cells under the headers PROPORTION."""
    low, high = value.interval
    return value.hits, value.n, f"{100 * value.value:.1f}" if value.n else "-", f"{100 * low:.1f} to {100 * high:.1f}"


def print_json(value: Any) -> None:
    """Prints a result for programs."""
    click.echo(json.dumps(to_json(value), indent=1, ensure_ascii=False))


def say_failed(failed: Sequence[tuple[str, str]]) -> None:
    """Names every photo that could not be used."""
    for source, reason in failed:
        click.echo(f"not used: {reason if source in reason else f'{source}: {reason}'}", err=True)


def say_warnings(warnings: Sequence[str]) -> None:
    """Says what the person should know."""
    for warning in warnings:
        click.echo(f"note: {warning}", err=True)
