"""Sample rows: one labelled photo each, as an embedding."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgetl.errors import StoreCorrupt, StoreError
from edgetl.store.checksum import RESTORE, checksum, matches, next_id
from edgetl.store.encoding import EncodingName, decode, encode
from edgetl.types import Embeddings

CHUNK = 4096
"""Rows decoded at a time: beside the result, reading needs memory for these only."""


@dataclasses.dataclass(frozen=True)
class NewSample:
    """A photo to be added.

    Attributes:
        photo: sha256 of the photo, 32 bytes.
        label: its class, as `edgetl.types.check_label` returned it.
        embedding: float32 [d].
        source: where it came from, for people: a path or a word.
    """

    photo: bytes
    label: str
    embedding: Embeddings
    source: str


@dataclasses.dataclass(frozen=True)
class Sample:
    """A photo in the store.

    Attributes:
        id: its number; numbers only grow and none is given twice.
        label: its class.
        source: where it came from.
    """

    id: int
    label: str
    source: str


@dataclasses.dataclass(frozen=True)
class Samples:
    """Many samples in the order of their ids.

    Attributes:
        ids: int64 [n].
        labels: n classes.
        embeddings: float32 [n, d], as the store's encoding kept them.
    """

    ids: npt.NDArray[np.int64]
    labels: list[str]
    embeddings: Embeddings


def pack(path: Path, samples: Sequence[NewSample], dim: int, encoding: EncodingName) -> list[bytes]:
    """Checks the embeddings and encodes each as a row's bytes.

    Raises:
        StoreError: an embedding that is not float [dim] or not finite, a photo digest that is not 32 bytes.
    """
    for sample in samples:
        embedding = sample.embedding
        if embedding.shape != (dim,):
            raise StoreError(
                f"{path}: {sample.source}: the embedding has shape {list(embedding.shape)}, the store's have [{dim}]; none was saved"
            )
        if not np.isfinite(embedding).all():
            raise StoreError(
                f"{path}: {sample.source}: the embedding holds NaN or infinity, so the model or the photo is broken; none was saved"
            )
        if len(sample.photo) != 32:
            raise StoreError(f"{path}: {sample.source}: the photo's digest has {len(sample.photo)} bytes, a sha256 has 32; none was saved")
    return encode(np.stack([sample.embedding for sample in samples]).astype(np.float32, copy=False), encoding)


def insert(db: sqlite3.Connection, path: Path, samples: Sequence[NewSample], embeddings: Sequence[bytes]) -> list[int]:
    """Writes a row per sample and returns their ids.

    Raises:
        StoreError: a photo is in the store already.
    """
    first = next_id(db, "sample")
    for row, (sample, embedding) in enumerate(zip(samples, embeddings, strict=True), first):
        # A file name may hold bytes that are no text (lone surrogates); SQLite keeps text only.
        source = sample.source.encode("utf-8", "backslashreplace")
        crc = checksum(row, sample.photo, sample.label.encode(), source, embedding)
        try:
            db.execute("INSERT INTO sample VALUES (?, ?, ?, ?, ?, ?)", (row, sample.photo, sample.label, source.decode(), crc, embedding))
        except sqlite3.IntegrityError as error:
            raise StoreError(f"{path}: {sample.source}: this photo is in the store already; relabel it instead; none was saved") from error
    return list(range(first, first + len(samples)))


def find(db: sqlite3.Connection, path: Path, photo: bytes) -> Sample | None:
    """The sample of the photo with this sha256, or None."""
    return _one(db, path, "photo = ?", photo)


def relabel(db: sqlite3.Connection, path: Path, sample: int, label: str) -> None:
    """Gives a sample another class.

    Raises:
        StoreError: there is no such sample.
    """
    if _one(db, path, "id = ?", sample) is None:
        raise StoreError(f"{path} holds no sample {sample}")
    photo, source, embedding = db.execute("SELECT photo, source, embedding FROM sample WHERE id = ?", (sample,)).fetchone()
    db.execute(
        "UPDATE sample SET label = ?, crc = ? WHERE id = ?", (label, checksum(sample, photo, label.encode(), source, embedding), sample)
    )


def remove(db: sqlite3.Connection, label: str | None, photo: bytes | None) -> dict[int, str]:
    """Deletes what fits every given condition; damaged rows too, so that there is a way to be rid of them."""
    conditions = {name: value for name, value in (("label", label), ("photo", photo)) if value is not None}
    where, values = " AND ".join(f"{name} = ?" for name in conditions), tuple(conditions.values())
    removed = {row: text.decode("utf-8", "replace") for row, text in db.execute(f"SELECT id, label FROM sample WHERE {where}", values)}
    db.execute(f"DELETE FROM sample WHERE {where}", values)
    return removed


def counts(db: sqlite3.Connection) -> dict[str, int]:
    """Samples per class, read from the index alone."""
    return {label.decode("utf-8", "replace"): n for label, n in db.execute("SELECT label, COUNT(*) FROM sample GROUP BY label")}


def read(db: sqlite3.Connection, path: Path, after: int, dim: int, encoding: EncodingName) -> Samples:
    """All samples with an id above `after`, each row checked, and none missing: the index knows how many there are."""
    (n,) = db.execute("SELECT COUNT(*) FROM sample INDEXED BY sample_label WHERE id > ?", (after,)).fetchone()
    ids, embeddings = np.empty(n, np.int64), np.empty((n, dim), np.float32)
    labels: list[str] = []
    rows = db.execute("SELECT id, photo, label, source, crc, embedding FROM sample WHERE id > ? ORDER BY id", (after,))
    names: dict[bytes, str] = {}
    for start in range(0, n, CHUNK):
        chunk = rows.fetchmany(min(CHUNK, n - start))
        for row in chunk:
            _check(path, *row)
            labels.append(names.get(row[2]) or names.setdefault(row[2], row[2].decode()))
        stop = start + len(chunk)
        ids[start:stop] = [row[0] for row in chunk]
        decode([row[5] for row in chunk], encoding, embeddings[start:stop])
    if len(labels) < n or rows.fetchone() is not None or (np.diff(ids) <= 0).any():
        raise StoreCorrupt(f"{path}: the samples read are not the {n} that its index lists: the disk changed it; {RESTORE}")
    return Samples(ids, labels, embeddings)


def _one(db: sqlite3.Connection, path: Path, where: str, value: object) -> Sample | None:
    row = db.execute(f"SELECT id, photo, label, source, crc, embedding FROM sample WHERE {where}", (value,)).fetchone()
    if row is None:
        return None
    _check(path, *row)
    return Sample(row[0], row[2].decode(), row[3].decode())


def _check(path: Path, row: int, photo: bytes, label: bytes, source: bytes, crc: int, embedding: bytes) -> None:
    if not matches(crc, row, photo, label, source, embedding):
        shown = label.decode("utf-8", "replace") if isinstance(label, bytes) else "unreadable"
        raise StoreCorrupt(
            f"{path}: sample {row} of class {shown!r} fails its check: the disk changed it; "
            f"forget the class and add its photos again, or {RESTORE}"
        )
