"""The command line: the verbs of :class:`edgetl.Classifier`. Results on stdout, messages on stderr; exit codes 0 ok, 1 error, 2 usage."""

from __future__ import annotations

import io
import logging
import sys
from importlib import metadata
from pathlib import Path

import click

from edgetl.cli import bench, bench_records, bundle, config, deploy, export, head, learn, query, serve, service, store, watch
from edgetl.cli.group import Main


@click.group(cls=Main, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(metadata.version("edgetl"), prog_name="edgetl")
@click.option("--config", "path", envvar="EDGETL_CONFIG", type=click.Path(path_type=Path), help="Options of serve and watch: edgetl.toml.")
@click.pass_context
def main(ctx: click.Context, path: Path | None) -> None:
    """Teach a camera new classes, on the device."""
    for stream in (sys.stdout, sys.stderr):  # a terminal of another character set shows a class name in part, not an error
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
    if path is not None:
        ctx.default_map = config.load(path, main.commands)
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("edgetl")
    logger.handlers, logger.level, logger.propagate = [handler], logging.INFO, False


for _verb in (
    *(learn.add, learn.train, query.predict, query.evaluate, query.explain, learn.forget, head.rollback, query.doctor, serve.serve),
    watch.watch,
    *(bundle.demo, export.export, bench.bench),
    *(bundle.bundle, head.head, store.store, deploy.deploy, learn.adapt, service.service),
):
    main.add_command(_verb)
for _verb in (bench_records.compare, bench_records.pick, bench_records.report, bench_records.show, bench_records.trend):
    bench.bench.add_command(_verb)
