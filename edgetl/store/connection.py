"""One SQLite connection: durable settings, nested transactions, and no second try after an I/O error."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from edgetl import forks
from edgetl.errors import StoreCorrupt, StoreError, StoreLocked
from edgetl.store import raw
from edgetl.store.checksum import RESTORE

JOURNAL_LIMIT = 4 * 2**20
"""The journal is folded into the file above this size, bytes."""

# FULL: NORMAL loses acknowledged rows when power fails (docs/evidence/store.md).
# No mmap: a read error would be a SIGBUS, not an exception.
# No automatic checkpoint: SQLite reports its failure as the failure of a commit that is already safe.
SETTINGS = {
    "synchronous": "FULL",
    "mmap_size": 0,
    "secure_delete": "ON",
    "foreign_keys": "ON",
    "wal_autocheckpoint": 0,
    "busy_timeout": 5000,
}

CURE = "Everything saved before is kept. Make room or check the disk, then open the store again; until then it is read-only."

OUTER = ("BEGIN IMMEDIATE", "COMMIT", "ROLLBACK")
INNER = ("SAVEPOINT s", "RELEASE s", "ROLLBACK TO s", "RELEASE s")

log = logging.getLogger(__name__)


def failure(error: Exception, path: Path, doing: str) -> StoreError:
    """Translates SQLite's or the system's `error` into one of this package's."""
    values = {"path": str(path), "doing": doing, "reason": str(error)}
    if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
        return StoreLocked(f"{path}: {doing} failed: another program is writing to it. Try again when it is done.", **values)
    if type(error) in (sqlite3.DatabaseError, UnicodeDecodeError):
        return StoreCorrupt(f"{path}: {doing} failed: {error}. To repair, {RESTORE}.", **values)
    cure = ""
    if doing == "opening it" and "readonly" in str(error):
        cure = ". While another program writes to it, a reader must be able to write to its folder. Give permission, or wait."
    return StoreError(f"{path}: {doing} failed: {error}{cure}", **values)


