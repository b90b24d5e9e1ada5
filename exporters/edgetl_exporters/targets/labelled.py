"""Photos with a class of the network's own classifier, on which top-1 is measured."""

from __future__ import annotations

import csv
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from edgetl.errors import PhotoError
from edgetl.inputs.photo import preprocess, source
from edgetl.types import Array, ImageSpec, Pixels

COLUMNS = ("file", "index")


def read(table: str | os.PathLike[str], spec: ImageSpec) -> tuple[list[Path], Pixels, Array]:
    """Reads a CSV table with the columns `file` (beside the table) and `index` (the class, counted as the network counts them).

    Args:
        table: the table, or the folder that contains it as labels.csv.
        spec: the model's image spec.

    Returns:
        The n photos' paths, their tensors uint8 [n, h, w, 3] and their classes int64 [n].

    Raises:
        PhotoError: `table-unusable`, or a photo that cannot be read.
    """
    path = Path(table)
    path = path / "labels.csv" if path.is_dir() else path
    try:
        with path.open(newline="", encoding="utf-8") as opened:
            rows = list(csv.DictReader(opened))
        named = [path.parent / row[COLUMNS[0]] for row in rows]
        classes = np.array([int(row[COLUMNS[1]]) for row in rows], dtype=np.int64)
    except OSError as error:
        raise _unusable(path, f"{error.strerror}; labelled photos need a CSV table with the columns {' and '.join(COLUMNS)}") from error
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise _unusable(path, f"expected a CSV table with the columns {' and '.join(COLUMNS)}, a class number in each row") from error
    if not rows:
        raise _unusable(path, "the table is empty; each row names a photo and its class")
    with ThreadPoolExecutor(4) as pool:
        tensors = list(pool.map(lambda photo: preprocess.tensor(source.load(photo), spec), named))
    return named, np.stack(tensors), classes


def _unusable(path: Path, reason: str) -> PhotoError:
    return PhotoError(f"{path}: {reason}", code="table-unusable", path=os.fspath(path), columns=COLUMNS)
