"""The inbox's file: frames with their embeddings, bounded in number and bytes, written by several processes."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from edgetl.errors import InboxError
from edgetl.heads import Head
from edgetl.heads.linalg.normalisation import power_normalise
from edgetl.inbox import grouping, ranking
from edgetl.inbox.grouping import Group
from edgetl.store.checksum import checksum, next_id
from edgetl.types import Embeddings, Fingerprint, Prediction

APPLICATION_ID = int.from_bytes(b"EdIn", "big")
VERSION = 1
MOST, MOST_BYTES = 500, 64 * 2**20
"""Frames and bytes that are kept; the oldest go first."""
UNSURE = 0.8
"""A labelled frame below this probability is kept too."""
ALIKE = 0.97
"""A frame whose cosine to one kept before is above this shows nothing new."""
BETWEEN_S = 0.5
"""Between two kept frames at least."""
_RECENT = 64
_LOCKED_S = 1.0
_DAY_S = 86400.0
_TABLES = """
    CREATE TABLE inbox (fingerprint TEXT NOT NULL);
    CREATE TABLE frame (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        time REAL NOT NULL,
        camera TEXT NOT NULL,
        label TEXT,
        probability REAL NOT NULL,
        code TEXT NOT NULL,
        size INTEGER NOT NULL,
        removed REAL,
        crc INTEGER NOT NULL,
        embedding BLOB NOT NULL,
        photo BLOB NOT NULL
    );