class Connection:
    """A connection that several threads may share.

    Attributes:
        path: the store's file.
        read_only: whether it was opened for reading.
    """

    def __init__(self, path: Path, read_only: bool) -> None:
        self.path = path
        self.read_only = read_only
        self._failure: str | None = None
        self._closed = False
        self._erasing = not read_only and self._journal() > 0  # what another process left there may have been deleted since
        self._wait = self._erasing
        self._fold_above = JOURNAL_LIMIT
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._version: object = None
        try:
            self._file = raw.opened(path)
        except OSError as error:
            raise failure(error, path, "opening it") from error
        try:
            mode = _mode(path, read_only)
            self._immutable = _state(path) if "immutable" in mode else None
            uri = f"{path.as_uri()}?{mode}"
            self._db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raw.closed(self._file)
            raise failure(error, path, "opening it") from error
        forks.keep(self)
        self._db.text_factory = bytes  # a flipped bit may leave text that is not UTF-8: the checksum must find that, not the decoder
        try:
            for name, value in SETTINGS.items():
                self._db.execute(f"PRAGMA {name}={value}")
        except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter: SQLite quotes a damaged table definition
            self._db.close()
            raw.closed(self._file)
            raise failure(error, path, "opening it") from error

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """All reads inside see one state of the store.

        Raises:
            StoreError: the store is closed (`store-closed`), or the disk fails.
            StoreCorrupt: SQLite finds damage in the file.
        """
        self._check_process("reading it")
        with self._lock:
            self._check_open("reading it")
            outermost = not self._db_in_transaction()
            try:
                if outermost:
                    self._db.execute("BEGIN")
                yield self._db
            except sqlite3.Error as error:
                raise self._poisoned(error, "reading it") from error
            finally:
                if outermost:
                    self._undo("ROLLBACK")

    @contextlib.contextmanager
    def transaction(self, doing: str) -> Iterator[sqlite3.Connection]:
        """All writes inside happen, durably, when the outermost transaction ends without an exception; or none does.

        Args:
            doing: what it is, for messages: "adding 3 photos".

        Raises:
            StoreError: nothing was written: the store is open for reading (`store-read-only`), closed (`store-closed`), or the disk
                failed. After an I/O error or a full disk the connection is read-only from then on (`disk-failed-before`).
            StoreLocked: another program is writing; nothing was written.
        """
        self._check_process(doing)
        with self._lock:
            outermost = not self._db_in_transaction()
            begin, commit, *undo = OUTER if outermost else INNER
            try:
                self._check(doing)
                self._db.execute(begin)
                yield self._db
                self._check(doing)  # after an inner failure that was caught, the rest must not be committed
                self._db.execute(commit)
            except BaseException as error:
                self._undo(*undo)
                if isinstance(error, sqlite3.Error):
                    raise self._poisoned(error, doing) from error
                raise
            if outermost:
                self._fold_journal()

    def changed_elsewhere(self) -> bool:
        """Whether another process has changed the file since the last call; a few microseconds, and True at first.

        Raises:
            StoreError: the store is closed (`store-closed`), or the disk fails.
        """
        with self._lock:
            self._check_open("reading it")
            try:
                ((version,),) = self._db.execute("PRAGMA data_version").fetchall()  # an open statement would keep the old state
            except sqlite3.Error as error:
                raise self._poisoned(error, "reading it") from error
            changed = bool(version != self._version)
            self._version = version
        return changed

    def erase(self) -> None:
        """Asks the transaction under way to leave no copy of deleted rows in the journal either."""
        self._erasing = self._wait = True

    def finish_erasing(self) -> bool:
        """Tries again to empty the journal if a reader kept :meth:`erase` from doing so; returns whether it is empty now."""
        with self._lock:
            if self._erasing and not self._failure and not self._closed:
                self._wait = True
                self._fold_journal()
            return not self._erasing

    def check_no_transaction(self, doing: str) -> None:
        """Checks that no transaction is under way.

        Raises:
            StoreError: one is (`transaction-open`).
        """
        if self._db_in_transaction():
            message = f"{self.path}: {doing} is not possible during another change. Do it afterwards."
            raise StoreError(message, code="transaction-open", path=str(self.path), doing=doing)

    def vacuum(self) -> int:
        """Writes the file again without its free pages, and returns the bytes by which it shrank.

        They are 0 while somebody reads the file: then the first change after that shrinks it.

        Raises:
            StoreError: a transaction is under way, or there is no room for the copy; nothing was changed.
        """
        doing = "making the file smaller"
        with self._lock:
            self._check(doing)
            self.check_no_transaction(doing)
            before = self.path.stat().st_size
            try:
                self._db.execute("VACUUM")
            except sqlite3.Error as error:
                raise self._poisoned(error, doing) from error
            self._erasing = self._wait = True
            self._fold_journal()
            return max(0, before - self.path.stat().st_size)

    def save_copy(self, path: str) -> None:
        """Writes a copy of the file (SQLite's VACUUM INTO).

        Raises:
            StoreError: a transaction is under way, the target exists, or the disk has no room; this store stays usable.
        """
        with self._lock:
            self._check_open("copying it")
            self.check_no_transaction("copying it")
            try:
                self._db.execute("VACUUM INTO ?", (path,))
            except sqlite3.Error as error:
                raise failure(error, self.path, "copying it") from error

    def close(self) -> None:
        """Folds the journal into the file and closes it; a second call does nothing, nor does one in a forked process."""
        if os.getpid() != self._process:
            return
        with self._lock:
            if not self._db_in_transaction():
                self.finish_erasing()
            self._db.close()
            if not self._closed:
                raw.closed(self._file)
            self._closed = True

    def _db_in_transaction(self) -> bool:
        return not self._closed and self._db.in_transaction

    def _check_process(self, doing: str) -> None:
        """Before the lock, which another thread may have held when the process forked."""
        if os.getpid() != self._process:
            message = f"{self.path}: {doing} is not possible: the store is open in another process. Open it in each process, after a fork."
            raise StoreError(message, code="open-in-each-process", path=str(self.path), doing=doing)

    def _check_open(self, doing: str) -> None:
        self._check_process(doing)
        if self._closed:
            message = f"{self.path}: {doing} is not possible: the store is closed. Open it again."
            raise StoreError(message, code="store-closed", path=str(self.path), doing=doing)
        if not raw.is_same(self.path, self._file):
            message = f"{self.path}: {doing} is not possible: the file was deleted, renamed or replaced while it was open. Open it again."
            raise StoreError(message, code="store-replaced", path=str(self.path), doing=doing)
        if self._immutable is not None and self._immutable != _state(self.path):
            message = f"{self.path}: {doing} is not possible: another program has written to it, and its folder is not writable here. "
            raise StoreError(f"{message}Open it again.", code="store-replaced", path=str(self.path), doing=doing)

    def _check(self, doing: str) -> None:
        """Checks that changes are possible."""
        self._check_open(doing)
        problem, values = f"{self.path}: {doing} is not possible", {"path": str(self.path), "doing": doing}
        if self._failure:
            raise StoreError(f"{problem}: the disk failed before ({self._failure}). {CURE}", code="disk-failed-before", **values)
        if self.read_only:
            raise StoreError(f"{problem}: it is open for reading. Open it with read_only=False.", code="store-read-only", **values)

    def _undo(self, *statements: str) -> None:
        if self._db_in_transaction():  # after some errors SQLite has rolled back already
            with contextlib.suppress(sqlite3.Error):
                for statement in statements:
                    self._db.execute(statement)

    def _poisoned(self, error: Exception, doing: str) -> StoreError:
        """The error to raise; the connection is read-only from then on unless the disk is sound.

        The kernel reports a failed fsync once: a second try could succeed although the bytes are lost.
        """
        translated = failure(error, self.path, doing)
        if isinstance(translated, StoreLocked) or isinstance(error, sqlite3.IntegrityError):
            return translated
        self._failure = str(error)
        return type(translated)(f"{translated}. {CURE}", **translated.values)

    def _journal(self) -> int:
        """Its size, bytes."""
        journal = Path(f"{self.path}-wal")
        return journal.stat().st_size if journal.exists() else 0

    def _fold_journal(self) -> None:
        """Waits for readers only if this change has asked for it: one that hangs must not delay every photo that is added."""
        try:
            if self._erasing or self._journal() > self._fold_above:
                (patience,) = self._db.execute("PRAGMA busy_timeout").fetchone()
                self._db.execute(f"PRAGMA busy_timeout={patience if self._wait else 0}")
                (busy, *_) = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                self._db.execute(f"PRAGMA busy_timeout={patience}")
                self._erasing = self._erasing and bool(busy)  # a reader still needs the journal: the next commit tries again
                if busy and self._journal() > 8 * self._fold_above:
                    self._fold_above *= 8
                    log.warning(
                        "warning: %s: another program has been reading it for long; its journal grows. Close that program.", self.path
                    )
                elif not busy:
                    self._fold_above = JOURNAL_LIMIT
            self._wait = False
        except (sqlite3.Error, OSError) as error:  # not raised: what was committed is safe in the journal
            log.warning(self._poisoned(error, "folding its journal into it"))


def _mode(path: Path, read_only: bool) -> str:
    """The URI's query. Where this process may not write, SQLite cannot make the shared memory that a journal needs."""
    if read_only and not os.access(path.parent, os.W_OK) and not Path(f"{path}-wal").exists():
        return "mode=ro&immutable=1"
    return "mode=ro" if read_only else "mode=rw"


def _state(path: Path) -> tuple[int, int, bool]:
    """What changes when another process writes to the file."""
    status = path.stat()
    return status.st_mtime_ns, status.st_size, Path(f"{path}-wal").exists()
