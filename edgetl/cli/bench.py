"""The verb `bench` and what is done with its records."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from edgetl.cli.options import BUNDLE, JSON, progress_bar
from edgetl.errors import RecordError
from edgetl.inputs.photo.folders import Progress

if TYPE_CHECKING:
    from edgetl.bench import Method, Record


class _Defaulting(click.Group):
    """`edgetl bench -m BUNDLE` is `edgetl bench run -m BUNDLE`: what is not a command's name belongs to `run`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands, and the options of the one whose name may be left out."""
        self.format_commands(ctx, formatter)
        options = (option for option in self.commands["run"].get_params(ctx) if isinstance(option, click.Option))
        records = [option.get_help_record(ctx) for option in options]
        with formatter.section("Options of run, whose name may be left out"):
            formatter.write_dl([record for record in records if record])


class _Seconds(float):
    """Written with its unit, so that it can be passed on to another machine."""

    def __str__(self) -> str:
        return f"{float(self):g}s"


class _Duration(click.FloatRange):
    """A time such as 90s, 5m or 1h, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The seconds, or a usage error."""
        parsed = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|min|h)", str(value))
        seconds = float(parsed[1]) * {"s": 1, "m": 60, "min": 60, "h": 3600}[parsed[2]] if parsed else 0.0
        if not seconds:
            self.fail(f"{str(value)!r}: expected a number and its unit, such as 90s, 5m or 1h.", param, ctx)
        return _Seconds(seconds)


@click.group(cls=_Defaulting, subcommand_metavar="-m BUNDLE [OPTIONS] | COMMAND [ARGS]...", options_metavar="")
def bench() -> None:
    """Measure latency and memory; compare and show the records."""


@bench.command()
@BUNDLE
@click.option("--photos", type=click.Path(), help="A folder of photos to rotate over; synthetic ones when not given.")
@click.option("--labelled", type=click.Path(), help="A folder ROOT/CLASS/PHOTO: top-1 over it beside every latency.")
@click.option("--variant", "variants", multiple=True, help="Only these; may be repeated.")
@click.option(
    "-t", "--threads", help="Threads of the runtime: 2, or 1,2,4, or all (1 to every core); every core, at most 4, when not given."
)
@click.option(
    "--provider", "providers", multiple=True, help="Execution provider or delegate; may be repeated. The runtime's own when not given."
)
@click.option(
    "--scenario",
    "scenarios",
    multiple=True,
    help="Only these, e.g. predict-file, two-cameras, operators, cold, memory, energy; may be repeated.",
)
@click.option("--quick", is_flag=True, help="372 queries and 5 s of each scenario in 4 processes instead of 1024 and 60 s in 10.")
@click.option("--queries", type=click.IntRange(1), help="At least this many queries of each scenario, over all processes.")
@click.option("--seconds", type=click.FloatRange(0), help="At least this many seconds of each scenario, over all processes.")
@click.option("--rounds", type=click.IntRange(1), help="Processes of each configuration; fewer than 3 give no intervals.")
@click.option(
    "--budget",
    type=_Duration(min=0, min_open=True),
    help="Such as 90s, 5m or 1h: screen every configuration, spend the rest on the fastest ones.",
)
@click.option("--fps", default=30.0, show_default=True, type=click.FloatRange(0.1), help="Frames per second of a camera.")
@click.option("--sustained", "minutes", type=click.FloatRange(0.1), help="Also measure for this many minutes without a pause.")
@click.option("--meter", help="A command that prints the joules used so far; otherwise RAPL or INA, if available.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Seed of order, intervals and training photos.")
@click.option("--md", "form", flag_value="md", help="Print a Markdown table to paste: format, size, top-1, ms, FPS.")
@click.option("--csv", "form", flag_value="csv", help="Print comma-separated values.")
@click.option("-o", "--output", type=click.Path(), help="Write the record, raw samples included, to this JSON file.")
@click.option("--on", "target", metavar="MACHINE", help="Measure on another machine: ssh://USER@HOST:PORT.")
@click.option("--python", help="With --on: an interpreter there that has what edgetl needs; a virtual environment is made when not given.")
@click.option("--keep", is_flag=True, help="With --on: leave the folder there.")
@JSON
@click.pass_context
def run(ctx: click.Context, /, bundle: str, output: str | None, target: str | None, python: str | None,
        keep: bool, form: str | None, as_json: bool, **options: Any) -> None:  # fmt: skip
    """Measure a bundle (the default: `edgetl bench -m BUNDLE`).

    Ctrl-C and SIGTERM end it early: what was measured until then is shown and written, marked as partial, and the exit code is 1.
    """
    from edgetl.bench import files

    if (python or keep) and not target:
        raise click.UsageError("--python and --keep are about another machine: give --on too")
    options = {name: value or None if isinstance(value, tuple) else value for name, value in options.items()}
    if output is not None:
        files.check(output)
    asked = [*(options["variants"] or ()), *(options["providers"] or ()), *(options["scenarios"] or ())]
    if target:
        _show(_there(ctx, Path(bundle), target, python, keep, options), output, "json" if as_json else form, asked)
    else:
        _here(Path(bundle), output, "json" if as_json else form, asked, **options)


