"""The groups of verbs: errors as messages with exit code 1, and the verbs of `edgetl --help` in sections on one screen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import click

from edgetl.cli.output import print_json
from edgetl.errors import EdgetlError

AS_JSON = "edgetl.json"
"""In the context's `meta` if `--json` was given: an error is printed as JSON too."""
SECTIONS = (
    ("Train and classify:", ("add", "train", "predict", "eval", "explain", "forget", "rollback", "doctor", "serve", "watch")),
    (
        "Try everything, make a bundle, measure, and more:",
        ("demo", "export", "bench", "bundle", "head", "store", "deploy", "service", "adapt"),
    ),
)
"""Heading and verbs, in the order in which `edgetl --help` shows them."""


class Main(click.Group):
    """The program: prints an error as one line, or JSON; exit code 2 for wrong usage, 1 for every other one."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See click."""
        if "--json" in args:
            ctx.meta[AS_JSON] = True
        with _usage_errors(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """See click."""
        try:
            with _usage_errors(ctx):
                return super().invoke(ctx)
        except EdgetlError as error:
            _fail(ctx, str(error), error.to_json(), 1)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs in the order of SECTIONS."""
        return [verb for _, verbs in SECTIONS for verb in verbs]

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One screen of 24 lines of 80 characters."""
        lines = ["Usage: edgetl COMMAND [OPTIONS]", f"  {self.help}"]
        for heading, verbs in SECTIONS:
            lines += [heading, *(f"  {verb:<9} {self.commands[verb].get_short_help_str(68)}" for verb in verbs)]
        lines += [
            "Options: -h, --version, --config FILE. `edgetl COMMAND -h` explains a command.",
        ]
        formatter.write("\n".join(lines) + "\n")


class Ordered(click.Group):
    """A group that lists its verbs in the order in which they were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """See click."""
        return list(self.commands)


@contextmanager
def _usage_errors(ctx: click.Context) -> Iterator[None]:
    """Prints wrong usage as every other error, with the help that explains it; a group without a verb shows its help."""
    try:
        yield
    except click.UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            raise
        command = error.ctx.command_path if error.ctx else ctx.command_path
        message = error.format_message().rstrip(".")
        _fail(ctx, f"{message}. See: {command} -h", {"code": "usage", "message": message, "command": command}, 2)


def _fail(ctx: click.Context, message: str, values: dict[str, Any], exit_code: int) -> NoReturn:
    click.echo(f"error: {message}", err=True)
    if AS_JSON in ctx.meta:
        print_json({"error": values})
    ctx.exit(exit_code)
