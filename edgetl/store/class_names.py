"""Class names of several stores made one: what differs only in case, in its Unicode form or in how its words are joined is one class."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence


def same(label: str) -> str:
    """What two spellings of one class have in common: NFC, case folded, each run of spaces, hyphens and underscores one space."""
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", label).casefold())
    return re.sub(r"[\s_-]+", " ", folded)


def reconcile(stores: Sequence[Mapping[str, int]], rename: Mapping[str, str]) -> dict[str, str]:
    """The name that each class is to have, by the name that it has.

    Spellings of one class become the one with the most photos; of two with as many, the one that comes first, store by store. What
    `rename` maps is named so exactly, and the other spellings of the class that it names follow it.

    Args:
        stores: photos per class, of each store.
        rename: old name to new name.
    """
    photos: Counter[str] = Counter()
    for counts in stores:
        photos.update(counts)
    names = {label: rename.get(label, label) for label in photos}
    spellings: dict[str, list[str]] = {}
    for label, name in names.items():
        spellings.setdefault(same(name), []).append(label)
    for labels in spellings.values():
        weights: Counter[str] = Counter()
        for label in [label for label in labels if label in rename] or labels:
            weights[names[label]] += photos[label]
        best = max(weights, key=weights.__getitem__)  # of equals the first
        names.update({label: best for label in labels if label not in rename})
    return names
