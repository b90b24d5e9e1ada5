"""The CRC32 that every row carries."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zlib import crc32

from edgetl.errors import StoreCorrupt

RESTORE = "save what is whole to a new store: edgetl store salvage -s STORE -o NEW"
REPAIR = "rebuild it from the rows: edgetl store repair -s STORE"


def checksum(row: int, *fields: bytes) -> int:
    """CRC32 over a row's id, its fields and their lengths, so that a value in another row or field does not pass."""
    crc = crc32(row.to_bytes(8, "little"))
    for field in fields:
        crc = crc32(field, crc32(len(field).to_bytes(4, "little"), crc))
    return crc


def matches(crc: object, row: int, *fields: bytes) -> bool:
    """Whether a row, as read back, still has the checksum it was written with."""
    try:
        return checksum(row, *fields) == crc
    except (TypeError, OverflowError):  # a flipped bit in a record's header can turn a field into a number or NULL
        return False


def damaged(path: Path, part: str, row: int | None = None, *, cure: str = RESTORE, values: Mapping[str, Any] | None = None) -> StoreCorrupt:
    """The error for a part of the store that fails its check.

    Args:
        path: the store's file.
        part: `sample`, `preview`, `head`, `event`, `activation`, `background`, `model` or `index`.
        row: its id.
        cure: what the person can do.
        values: what else is known of it.
    """
    shown = "".join(f", {name} {value!r}" for name, value in (values or {}).items())
    name = part if row is None else f"{part} {row}"
    message = f"{path}: {name}{shown} is damaged: its checksum does not match, so the disk changed it. To repair, {cure}."
    return StoreCorrupt(message, path=str(path), part=part, row=row, **(values or {}))


def next_id(db: sqlite3.Connection, table: str) -> int:
    """The id that AUTOINCREMENT would give: the checksum needs it before the row is written."""
    (highest,) = db.execute(
        f"SELECT MAX(COALESCE((SELECT seq FROM sqlite_sequence WHERE name = '{table}'), 0), COALESCE((SELECT MAX(id) FROM {table}), 0))"
    ).fetchone()
    return int(highest) + 1
