"""`service`: the field station and watched cameras as services that start with the machine."""

from __future__ import annotations

from pathlib import Path

import click

from edgetl.cli import config
from edgetl.cli.group import Ordered
from edgetl.cli.options import JSON
from edgetl.cli.output import print_json, show
from edgetl.errors import ConfigError
from edgetl.machine import systemd

CONFIG = click.option(
    "--config", "path", default="edgetl.toml", show_default=True, type=click.Path(path_type=Path), help="The file with the options."
)
USER = click.option("--user", is_flag=True, required=True, help="Of this user, without root: the only kind there is.")


@click.group(cls=Ordered)
def service() -> None:
    """Start serve and watch with the machine (systemd)."""


@service.command()
@USER
@CONFIG
@click.option("--print", "printed", is_flag=True, help="Print the units and change nothing.")
@JSON
@click.pass_context
def install(ctx: click.Context, user: bool, path: Path, printed: bool, as_json: bool) -> None:
    """Install a service for each of [serve] and [watch] in edgetl.toml."""
    units = _units(ctx, path)
    if printed:
        show([f"# {name}\n{content}" for name, content in units.items()])
        return
    files = [str(systemd.install(name, content)) for name, content in units.items()]
    if as_json:
        print_json({"units": files})
        return
    names = " ".join(units)
    show([*(f"Installed and started: {file}" for file in files), f"Log: journalctl --user -f -u {names}",
          "Also without a login: loginctl enable-linger"])  # fmt: skip


@service.command()
@USER
@CONFIG
@JSON
@click.pass_context
def remove(ctx: click.Context, user: bool, path: Path, as_json: bool) -> None:
    """Stop and remove what install has installed."""
    removed = [name for name in _units(ctx, path) if systemd.remove(name)]
    if as_json:
        print_json({"removed": removed})
    else:
        show([f"Removed: {name}" for name in removed] or ["No service is installed."])


def _units(ctx: click.Context, path: Path) -> dict[str, str]:
    """The units of a configuration by name; its options are checked."""
    from edgetl.cli import main

    path = path.absolute()
    verbs = config.load(path, main.commands)
    if not verbs:
        raise ConfigError(f"{path}: add a table [serve] or [watch]", code="config-key", path=str(path), expected=list(config.VERBS))
    own = "" if path.stem == "edgetl" else f"-{path.stem}"
    return {
        f"edgetl{own}-{verb}.service": systemd.unit(f"edgetl {verb} of {path.name}", path.parent, ["--config", str(path), verb])
        for verb in verbs
    }
