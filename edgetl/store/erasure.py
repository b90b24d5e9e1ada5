"""The proof that removed photos are gone: pieces of them, searched in the store's files.

SQLite's secure_delete overwrites a deleted row, but not the copies of it that stayed behind when rows were moved between pages; a vacuum
leaves none (docs/evidence/store.md).

A row may be spread over several pages, and a part of it may survive where the rest was overwritten. So of every 512 bytes of a removed
embedding, preview or digest, 32 consecutive ones are searched: those whose beginning is the most varied. Pieces that the remaining rows
hold as well (JPEGs share their tables) prove nothing and do not count, nor do those of the background, which comes from the bundle: it may
hold the same photo.
"""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgetl.store import raw

PIECE, SPACING, KEY = 32, 512, 8
BLOCK = 4 * 2**20
CHUNK = 256

# Multiplicative hashing (Knuth, The Art of Computer Programming 3, 6.4) into a table that fits the cache.
MULTIPLIER, BITS = np.uint64(0x9E3779B97F4A7C15), 20


@dataclasses.dataclass(frozen=True, eq=False)
class Removed(Mapping[int, str]):
    """The samples that were removed, id to label.

    Attributes:
        labels: the same as a dictionary.
        pieces: what :func:`count` searches.
    """

    labels: Mapping[int, str]
    pieces: frozenset[bytes]

    def __getitem__(self, sample: int) -> str:
        return self.labels[sample]

    def __iter__(self) -> Iterator[int]:
        return iter(self.labels)

    def __len__(self) -> int:
        return len(self.labels)


def pieces(content: bytes) -> list[bytes]:
    """The pieces that stand for one content; empty if it is too short or too uniform to be recognised."""
    chosen = []
    for start in range(0, len(content), SPACING):
        segment = content[start : start + SPACING]
        best = max((segment[at : at + PIECE] for at in range(0, len(segment), PIECE)), key=lambda piece: len(set(piece[:KEY])))
        if len(best) >= KEY and len(set(best[:KEY])) > KEY // 2:
            chosen.append(best)
    return chosen


def count(db: sqlite3.Connection, path: Path, removed: Removed) -> int:
    """How many pieces of what was removed are left in the store's file or its journal, and in no row that remains."""
    needles = _Needles(removed.pieces)
    left = {piece for name in (path, Path(f"{path}-wal")) for block in _blocks(name) for piece in needles.search(block)}
    rows = db.execute("SELECT digest, embedding, content FROM sample LEFT JOIN preview USING (id)")
    while left and (chunk := rows.fetchmany(CHUNK)):
        left -= needles.search(b"".join(content for row in chunk for content in row if isinstance(content, bytes)))
    if left and (background := db.execute("SELECT rows FROM background").fetchone()) is not None:
        left -= needles.search(background[0])
    return len(left)


class _Needles:
    """Pieces to search: a table of the hashes of their first 8 bytes tells where to compare whole pieces."""

    def __init__(self, pieces: frozenset[bytes]) -> None:
        self._pieces: dict[int, list[bytes]] = {}
        for piece in pieces:
            self._pieces.setdefault(int.from_bytes(piece[:KEY], "little"), []).append(piece)
        self._keys = np.array(sorted(self._pieces), np.uint64)
        self._table = np.zeros(2**BITS, bool)
        self._table[_hashes(self._keys)] = True

    def search(self, data: bytes) -> set[bytes]:
        """The pieces that occur in `data`."""
        result: set[bytes] = set()
        for shift in range(min(KEY, max(0, len(data) - KEY + 1))):
            words = np.frombuffer(data, "<u8", count=(len(data) - shift) // KEY, offset=shift)
            places = np.flatnonzero(self._table[_hashes(words)])
            for place in places[np.isin(words[places], self._keys)]:
                at = shift + KEY * int(place)
                result.update(piece for piece in self._pieces[int(words[place])] if data.startswith(piece, at))
        return result


def _blocks(path: Path) -> Iterator[bytes]:
    """A file's content in blocks that overlap by less than a piece."""
    if path.exists():
        tail = b""
        for block in raw.read(path, BLOCK):
            yield tail + block
            tail = block[1 - PIECE :]


def _hashes(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    hashes: npt.NDArray[np.uint64] = words * MULTIPLIER >> np.uint64(64 - BITS)
    return hashes
