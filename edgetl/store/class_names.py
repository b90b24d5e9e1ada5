"""Class names of several stores as one list: names that differ only in case, Unicode form or word joints are one class."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence


def normalise(label: str) -> str:
    """What the spellings of one class have in common: NFC, case folded, each run of spaces, hyphens and underscores one space."""
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", label).casefold())
    return re.sub(r"[\s_-]+", " ", folded)


def reconcile(stores: Sequence[Mapping[str, int]], rename: Mapping[str, str]) -> dict[str, str]:
    """The merged store's name of each class, by the name that it has now.

    Spellings of one class become the one with the most photos; of two with the same number, the first, store by store. `rename` wins over
    that, and the other spellings of a renamed class follow it.

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
        spellings.setdefault(normalise(name), []).append(label)
    for labels in spellings.values():
        weights: Counter[str] = Counter()
        for label in [label for label in labels if label in rename] or labels:
            weights[names[label]] += photos[label]
        best = max(weights, key=weights.__getitem__)  # of equals the first
        names.update({label: best for label in labels if label not in rename})
    return names
