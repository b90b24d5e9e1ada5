"""What other distributions add: targets and formats, found through the entry point group `edgetl.exporters`.

In the other distribution's pyproject.toml::

    [project.entry-points."edgetl.exporters"]
    mynpu = "my_package.mynpu:Target"

(https://packaging.python.org/en/latest/specifications/entry-points/). The object, or the class that makes it without arguments, says by
its methods what it is: a target has `cells` and `prove` (:class:`edgetl_exporters.targets.Target`), a format has `make`
(:class:`edgetl_exporters.sources.extended.Format`).
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from typing import Any

from edgetl.errors import ExportError

GROUP = "edgetl.exporters"


def load(method: str) -> Mapping[str, Any]:
    """Entry point name -> its object, of those that have this method.

    Raises:
        ExportError: one cannot be imported; the message names its distribution.
    """
    found: dict[str, Any] = {}
    for point in metadata.entry_points(group=GROUP):
        try:
            loaded = point.load()
            plugin = loaded() if isinstance(loaded, type) else loaded
        except Exception as error:  # it is another distribution's code
            name = point.dist.name if point.dist else point.value
            raise ExportError(
                f"the entry point {point.name!r} of {name} does not work: {type(error).__name__}: {error}; pip install --upgrade {name}"
            ) from error
        if hasattr(plugin, method):
            found[point.name] = plugin
    return found
