"""The background in a store: embeddings of unrelated photos, copied from the bundle, so that training needs no bundle."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np

from edgetl.store.checksum import checksum, damaged, matches
from edgetl.store.encoding import decode, encode, row_size
from edgetl.types import Embeddings

_ROW = 1


def write(db: sqlite3.Connection, digest: str, embeddings: Embeddings) -> None:
    """Replaces the background.

    Args:
        db: within a transaction.
        digest: sha256 (hex) of the bundle's file that they come from.
        embeddings: float32 [k, d].
    """
    rows = b"".join(encode(embeddings))
    db.execute("INSERT OR REPLACE INTO background VALUES (?, ?, ?, ?)", (_ROW, digest, checksum(_ROW, digest.encode(), rows), rows))


def digest(db: sqlite3.Connection) -> str | None:
    """The sha256 (hex) of the file that the background was copied from; None without a background, or with a damaged one."""
    row = db.execute("SELECT digest, crc, rows FROM background").fetchone()
    return str(row[0].decode()) if row is not None and matches(row[1], _ROW, row[0], row[2]) else None


def is_sound(db: sqlite3.Connection) -> bool:
    """Whether there is none, or one that passes its check."""
    return db.execute("SELECT COUNT(*) FROM background").fetchone() == (0,) or digest(db) is not None


def copy(source: sqlite3.Connection, db: sqlite3.Connection) -> bool:
    """Copies the background of another store; whether it has one."""
    row = source.execute("SELECT id, digest, crc, rows FROM background").fetchone()
    if row is not None:
        db.execute("INSERT INTO background VALUES (?, ?, ?, ?)", (row[0], row[1].decode(), *row[2:]))
    return row is not None


def read(db: sqlite3.Connection, path: Path, dim: int) -> Embeddings:
    """The background, float32 [k, d]; k is 0 without one.

    Raises:
        StoreCorrupt: its row fails its check.
    """
    row = db.execute("SELECT digest, crc, rows FROM background").fetchone()
    if row is None:
        return np.empty((0, dim), np.float32)
    source, crc, rows = row
    if not matches(crc, _ROW, source, rows) or len(rows) % row_size(dim):
        raise damaged(path, "background", cure="open the store once with its bundle, which copies the background again")
    embeddings = np.empty((len(rows) // row_size(dim), dim), np.float32)
    decode([rows], embeddings)
    return embeddings
