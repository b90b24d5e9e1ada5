"""Coordinates in which the regularised scatter of all samples is the identity.

Let M = sum (x - o)(x - o)^T over the samples that were there when the coordinates were made, and P (M + alpha I) P^T = I. In the
coordinates q = P (x - o) every solve with M + alpha I is a plain product, and later changes (samples that came or went, the class means
that LDA takes out) are a few signed rows, inverted with Woodbury's identity.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from edgetl.heads.linalg.factor import Eigen, Factor, ScaledIdentity, Triangle
from edgetl.types import Array, Embeddings

BLOCK, SOME = 2048, 128
"""Rows in float64 at once: BLOCK for a wide product, SOME for a narrow one, which reads them from the processor's cache."""
FEW = 0.6
"""Up to so many samples per value of the embedding the eigenvectors of their Gram matrix take less time than three Cholesky factors."""
_CHEAP = 2**29
"""Up to this many products n d^2 the samples' lengths are float64, which takes about 10 ms longer than float32."""


@dataclasses.dataclass(frozen=True)
class OutsidePoints:
    """Points that need not lie in the span of the samples: the product p A z of two is that of `inside` plus that of `beyond`.

    Attributes:
        x: the points, float32 [k, d].
        inside: their coordinates, float32 [k, r].
        beyond: what the coordinates do not hold, divided by the root of alpha, float32 [k, d]; [k, 0] if they hold everything.
    """

    x: Embeddings
    inside: Embeddings
    beyond: Embeddings

    def __len__(self) -> int:
        """How many."""
        return len(self.inside)


