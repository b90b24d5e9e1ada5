"""The background: photos of none of the classes, which show a head what it is to reject, from the first class on.

The bundle brings them (its calibration photos, or those of `edgetl export --background`). They may show what is trained here, so those
that are as near to a training photo as these are to each other are left out. Of the rest the first GROUND widen the total scatter that
the relative Mahalanobis distance compares with (:mod:`edgetl.heads.confidence.rejection`); the others are held out: the share of them
that get a label is the measured share for unrelated photos. Where left-out classes are rejected better without the first, only the
others are used.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from edgetl.heads.training_set import TrainingSet
from edgetl.types import Array, Embeddings

GROUND = 64
"""Background photos in the scatter: docs/evidence/rejection.md. Each costs a row of the head."""
LEAST = 40
"""With fewer left after those that look like a class there is no background: half of them measure, and 20 say little of a share."""
_NEAR = 0.05
"""A background photo looks like a class where its cosine to a training photo reaches this quantile of the cosines that training photos have
to the nearest other one of their class: docs/evidence/rejection.md."""
_USUAL, _DIVERSE = 0.25, 0.55
"""In a diverse background no photo looks like a class that is not nearer than this quantile of the cosines that background photos have to
their nearest: a few photos of a class may be as far from each other as from anything. A background of one kind of photo, whose cosines
are above _DIVERSE, may show what is trained, and so sets no such limit: docs/evidence/rejection.md."""
_ALONE = 0.8
"""The cosine that counts where no class has two photos: docs/evidence/rejection.md."""


@dataclasses.dataclass(frozen=True, eq=False)
class Background:
    """The background that a head is trained with.

    Attributes:
        ground: power-normalised embeddings that widen the total scatter, float32 [b, d].
        held_out: those that measure, float32 [j, d].
        near: how many more there were that look like a class.
    """

    ground: Embeddings
    held_out: Embeddings
    near: int

    def __len__(self) -> int:
        """How many photos are used."""
        return len(self.ground) + len(self.held_out)

    @classmethod
    def select(cls, x: Embeddings, view: TrainingSet, rows: Array) -> Background:
        """Sorts a background.

        Args:
            x: power-normalised embeddings, float32 [k, d].
            view: what was trained.
            rows: photos of it, one per burst, int [m].

        Returns:
            The background; empty where fewer than LEAST photos are left.
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
