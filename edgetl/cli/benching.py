"""The verb `bench` and what is done with its records."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from edgetl.cli.options import JSON, progress_bar, required
from edgetl.cli.output import print_json


class _Defaulting(click.Group):
    """`edgetl bench BUNDLE` is `edgetl bench run BUNDLE`: whatever is no command's name belongs to `run`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Defaulting)
def bench() -> None:
    """Measure latency on this machine, variant by variant; compare, choose from and show the records."""


@bench.command()
@click.argument("bundle", required=False, type=click.Path())
@click.option("-m", "--bundle", "named", envvar="EDGETL_BUNDLE", type=click.Path(), help="The bundle (or EDGETL_BUNDLE).")
@click.option("-i", "--input", "photos", type=click.Path(), help="A folder of photos to rotate over; synthetic ones when not given.")
@click.option("--labelled", type=click.Path(), help="A folder ROOT/CLASS/PHOTO: top-1 over it beside every latency.")
@click.option("--variant", "variants", multiple=True, help="Only these; may be repeated.")
@click.option(
    "-t", "--threads", help="Threads of the runtime: 2, or 1,2,4, or all (1 to every core); every core, at most 4, when not given."
)
@click.option(
    "--provider", "providers", multiple=True, help="Execution provider or delegate; may be repeated. The runtime's own when not given."
)
@click.option("--scenario", "scenarios", multiple=True, help="Only these; may be repeated.")
@click.option("--quick", is_flag=True, help="128 queries and 5 s of each scenario instead of 1024 and 60 s.")
@click.option("--fps", default=30.0, show_default=True, type=click.FloatRange(0.1), help="Frames per second of predict-camera.")
@click.option("--sustained", "minutes", type=click.FloatRange(0.1), help="Also measure so many minutes without a pause.")
@click.option("--meter", help="A command that prints the joules used so far; else RAPL or INA where there is one.")
@click.option("--seed", default=0, show_default=True, help="Of the order, of the intervals, and of what is taught.")
@click.option("-o", "--output", type=click.Path(), help="Write the record, raw samples included, to this JSON file.")
@JSON
def run(bundle: str | None, named: str | None, threads: str | None, quick: bool, fps: float, minutes: float | None, seed: int,
        output: str | None, as_json: bool, **given: Any) -> None:  # fmt: skip
    """Measure a bundle (the default: `edgetl bench BUNDLE`)."""
    import dataclasses

    from edgetl import bench as benchmark
    from edgetl.bench.stand import Options

    method = dataclasses.replace(benchmark.QUICK if quick else benchmark.FULL, seed=seed)
    options = Options(fps, minutes) if minutes else Options(fps)
    given = {name: value or None for name, value in given.items()}
    if minutes:
        given["scenarios"] = [*(given["scenarios"] or benchmark.usual()), "sustained"]
    with progress_bar("measuring") as progress:
        record = benchmark.run(
            Path(required(bundle or named, "BUNDLE")), threads=_counts(threads), method=method, options=options, progress=progress, **given
        )
    if output:
        benchmark.write(record, output)
    if as_json:
        print_json(record)
    else:
        click.echo(benchmark.table(record))
    if record.ended:
        sys.exit(1)


def _counts(said: str | None) -> list[int] | None:
    """The thread counts of `-t`."""
    from edgetl import machine

    if said is None:
        return None
    if said == "all":
        return list(range(1, machine.cores() + 1))
    try:
        counts = [int(one) for one in said.split(",")]
    except ValueError:
        counts = [0]
    if min(counts) < 1:
        raise click.BadParameter(f"{said!r}; expected a count (2), several (1,2,4), or all", param_hint="--threads")
    return counts