"""

_COLUMNS = "id, time, camera, label, probability, code, size, crc, embedding, photo"

log = logging.getLogger("edgetl")


@dataclasses.dataclass(frozen=True, eq=False)
class InboxItem:
    """One frame.

    Attributes:
        id: its number; numbers only grow.
        time: when it was taken, seconds since 1970 by the device's clock.
        camera: the camera's URI, without a password.
        label: the class it was taken for; None if it was rejected.
        probability: of the best class.
        code: the prediction's.
        embedding: float32 [d].
    """

    id: int
    time: float
    camera: str
    label: str | None
    probability: float
    code: str
    embedding: Embeddings


class Inbox:
    """The frames beside a store, in `NAME.inbox`; safe to use from several threads and processes.

    A removed frame is kept for a day, so that :meth:`restore` can bring it back, unless room is needed. Not one of these frames is
    acknowledged to anybody, so a power failure may lose the latest.
    """

    def __init__(self, db: sqlite3.Connection, path: Path, model: str, most: int, most_bytes: int) -> None:
        """Use :meth:`open`."""
        self.path = path
        self._db, self._model, self._most, self._most_bytes = db, model, most, most_bytes
        self._lock = threading.RLock()
        latest = db.execute("SELECT embedding FROM frame ORDER BY id DESC LIMIT ?", (_RECENT,)).fetchall()
        self._recent = [_units(_unpack(packed)[None])[0] for (packed,) in reversed(latest)]
        self._last = -np.inf
        self._full = False

    @classmethod
    def open(cls, store: str | os.PathLike[str], fingerprint: Fingerprint, *, most: int = MOST, most_bytes: int = MOST_BYTES) -> Inbox:
        """Opens the inbox of a store; makes it if it is missing.

        Frames of another model are deleted: their embeddings cannot be compared.

        Args:
            store: the store's path.
            fingerprint: the model in use.
            most: frames at most.
            most_bytes: bytes of their photos at most.

        Raises:
            InboxError: the file is damaged, or another program's (`inbox-damaged`), or cannot be made.
        """
        path = Path(f"{os.fspath(store)}.inbox")
        try:
            db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_LOCKED_S)
            _recognise(db, path)
            for setting in ("journal_mode=WAL", "synchronous=NORMAL", "secure_delete=ON"):
                db.execute(f"PRAGMA {setting}")
            with _writing(db):
                _adopt(db, path, fingerprint)
                db.execute("DELETE FROM frame WHERE removed < ?", (time.time() - _DAY_S,))
        except sqlite3.Error as error:
            raise _failed(path, error) from error
        return cls(db, path, fingerprint.digest, most, most_bytes)

    def __len__(self) -> int:
        """How many frames wait."""
        with self._reading() as db:
            (count,) = db.execute("SELECT COUNT(*) FROM frame WHERE removed IS NULL").fetchone()
        return int(count)

    def offer(
        self, photo: Callable[[], bytes], embedding: Embeddings, prediction: Prediction, *, taken: float, camera: str = ""
    ) -> int | None:
        """Keeps a frame that the head was unsure of, unless it shows nothing new.

        Args:
            photo: returns the frame's JPEG; called only if it is kept.
            embedding: float32 [d].
            prediction: what the head said of it.
            taken: when, seconds since 1970.
            camera: its URI, without a password.

        Returns:
            The frame's number; None if it was not kept. A full disk is logged once, and the camera goes on.
        """
        if prediction.code == "reject-class" or (prediction.label is not None and prediction.probability >= UNSURE):
            return None
        if time.monotonic() - self._last < BETWEEN_S:
            return None
        unit = _units(embedding[None])[0]
        if self._recent and float((np.stack(self._recent) @ unit).max()) > ALIKE:
            return None
        content, packed = photo(), embedding.astype("<f2").tobytes()
        if len(content) > self._most_bytes:
            return None
        seconds = float(taken) if math.isfinite(taken) else time.time()
        values = (seconds, camera, prediction.label, float(prediction.probability), prediction.code, len(content))
        try:
            with self._lock, _writing(self._db):
                if not self._is_own():
                    return None
                number = next_id(self._db, "frame")
                crc = _checksum(number, values[:-1], packed, content)
                row = (number, *values, crc, packed, content)
                self._db.execute(f"INSERT INTO frame ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
                self._make_room()
        except sqlite3.Error as error:
            if not self._full:
                log.warning("warning: %s: frames are not kept (%s)", self.path, error)
            self._full = True
            return None
        self._full, self._last = False, time.monotonic()
        self._recent = [*self._recent[1 - _RECENT :], unit]
        return number

    def items(self) -> list[InboxItem]:
        """The frames that wait, oldest first; a damaged one is left out, with a warning in the log."""
        columns = "id, time, camera, label, probability, code, crc, embedding, photo"
        items = []
        with self._reading() as db:
            if not self._is_own():
                return []
            for number, *values, crc, packed, photo in db.execute(f"SELECT {columns} FROM frame WHERE removed IS NULL ORDER BY id"):
                if crc != _checksum(number, values, packed, photo):
                    log.warning("warning: %s: frame %d is damaged and left out", self.path, number)
                    continue
                seconds, camera, label, probability, code = values
                items.append(InboxItem(number, seconds, camera, label, probability, code, _unpack(packed)))
        return items

    def photo(self, number: int) -> bytes:
        """A frame's JPEG, also of a removed one that can still be restored.

        Raises:
            InboxError: there is no such frame (`frame-missing`), or it is damaged (`frame-damaged`).
        """
        columns = "time, camera, label, probability, code, crc, embedding, photo"
        with self._reading() as db:
            row = db.execute(f"SELECT {columns} FROM frame WHERE id = ?", (number,)).fetchone()
        if row is None:
            raise InboxError(f"{self.path}: frame {number} does not exist", code="frame-missing", path=str(self.path), frame=number)
        *values, crc, packed, content = row
        if crc != _checksum(number, values, packed, content):
            raise InboxError(f"{self.path}: frame {number} is damaged. Delete it.", code="frame-damaged", path=str(self.path), frame=number)
        photo: bytes = content
        return photo

    def remove(self, ids: Sequence[int]) -> None:
        """Removes frames; :meth:`restore` brings them back. Unknown ids are ignored."""
        with self._changing() as db:
            db.executemany("UPDATE frame SET removed = ? WHERE id = ?", [(time.time(), number) for number in ids])

    def restore(self, ids: Sequence[int]) -> None:
        """Brings removed frames back, if they are still there."""
        with self._changing() as db:
            db.executemany("UPDATE frame SET removed = NULL WHERE id = ?", [(number,) for number in ids])

    def groups(self, items: Sequence[InboxItem]) -> list[Group]:
        """The frames grouped by likeness, the largest group first (:mod:`edgetl.inbox.grouping`)."""
        if not items:
            return []
        units = _units(np.stack([item.embedding for item in items]))
        number = grouping.group(units)
        groups = []
        for each in range(int(number.max()) + 1):
            rows = np.flatnonzero(number == each)
            rows = rows[grouping.typical(units[rows])]
            labels = [items[row].label for row in rows.tolist()]
            groups.append(Group(tuple(items[row].id for row in rows.tolist()), max(sorted(set(labels), key=str), key=labels.count)))
        return groups

    def ranked(self, items: Sequence[InboxItem], head: Head, trained: Iterable[Embeddings], n: int) -> list[int]:
        """The numbers of the `n` frames that teach most, the first to label first (:mod:`edgetl.inbox.ranking`).

        Args:
            items: the frames.
            head: the active one.
            trained: embeddings of the training photos, float32 [k, d] at a time.
            n: how many to choose.
        """
        if not items:
            return []
        embeddings = np.stack([item.embedding for item in items])
        units, near = _units(embeddings), np.zeros(len(items), np.float32)
        for rows in trained:
            near = np.maximum(near, (units @ _units(rows).T).max(axis=1))
        unknown = np.array([item.label is None for item in items])
        return [items[row].id for row in ranking.rank(units, head.probabilities(embeddings), unknown, near, n).tolist()]

    def close(self) -> None:
        """Closes the file; a second call does nothing."""
        with self._lock:
            self._db.close()

    def _make_room(self) -> None:
        """Deletes the oldest frames beyond the bounds, removed ones first."""
        rows = self._db.execute("SELECT id, size FROM frame ORDER BY removed IS NOT NULL, id DESC").fetchall()
        total, gone = 0, []
        for kept, (number, size) in enumerate(rows):
            total += size
            if kept >= self._most or total > self._most_bytes:
                gone.append((number,))
        self._db.executemany("DELETE FROM frame WHERE id = ?", gone)

    def _is_own(self) -> bool:
        """Whether the file is still this model's: another process may have opened it with another one."""
        row = self._db.execute("SELECT fingerprint FROM inbox").fetchone()
        return row is not None and row[0] == self._model

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._lock:
                yield self._db
        except sqlite3.Error as error:
            raise _failed(self.path, error) from error

    @contextlib.contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as db, _writing(db):
            yield db


