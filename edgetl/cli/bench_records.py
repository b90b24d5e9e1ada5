"""What is done with bench records: compare two, choose what to ship, show them as a page."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgetl.cli.options import JSON
from edgetl.cli.output import print_json
from edgetl.errors import EdgetlError, RecordError

if TYPE_CHECKING:
    from edgetl.bench import Record

_UNJUDGED = 3
"""Exit code of a comparison that says nothing: 1 is a regression, 2 a usage error."""


class Finite(click.FloatRange):
    """A finite number."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number, or a usage error."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


RECORDS = click.argument("records", nargs=-1, required=True, type=click.Path())


@click.command()
@click.argument("before", type=click.Path())
@click.argument("after", type=click.Path())
@click.option(
    "--margin",
    default=3.0,
    show_default=True,
    type=Finite(0),
    help="Percent: the smallest change that matters; an interval within it is no change.",
)
@click.option("--floor-us", default=20.0, show_default=True, type=Finite(0), help="Microseconds: the same.")
@click.option(
    "--fail-on",
    type=click.Choice(["p50", "p90", "p99"]),
    multiple=True,
    default=["p50"],
    show_default=True,
    help="Percentiles of whole scenarios that may fail a build; memory and top-1 always may.",
)
@click.option(
    "--require",
    type=Finite(0),
    metavar="PERCENT",
    help="Exit code 3 unless every such number of BEFORE is in AFTER too, and its ratio is known to ±PERCENT.",
)
@click.option("--other-machine", is_flag=True, help="Compare records of different machines anyway.")
@click.option("--junit", type=click.Path(), help="Also write the verdicts as JUnit XML to this file, in every case.")
@JSON
def compare(before: str, after: str, junit: str | None, as_json: bool, margin: float, floor_us: float, require: float | None,
            **how: Any) -> None:  # fmt: skip
    """Compare two records: what became faster or slower.

    Exit code 0: no regression; 1: a regression; 3: cannot tell, because the records cannot be compared, the machine was busy, or a
    requirement (--require) is not met.
    """
    from edgetl.bench import files
    from edgetl.bench.judging import compare as comparing
    from edgetl.bench.judging import junit as xml
    from edgetl.bench.judging import screen

    how |= {"floor_ns": round(1000 * floor_us), "margin": margin / 100, "require": None if require is None else require / 100}
    names = (before, after)
    try:
        if junit:
            files.check_folder(Path(junit))
    except RecordError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(_UNJUDGED)
    try:
        comparison = comparing.compare(files.read(before), files.read(after), names=names, **how)
        if junit:
            xml.write(comparison, junit)
    except EdgetlError as error:
        click.echo(f"error: {error}", err=True)
        if junit and isinstance(error, RecordError):
            xml.write_error(error, names, junit)
        sys.exit(_UNJUDGED)
    if as_json:
        print_json(comparison)
    else:
        click.echo(screen.comparison_table(comparison))
    if comparing.regressed(comparison):
        sys.exit(1)
    if not comparing.judgeable(comparison):
        sys.exit(_UNJUDGED)


@click.command()
@RECORDS
@click.option("--scenario", default="predict-file", show_default=True, help="Whose latency; memory or energy pick what needs least.")
@click.option("--p50-ms", type=Finite(0), help="At most this median, milliseconds.")
@click.option("--p99-ms", type=Finite(0), help="At most this 99th percentile, milliseconds.")
@click.option("--peak-mb", type=Finite(0), help="At most this peak memory of the process, 10^6 bytes.")
@click.option("--size-mb", type=Finite(0), help="At most this size of the model, 10^6 bytes.")
@click.option("--max-loss", type=Finite(0), help="At most this many points of top-1 below the most accurate float variant.")
@JSON
def pick(records: tuple[str, ...], as_json: bool, **limits: Any) -> None:
    """Choose variant, threads and provider for a budget.

    Exit code 1 if nothing fits.
    """
    from edgetl.bench.judging import pick as picking
    from edgetl.bench.judging import screen

    result = picking.pick(_read(records), picking.Budget(**limits))
    if as_json:
        print_json(result)
    else:
        click.echo(screen.pick_table(result))
    if not result.complete:
        sys.exit(1)


@click.command()
@RECORDS
@click.option("--md", "form", flag_value="md", help="As a Markdown table: format, size, top-1, ms, FPS.")
@click.option("--csv", "form", flag_value="csv", help="As comma-separated values, every column.")
@click.option("--scenario", help="With --md and --csv: whose latency; default: predict-file if it was measured.")
def show(records: tuple[str, ...], form: str | None, scenario: str | None) -> None:
    """Print records again: as `bench` does, or as a table to paste."""
    from edgetl.bench import paste, table

    read = [record for _, record in _read(records)]
    if form is None:
        click.echo("\n\n".join(map(table, read)))
    elif not any(paste.rows(record, scenario) for record in read):
        message = f"no record has a latency of {scenario or 'any scenario'} for a table. Print them: edgetl bench show RECORDS"
        raise RecordError(message, code="no-latency", scenario=scenario)
    else:
        click.echo((paste.markdown if form == "md" else paste.separated)(read, scenario))


@click.command()
@RECORDS
@click.option("--scenario", default="predict-file", show_default=True, help="Whose p50.")
@click.option("--margin", default=3.0, show_default=True, type=Finite(0), help="Percent: the smallest change that matters.")
@JSON
def trend(records: tuple[str, ...], scenario: str, margin: float, as_json: bool) -> None:
    """Show how the latency changed over many records.

    The p50 of one scenario on one machine, by date, each compared with the one before.
    """
    from edgetl.bench.judging import screen
    from edgetl.bench.judging import trend as trending

    trends = trending.trends(_read(records), scenario, margin / 100)
    if as_json:
        print_json(trends)
    else:
        click.echo(screen.trend_table(trends))


@click.command()
@RECORDS
@click.option("-o", "--output", default="report.html", show_default=True, type=click.Path(), help="The page.")
def report(records: tuple[str, ...], output: str) -> None:
    """Show records as one self-contained HTML page."""
    from edgetl.bench import report as reporting

    reporting.write(_read(records), output)
    click.echo(output)


def _read(paths: Sequence[str]) -> list[tuple[str, Record]]:
    """The records under their files' names; under their paths where two files have one name. A file given twice is read once."""
    from edgetl.bench import files

    paths = tuple(dict.fromkeys(paths))

    names = [Path(path).name for path in paths]
    return [(name if names.count(name) == 1 else path, files.read(path)) for name, path in zip(names, paths)]
