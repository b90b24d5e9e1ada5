"""What the demo shows while it runs: tables on stdout, progress bars on stderr."""

from __future__ import annotations

import contextlib
import sys
import textwrap
from collections.abc import Callable, Iterator

import click

from edgetl.demo.record import Step
from edgetl.inputs.photo.folders import Progress
from edgetl.tables import render

_WIDTH = 80


@contextlib.contextmanager
def bar(label: str) -> Iterator[Progress]:
    """A progress bar on stderr; only its label if stderr is not a terminal."""
    with click.progressbar(length=1, label=f"  {label}", file=sys.stderr) as drawn:

        def advance(done: int, total: int) -> None:
            drawn.length = max(total, done, 1)
            drawn.update(done - drawn.pos)

        yield advance


def show(step: Step, number: int, echo: Callable[[str], None], *, verbose: bool) -> None:
    """Prints one step; `verbose` adds its details and the table's other columns."""
    text = f"{step.words} {step.details}".strip() if verbose else step.words
    columns = None if verbose else step.columns
    echo(f"\n{number}  {step.title}  ({step.seconds:.1f} s)")
    echo(f"{textwrap.fill(text, _WIDTH, break_on_hyphens=False, break_long_words=False)}\n")
    echo(render(step.headers[:columns], [row[:columns] for row in step.rows]))