@dataclasses.dataclass
class Whitening:
    """The coordinates at one alpha. Those of the samples are not kept, only their squared lengths; products are computed when needed.

    Attributes:
        alpha: what was added to the scatter's diagonal, in units of squared power-normalised embeddings.
        origin: o, float64 [d].
        factor: P, [r, d].
        founders: how many of the samples the coordinates were made of.
        changes: q of samples that went since and, after them, of those that came since and are still there, float64 [k, r]. One that came
            and went is in neither list: the two would cancel, and cost the others their digits.
        signs: -1 for one that went, +1 for one that came, [k].
        squares: |q|^2 of every sample, float64 [n]; NaN for one of the founders until it is needed.
        kind: dtype in which coordinates of samples are computed.
    """

    alpha: float
    origin: Array
    factor: Factor
    founders: int
    changes: Array
    signs: Array
    squares: Array
    kind: type

    def project(self, x: Array) -> Array:
        """Coordinates float64 [n, r] of points [n, d]."""
        return self.factor.whiten(x - self.origin)

    def points(self, x: Array, rows: Array) -> Array:
        """Coordinates [m, r] of the samples `rows`, int [m], of all samples `x` [n, d], in `kind`."""
        if isinstance(self.factor, Eigen):
            return self.factor.samples(rows)
        return self.factor.whiten(x[rows] - self.origin.astype(self.kind))

    def product(self, x: Array, vectors: Array) -> Callable[[Array], Array]:
        """A function of rows, int [m], of the samples `x` [n, d]: q . v with vectors [k, r], float64 [m, k], in O(m d k)."""
        factor = self.factor
        if isinstance(factor, Eigen):
            return lambda rows: factor.samples(rows) @ vectors.T
        lifted = factor.lift(vectors).T
        level = self.origin @ lifted

        def multiply(rows: Array) -> Array:
            product = np.empty((*rows.shape, len(vectors)))
            for start in range(0, len(rows), SOME):
                here = slice(start, start + SOME)
                product[here] = x[rows[here]].astype(np.float64) @ lifted - level
            return product

        return multiply

    def lengths(self, x: Array, rows: Array) -> Array:
        """|q|^2 of the samples `rows`, int [m], of all samples `x` [n, d]; in O(d^2) for each that is not known yet."""
        missing = rows[np.isnan(self.squares[rows])]
        for start in range(0, len(missing), BLOCK):
            here = missing[start : start + BLOCK]
            self.note(here, self.points(x, here))
        return self.squares[rows]

    def note(self, rows: Array, points: Array) -> None:
        """Keeps the lengths of samples whose coordinates are known."""
        self.squares[rows] = np.einsum("nr,nr->n", points, points)

    def locate_outside(self, x: Embeddings) -> OutsidePoints:
        """Coordinates of points float32 [k, d] that are not samples."""
        points = (x - self.origin).astype(np.float32)
        inside = self.factor.whiten(points)
        beyond = self.factor.beyond(points, inside) / np.float32(np.sqrt(self.alpha))
        return OutsidePoints(x, inside.astype(np.float32), beyond)

    def unproject(self, weight: Array, bias: Array) -> tuple[Array, Array]:
        """A linear function of the coordinates ([c, r], [c]) as one of the embedding ([c, d], [c])."""
        lifted = self.factor.lift(weight)
        return lifted, bias - lifted @ self.origin

    def bears(self, more: int, patience: int) -> bool:
        """Whether the factor can take `more` changes, up to `patience` in all; a factor that only spans its own samples takes none.

        More changes than the factor has samples leave too few digits to distinguish near-duplicates among them.
        """
        return not isinstance(self.factor, Eigen) and len(self.signs) + more <= min(patience, self.founders)

    def add(self, x: Embeddings) -> None:
        """Appends samples [k, d]."""
        came = self.project(x)
        self.changes = np.concatenate([self.changes, came])
        self.signs = np.concatenate([self.signs, np.ones(len(x))])
        self.squares = np.concatenate([self.squares, np.einsum("nr,nr->n", came, came)])

    def remove(self, keep: Array, gone: Embeddings) -> None:
        """Drops the samples `gone` [k, d], in the order of the rows; `keep`, bool [n], says which rows stay."""
        went = int((self.signs < 0).sum())
        first = len(keep) - (len(self.signs) - went)  # the rows from here on came since
        out = self.project(gone[: len(gone) - int((~keep[first:]).sum())])
        came = self.changes[went:][keep[first:]]
        self.changes = np.concatenate([self.changes[:went], out, came])
        self.signs = np.concatenate([np.full(went + len(out), -1.0), np.ones(len(came))])
        self.founders -= len(out)
        self.squares = self.squares[keep]

    def inverse(self, rows: Array, signs: Array) -> Inverse:
        """(P (M + changes + rows^T diag(signs) rows + alpha I) P^T)^-1, for signed rows [k, r] in these coordinates."""
        return Inverse(np.concatenate([self.changes, rows]), np.concatenate([self.signs, signs]))


class Inverse:
    """A = (I + L^T S L)^-1 for L [k, r] and signs S, by Woodbury's identity: I - L^T (S + L L^T)^-1 L, because S is its own inverse.

    Attributes:
        rows: L.
    """

    def __init__(self, rows: Array, signs: Array) -> None:
        self.rows = rows
        self._core = np.linalg.inv(np.diag(signs) + rows @ rows.T)

    def apply(self, vectors: Array) -> Array:
        """The inverse times each row of `vectors` [m, r]."""
        return vectors - (vectors @ self.rows.T) @ self._core @ self.rows  # type: ignore[no-any-return]

    def products(self, along: Array, inside: Array, vectors: Array) -> Array:
        """q^T A v of points, float64 [n, m], for vectors [m, r], from their products with these, [n, m], and with L, [n, k]."""
        return along - inside @ (self._core @ (self.rows @ vectors.T))  # type: ignore[no-any-return]

    def within(self, gram: Array, along: Array) -> Array:
        """q^T A z among each g points, float64 [b, g, g], from their q^T z [b, g, g] and their products with L [b, g, k]."""
        onto = (along.reshape(-1, along.shape[2]) @ self._core).reshape(along.shape)  # one wide product, not b narrow ones
        return gram - onto @ along.swapaxes(1, 2)  # type: ignore[no-any-return]

    def gram(self, points: Array) -> Array:
        """q^T A z among each g points of `points` [b, g, r], float64 [b, g, g]."""
        flat = points.reshape(-1, points.shape[2])
        along = (flat @ self.rows.T.astype(points.dtype)).reshape(*points.shape[:2], len(self.rows))
        return self.within(points @ points.swapaxes(1, 2), along)

    def quadratic(self, squares: Array, along: Array) -> Array:
        """q^T A q of points, float64 [n], from their |q|^2 [n] and their products with L [n, k]."""
        return squares - np.einsum("nk,nk->n", along @ self._core, along)  # type: ignore[no-any-return]


