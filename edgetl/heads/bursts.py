"""Which photos are frames of one burst: near-duplicates, or taken in the same second."""

from __future__ import annotations

import numpy as np

from edgetl.heads.linalg.rows import GrowingRows
from edgetl.types import Array, Embeddings

ROOTED = 0.95
"""Above this cosine of their rooted embeddings two photos are taken to show the same thing.

It joins most frames of a camera at rest and seldom different things. Found among five simulated frames of each of 150 photos of hand
signs, flowers, ImageNet, solar cells and gray tiles (EfficientNet-Lite0, int8): with a camera at rest (sensor noise, light +-2 %, JPEG) 93
to 100 %, held in a hand (shifts to 1 %, turns to 0.5 degrees, light +-3 %) 73 to 95 %, shaken (3 %, 1.5 degrees, 5 %) 29 to 60 %, in
float32 49 to 88 %. Joined though taught as different photos: no hand sign of 2,062, 2 flowers of 2,159, no ImageNet photo of 1,000. On the
gray data embeddings are closer: 34 % of 592 tiles (float32 58 %), where 9 of 10 pairs are the same tile by its number (the file names
tell; 592 photos show about 180 tiles), and 28 % of 2,624 solar cells (float32 42 %), in bursts of up to 95 (153). At 0.94 one float32
burst holds 415 cells. Leaving photos out says 90.9 % for the tiles, leaving these bursts out 75.7 %, leaving tiles out by number 58 %; for
the cells the mean of the two classes goes from 80.4 to 79.8 %, for signs and flowers nothing changes (heads of plain L2 normalisation).

Fourth roots, because what tells frames of a burst apart is mostly in the largest values. Where as many tiles are joined, plain cosines find
16 to 64 % of the shaken frames of the other sets (int8), square roots 48 to 69 %, fourth roots 69 to 89 %.
"""
_ENOUGH = 640
"""About how many values are compared: every second of 1280 finds the same frames within 4 points and joins the same different photos within
3, in half the time and memory."""
CROWD = 30
"""How many photos of one second are believed: about the frames per second of a camera's fastest burst and of its video."""
_LIMIT = 2 - 2 * ROOTED
_DOUBT = 1e-5
"""Squared distances that differ from the limit by less are computed again in float64; float32 products err by about a tenth of this."""
_BLOCK, _MOST, _WIDTH, _MANY, _DENSE = 256, 4096, 160, 3 * 2**20, 0.02
"""With _WIDTH directions 2,000 photos take 0.6 to 0.95 of the time of comparing all pairs in full; of fewer than _MANY pairs they save
little (docs/evidence/head-choice.md)."""


EXACT = 12_000
"""Up to so many photos every pair is compared; of more those that share one of the _CELLS places nearest to each, among one photo of every
_SHARE. On real photos that found every burst (docs/evidence/scale.md); it takes time in proportion to the number of photos to the power of
about 1.5, and memory for a cell instead of half of that for the embeddings."""
_CELLS, _SHARE = 4, 128


class Bursts:
    """The bursts of a set of photos; adding k photos to n compares k with n.

    Photos belong together when the cosine of their rooted embeddings is above ROOTED or their cameras say the same second, and so do all
    that are linked by such pairs: bursts are connected components, whatever the order in which the photos came. A clock that stands still
    is not believed: a second that more than CROWD photos claim, or the only one that any photo does.
    """

    def __init__(self) -> None:
        self._rooted: GrowingRows | None = None
        self._alike = np.empty(0, np.int64)
        self._next = 0

    def add(self, count: int) -> None:
        """Photos were appended."""
        self._alike = np.append(self._alike, np.full(count, -1))

    def remove(self, keep: Array) -> None:
        """Only the photos where `keep`, bool [m], is true are still there; what they linked is compared anew."""
        broken = self._alike[~keep]
        if self._rooted is not None:
            self._rooted.keep(keep[: len(self._rooted.array)])
        self._alike = self._alike[keep]
        self._alike[np.isin(self._alike, broken)] = -1

    def find(self, x: Embeddings, taken: Array, ids: Array) -> Array:
        """The burst of each photo, int64 [m], numbered from 0 in the order of their smallest ids.

        Args:
            x: power-normalised embedding of each photo, float32 [m, d]; only those of photos that came since the last time are read.
            taken: seconds by the camera's clock, NaN where unknown, float64 [m].
            ids: int64 [m].
        """
        fresh = np.flatnonzero(self._alike < 0)
        if len(fresh):
            self._alike[fresh] = self._next + np.arange(len(fresh))
            self._next += len(fresh)
            some = compared(x)
            if len(x) > EXACT:
                self._rooted = None
                _link_in_cells(self._alike, some, ids, fresh)
            else:
                if self._rooted is None:
                    self._rooted = GrowingRows(np.empty((0, some.shape[1]), np.float32))
                self._rooted.append(rooted(some[len(self._rooted.array) :]))
                _link(self._alike, self._rooted.array, fresh)
        bursts = self._alike.copy()
        _join(bursts, *_same_second(taken))
        order = np.argsort(ids)
        _, first, number = np.unique(bursts[order], return_index=True, return_inverse=True)
        made = np.empty(len(ids), np.intp)
        made[order] = np.argsort(np.argsort(first))[number.reshape(-1)]
        return made


