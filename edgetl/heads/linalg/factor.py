"""Representations of P with P (M + alpha I) P^T = I: eigenvectors for few samples, a Cholesky triangle for many, a number for none."""

from __future__ import annotations

import dataclasses
from typing import Protocol

import numpy as np

from edgetl.types import Array

WIDTH = 64
"""Columns of a block (docs/evidence/head-choice.md, "Faster by parts")."""


class Factor(Protocol):
    """A linear map P [r, d]."""

    def whiten(self, points: Array) -> Array:
        """Applies P to each row of `points` [n, d]: points P^T, [n, r], in their dtype."""

    def lift(self, weights: Array) -> Array:
        """Takes weights [m, r] of whitened values to weights of the values themselves: weights P, [m, d]."""

    def beyond(self, points: Array, inside: Array) -> Array:
        """The part of each row z of `points` [n, d] in the null space of P, [n, d], given P z [n, r]; [n, 0] if P has none."""


@dataclasses.dataclass(frozen=True)
class Eigen:
    """P = diag(scale) mixing x, with orthonormal rows mixing x, for samples `x` [n, d] about their mean and `mixing` [r, n].

    What lies outside the samples' span becomes zero. The product of mixing and x is never needed. P z of the samples themselves follows
    from their eigenvectors: `coordinates` are mixing x z for each sample z, [n, r].
    """

    mixing: Array
    x: Array
    scale: Array
    coordinates: Array

    def samples(self, rows: Array) -> Array:
        """P z for some of the samples, without a product of matrices."""
        points: Array = self.coordinates[rows] * self.scale
        return points

    def whiten(self, points: Array) -> Array:
        """P z for each row."""
        whitened: Array = points @ self.x.T @ self.mixing.T * self.scale
        return whitened

    def lift(self, weights: Array) -> Array:
        """w P for each row."""
        lifted: Array = (weights * self.scale) @ self.mixing @ self.x
        return lifted

    def beyond(self, points: Array, inside: Array) -> Array:
        """z less its projection on the samples' span, in float32."""
        within = (inside / self.scale).astype(np.float32) @ self.mixing.astype(np.float32) @ self.x.astype(np.float32)
        outside: Array = points - within
        return outside


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
    """P = L^-1 for a positive definite matrix L L^T, by blocks: nearly all of the work is matrix products.

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
        whitened = np.empty_like(points)
        for before, here, _, inverse in self._blocks:
            known = whitened[:, before] @ self._lower[here, before].T.astype(points.dtype, copy=False)
            whitened[:, here] = (points[:, here] - known) @ inverse.T.astype(points.dtype, copy=False)
        return whitened

    def lift(self, weights: Array) -> Array:
        """w P for each row, by backward substitution."""
        lifted = np.empty_like(weights)
        for _, here, after, inverse in reversed(self._blocks):
            lifted[:, here] = (weights[:, here] - lifted[:, after] @ self._lower[after, here]) @ inverse
        return lifted

    def beyond(self, points: Array, inside: Array) -> Array:
        """Nothing."""
        return points[:, :0]