class Spectrum:
    """The eigenvectors of a small set's scatter, from its Gram matrix [n, n], which give the whitening at every alpha."""

    def __init__(self, x: Embeddings) -> None:
        """Decomposes the samples `x`, float32 [n, d], in O(n^3 + n^2 d)."""
        self.origin = x.mean(0, dtype=np.float64)
        centred = x - self.origin
        values, vectors = np.linalg.eigh(centred @ centred.T)
        # Directions below this are rounding errors: rows have norm 1 and are known to float32's 6e-8.
        used = values > max(1e-12 * len(x), 1e-10 * values[-1])
        self._values, scale = values[used], np.sqrt(values[used])
        self._coordinates = vectors[:, used] * scale
        self._mixing, self._x = (vectors[:, used] / scale).T, centred

    def build(self, alpha: float) -> Whitening:
        """The whitening at one alpha."""
        scale = 1 / np.sqrt(self._values + alpha)
        squares = np.square(self._coordinates * scale).sum(1)
        changes, n = np.empty((0, len(scale))), len(self._coordinates)
        factor = Eigen(self._mixing, self._x, scale, self._coordinates)
        return Whitening(alpha, self.origin, factor, n, changes, np.empty(0), squares, np.float64)


class Scatter:
    """The scatter of many samples, which gives the whitening at every alpha by a Cholesky factor each."""

    def __init__(self, x: Embeddings) -> None:
        """Sums the scatter of the samples `x`, float32 [n, d], in O(n d^2)."""
        n, dim = x.shape
        self._n, self._origin = n, x.mean(0, dtype=np.float64)
        self._scatter = np.zeros((dim, dim))
        for start in range(0, n, BLOCK):
            block = x[start : start + BLOCK] - self._origin
            self._scatter += block.T @ block
        # Up to about d samples the leverages h come near 1, and 1 - h, by which leave-one-out divides, would have few of float32's digits.
        self._kind = np.float64 if n < 1.1 * dim or n * dim**2 <= _CHEAP else np.float32

    def build(self, alpha: float) -> Whitening:
        """The whitening at one alpha, in O(d^3)."""
        matrix = self._scatter.copy()
        matrix.flat[:: len(matrix) + 1] += alpha
        changes = np.empty((0, len(matrix)))
        return Whitening(alpha, self._origin, Triangle(matrix), self._n, changes, np.empty(0), np.full(self._n, np.nan), self._kind)


def decompose(x: Embeddings) -> Spectrum | Scatter:
    """Decomposes samples `x`, float32 [n, d], for their whitenings: few by their Gram matrix, many by their scatter."""
    return Spectrum(x) if len(x) <= FEW * x.shape[1] else Scatter(x)


def whiten_few(x: Embeddings, alpha: float) -> Whitening:
    """The whitening of no sample, with `x`, float32 [n, d], as samples that came since: for a few rows at one alpha.

    Inverting their Gram matrix takes a quarter of the time of its eigenvectors, which :class:`Spectrum` needs.
    """
    origin = x.mean(0, dtype=np.float64)
    rows = (x - origin) / np.sqrt(alpha)
    return Whitening(alpha, origin, ScaledIdentity(1 / np.sqrt(alpha)), 0, rows, np.ones(len(x)), np.square(rows).sum(1), np.float64)
