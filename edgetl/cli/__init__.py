"""The command line: the verbs of :class:`edgetl.Classifier`. Results on stdout, messages on stderr; exit codes 0 ok, 1 error, 2 usage."""

from __future__ import annotations

import logging
from importlib import metadata
from typing import Any

import click

from edgetl.cli import bench, bench_records, bundle, deploy_classifier, deploy_trainer, export, head, learn, query
from edgetl.cli.options import AS_JSON
from edgetl.cli.output import print_json
from edgetl.errors import EdgetlError


class _Group(click.Group):
    """Turns every error that edgetl raises on purpose into a message, or JSON, and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EdgetlError as error:
            click.echo(f"error: {error}", err=True)
            if AS_JSON in ctx.meta:
                print_json({"error": error.to_json()})
            ctx.exit(1)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(metadata.version("edgetl"), prog_name="edgetl")
def main() -> None:
    """Teach a camera new things where it stands."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("edgetl")
    logger.handlers, logger.level, logger.propagate = [handler], logging.INFO, False


for _verb in (
    *(export.export, deploy_classifier.export_classifier, deploy_trainer.export_trainer, deploy_trainer.import_trainer),
    *(bundle.inspect, bench.bench, bundle.choose, bundle.demo),
    *(learn.add, learn.train, learn.forget, learn.adapt, learn.merge),
    *(query.predict, query.evaluate, query.explain, query.doctor),
    *(head.heads, head.log, head.rollback, head.activate, head.head),
):
    main.add_command(_verb)
for _verb in (bench_records.compare, bench_records.pick, bench_records.report, bench_records.show, bench_records.trend):
    bench.bench.add_command(_verb)
