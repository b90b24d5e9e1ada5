"""Results computed from the samples, kept so that a start need not read them again.

A row that is missing or damaged is computed again. Removing a sample deletes every row, in the same transaction, so that nothing computed
from a forgotten photo stays in the file.
"""

from __future__ import annotations

import sqlite3

from edgetl.store.checksum import checksum, matches


def read(db: sqlite3.Connection, name: str) -> tuple[int, bytes] | None:
    """The last sample that went into the row of this name, and its content; None if it is missing or its checksum does not match."""
    row = db.execute("SELECT last, content, crc FROM derived WHERE name = ?", (name,)).fetchone()
    if row is None or not matches(row[2], row[0], name.encode(), row[1]):
        return None
    return int(row[0]), bytes(row[1])


def write(db: sqlite3.Connection, name: str, last: int, content: bytes) -> None:
    """Saves what was computed from all samples up to the id `last`."""
    db.execute("INSERT OR REPLACE INTO derived VALUES (?, ?, ?, ?)", (name, last, content, checksum(last, name.encode(), content)))


def clear(db: sqlite3.Connection) -> None:
    """Deletes every row: a sample that went into them is being removed."""
    db.execute("DELETE FROM derived")
