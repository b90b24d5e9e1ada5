"""Sample rows: one labelled photo each, with its embedding and what was measured of it."""

from __future__ import annotations

import dataclasses
import functools
import logging
import sqlite3
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edgetl.errors import StoreError
from edgetl.store import captures, derived
from edgetl.store.checksum import REPAIR, RESTORE, checksum, damaged, matches, next_id
from edgetl.store.encoding import encode
from edgetl.store.erasure import Removed, pieces
from edgetl.types import Capture, Embeddings

LARGEST = 1e9
"""Of an embedding's values: squares and sums of such stay finite in float32."""
CHUNK = 1024
"""Rows read at a time: the embeddings of these take 5 MB at 1280 values and stay in the cache (docs/evidence/store.md)."""

log = logging.getLogger("edgetl")

COLUMNS = "id, crc, digest, label, source, embedding, measured"


@dataclasses.dataclass(frozen=True)
class NewSample:
    """A photo to be added.

    Attributes:
        digest: sha256 of the photo, 32 bytes.
        label: its class, as `edgetl.types.check_label` returned it.
        embedding: float32 [d].
        source: where it came from, for people: a path or a word.
        capture: what was measured of it, with its thumbnail.
    """

    digest: bytes
    label: str
    embedding: Embeddings
    source: str
    capture: Capture | None = None


@dataclasses.dataclass(frozen=True)
class Sample:
    """A photo in the store.

    Attributes:
        id: its number; numbers only grow and none is given twice.
        label: its class.
        source: where it came from.
        capture: what was measured of it, without its thumbnail; None if nothing was.
    """

    id: int
    label: str
    source: str
    capture: Capture | None


class SampleRow(NamedTuple):
    """A sample as the table holds it, its embedding encoded."""

    id: int
    crc: int
    digest: bytes
    label: bytes
    source: bytes
    embedding: bytes
    measured: bytes


@dataclasses.dataclass(frozen=True)
class TakenSamples:
    """Samples that were taken out of a store, complete: :meth:`edgetl.store.Store.put_back` brings them back as they were.

    Attributes:
        rows: each as the table held it.
        previews: of each; empty if none was kept.
    """

    rows: tuple[SampleRow, ...]
    previews: tuple[bytes, ...]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def ids(self) -> list[int]:
        """Their sample ids."""
        return [row.id for row in self.rows]

    @property
    def labels(self) -> list[str]:
        """The class of each."""
        return [row.label.decode() for row in self.rows]


# A row as SQLite returns it: naming the fields of 20,000 rows would add 4 % to reading them.
RawRow = tuple[int, int, bytes, bytes, bytes, bytes, bytes]


def pack(path: Path, samples: Sequence[NewSample], dim: int) -> list[bytes]:
    """Checks the samples and encodes their embeddings.

    Raises:
        StoreError: an embedding that is not float [dim] (`embedding-shape`) or not finite (`embedding-not-finite`), or a
            digest that is not 32 bytes (`digest-length`).
    """
    for sample in samples:
        shape = sample.embedding.shape
        if shape != (dim,):
            reason = f"its embedding has shape {list(shape)}, expected [{dim}]"
            raise _rejected(path, sample, reason, code="embedding-shape", shape=list(shape), expected=dim)
        if not np.isfinite(sample.embedding).all():
            reason = "its embedding holds NaN or infinity: the model or the photo is broken"
            raise _rejected(path, sample, reason, code="embedding-not-finite")
        if np.abs(sample.embedding).max(initial=0) > LARGEST:
            reason = f"its embedding holds a value above {LARGEST:g}: the model or the photo is broken"
            raise _rejected(path, sample, reason, code="embedding-out-of-range", most=LARGEST)
        if len(sample.digest) != 32:
            reason = f"its digest has {len(sample.digest)} bytes, a sha256 has 32"
            raise _rejected(path, sample, reason, code="digest-length", count=len(sample.digest), expected=32)
    return encode(np.reshape([sample.embedding for sample in samples], (-1, dim)).astype(np.float32, copy=False))


def insert(db: sqlite3.Connection, path: Path, samples: Sequence[NewSample], embeddings: Sequence[bytes]) -> list[int]:
    """Writes a row per sample and returns their ids.

    Raises:
        StoreError: a photo is in the store already (`photo-known`).
    """
    first = next_id(db, "sample")
    for number, (sample, embedding) in enumerate(zip(samples, embeddings, strict=True), first):
        # A file name may hold bytes that are not UTF-8 (lone surrogates); SQLite keeps text only.
        source = sample.source.encode("utf-8", "backslashreplace")
        row = SampleRow(number, 0, sample.digest, sample.label.encode(), source, embedding, captures.pack(sample.capture))
        try:
            write(db, row, b"" if sample.capture is None else sample.capture.thumbnail)
        except sqlite3.IntegrityError as error:
            reason = "this photo is in the store already; relabel it instead"
            raise _rejected(path, sample, reason, code="photo-known") from error
    return list(range(first, first + len(samples)))


