"""The command line: the same verbs as :class:`edgetl.Classifier`. Results on stdout, talk on stderr; 0 ok, 1 refused, 2 usage."""

from __future__ import annotations

import logging
from importlib import metadata
from typing import Any

import click

from edgetl.cli import asking, benching, exporting, fusing, history, models, records, teaching, trainer
from edgetl.errors import EdgetlError


class _Refusing(click.Group):
    """Turns every error that edgetl raises on purpose into a sentence and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EdgetlError as error:
            click.echo(f"refused: {error}", err=True)
            ctx.exit(1)


@click.group(cls=_Refusing, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(metadata.version("edgetl"), prog_name="edgetl")
def main() -> None:
    """Teach a camera new things where it stands."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("edgetl")
    logger.handlers, logger.level, logger.propagate = [handler], logging.INFO, False


for _verb in (
    *(exporting.export, fusing.export_classifier, trainer.export_trainer, trainer.import_trainer),
    *(models.inspect, benching.bench, models.choose, models.demo),
    *(teaching.add, teaching.train, teaching.forget, teaching.adapt, teaching.merge),
    *(asking.predict, asking.evaluate, asking.explain, asking.doctor),
    *(history.heads, history.log, history.rollback, history.activate, history.head),
):
    main.add_command(_verb)
for _verb in (records.compare, records.pick, records.report, records.show, records.trend):
    benching.bench.add_command(_verb)
