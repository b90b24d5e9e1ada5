"""One thing that the doctor saw."""

from __future__ import annotations

import dataclasses
from typing import Literal

Kind = Literal[
    "dark",
    "overexposed",
    "flat",
    "blurred",
    "tiny",
    "unlike",
    "repeated",
    "two-labels",
    "mislabelled",
    "single",
    "few-views",
    "imbalance",
]


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that the doctor saw; it blocks nothing.

    Attributes:
        kind: its code.
        text: one sentence: what was seen, with the numbers, and what to do.
        photo: the photo's source, or None where it is about a class or the store.
        label: the class, or None where it is about the store.
    """

    kind: Kind
    text: str
    photo: str | None = None
    label: str | None = None
