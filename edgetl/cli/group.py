"""The groups of verbs: errors as messages with exit code 1, and the verbs of `edgetl --help` in sections on one screen."""

from __future__ import annotations

from typing import Any

import click

from edgetl.cli.options import AS_JSON
from edgetl.cli.output import print_json
from edgetl.errors import EdgetlError

SECTIONS = (
    ("Train and classify:", ("add", "train", "predict", "eval", "explain", "forget", "rollback", "doctor")),
    ("Try everything, make a bundle, measure:", ("demo", "export", "bench")),
    ("More:", ("bundle", "head", "store", "deploy", "adapt")),
)
"""Heading and verbs, in the order in which `edgetl --help` shows them."""


class Main(click.Group):
    """The program: prints every error that edgetl raises on purpose as a message, or JSON, with exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """See click."""
        try:
            return super().invoke(ctx)
        except EdgetlError as error:
            click.echo(f"error: {error}", err=True)
            if AS_JSON in ctx.meta:
                print_json({"error": error.to_json()})
            ctx.exit(1)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs in the order of SECTIONS."""
        return [verb for _, verbs in SECTIONS for verb in verbs]

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One screen of 24 lines of 80 characters."""
        lines = ["Usage: edgetl COMMAND [OPTIONS]", f"  {self.help}"]
        for heading, verbs in SECTIONS:
            lines += [heading, *(f"  {verb:<9} {self.commands[verb].get_short_help_str(68)}" for verb in verbs)]
        lines += [
            "Options: -h, --help, --version. `edgetl COMMAND -h` explains a command.",
            'Completion: eval "$(_EDGETL_COMPLETE=bash_source edgetl)", or zsh_source',
        ]
        formatter.write("\n".join(lines) + "\n")


class Ordered(click.Group):
    """A group that lists its verbs in the order in which they were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """See click."""
        return list(self.commands)