@contextlib.contextmanager
def _writing(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _recognise(db: sqlite3.Connection, path: Path) -> None:
    """Makes the tables in an empty file.

    Raises:
        InboxError: another program's file, or of another version (`inbox-damaged`); it is left as it was.
    """
    kinds = [db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
    if kinds == [APPLICATION_ID, VERSION]:
        return
    with _writing(db):
        if db.execute("SELECT 1 FROM sqlite_master").fetchone() or (kinds != [0, 0]):
            if [db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")] == [APPLICATION_ID, VERSION]:
                return  # another process made it a moment ago
            raise InboxError(f"{path} is not an inbox of this version. Delete it.", code="inbox-damaged", path=str(path))
        for statement in _TABLES.split(";")[:-1]:
            db.execute(statement)
        db.execute(f"PRAGMA application_id={APPLICATION_ID}")
        db.execute(f"PRAGMA user_version={VERSION}")


def _checksum(number: int, values: Sequence[object], packed: bytes, content: bytes) -> int:
    """Of a frame's number, its values as text, its embedding and its photo."""
    return checksum(number, repr(tuple(values)).encode(), packed, content)


def _unpack(packed: bytes) -> Embeddings:
    return np.frombuffer(packed, "<f2").astype(np.float32)


def _adopt(db: sqlite3.Connection, path: Path, fingerprint: Fingerprint) -> None:
    """Notes the model; deletes the frames of another one."""
    row = db.execute("SELECT fingerprint FROM inbox").fetchone()
    if row is not None and row[0] != fingerprint.digest:
        count = db.execute("DELETE FROM frame").rowcount
        log.warning("warning: %s: %d frames of another model were deleted", path, count)
    if row is None or row[0] != fingerprint.digest:
        db.execute("DELETE FROM inbox")
        db.execute("INSERT INTO inbox VALUES (?)", (fingerprint.digest,))


def _units(embeddings: Embeddings) -> Embeddings:
    rows = power_normalise(embeddings)
    units: Embeddings = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return units


def _failed(path: Path, error: sqlite3.Error) -> InboxError:
    if type(error) is sqlite3.DatabaseError:
        message = f"{path} is damaged ({error}). Delete it: it holds only frames that nobody labelled yet."
        return InboxError(message, code="inbox-damaged", path=str(path), reason=str(error))
    return InboxError(f"{path}: {error}", code="inbox-failed", path=str(path), reason=str(error))
