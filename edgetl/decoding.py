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


def decode(kind: type[T], content: Any, where: str = "") -> T:
    """Makes a dataclass from what :func:`edgetl.types.to_json` made of one.

    Args:
        kind: the dataclass. Its fields may be dataclasses, `tuple[X, ...]`, fixed tuples, mappings by name or by int, literals,
            unions with None, str, int, float, bool and Any.
        content: parsed JSON.
        where: its name in messages.

    Raises:
        ValueError: a field is missing, unknown or of another type; the message has its path.
    """
    if kind is Proportion:
        content = _proportion(content, where)
    fields = _fields(kind)
    if not isinstance(content, dict):
        raise ValueError(f"{where or 'the content'} is {_short(content)}, expected an object with {', '.join(fields)}")
    if unknown := sorted(content.keys() - fields.keys()):
        raise ValueError(f"{_path(where, unknown[0])} is unknown")
    required = {f.name for f in dataclasses.fields(kind) if f.default is f.default_factory is dataclasses.MISSING}  # type: ignore[arg-type]  # it is a dataclass
    if missing := sorted(required - content.keys()):
        raise ValueError(f"{_path(where, missing[0])} is missing")
    return kind(**{name: _value(fields[name], value, _path(where, name)) for name, value in content.items()})


def _fields(kind: Any) -> dict[str, Any]:
    return {name: hint for name, hint in typing.get_type_hints(kind).items() if name in {f.name for f in dataclasses.fields(kind)}}


def _value(hint: Any, content: Any, where: str) -> Any:
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return content
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return decode(hint, content, where)
    if origin in (Union, types.UnionType):
        if content is None and type(None) in parts:
            return None
        return _value(next(part for part in parts if part is not type(None)), content, where)
    if origin is tuple and isinstance(content, list):
        return _tuple(parts, content, where)
    if origin in (dict, Mapping) and isinstance(content, dict):
        return {_key(parts[0], name, where): _value(parts[1], value, f"{where}[{name!r}]") for name, value in content.items()}
    if origin is typing.Literal and content in parts:
        return content
    if type(content) is hint or (hint is float and type(content) is int):
        return content
    raise ValueError(f"{where} is {_short(content)}, expected {_name(hint)}")


def _key(hint: Any, name: str, where: str) -> Any:
    """The key of a mapping; JSON has integers as text."""
    if hint is not int:
        return name
    if not name.removeprefix("-").isdecimal():
        raise ValueError(f"{where} has the key {_short(name)}, expected an integer")
    return int(name)


def _tuple(parts: tuple[Any, ...], content: list[Any], where: str) -> tuple[Any, ...]:
    if parts == (int, ...):  # samples: there may be millions
        if not set(map(type, content)) <= {int} or (content and not -_INT64 <= min(content) <= max(content) < _INT64):
            raise ValueError(f"{where} holds something other than 64-bit integers")
        return tuple(content)
    if parts[-1] is Ellipsis:
        return tuple(_value(parts[0], value, f"{where}[{i}]") for i, value in enumerate(content))
    if len(content) != len(parts):
        raise ValueError(f"{where} has {len(content)} values, expected {len(parts)}")
    return tuple(_value(part, value, f"{where}[{i}]") for i, (part, value) in enumerate(zip(parts, content)))


def _proportion(content: Any, where: str) -> Any:
    """Without the derived numbers that :meth:`Proportion.extra_json` adds."""
    counts = isinstance(content, dict) and all(type(content.get(name)) is int for name in ("hits", "n"))
    if not counts or not 0 <= content["hits"] <= content["n"]:
        raise ValueError(f"{where} is {_short(content)}, expected hits and n")
    return {name: content[name] for name in ("hits", "n")}


def _short(content: Any) -> str:
    return repr(str(content)[:40])


def _name(hint: Any) -> str:
    return hint.__name__ if typing.get_origin(hint) is None and isinstance(hint, type) else str(hint).replace("typing.", "")


def _path(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name
