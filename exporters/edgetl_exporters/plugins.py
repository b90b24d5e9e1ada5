"""Targets that other distributions add, found through the entry point group `edgetl.exporters`.

In the other distribution's pyproject.toml::

    [project.entry-points."edgetl.exporters"]
    mynpu = "my_package.mynpu:Target"

(https://packaging.python.org/en/latest/specifications/entry-points/). The name is what `--target` takes; the object, or the class that
makes it without arguments, has the methods of :class:`edgetl_exporters.targets.ProofTarget`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from typing import Any

from edgetl.errors import ExportError

GROUP = "edgetl.exporters"
_METHODS = ("cells", "prove")


def load() -> Mapping[str, Any]:
    """Entry point name -> its target.

    Raises:
        ExportError: `plugin-unusable`: one cannot be imported, or is not a target; the message names its distribution.
    """
    targets: dict[str, Any] = {}
    for point in metadata.entry_points(group=GROUP):
        name = point.dist.name if point.dist else point.value
        try:
            loaded = point.load()
            plugin = loaded() if isinstance(loaded, type) else loaded
        except Exception as error:  # it is another distribution's code
            raise _unusable(point.name, name, f"{type(error).__name__}: {error}") from error
        if missing := [method for method in _METHODS if not hasattr(plugin, method)]:
            raise _unusable(point.name, name, f"it has no method {' or '.join(missing)}")
        targets[point.name] = plugin
    return targets


def _unusable(point: str, distribution: str, reason: str) -> ExportError:
    return ExportError(
        f"the entry point {point!r} of {distribution} does not work: {reason}; pip install --upgrade {distribution}",
        code="plugin-unusable", entry_point=point, distribution=distribution, reason=reason,
    )  # fmt: skip
