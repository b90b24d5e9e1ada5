"""What is asked and what is taught: the person's photos or charts, and charts for learning, because those have classes."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from edgetl.bench.measuring import charts
from edgetl.bench.method import Method
from edgetl.inputs.photo.folders import photos_in
from edgetl.inputs.photo.source import load

_CLASSES, _TAUGHT, _LESSONS = 5, 20, 20
_FEWEST = 16


@dataclasses.dataclass(frozen=True)
class Photos:
    """Files.

    Attributes:
        given: the person's folder, or None.
        files: to rotate over.
        classes: charts, one list per class; the last is the new class, whose last photo asks.
        folder: where stores are made.
    """

    given: str | None
    files: tuple[str, ...]
    classes: tuple[tuple[str, ...], ...]
    folder: Path

    @classmethod
    def make(cls, given: str | os.PathLike[str] | None, method: Method, folder: Path) -> Photos:
        """Finds or draws them.

        Raises:
            PhotoError: the folder is missing or holds no photo, or one that cannot be decoded.
        """
        found = [] if given is None else photos_in(given)[0]
        drawn = [charts.write(folder, kind, _TAUGHT if kind < _CLASSES else _LESSONS + 1) for kind in range(_CLASSES + 1)]
        found = found or [path for kind in drawn for path in kind]
        count = min(len(found), method.photos)
        files = [found[number * len(found) // count] for number in range(count)]
        for path in files:
            load(path).image()
        classes = tuple(tuple(map(str, kind)) for kind in drawn)
        return cls(None if given is None else os.fspath(given), tuple(map(str, files)), classes, folder)

    def caveats(self) -> tuple[str, ...]:
        """What a reader must know of them, in sentences."""
        if len(self.files) >= _FEWEST:
            return ()
        few = f"the queries rotate over {len(self.files)} photos only, which caches may hold and a camera's photos not"
        return (f"{few}; give {_FEWEST} or more",)

    def told(self) -> dict[str, Any]:
        """What the record says of it."""
        size = f"{charts.WIDTH}x{charts.HEIGHT}"
        return {
            "asked": f"{len(self.files)} " + (f"of {Path(self.given).name}" if self.given else f"synthetic, {size} pixels"),
            "taught": f"{_CLASSES} classes of {_TAUGHT}, then {_LESSONS} of a new one; synthetic, {size} pixels",
        }
