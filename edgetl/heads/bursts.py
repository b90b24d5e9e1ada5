"""Near-duplicate groups ("bursts" in the code): photos that show the same thing, or that were taken in the same second."""

from __future__ import annotations

import numpy as np

from edgetl.heads.linalg.rows import GrowingRows
from edgetl.types import Array, Embeddings

ROOTED = 0.95
"""Above this cosine of their rooted embeddings two photos are near-duplicates (docs/evidence/near-duplicates.md)."""
_ENOUGH = 640
"""About how many values are compared: enough, in half the time and memory (docs/evidence/near-duplicates.md)."""
CROWD = 30
"""So many photos may have the same second: about the frames per second of a camera's fastest burst and of its video."""
_LIMIT = 2 - 2 * ROOTED
_DOUBT = 1e-5
"""Squared distances closer to the limit are computed again in float64; float32 products err by about a tenth of this."""
_BLOCK, _MOST, _WIDTH, _MANY, _DENSE = 256, 4096, 160, 3 * 2**20, 0.02
"""_WIDTH directions save time from _MANY pairs on (docs/evidence/head-choice.md, "Faster by parts")."""
EXACT = 12_000
"""Up to so many photos all pairs are compared; of more, those that share one of the _CELLS places nearest to each, among one photo of every
_SHARE: time grows with the number of photos to the power of about 1.5 (docs/evidence/scale.md)."""
_CELLS, _SHARE = 4, 128


class Bursts:
    """The near-duplicate groups of a set of photos; adding k photos to n compares k with n.

    Two photos are linked if the cosine of their rooted embeddings is above ROOTED or they were taken in the same second. Groups are the
    connected components, whatever the order in which the photos came. A stopped clock is ignored: a second that more than CROWD photos
    have, or the only one of all photos.
    """

    def __init__(self) -> None:
        self._rooted: GrowingRows | None = None
        self._alike = np.empty(0, np.int64)
        self._next = 0

    def add(self, count: int) -> None:
        """Photos were appended."""
        self._alike = np.append(self._alike, np.full(count, -1))

    def remove(self, keep: Array) -> None:
        """Only the photos where `keep`, bool [m], is true are left; what the others linked is compared again."""
        broken = self._alike[~keep]
        if self._rooted is not None:
            self._rooted.keep(keep[: len(self._rooted.array)])
        self._alike = self._alike[keep]
        self._alike[np.isin(self._alike, broken)] = -1

    def find(self, x: Embeddings, taken: Array, ids: Array) -> Array:
        """The near-duplicate group of each photo, int64 [m], numbered from 0 in the order of their smallest ids.

        Args:
            x: power-normalised embedding of each photo, float32 [m, d]; only those of photos added since the last call are read.
            taken: seconds by the camera's clock, NaN where unknown, float64 [m].
            ids: int64 [m].
        """
        fresh = np.flatnonzero(self._alike < 0)
        if len(fresh):
            self._alike[fresh] = self._next + np.arange(len(fresh))
            self._next += len(fresh)
            some = select_values(x)
            if len(x) > EXACT:
                self._rooted = None
                _link_in_cells(self._alike, some, ids, fresh)
            else:
                if self._rooted is None:
                    self._rooted = GrowingRows(np.empty((0, some.shape[1]), np.float32))
                self._rooted.append(take_roots(some[len(self._rooted.array) :]))
                _link(self._alike, self._rooted.array, fresh)
        bursts = self._alike.copy()
        _join(bursts, *_same_second(taken))
        order = np.argsort(ids)
        _, first, number = np.unique(bursts[order], return_index=True, return_inverse=True)
        group = np.empty(len(ids), np.intp)
        group[order] = np.argsort(np.argsort(first))[number.reshape(-1)]
        return group


def select_values(x: Embeddings) -> Embeddings:
    """The values of power-normalised embeddings [m, d] by which photos are compared, a view of them."""
    return x[:, :: max(1, x.shape[1] // _ENOUGH)]


def take_roots(x: Embeddings) -> Embeddings:
    """Roots of the values, with their signs, of each power-normalised row of `x` float32 [n, d], L2-normalised; a zero row stays zero.

    Of the embedding itself these are the fourth roots.
    """
    roots = np.empty(x.shape, np.float32)
    for start in range(0, len(x), _BLOCK):
        part, into = x[start : start + _BLOCK], roots[start : start + _BLOCK]
        np.sqrt(np.abs(part, out=into), out=into)
        norms = np.sqrt(np.einsum("nd,nd->n", into, into))[:, None]
        np.copysign(into, part, out=into)
        into /= np.where(norms > 0, norms, 1)
    return roots


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
        asked, pairs_by_block = take_roots(x[fresh]), []
        for start in range(0, len(x), _MOST):
            some = np.concatenate([asked, take_roots(x[start : start + _MOST])])
            pairs = _near(some, np.arange(len(asked)), some[len(asked) :], np.arange(len(asked), len(some)))
            pairs_by_block.append((fresh[pairs[0]], start + pairs[1] - len(asked)))
        _join(numbers, *map(np.concatenate, zip(*pairs_by_block)))
        return
    drawn = np.random.default_rng(0).permutation(len(x))[: max(_CELLS, len(x) // _SHARE)]
    centres = take_roots(x[np.argsort(ids)[drawn]])
    cells = np.empty((len(x), _CELLS), np.int32)
    for start in range(0, len(x), _MOST):
        cosines = take_roots(x[start : start + _MOST]) @ centres.T
        cells[start : start + _MOST] = np.argpartition(-cosines, _CELLS - 1, axis=1)[:, :_CELLS]
    order = np.argsort(cells.reshape(-1), kind="stable")
    bounds = np.searchsorted(cells.reshape(-1)[order], np.arange(len(centres) + 1))
    is_fresh, links = np.zeros(len(x), bool), [np.empty((2, 0), np.intp)]
    is_fresh[fresh] = True
    for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist()):
        rows = order[start:stop] // _CELLS
        if is_fresh[rows].any():
            local = np.arange(len(rows))
            _link(local, take_roots(x[rows]), local.copy())
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
        """The pairs that may be near; None if they are so many that comparing all is faster."""
        close = self._left[rows] @ self._right[columns].T < (_LIMIT + 10 * _DOUBT) / 2
        places = np.flatnonzero(close)
        if len(places) > _DENSE * close.size + len(rows):
            return None
        a, b = np.divmod(places, len(columns))
        return rows[a], columns[b]


def _near(x: Embeddings, rows: Array, others: Embeddings, columns: Array) -> tuple[Array, Array]:
    """The near pairs between some rows of `x` and some others, whose places are `columns`, by one product of matrices."""
    product = x[rows] @ others.T
    if (zero := ~x[rows].any(1)).any():  # all-zero embeddings are near-duplicates
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
    """Those of the pairs that are near; what float32 cannot decide is summed in float64, which depends on the two rows only."""
    near = distance < _LIMIT
    for i in np.flatnonzero(np.abs(distance - _LIMIT) <= _DOUBT):
        near[i] = np.square(x[a[i]].astype(np.float64) - x[b[i]]).sum() < _LIMIT
    return a[near], b[near]


def _same_second(taken: Array) -> tuple[Array, Array]:
    """Pairs of neighbours among the photos of each second that is not ignored."""
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
