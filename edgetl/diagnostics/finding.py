"""A possible problem with a photo, a class or a store, as a code and values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

FindingCode = Literal[
    "dark",
    "overexposed",
    "low-contrast",
    "blurred",
    "too-small",
    "unusual",
    "near-duplicate",
    "two-labels",
    "mislabelled",
    "one-photo",
    "few-views",
    "imbalance",
    "no-photos",
    "one-class",
    "not-trained",
    "not-measured",
]
"""The first nine are about a photo (`two-labels` also about a class), the next three about a class, the last four about a store."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """A possible problem; it blocks nothing. :func:`edgetl.diagnostics.text.describe_finding` puts it into words.

    Attributes:
        code: what it is.
        photo: the photo's source, or None if it is about a class or the store.
        label: the class, or None if it is about the store.
        values: the numbers and names that led to it, by name.
    """

    code: FindingCode
    photo: str | None = None
    label: str | None = None
    values: Mapping[str, Any] = dataclasses.field(default_factory=dict)
