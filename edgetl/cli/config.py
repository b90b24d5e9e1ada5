"""`edgetl.toml`: the options of `serve` and `watch` in a file, checked as on the command line."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from edgetl import regular
from edgetl.errors import ConfigError

VERBS = ("serve", "watch")
"""Verbs with a table of their own; the keys are their options without the dashes."""
COMMON = ("bundle", "store", "runtime", "variant", "threads")
"""Keys of the whole file; `bundle` and `store` are relative to it."""
_PATHS = ("bundle", "store")


def load(path: Path, commands: Mapping[str, click.Command]) -> dict[str, dict[str, Any]]:
    """Reads the file: for each of its verbs the option values, as click takes them for defaults.

    Args:
        path: the file.
        commands: verb by name.

    Raises:
        ConfigError: it cannot be read (`config-unreadable`), holds a key that does not exist (`config-key`) or a value that the option
            does not take (`config-value`), or Python 3.10 has no reader for it (`config-needs-extra`).
    """
    content = _read(path)
    _check_keys(path, "", content, (*COMMON, *VERBS))
    common = {key: content[key] for key in COMMON if key in content}
    for key in _PATHS:
        if isinstance(common.get(key), str):
            common[key] = str(path.parent / Path(common[key]).expanduser())
    common.setdefault("store", str(_state_folder() / f"{path.stem}.db"))
    return {verb: _options(path, verb, commands[verb], common, content[verb]) for verb in VERBS if verb in content}


def _options(path: Path, verb: str, command: click.Command, common: Mapping[str, Any], table: Any) -> dict[str, Any]:
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: {verb} must be a table: [{verb}]", code="config-value", path=str(path), key=verb)
    options = {option.opts[-1].lstrip("-"): option for option in command.params if isinstance(option, click.Option)}
    own = [name for name in options if name not in (*COMMON, "json", "verbose", "help")]
    _check_keys(path, verb, table, own)
    context = click.Context(command, info_name=verb)
    values = {}
    for key, value in {**common, **table}.items():
        option = options[key]
        items = value if option.multiple and isinstance(value, list) else [value]
        try:
            kinds, expected = _kinds(option)
            if not items or not all(type(item) in kinds for item in items):
                raise click.BadParameter(f"expected {expected}")
            option.process_value(context, items if option.multiple else items[0])
        except click.BadParameter as error:
            name = key if key in common else f"[{verb}] {key}"
            message = f"{path}: {name} is {value!r}: {error.message}"
            raise ConfigError(message, code="config-value", path=str(path), key=key, given=value) from error
        values[str(option.name)] = items if option.multiple else items[0]
    return values


def _kinds(option: click.Option) -> tuple[tuple[type, ...], str]:
    """The types of an option's value in TOML, and what they are called."""
    if option.is_flag:
        return (bool,), "true or false"
    if isinstance(option.type, (click.IntRange, click.FloatRange)):
        return (int, float), "a number"
    return (str,), "a text in quotes"


def _read(path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        try:
            import tomli as tomllib
        except ImportError as error:
            raise ConfigError(
                f"{path}: Python 3.10 reads it with tomli: pip install 'edgetl[config]'", code="config-needs-extra"
            ) from error
    try:
        content: dict[str, Any] = tomllib.loads(regular.read(path, 2**20).decode("utf-8"))
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or not TOML
        reason = getattr(error, "strerror", None) or str(error)
        hint = ". docs/how-to/service.md has one to copy." if isinstance(error, FileNotFoundError) else ""
        raise ConfigError(f"{path}: {reason}{hint}", code="config-unreadable", path=str(path), reason=reason) from error
    return content


def _check_keys(path: Path, table: str, content: Mapping[str, Any], known: tuple[str, ...] | list[str]) -> None:
    for key in content:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"Did you mean {near[0]}?" if near else f"Expected {', '.join(known)}."
            place = f"[{table}] {key}" if table else key
            raise ConfigError(f"{path}: {place} is not a key. {hint}", code="config-key", path=str(path), key=key, expected=list(known))


def _state_folder() -> Path:
    """$XDG_STATE_HOME/edgetl, where programs keep what they have learned; made if it does not exist."""
    folder = Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser() / "edgetl"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror}", code="config-unreadable", path=str(folder), reason=str(error.strerror)) from error
    return folder
