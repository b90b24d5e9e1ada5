"""JSON -> frozen values, every type checked against the annotations: a file may come from anywhere."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar, Union

from edgetl.stats import Proportion

T = TypeVar("T")
_INT64 = 1 << 63


def decode(kind: type[T], said: Any, where: str = "") -> T:
    """Makes a value of a dataclass from what :func:`edgetl.types.to_json` made of one.

    Args:
        kind: the dataclass. Its fields may be dataclasses, `tuple[X, ...]`, fixed tuples, mappings by name, literals, unions with None,
            str, int, float, bool and Any.
        said: parsed JSON.
        where: what it is called in messages.

    Raises:
        ValueError: a field is missing, unknown or of another type; its path is named.
    """
    if kind is Proportion:
        said = _proportion(said, where)
    fields = _fields(kind)
    if not isinstance(said, dict):
        raise ValueError(f"{where or 'the content'} is no object with {', '.join(fields)}")
    if unknown := sorted(said.keys() - fields.keys()):
        raise ValueError(f"{_path(where, unknown[0])} is unknown")
    required = {f.name for f in dataclasses.fields(kind) if f.default is f.default_factory is dataclasses.MISSING}  # type: ignore[arg-type]  # it is a dataclass
    if missing := sorted(required - said.keys()):
        raise ValueError(f"{_path(where, missing[0])} is missing")
    return kind(**{name: _value(fields[name], value, _path(where, name)) for name, value in said.items()})


def _fields(kind: Any) -> dict[str, Any]:
    return {name: hint for name, hint in typing.get_type_hints(kind).items() if name in {f.name for f in dataclasses.fields(kind)}}


def _value(hint: Any, said: Any, where: str) -> Any:
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return said
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return decode(hint, said, where)
    if origin in (Union, types.UnionType):
        return None if said is None and type(None) in parts else _value(next(one for one in parts if one is not type(None)), said, where)
    if origin is tuple and isinstance(said, list):
        return _tuple(parts, said, where)
    if origin in (dict, Mapping) and isinstance(said, dict):
        return {name: _value(parts[1], value, f"{where}[{name!r}]") for name, value in said.items()}
    if origin is typing.Literal and said in parts:
        return said
    if type(said) is hint or (hint is float and type(said) is int):
        return said
    raise ValueError(f"{where} is {str(said)[:40]!r}, expected {_called(hint)}")


def _tuple(parts: tuple[Any, ...], said: list[Any], where: str) -> tuple[Any, ...]:
    if parts == (int, ...):  # samples: there may be millions
        if not set(map(type, said)) <= {int} or (said and not -_INT64 <= min(said) <= max(said) < _INT64):
            raise ValueError(f"{where} holds something else than whole numbers of 64 bits")
        return tuple(said)
    if parts[-1] is Ellipsis:
        return tuple(_value(parts[0], value, f"{where}[{i}]") for i, value in enumerate(said))
    if len(said) != len(parts):
        raise ValueError(f"{where} has {len(said)} values, expected {len(parts)}")
    return tuple(_value(part, value, f"{where}[{i}]") for i, (part, value) in enumerate(zip(parts, said)))


def _proportion(said: Any, where: str) -> Any:
    """Without what :meth:`Proportion.extra_json` adds for people."""
    if not isinstance(said, dict) or not all(type(said.get(name)) is int for name in ("hits", "n")) or not 0 <= said["hits"] <= said["n"]:
        raise ValueError(f"{where} is no proportion: {str(said)[:40]!r}")
    return {name: said[name] for name in ("hits", "n")}


def _called(hint: Any) -> str:
    return hint.__name__ if typing.get_origin(hint) is None and isinstance(hint, type) else str(hint).replace("typing.", "")


def _path(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name