def write(db: sqlite3.Connection, row: SampleRow, preview: bytes) -> None:
    """Writes a row, with the checksum of its id and content, and its preview unless that is empty.

    Raises:
        sqlite3.IntegrityError: the photo, or the id, is in the store already.
    """
    number, _, digest, label, source, embedding, measured = row
    values = (number, checksum(number, *row[2:]), digest, label.decode(), source.decode(), embedding, measured)
    db.execute(f"INSERT INTO sample ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", values)
    if preview:
        db.execute("INSERT INTO preview VALUES (?, ?)", (row.id, preview))


def find(db: sqlite3.Connection, path: Path, digest: bytes) -> Sample | None:
    """The sample of the photo with this sha256, or None."""
    row = _row(db, path, "digest", digest)
    if row is None:
        return None
    (capture,) = captures.as_values(captures.unpack([row.measured]))
    return Sample(row.id, row.label.decode(), row.source.decode(), capture)


def source(db: sqlite3.Connection, path: Path, sample: int) -> str:
    """Where a sample came from.

    Raises:
        StoreError: there is no such sample (`sample-missing`).
    """
    return _present(db, path, sample).source.decode()


def label(db: sqlite3.Connection, path: Path, sample: int) -> str:
    """The class of a sample.

    Raises:
        StoreError: there is no such sample (`sample-missing`).
    """
    return _present(db, path, sample).label.decode()


def preview(db: sqlite3.Connection, path: Path, sample: int) -> bytes:
    """A sample's preview, empty if none is kept.

    Raises:
        StoreError: there is no such sample (`sample-missing`).
        StoreCorrupt: it is not the one that was kept.
    """
    return captures.preview(db, path, sample, _present(db, path, sample).measured)


def relabel(db: sqlite3.Connection, path: Path, sample: int, label: str) -> None:
    """Gives a sample another class; its number stays.

    Raises:
        StoreError: there is no such sample (`sample-missing`).
    """
    row = _present(db, path, sample)._replace(label=label.encode())
    db.execute("UPDATE sample SET label = ?, crc = ? WHERE id = ?", (label, checksum(sample, *row[2:]), sample))


def remove(db: sqlite3.Connection, label: str | None, digest: bytes | None) -> Removed:
    """Deletes what fits every given condition, previews too; damaged rows too, so that they can be removed."""
    conditions = {name: value for name, value in (("label", label), ("digest", digest)) if value is not None}
    where, values = " AND ".join(f"{name} = ?" for name in conditions), tuple(conditions.values())
    labels: dict[int, str] = {}
    left: set[bytes] = set()
    for sample, text, *contents in db.execute(
        f"SELECT id, label, digest, embedding, content FROM sample NOT INDEXED LEFT JOIN preview USING (id) WHERE {where}", values
    ):
        labels[sample] = text.decode("utf-8", "replace")
        left.update(*[pieces(content) for content in contents if isinstance(content, bytes)])
    db.executemany("DELETE FROM sample WHERE id = ?", [(sample,) for sample in labels])
    if labels:
        derived.clear(db)
    return Removed(labels, frozenset(left))


def check_index(db: sqlite3.Connection, path: Path) -> None:
    """Compares the index of the classes with the rows.

    Raises:
        StoreCorrupt: they differ.
    """
    columns = "SELECT label, COUNT(*), SUM(id), SUM(id * id % 65521) FROM sample"
    rows = sorted(db.execute(f"{columns} NOT INDEXED GROUP BY label"), key=repr)
    if rows != sorted(db.execute(f"{columns} INDEXED BY sample_label GROUP BY label"), key=repr):
        raise damaged(path, "index", cure=REPAIR)


def take(db: sqlite3.Connection, path: Path, ids: Sequence[int]) -> TakenSamples:
    """Deletes the samples with these numbers and returns them; numbers without a sample are ignored.

    Raises:
        StoreCorrupt: a row fails its check.
    """
    rows = [row for sample in dict.fromkeys(ids) if (row := _row(db, path, "id", sample)) is not None]
    taken = TakenSamples(tuple(rows), tuple(captures.preview(db, path, row.id, row.measured) for row in rows))
    for row in rows:
        remove(db, None, row.digest)
    return taken


def put_back(db: sqlite3.Connection, path: Path, taken: TakenSamples) -> None:
    """Writes taken samples again under their numbers.

    Raises:
        StoreError: a photo, or its number, is in the store (`photo-known`).
    """
    for row, preview in zip(taken.rows, taken.previews):
        try:
            write(db, row, preview)
        except sqlite3.IntegrityError as error:
            message = f"{path}: sample {row.id} is in the store again; nothing was brought back"
            raise StoreError(message, code="photo-known", path=str(path), sample=row.id) from error
    derived.clear(db)


