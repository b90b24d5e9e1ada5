"""The CRC32 that every row carries."""

from __future__ import annotations

from zlib import crc32

# SQLite would play a journal that is left beside an older copy into it.
RESTORE = "put back a copy of the file and remove the file of the same name that ends in -wal"


def checksum(*fields: bytes) -> int:
    """CRC32 over fields and their lengths, so that a byte cannot move from one field to the next unnoticed."""
    crc = 0
    for field in fields:
        crc = crc32(field, crc32(len(field).to_bytes(4, "little"), crc))
    return crc


def matches(crc: object, *fields: bytes) -> bool:
    """Whether `fields`, as read back, still have the checksum they were written with."""
    try:
        return checksum(*fields) == crc
    except TypeError:  # a flipped bit in a record's header can turn a field into NULL or a number
        return False