def _here(path: Path, output: str | None, form: str | None, asked: Sequence[str], *, threads: str | None, quick: bool, fps: float,
          minutes: float | None, seed: int, **options: Any) -> None:  # fmt: skip
    import dataclasses

    from edgetl import bench as benchmark
    from edgetl.bench.measuring import plan
    from edgetl.bench.measuring.child import Stop
    from edgetl.bench.measuring.stand import Options

    method = dataclasses.replace(
        _method(quick, {name: options.pop(name) for name in ("queries", "seconds", "rounds", "budget")}), seed=seed
    )
    if minutes:
        options["scenarios"] = tuple(dict.fromkeys((*plan.requested(options["scenarios"]), "sustained")))
    if method.budget is not None:  # before photos are drawn
        plan.leading(plan.requested(options["scenarios"]))
    single = Options(fps, minutes) if minutes else Options(fps)
    with Stop() as stop:
        with _bar() as progress:
            record = benchmark.run(path, threads=_counts(threads), method=method, options=single, progress=progress, stop=stop, **options)
        _show(record, output, form, asked)


def _method(quick: bool, changed: Mapping[str, Any]) -> Method:
    """The method that the options name; a budget's processes are those of --quick."""
    import dataclasses

    from edgetl import bench as benchmark

    changed = {name: value for name, value in changed.items() if value is not None}
    base = benchmark.QUICK if quick or "budget" in changed else benchmark.FULL
    return dataclasses.replace(base, **changed, name="custom") if changed else base


_NOT_PASSED_ON = ("bundle", "photos", "labelled", "variants", "target", "python", "keep", "output", "form", "as_json")
"""Options that another machine does not get as they were given here."""


def _there(ctx: click.Context, path: Path, target: str, python: str | None, keep: bool, options: Mapping[str, Any]) -> Record:
    from edgetl.bench import remote
    from edgetl.bench.measuring import plan

    _counts(options["threads"])  # errors come before the minutes that an environment there takes
    plan.requested(options["scenarios"])
    copied = {f"--{name}": Path(options[name]) for name in ("photos", "labelled") if options[name]}
    words: list[str] = []
    for option in ctx.command.params:
        name = str(option.name)
        if name not in _NOT_PASSED_ON and ctx.get_parameter_source(name) is not ParameterSource.DEFAULT:
            value = ctx.params[name]
            for entry in value if option.multiple else (value,):
                words += [option.opts[-1]] if getattr(option, "is_flag", False) else [option.opts[-1], str(entry)]
    return remote.run(
        target, path, words, say=lambda text: click.echo(text, nl=False, err=True), files=copied, variants=options["variants"],
        python=python, keep=keep,
    )  # fmt: skip


def _show(record: Record, output: str | None, form: str | None, asked: Sequence[str]) -> None:
    """Prints and writes a record; exit code 1 if it is partial, lacks a requested part, or could not be written to its place.

    `asked` are variants, providers and scenarios, of which each must have been measured at least once.
    """
    from edgetl import bench as benchmark
    from edgetl.bench import files, paste

    written = output is None or _written(record, output)
    if form == "json" or not written:
        click.echo(json.dumps(files.encode(record)))
    else:
        forms = {"md": lambda: paste.markdown([record]), "csv": lambda: paste.separated([record])}
        click.echo(forms.get(form or "", lambda: benchmark.table(record))())
    missing = _missing(record, asked)
    if missing and not record.ended:
        click.echo(f"error: {', '.join(missing)} could not be measured; the reasons are above", err=True)
    if record.ended or missing or not written:
        sys.exit(1)


def _missing(record: Record, asked: Sequence[str]) -> list[str]:
    """What was requested and has no row; `the bundle` if nothing has."""
    from edgetl.bench.measuring import plan

    subjects = [result.subject for result in record.results if result.rows]
    measured = {name for subject in subjects for name in (subject.variant, subject.provider)} | {row.scenario for _, row in record.rows()}
    return [name for name in asked if not plan.measured(name, measured)] if subjects else ["the bundle"]


@contextmanager
def _bar() -> Iterator[Progress]:
    """A bar that is drawn from the first step on, so that the plan stands above it; a line that is logged takes its place for a moment."""
    with ExitStack() as stack:
        if sys.stderr.isatty():
            for handler in logging.getLogger("edgetl").handlers:
                handler.setFormatter(logging.Formatter("\r\x1b[K%(message)s"))
        drawn: list[Progress] = []

        def advance(done: int, total: int) -> None:
            if not drawn:
                drawn.append(stack.enter_context(progress_bar("measuring")))
            drawn[0](done, total)

        yield advance


def _written(record: Record, output: str) -> bool:
    from edgetl.bench import files

    try:
        files.write(record, output)
    except RecordError as error:
        click.echo(f"error: {error}\nThe record is on standard output instead.", err=True)
        return False
    return True


def _counts(text: str | None) -> list[int] | None:
    """The thread counts of `-t`."""
    from edgetl import machine

    if text is None:
        return None
    if text == "all":
        return list(range(1, machine.cores() + 1))
    try:
        counts = [int(count) for count in text.split(",")]
    except ValueError:
        counts = [0]
    if min(counts) < 1:
        raise click.BadParameter(f"{text!r}; expected a count (2), several (1,2,4), or all", param_hint="--threads")
    return counts