def copy(db: sqlite3.Connection, source: sqlite3.Connection, path: Path) -> list[int]:
    """Writes every sample of another store whose photo is not here yet, under new numbers; returns these.

    Args:
        db: of this store.
        source: of the other one.
        path: of the other one, for messages.

    Raises:
        StoreCorrupt: a row of the other store fails its check.
    """
    number, ids = next_id(db, "sample"), []
    for chunk in chunks(source, path, 0):
        for raw in chunk:
            row = SampleRow(*raw)
            if db.execute("SELECT 1 FROM sample WHERE digest = ?", (row.digest,)).fetchone() is None:
                write(db, row._replace(id=number), captures.preview(source, path, row.id, row.measured))
                ids.append(number)
                number += 1
    return ids


def counts(db: sqlite3.Connection) -> dict[str, int]:
    """Samples per class, read from the index alone."""
    return {label.decode("utf-8", "replace"): n for label, n in db.execute("SELECT label, COUNT(*) FROM sample GROUP BY label")}


def chunks(db: sqlite3.Connection, path: Path, after: int, most: int = CHUNK, *, whole: bool = True) -> Iterator[list[RawRow]]:
    """All rows with an id above `after`, at most `most` at a time, each checked, and none missing: the index knows how many there are.

    Args:
        db: of the store.
        path: of the store, for messages.
        after: a sample id.
        most: rows at a time.
        whole: whether a damaged row is an error; otherwise it is left out, with a warning in the log.

    Raises:
        StoreCorrupt: a row fails its check, or is missing.
    """
    left = count(db, after)
    rows = db.execute(f"SELECT {COLUMNS} FROM sample WHERE id > ? ORDER BY id", (after,))
    while left and (chunk := rows.fetchmany(min(most, left))):
        left -= len(chunk)
        if whole:
            for row in chunk:
                _check(path, row)
        else:
            chunk = [row for row in chunk if matches(row[1], row[0], *row[2:]) or _warn(path, row[0], _label(row))]
        yield chunk
    if left or rows.fetchone() is not None:
        raise damaged(path, "index", cure=REPAIR)


def row(db: sqlite3.Connection, path: Path, sample: int) -> RawRow | None:
    """One row by its number, checked; None if it is missing."""
    return _row(db, path, "id", sample)


def ids(db: sqlite3.Connection, after: int) -> npt.NDArray[np.int64]:
    """The ids of all samples above `after`, ascending. Without `after` only the index is read."""
    rows = (
        db.execute("SELECT id FROM sample WHERE id > ?", (after,)) if after else db.execute("SELECT id FROM sample INDEXED BY sample_label")
    )
    return np.sort(np.fromiter((number for (number,) in rows), np.int64))


def digest(db: sqlite3.Connection) -> str:
    """The sha256 (hex) of every sample's number and checksum, which covers its photo, its label and its embeddings."""
    return sha256(repr(db.execute("SELECT id, crc FROM sample ORDER BY id").fetchall()).encode()).hexdigest()


def last(db: sqlite3.Connection) -> int:
    """The highest number of a sample; 0 in an empty store."""
    (highest,) = db.execute("SELECT MAX(id) FROM sample").fetchone()
    return int(highest or 0)


def count(db: sqlite3.Connection, after: int) -> int:
    """How many samples with an id above `after` there are, by the index alone."""
    (n,) = db.execute("SELECT COUNT(*) FROM sample INDEXED BY sample_label WHERE id > ?", (after,)).fetchone()
    return int(n)


def _row(db: sqlite3.Connection, path: Path, column: str, value: object) -> SampleRow | None:
    row = db.execute(f"SELECT {COLUMNS} FROM sample WHERE {column} = ?", (value,)).fetchone()
    if row is None:
        return None
    _check(path, row)
    return SampleRow(*row)


def _present(db: sqlite3.Connection, path: Path, sample: int) -> SampleRow:
    row = _row(db, path, "id", sample)
    if row is None:
        raise StoreError(f"{path}: sample {sample} does not exist", code="sample-missing", path=str(path), sample=sample)
    return row


def _check(path: Path, row: RawRow) -> None:
    if not matches(row[1], row[0], *row[2:]):
        cure = f"forget the class and add its photos again, or {RESTORE}"
        raise damaged(path, "sample", row[0], cure=cure, values={"label": _label(row)})


def _label(row: RawRow) -> str:
    return row[3].decode("utf-8", "replace") if isinstance(row[3], bytes) else "unreadable"


@functools.lru_cache(1024)
def _warn(path: Path, sample: int, label: str) -> bool:
    """Logs, once, that a row is left out; False."""
    log.warning("warning: %s: sample %d (%s) is damaged and left out. See: edgetl store verify -s %s", path, sample, label, path)
    return False


def _rejected(path: Path, sample: NewSample, reason: str, *, code: str, **values: object) -> StoreError:
    return StoreError(f"{path}: {sample.source}: {reason}. No photo was saved.", code=code, path=str(path), photo=sample.source, **values)