def compared(x: Embeddings) -> Embeddings:
    """The values of power-normalised embeddings [m, d] by which photos are compared, a view of them."""
    return x[:, :: max(1, x.shape[1] // _ENOUGH)]


def rooted(x: Embeddings) -> Embeddings:
    """Roots of the values, with their signs, of each power-normalised row of `x` float32 [n, d], L2-normalised; a zero row stays zero.

    Of the embedding itself these are the fourth roots.
    """
    made = np.empty(x.shape, np.float32)
    for start in range(0, len(x), _BLOCK):
        part, into = x[start : start + _BLOCK], made[start : start + _BLOCK]
        np.sqrt(np.abs(part, out=into), out=into)
        norms = np.sqrt(np.einsum("nd,nd->n", into, into))[:, None]
        np.copysign(into, part, out=into)
        into /= np.where(norms > 0, norms, 1)
    return made


def _link(numbers: Array, x: Embeddings, fresh: Array) -> None:
    """Joins the components `numbers` of near-duplicates, in place, where one of the two is in `fresh`, int [k]."""
    if len(fresh) <= _BLOCK:
        _join(numbers, *_near(x, fresh, x, np.arange(len(x))))
        return
    old = np.ones(len(x), bool)
    old[fresh] = False
    order = np.concatenate([fresh, np.flatnonzero(old)])
    shadow = _Shadow(x) if len(fresh) * len(x) > _MANY else None
    for start in range(0, len(fresh), _BLOCK):
        rows, columns = order[start : min(start + _BLOCK, len(fresh))], order[start:]
        if (numbers[rows] == numbers[rows[0]]).all():  # in a long film most photos are linked after its first ones
            columns = columns[numbers[columns] != numbers[rows[0]]]
        pairs = None if shadow is None else shadow.pairs(rows, columns)
        _join(numbers, *(_near(x, rows, x[columns], columns) if pairs is None else _exact(x, *pairs)))


def _link_in_cells(numbers: Array, x: Embeddings, ids: Array, fresh: Array) -> None:
    """The same for many photos, whose power-normalised embeddings are `x`: see EXACT. A few fresh ones are compared with all."""
    if len(fresh) <= _BLOCK:
        asked, found = rooted(x[fresh]), []
        for start in range(0, len(x), _MOST):
            some = np.concatenate([asked, rooted(x[start : start + _MOST])])
            pairs = _near(some, np.arange(len(asked)), some[len(asked) :], np.arange(len(asked), len(some)))
            found.append((fresh[pairs[0]], start + pairs[1] - len(asked)))
        _join(numbers, *map(np.concatenate, zip(*found)))
        return
    drawn = np.random.default_rng(0).permutation(len(x))[: max(_CELLS, len(x) // _SHARE)]
    centres = rooted(x[np.argsort(ids)[drawn]])
    cells = np.empty((len(x), _CELLS), np.int32)
    for start in range(0, len(x), _MOST):
        cosines = rooted(x[start : start + _MOST]) @ centres.T
        cells[start : start + _MOST] = np.argpartition(-cosines, _CELLS - 1, axis=1)[:, :_CELLS]
    order = np.argsort(cells.reshape(-1), kind="stable")
    bounds = np.searchsorted(cells.reshape(-1)[order], np.arange(len(centres) + 1))
    is_fresh, links = np.zeros(len(x), bool), [np.empty((2, 0), np.intp)]
    is_fresh[fresh] = True
    for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist()):
        rows = order[start:stop] // _CELLS
        if is_fresh[rows].any():
            local = np.arange(len(rows))
            _link(local, rooted(x[rows]), local.copy())
            links.append(np.stack([rows, rows[local]])[:, local != np.arange(len(rows))])
    _join(numbers, *np.concatenate(links, axis=1))


class _Shadow:
    """The rows in a few directions, and how far each is from their span: two rows are at least as far apart as their shadows.

    The directions span some of the rows, so that they hold most of what distinguishes them.
    """

    def __init__(self, x: Embeddings) -> None:
        some = x[np.linspace(0, len(x) - 1, min(_WIDTH, len(x))).astype(np.intp)]
        basis = np.linalg.qr((some - some.mean(0)).T)[0]
        inside = x @ basis
        outside = np.sqrt(np.maximum(np.einsum("nd,nd->n", x, x) - np.einsum("nk,nk->n", inside, inside), 0))
        shadow = np.column_stack([inside, outside])
        half = np.einsum("nk,nk->n", shadow, shadow) / 2
        self._left = np.column_stack([-shadow, half, np.ones_like(half)])
        self._right = np.column_stack([shadow, np.ones_like(half), half])

    def pairs(self, rows: Array, columns: Array) -> tuple[Array, Array] | None:
        """The pairs that may be near; None where they are so many that comparing all is faster."""
        close = self._left[rows] @ self._right[columns].T < (_LIMIT + 10 * _DOUBT) / 2
        found = np.flatnonzero(close)
        if len(found) > _DENSE * close.size + len(rows):
            return None
        a, b = np.divmod(found, len(columns))
        return rows[a], columns[b]


def _near(x: Embeddings, rows: Array, others: Embeddings, columns: Array) -> tuple[Array, Array]:
    """The near pairs between some rows of `x` and some others, whose places are `columns`, by one product of matrices."""
    product = x[rows] @ others.T
    if (zero := ~x[rows].any(1)).any():  # an all-zero embedding is like another one
        product[np.ix_(zero, ~others.any(1))] = 1
    a, b = np.divmod(np.flatnonzero(product > 1 - (_LIMIT + _DOUBT) / 2), len(columns))
    return _decided(x, rows[a], columns[b], 2 - 2 * product[a, b])


def _exact(x: Embeddings, a: Array, b: Array) -> tuple[Array, Array]:
    """Those of the pairs that are near."""
    distance = np.empty(len(a), np.float32)
    for start in range(0, len(a), _BLOCK):
        part = slice(start, start + _BLOCK)
        gap = x[a[part]] - x[b[part]]
        distance[part] = np.einsum("nd,nd->n", gap, gap)
    return _decided(x, a, b, distance)


def _decided(x: Embeddings, a: Array, b: Array, distance: Array) -> tuple[Array, Array]:
    """Those of the pairs that are near; what float32 leaves open is summed in float64, which depends on nothing but the two rows."""
    near = distance < _LIMIT
    for i in np.flatnonzero(np.abs(distance - _LIMIT) <= _DOUBT):
        near[i] = np.square(x[a[i]].astype(np.float64) - x[b[i]]).sum() < _LIMIT
    return a[near], b[near]


def _same_second(taken: Array) -> tuple[Array, Array]:
    """Pairs of neighbours among the photos of each second that is believed."""
    known = np.flatnonzero(np.isfinite(taken))
    second, claims = np.unique(np.floor(taken[known]), return_inverse=True, return_counts=True)[1:]
    second = second.reshape(-1)
    trusted = (claims[second] <= CROWD) & (len(claims) > 1)
    known, second = known[trusted], second[trusted]
    order = np.argsort(second, kind="stable")
    same = np.flatnonzero(second[order][1:] == second[order][:-1])
    return known[order[same]], known[order[same + 1]]


def _join(numbers: Array, a: Array, b: Array) -> None:
    """Gives all photos linked by the pairs (a, b) one number, in place: the smallest in their component.

    Every number points to a smaller one that it is linked with until nothing changes (Shiloach and Vishkin 1982).
    """
    while True:
        first, second = numbers[a], numbers[b]
        differ = first != second
        if not differ.any():
            return
        names, at = np.unique(numbers, return_inverse=True)
        parent = np.arange(len(names))
        first, second = np.searchsorted(names, first[differ]), np.searchsorted(names, second[differ])
        np.minimum.at(parent, np.maximum(first, second), np.minimum(first, second))
        while (parent[parent] != parent).any():
            parent = parent[parent]
        numbers[:] = names[parent][at.reshape(-1)]
