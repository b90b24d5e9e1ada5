"""The demo's photos: solar cells of the ELPV dataset (Buerhop-Lutz et al. 2018, Deitsch et al. 2019; CC BY-NC-SA 4.0)."""

from __future__ import annotations

import dataclasses
import importlib
import shutil
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from edgetl.errors import PhotoError

CREDIT = (
    "Photos: ELPV dataset, 2,624 electroluminescence photos of solar cells from 44 modules, by Buerhop-Lutz, Deitsch, Maier, Gallwitz, "
    "Berger, Doll, Hauch, Camus and Brabec; licence CC BY-NC-SA 4.0."
)


@dataclasses.dataclass(frozen=True)
class Cell:
    """One photo of a solar cell.

    Attributes:
        path: a gray PNG of 300x300 pixels.
        probability: how sure the experts were of a defect: 0, 1/3, 2/3 or 1.
        kind: `mono` or `poly`.
    """

    path: Path
    probability: float
    kind: str

    @property
    def certain(self) -> bool:
        """Whether the experts had no doubt."""
        return self.probability in (0.0, 1.0)

    @property
    def state(self) -> Literal["functional", "defective"]:
        """Functional up to a probability of one half."""
        return "defective" if self.probability > 0.5 else "functional"

    @property
    def label(self) -> str:
        """Its class in the demo, e.g. `mono defective`."""
        return f"{self.kind} {self.state}"


def cells() -> list[Cell]:
    """Every cell of the installed dataset, in its order.

    Raises:
        PhotoError: the package is not installed, or holds no photos.
    """
    try:
        package = importlib.import_module("elpv_dataset")
    except ImportError as error:
        message = f"the demo's photos are not installed ({error}); pip install 'edgetl[demo]'"
        raise PhotoError(message, code="demo-part-missing", package="elpv_dataset") from error
    data = Path(str(package.__file__)).parent / "data"
    try:
        rows = [line.split() for line in (data / "labels.csv").read_text().splitlines()]
        return [Cell(data / name, float(probability), kind) for name, probability, kind in rows]
    except (OSError, ValueError) as error:
        message = f"{data / 'labels.csv'}: {error}; pip install --force-reinstall elpv-dataset"
        raise PhotoError(message, code="dataset-damaged", path=str(data / "labels.csv")) from error


def split(items: Sequence[Cell], group: Callable[[Cell], Hashable], *, share: float = 0.75, seed: int = 0) -> tuple[list[Cell], list[Cell]]:
    """Divides cells into train and held-out at random, with the same share of every group.

    Args:
        items: the cells.
        group: what must be spread evenly, e.g. the class.
        share: the part to train from, in (0, 1).
        seed: of the shuffle.

    Returns:
        Two lists, each in shuffled order, so that the first m of a list are a random sample too.
    """
    shuffled = [items[i] for i in np.random.Generator(np.random.PCG64(seed)).permutation(len(items))]
    groups: dict[Hashable, list[Cell]] = {}
    for cell in shuffled:
        groups.setdefault(group(cell), []).append(cell)
    train = {cell for members in groups.values() for cell in members[: round(share * len(members))]}
    return [cell for cell in shuffled if cell in train], [cell for cell in shuffled if cell not in train]


def first(items: Iterable[Cell], most: int | None) -> list[Cell]:
    """The first `most` cells of every class, in their order; None takes all."""
    taken: Counter[str] = Counter()
    chosen = []
    for cell in items:
        taken[cell.label] += 1
        if most is None or taken[cell.label] <= most:
            chosen.append(cell)
    return chosen


def copy(items: Iterable[Cell], folder: Path, part: str) -> list[tuple[Path, str]]:
    """Copies photos to `folder/<kind>/<part>/<class>/`, as every verb of edgetl takes them; returns pairs of photo and label."""
    pairs = []
    for cell in items:
        target = folder / cell.kind / part / cell.label / cell.path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(cell.path, target)
        pairs.append((target, cell.label))
    return pairs
