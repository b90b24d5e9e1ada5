"""The background: photos of none of the classes, with which a head can reject unknown objects from the first class on.

They come with the bundle (its calibration photos, or those of `edgetl export --background`). They may show a trained class, so those as
near to a training photo as training photos are to each other are left out. Of the rest, the first GROUND widen the total scatter in the
relative Mahalanobis distance (:mod:`edgetl.heads.confidence.rejection`); the others are held out, and the share of them that get a label
is the measured share for unrelated photos. If left-out classes are rejected better without the first, only the others are used.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from edgetl.heads.training_set import TrainingSet
from edgetl.types import Array, Embeddings

GROUND = 64
"""Background photos in the scatter, each a row of the head (docs/evidence/rejection.md, "Why this score")."""
LEAST = 40
"""With fewer photos that look like no class the background is not used: half of them measure, and a share of 20 is imprecise."""
_NEAR = 0.05
"""A background photo looks like a class if its cosine to a training photo reaches this quantile of the cosines between training photos and
their nearest other one of the same class (docs/evidence/rejection.md, "A background that shows what is trained")."""
_USUAL, _DIVERSE = 0.25, 0.55
"""Nor does one that is further than this quantile of the cosines between background photos and their nearest: a few photos of a class may
be as far from each other as from anything. A background of one kind of photo, whose cosines are above _DIVERSE, may show a trained class
and sets no such limit (same page)."""
_ALONE = 0.8
"""The cosine that counts if no class has two photos (same page)."""


@dataclasses.dataclass(frozen=True, eq=False)
class Background:
    """The background that a head is trained with.

    Attributes:
        ground: power-normalised embeddings that widen the total scatter, float32 [b, d].
        held_out: those that measure, float32 [j, d].
        near: how many look like a class and were left out.
    """

    ground: Embeddings
    held_out: Embeddings
    near: int

    def __len__(self) -> int:
        """How many photos are used."""
        return len(self.ground) + len(self.held_out)

    @classmethod
    def select(cls, x: Embeddings, view: TrainingSet, rows: Array) -> Background:
        """Selects the background photos that look like no class.

        Args:
            x: power-normalised embeddings, float32 [k, d].
            view: the training set.
            rows: photos of it, one per near-duplicate group, int [m].

        Returns:
            The background; empty if fewer than LEAST photos are left.
        """
        trained, classes = view.x[rows], view.classes[rows]
        cosines = trained @ trained.T
        cosines[(classes[:, None] != classes) | np.eye(len(rows), dtype=bool)] = -1
        nearest = cosines.max(1, initial=-1)
        limit = float(np.quantile(nearest[nearest > -1], _NEAR)) if (nearest > -1).any() else _ALONE
        among = x @ x.T
        np.fill_diagonal(among, -1)
        limit = max(limit, min(_DIVERSE, float(np.quantile(among.max(1), _USUAL))))
        near = (x @ trained.T).max(1, initial=-1) >= limit
        rest = x[~near] if (~near).sum() >= LEAST else x[:0]
        split = min(GROUND, len(rest) // 2)
        return cls(rest[:split], rest[split:], int(near.sum()))
