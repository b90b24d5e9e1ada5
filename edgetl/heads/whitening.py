"""Coordinates in which the regularised scatter of all samples is the identity.

Let M = sum (x - o)(x - o)^T over the samples that were there when the coordinates were made, and P (M + alpha I) P^T = I. In the
coordinates q = P (x - o) every solve with M + alpha I is a plain product, and whatever happened since - samples that came or went,
the class means that LDA takes out - is a few signed rows, inverted with Woodbury's identity.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from edgetl.heads.factor import Eigen, Factor, Scale, Triangle
from edgetl.heads.samples import Rows
from edgetl.types import Array, Embeddings

BLOCK = 2048
_CHEAP = 2**29
"""Up to this many products n d^2 coordinates are float64, which takes about 10 ms longer than float32."""


@dataclasses.dataclass
class Whitening:
    """The coordinates at one alpha, and the samples in them.

    Attributes:
        alpha: what was added to the scatter's diagonal, in units of squared power-normalised embeddings.
        origin: o, float64 [d].
        factor: P, [r, d].
        samples: q of every sample, float32 or float64 [n, r].
        changes: q of samples that went since and, after them, of those that came since and are still there, float64 [k, r]. One that came
            and went is neither: beside each other the two would cancel, and take the digits of all others with them.
        signs: -1 for one that went, +1 for one that came, [k].
    """

    alpha: float
    origin: Array
    factor: Factor
    samples: Rows
    changes: Array
    signs: Array

    @property
    def rows(self) -> Array:
        """q of every sample, float32 or float64 [n, r]; a view, valid until the next change."""
        return self.samples.array

    @property
    def founders(self) -> int:
        """How many of the samples were there when the coordinates were made."""
        return len(self.rows) - int((self.signs > 0).sum())

    def project(self, x: Array) -> Array:
        """Coordinates float64 [n, r] of points [n, d]."""
        return self.factor.whiten(x - self.origin)

    def unproject(self, weight: Array, bias: Array) -> tuple[Array, Array]:
        """A linear function of the coordinates ([c, r], [c]) as one of the embedding ([c, d], [c])."""
        lifted = self.factor.lift(weight)
        return lifted, bias - lifted @ self.origin

    def add(self, x: Embeddings) -> None:
        """Appends samples [k, d]."""
        rows = self.project(x)
        self.samples.append(rows)
        self.changes = np.concatenate([self.changes, rows])
        self.signs = np.concatenate([self.signs, np.ones(len(x))])

    def remove(self, keep: Array, gone: Embeddings) -> None:
        """Drops the samples `gone` [k, d], in the order of the rows; `keep`, bool [n], says which rows stay."""
        went = int((self.signs < 0).sum())
        first = len(keep) - (len(self.signs) - went)  # the rows from here on came since
        out = self.project(gone[: len(gone) - int((~keep[first:]).sum())])
        came = self.changes[went:][keep[first:]]
        self.changes = np.concatenate([self.changes[:went], out, came])
        self.signs = np.concatenate([np.full(went + len(out), -1.0), np.ones(len(came))])
        self.samples.keep(keep)

    def inverse(self, rows: Array, signs: Array) -> Inverse:
        """(P (M + changes + rows^T diag(signs) rows + alpha I) P^T)^-1, for signed rows [k, r] in these coordinates."""
        return Inverse(np.concatenate([self.changes, rows]), np.concatenate([self.signs, signs]))


class Inverse:
    """(I + L^T S L)^-1 for L [k, r] and signs S, by Woodbury's identity: I - L^T (S + L L^T)^-1 L, because S is its own inverse."""

    def __init__(self, rows: Array, signs: Array) -> None:
        self._rows = rows
        self._core = np.linalg.inv(np.diag(signs) + rows @ rows.T)

    def apply(self, vectors: Array) -> Array:
        """The inverse times each row of `vectors` [m, r]."""
        return vectors - (vectors @ self._rows.T) @ self._core @ self._rows  # type: ignore[no-any-return]

    def gram(self, points: Array) -> Array:
        """q^T A z among each g points of `points` [b, g, r], float64 [b, g, g]."""
        shape, flat = (*points.shape[:2], len(self._rows)), points.reshape(-1, points.shape[2])  # one wide product, not b narrow ones
        along = flat @ self._rows.T.astype(points.dtype)
        onto = (along @ self._core).reshape(shape)
        return points @ points.swapaxes(1, 2) - onto @ along.reshape(shape).swapaxes(1, 2)  # type: ignore[no-any-return]

    def quadratic(self, points: Array) -> Array:
        """q^T A q for each row of `points` [n, r], float64 [n]."""
        along = points @ self._rows.T.astype(points.dtype)
        return np.einsum("nr,nr->n", points, points) - np.einsum("nk,nk->n", along @ self._core, along)  # type: ignore[no-any-return]


class Spectrum:
    """The eigenvectors of a small set's scatter, from its Gram matrix [n, n]; one of these gives the whitening for every alpha."""

    def __init__(self, x: Embeddings) -> None:
        """Decomposes the samples `x`, float32 [n, d], in O(n^3 + n^2 d)."""
        self.origin = x.mean(0, dtype=np.float64)
        centred = x - self.origin
        values, vectors = np.linalg.eigh(centred @ centred.T)
        # Directions below this hold rounding only: rows have norm 1 and are known to float32's 6e-8.
        used = values > max(1e-12 * len(x), 1e-10 * values[-1])
        self._values, scale = values[used], np.sqrt(values[used])
        self._coordinates = vectors[:, used] * scale
        self._mixing, self._x = (vectors[:, used] / scale).T, centred

    def at(self, alpha: float) -> Whitening:
        """The whitening at one alpha."""
        scale = 1 / np.sqrt(self._values + alpha)
        factor, rows = Eigen(self._mixing, self._x, scale), Rows(self._coordinates * scale)
        return Whitening(alpha, self.origin, factor, rows, np.empty((0, len(scale))), np.empty(0))


def scaled(x: Embeddings, alpha: float) -> Whitening:
    """The whitening of no sample, and `x`, float32 [n, d], as samples that came since: for a few rows that are read at one alpha only.

    Inverting their Gram matrix takes a quarter of the time that its eigenvectors take, which :class:`Spectrum` needs.
    """
    origin = x.mean(0, dtype=np.float64)
    rows = (x - origin) / np.sqrt(alpha)
    return Whitening(alpha, origin, Scale(1 / np.sqrt(alpha)), Rows(rows), rows, np.ones(len(x)))


def whiten(x: Embeddings, alpha: float) -> Whitening:
    """The whitening of many samples `x`, float32 [n, d], at one alpha, in O(n d^2 + d^3)."""
    dim = x.shape[1]
    origin = x.mean(0, dtype=np.float64)
    scatter = np.diag(np.full(dim, alpha))
    for start in range(0, len(x), BLOCK):
        block = x[start : start + BLOCK] - origin
        scatter += block.T @ block
    factor = Triangle(scatter)
    # Up to about d samples the leverages h come near 1, and 1 - h, by which leave-one-out divides, would have few of float32's digits.
    kind = np.float64 if len(x) < 1.1 * dim or len(x) * dim**2 <= _CHEAP else np.float32
    rows = factor.whiten(x - origin.astype(kind))
    return Whitening(alpha, origin, factor, Rows(rows), np.empty((0, dim)), np.empty(0))
