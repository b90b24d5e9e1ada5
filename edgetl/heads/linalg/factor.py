"""Ways to hold P with P (M + alpha I) P^T = I: by eigenvectors for few samples, by Cholesky's triangle for many, as a number for none."""

from __future__ import annotations

import dataclasses
from typing import Protocol

import numpy as np

from edgetl.types import Array

WIDTH = 64
"""With 128 a factor of 1280 values took 1.17 times as long, with 96, 64 or 48 the same (docs/evidence/head-choice.md)."""


class Factor(Protocol):
    """A linear map P [r, d]."""

    def whiten(self, points: Array) -> Array:
        """P z for each row z of `points` [n, d], in their dtype."""

    def lift(self, weights: Array) -> Array:
        """w P for each row w of `weights` [m, r]."""

    def beyond(self, points: Array, inside: Array) -> Array:
        """What of each row z of `points` [n, d] P does not see, [n, d], given P z [n, r]; [n, 0] where it sees all of every row."""


@dataclasses.dataclass(frozen=True)
class Eigen:
    """P = diag(scale) mixing x, with orthonormal rows mixing x, for samples `x` [n, d] about their mean and `mixing` [r, n].

    What lies outside of the samples' span becomes zero. The product of mixing and x is never needed as such. What the samples themselves
    become is known from their eigenvectors: `coordinates` are mixing x z for each sample z, [n, r].
    """

    mixing: Array
    x: Array
    scale: Array
    coordinates: Array

    def samples(self, rows: Array) -> Array:
        """P z for some of the samples, without a product of matrices."""
        made: Array = self.coordinates[rows] * self.scale
        return made

    def whiten(self, points: Array) -> Array:
        """P z for each row."""
        made: Array = points @ self.x.T @ self.mixing.T * self.scale
        return made

    def lift(self, weights: Array) -> Array:
        """w P for each row."""
        made: Array = (weights * self.scale) @ self.mixing @ self.x
        return made

    def beyond(self, points: Array, inside: Array) -> Array:
        """z less its projection on the samples' span, in float32."""
        within = (inside / self.scale).astype(np.float32) @ self.mixing.astype(np.float32) @ self.x.astype(np.float32)
        made: Array = points - within
        return made


@dataclasses.dataclass(frozen=True)
class ScaledIdentity:
    """P = scale I."""

    scale: float

    def whiten(self, points: Array) -> Array:
        """P z for each row."""
        return points * self.scale

    def lift(self, weights: Array) -> Array:
        """w P for each row."""
        return weights * self.scale

    def beyond(self, points: Array, inside: Array) -> Array:
        """Nothing."""
        return points[:, :0]


class Triangle:
    """P = L^-1 for a positive definite matrix L L^T; by blocks, so that nearly all of the work is matrix products.

    Golub and Van Loan 2013, algorithm 4.2.1 by blocks. numpy has no triangular solve, so the diagonal blocks are inverted once.
    """

    def __init__(self, matrix: Array) -> None:
        """Factors `matrix`, [d, d], in place and in its own precision."""
        self._lower = matrix
        self._blocks: list[tuple[slice, slice, slice, Array]] = []
        for start in range(0, len(matrix), WIDTH):
            before, here, after = slice(0, start), slice(start, start + WIDTH), slice(start + WIDTH, None)
            matrix[start:, here] -= matrix[start:, before] @ matrix[here, before].T
            inverse = np.linalg.inv(np.linalg.cholesky(matrix[here, here]))
            matrix[after, here] = matrix[after, here] @ inverse.T
            self._blocks.append((before, here, after, inverse))

    def whiten(self, points: Array) -> Array:
        """P z for each row, by forward substitution."""
        made = np.empty_like(points)
        for before, here, _, inverse in self._blocks:
            known = made[:, before] @ self._lower[here, before].T.astype(points.dtype, copy=False)
            made[:, here] = (points[:, here] - known) @ inverse.T.astype(points.dtype, copy=False)
        return made

    def lift(self, weights: Array) -> Array:
        """w P for each row, by backward substitution."""
        made = np.empty_like(weights)
        for _, here, after, inverse in reversed(self._blocks):
            made[:, here] = (weights[:, here] - made[:, after] @ self._lower[after, here]) @ inverse
        return made

    def beyond(self, points: Array, inside: Array) -> Array:
        """Nothing."""
        return points[:, :0]
