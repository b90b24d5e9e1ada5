"""What the demo shows while it runs: tables on stdout, talk and progress bars on stderr."""

from __future__ import annotations

import contextlib
import sys
import textwrap
from collections.abc import Callable, Iterator

import click

from edgetl.demo.record import Step
from edgetl.inputs.photo.folders import Progress
from edgetl.tables import render


@contextlib.contextmanager
def bar(label: str) -> Iterator[Progress]:
    """A progress bar on stderr; where stderr is no terminal, its label alone."""
    with click.progressbar(length=1, label=f"  {label}", file=sys.stderr) as drawn:

        def advance(done: int, total: int) -> None:
            drawn.length = max(total, done, 1)
            drawn.update(done - drawn.pos)

        yield advance


def show(step: Step, number: int, echo: Callable[[str], None]) -> None:
    """Prints one step."""
    echo(f"\n{number}  {step.title}  ({step.seconds:.1f} s)")
    echo(f"{textwrap.fill(step.words, 100, break_on_hyphens=False, break_long_words=False)}\n")
    echo(render(step.headers, step.rows))
