"""The CRC32 that every row carries."""

from __future__ import annotations

import sqlite3
from zlib import crc32

# SQLite would play a journal that is left beside an older copy into it.
RESTORE = "put back a copy of the file and remove the file of the same name that ends in -wal"


def checksum(row: int, *fields: bytes | None) -> int:
    """CRC32 over a row's id, its fields and their lengths, so that nothing can move from one row or field to the next unnoticed.

    A field that is None, in a row of an older schema, counts as none: such a row keeps its checksum.
    """
    crc = crc32(row.to_bytes(8, "little"))
    for field in fields:
        if field is not None:
            crc = crc32(field, crc32(len(field).to_bytes(4, "little"), crc))
    return crc


def matches(crc: object, row: int, *fields: bytes | None) -> bool:
    """Whether a row, as read back, still has the checksum it was written with."""
    try:
        return checksum(row, *fields) == crc
    except (TypeError, OverflowError):  # a flipped bit in a record's header can turn a field into a number
        return False


def next_id(db: sqlite3.Connection, table: str) -> int:
    """The id that AUTOINCREMENT would give: the checksum needs it before the row is written."""
    (highest,) = db.execute(
        f"SELECT MAX(COALESCE((SELECT seq FROM sqlite_sequence WHERE name = '{table}'), 0), COALESCE((SELECT MAX(id) FROM {table}), 0))"
    ).fetchone()
    return int(highest) + 1
